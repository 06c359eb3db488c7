//! Why rules cannot be used.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::Problem;

/// Rules that name an unknown backend or hold a glob that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteError {
    /// The configuration file, if the rules came from one.
    pub file: Option<PathBuf>,
    /// All that is wrong, in the order of the rules; never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_deref().unwrap_or(Path::new("configuration"));
        let lines: Vec<String> = self.problems.iter().map(|problem| problem.in_file(file)).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for RouteError {}
