//! One glob over raw bytes; the only place that knows `globset`.

use std::os::unix::ffi::OsStrExt;

use globset::{Candidate, ErrorKind, GlobBuilder, GlobMatcher};

use crate::model::RelPath;

/// A glob that somebody asks for: on a file's name or, if it has a slash in it, on its path.
#[derive(Debug, Clone)]
pub struct NameGlob {
    pattern: Pattern,
    whole: bool,
}

impl NameGlob {
    /// Compiles it; the error says what is wrong and how to write it.
    pub fn new(glob: &str) -> Result<NameGlob, String> {
        Ok(NameGlob { pattern: Pattern::new(glob)?, whole: glob.contains('/') })
    }

    /// Whether the file at `path` is asked for.
    pub fn matches(&self, path: &RelPath) -> bool {
        let name = path.components().last().map(OsStrExt::as_bytes);
        let subject = if self.whole { path.as_bytes() } else { name.unwrap_or_default() };
        self.pattern.matches(&Subject::new(subject))
    }
}

/// A compiled glob.
#[derive(Debug, Clone)]
pub(super) enum Pattern {
    /// Matches every path, with no look at it.
    Everything,
    /// Asks the automaton.
    Glob(Box<GlobMatcher>),
}

/// A path, prepared once for all globs that are asked about it.
pub(super) struct Subject<'p>(Candidate<'p>);

impl<'p> Subject<'p> {
    /// Borrows the bytes: nothing is copied.
    pub(super) fn new(path: &'p [u8]) -> Subject<'p> {
        Subject(Candidate::from_bytes(path))
    }
}

impl Pattern {
    /// The pattern `**`.
    pub(super) fn everything() -> Pattern {
        Pattern::Everything
    }

    /// Compiles a glob; the error says what is wrong with it and how to write it.
    pub(super) fn new(glob: &str) -> Result<Pattern, String> {
        if glob == "**" {
            return Ok(Pattern::Everything);
        }
        let mut builder = GlobBuilder::new(glob);
        builder.literal_separator(true).backslash_escape(true).empty_alternates(true);
        let glob = builder.build().map_err(|error| {
            let remedy = match error.kind() {
                ErrorKind::UnclosedClass => "close it with ']', or write '\\[' for the character itself",
                ErrorKind::InvalidRange(..) => "write the smaller character first, as in [a-z]",
                ErrorKind::UnopenedAlternates => "open it with '{' before, or write '\\}' for the character itself",
                ErrorKind::UnclosedAlternates => "close it with '}', or write '\\{' for the character itself",
                ErrorKind::DanglingEscape => "write '\\\\' for a backslash at the end",
                _ => "see docs/configuration.md for what a glob may hold",
            };
            format!(
                "{glob:?} is no valid glob ({}); {remedy}; in a TOML string use 'single quotes' with '\\'",
                error.kind()
            )
        })?;
        Ok(Pattern::Glob(Box::new(glob.compile_matcher())))
    }

    /// Whether the glob matches the whole path.
    pub(super) fn matches(&self, subject: &Subject<'_>) -> bool {
        match self {
            Pattern::Everything => true,
            Pattern::Glob(glob) => glob.is_match_candidate(&subject.0),
        }
    }
}
