//! The backend `auto`: which row of its table a dataset is in, and what that means for a file.
//!
//! | row | size of the dataset | kept |
//! | --- | --- | --- |
//! | small | less than `memory_below` | in memory, home disk |
//! | middle | up to `zarr_above` | in memory, and written behind at once |
//! | large | more | images are sealed, other files are on disk; where sealing is off, as middle |
//!
//! A dataset goes up when it passes a line, and comes back only when it is a fifth below it: one that grows and
//! shrinks about a line does not drag its files to and fro.

use super::Decision;
use crate::config::Auto;
use crate::model::{Durability, RelPath, Tier};

/// How large a dataset is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Row {
    /// Less than `memory_below`.
    #[default]
    Small,
    /// From there up to `zarr_above`.
    Middle,
    /// More.
    Large,
}

impl Row {
    /// As `status` and `explain` call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Row::Small => "small",
            Row::Middle => "middle",
            Row::Large => "large",
        }
    }
}

/// The two sizes between the rows, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lines {
    memory_below: u64,
    zarr_above: u64,
}

impl Lines {
    /// The lines of a configuration.
    pub fn new(auto: &Auto) -> Lines {
        Lines { memory_below: auto.memory_below, zarr_above: auto.zarr_above }
    }

    /// The row of a dataset of `bytes` that was in the row `before`.
    pub fn row(&self, bytes: u64, before: Row) -> Row {
        let up = match bytes {
            bytes if bytes > self.zarr_above => Row::Large,
            bytes if bytes >= self.memory_below => Row::Middle,
            _ => Row::Small,
        };
        let mut row = before;
        while row > up && self.back_below(row).is_some_and(|line| bytes < line) {
            row = if row == Row::Large { Row::Middle } else { Row::Small };
        }
        row.max(up)
    }

    /// The size at which a dataset leaves a row upwards.
    pub fn next_at(&self, row: Row) -> Option<u64> {
        match row {
            Row::Small => Some(self.memory_below),
            Row::Middle => Some(self.zarr_above),
            Row::Large => None,
        }
    }

    /// The size below which a dataset leaves a row downwards.
    pub fn back_below(&self, row: Row) -> Option<u64> {
        let line = match row {
            Row::Small => return None,
            Row::Middle => self.memory_below,
            Row::Large => self.zarr_above,
        };
        Some(line - line / 5)
    }
}

impl Decision {
    /// What holds for the file at `path` if its dataset is in this row. Scratch files are the same in all.
    pub fn in_row(self, row: Row, path: &RelPath) -> Decision {
        if self.row.is_none() {
            return self;
        }
        let told = Decision { row: Some(row), ..self };
        match row {
            _ if self.durability == Durability::Scratch => told,
            Row::Small => told,
            Row::Large if self.seals && is_image(path) => Decision { home: Tier::Zarr, ..told },
            Row::Large if self.seals => Decision { start: Tier::Disk, at_once: true, ..told },
            Row::Middle | Row::Large => Decision { at_once: true, ..told },
        }
    }
}

/// Whether the name is that of an image which a store may be able to hold: TIFF or npy.
pub fn is_image(path: &RelPath) -> bool {
    const IMAGES: [&[u8]; 5] = [b"tif", b"tiff", b"btf", b"tf8", b"npy"];
    let name = path.as_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let mut parts = name.rsplitn(2, |&byte| byte == b'.');
    let (ending, stem) = (parts.next().unwrap_or_default(), parts.next());
    stem.is_some() && IMAGES.iter().any(|image| ending.eq_ignore_ascii_case(image))
}
