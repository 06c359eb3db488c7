//! What can be asked for, and what is told.

use std::time::Duration;

use crate::model::{RelPath, State, Tier, Timestamp};
use crate::route::{NameGlob, RuleId};

/// What is asked for. What is not given is not asked about.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// At and below these; none: everywhere.
    pub under: Vec<RelPath>,
    /// Where the bytes are.
    pub tier: Option<Tier>,
    /// Whether the home has them.
    pub state: Option<State>,
    /// At least so many bytes long.
    pub at_least: Option<u64>,
    /// At most so many bytes long.
    pub at_most: Option<u64>,
    /// Last changed at least so long ago.
    pub older: Option<Duration>,
    /// Last changed at most so long ago.
    pub newer: Option<Duration>,
    /// The rule that decides.
    pub rule: Option<RuleId>,
    /// The dataset, by its directory.
    pub dataset: Option<RelPath>,
    /// A glob of the name, or of the path.
    pub name: Option<NameGlob>,
    /// Which come first.
    pub sort: Option<Sort>,
    /// No more than so many.
    pub limit: Option<usize>,
}

/// Which files come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// The largest.
    Size,
    /// The oldest.
    Age,
    /// By path, byte by byte.
    Path,
}

/// A file that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is in the mount.
    pub path: RelPath,
    /// Where its bytes are.
    pub tier: Tier,
    /// Whether the home has them.
    pub state: State,
    /// Length in bytes.
    pub size: u64,
    /// Bytes that it takes where it is kept.
    pub stored_bytes: u64,
    /// Last change of the contents.
    pub mtime: Timestamp,
}

/// What was told in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FoundAll {
    /// Files.
    pub files: u64,
    /// Their lengths in bytes.
    pub bytes: u64,
    /// Whether everything that could be meant is known.
    pub complete: bool,
}

impl Query {
    /// Whether files in this tier and state can be meant.
    pub(super) fn wants(&self, tier: Tier, state: State) -> bool {
        self.tier.is_none_or(|wanted| wanted == tier) && self.state.is_none_or(|wanted| wanted == state)
    }

    /// The same, without paths that lie below others.
    pub(super) fn without_repeats(&self) -> Query {
        let mut under: Vec<RelPath> = Vec::new();
        for path in &self.under {
            if !under.iter().any(|above| path.starts_with(above)) {
                under.retain(|below| !below.starts_with(path));
                under.push(path.clone());
            }
        }
        Query { under, ..self.clone() }
    }

    /// Whether a length is asked for.
    pub(super) fn wants_size(&self, size: u64) -> bool {
        self.at_least.is_none_or(|least| size >= least) && self.at_most.is_none_or(|most| size <= most)
    }
}
