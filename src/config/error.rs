//! What is wrong with a configuration, in words for the person who wrote it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// One thing that is wrong in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it is, counted from 1; `None` where no line is to blame.
    pub line: Option<usize>,
    /// The key it is about, with its section: `[memory] limit`, `[[rule]] 2 durability`. Empty for a syntax error.
    pub key: String,
    /// What is wrong, what is accepted, and what to write instead.
    pub message: String,
}

impl Problem {
    /// `file:line: key: message`, the form that editors can jump to.
    pub fn in_file(&self, file: &Path) -> String {
        match self.line {
            Some(line) => format!("{}:{line}: {self}", file.display()),
            None => format!("{}: {self}", file.display()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigErrors {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}; check its path and its permissions", file.display())]
    Unreadable {
        /// The configuration file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is read, and its content is wrong.
    #[error("{}", list(file, problems))]
    Invalid {
        /// The configuration file.
        file: PathBuf,
        /// All that is wrong, in the order of the lines; never empty.
        problems: Vec<Problem>,
    },
}

impl ConfigErrors {
    /// The problems of one file, sorted by line.
    pub fn invalid(file: &Path, mut problems: Vec<Problem>) -> ConfigErrors {
        problems.sort_by_key(|problem| problem.line);
        ConfigErrors::Invalid { file: file.to_path_buf(), problems }
    }

    /// All that is wrong with the content; empty if the file could not be read.
    pub fn problems(&self) -> &[Problem] {
        match self {
            ConfigErrors::Unreadable { .. } => &[],
            ConfigErrors::Invalid { problems, .. } => problems,
        }
    }
}

/// One line a problem.
pub(crate) fn list(file: &Path, problems: &[Problem]) -> String {
    problems.iter().map(|problem| problem.in_file(file)).collect::<Vec<_>>().join("\n")
}
