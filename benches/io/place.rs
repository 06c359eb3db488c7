//! A directory to measure, and the proof that its files are where the table says they are.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use crate::operations::LARGE;

/// A directory with the name that it has in the table.
#[derive(Clone)]
pub struct Place {
    /// The column's heading.
    pub label: String,
    /// Where the files are made.
    pub directory: PathBuf,
    /// The tier that files there must be in; none for a native file system.
    tier: Option<String>,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, '=');
        let (Some(label), Some(directory)) = (parts.next(), parts.next()) else {
            return Err(format!("'{text}' is not LABEL=DIRECTORY or LABEL=DIRECTORY=TIER"));
        };
        Ok(Self { label: label.into(), directory: directory.into(), tier: parts.next().map(Into::into) })
    }
}

impl Place {
    /// Fails when the large file is not in the tier that this place stands for: a figure of another tier would be
    /// worse than none.
    pub fn verify_tier(&self) -> Result<()> {
        let Some(wanted) = &self.tier else { return Ok(()) };
        let path = self.directory.join(LARGE);
        let mut value = [0u8; 32];
        let length = rustix::fs::getxattr(&path, "user.scopefs.tier", &mut value[..])
            .with_context(|| format!("cannot read the tier of {}", path.display()))?;
        let found = String::from_utf8_lossy(&value[..length]);
        if found != *wanted {
            bail!("{} is in tier {found}, not {wanted}: the figures would not be those of {wanted}", path.display());
        }
        Ok(())
    }
}
