//! Patterns from the configuration.

use super::pattern::{Pattern, compile};

/// The groups that a pattern may have.
const GROUPS: [&str; 7] = ["row", "column", "well", "field", "channel", "depth", "time"];

/// Why a pattern from the configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is no regular expression, or too large a one.
    #[error("{pattern:?} is not a regular expression: {reason}")]
    Syntax {
        /// The pattern.
        pattern: String,
        /// What the parser says.
        reason: String,
    },
    /// It has a group of another name.
    #[error(
        "{pattern:?} has a group '{group}'; the groups are row, column, well, field, channel, depth and time, and \
         what is not to be kept stands in (?:…)"
    )]
    Group {
        /// The pattern.
        pattern: String,
        /// The group; a number where it has no name.
        group: String,
    },
    /// It does not say which well.
    #[error("{pattern:?} has no group 'well', nor both 'row' and 'column'")]
    NoWell {
        /// The pattern.
        pattern: String,
    },
}

/// Compiles one pattern; its text is the name of its convention.
pub(super) fn read(pattern: &str) -> Result<Pattern, PatternError> {
    let own = || pattern.to_string();
    let regex = compile(pattern, false)
        .map_err(|error| PatternError::Syntax { pattern: own(), reason: error.to_string().replace('\n', " ") })?;
    let names: Vec<Option<&str>> = regex.capture_names().skip(1).collect();
    if let Some(at) = names.iter().position(|name| !name.is_some_and(|name| GROUPS.contains(&name))) {
        let group = names.get(at).copied().flatten().map_or_else(|| (at + 1).to_string(), str::to_string);
        return Err(PatternError::Group { pattern: own(), group });
    }
    let has = |name| names.contains(&Some(name));
    let says_well = has("well") || (has("row") && has("column"));
    if !says_well {
        return Err(PatternError::NoWell { pattern: own() });
    }
    Ok(Pattern::new(own(), regex))
}
