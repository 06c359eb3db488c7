//! What passes a query, and which of it is told.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, SystemTime};

use super::{Found, FoundAll, Query, Sort};
use crate::model::{RelPath, Timestamp};
use crate::route::Router;
use crate::vfs::snapshot::By;

/// Files told at a time.
const BATCH: usize = 256;

/// Lets through what is asked for. With a limit and an order it keeps the best so far, and no more than those.
pub(super) struct Sieve<'q> {
    query: &'q Query,
    router: &'q Router,
    now: Duration,
    best: BinaryHeap<Ranked>,
    batch: Vec<Found>,
    told: FoundAll,
    tell: &'q mut dyn FnMut(Vec<Found>),
}

/// A file by its place in the order: the last is the greatest.
#[derive(PartialEq, Eq)]
struct Ranked(Found, Sort);

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Size(Reverse<u64>),
    Age(Timestamp),
    Path,
}

impl Ranked {
    fn rank(&self) -> Rank {
        match self.1 {
            Sort::Size => Rank::Size(Reverse(self.0.size)),
            Sort::Age => Rank::Age(self.0.mtime),
            Sort::Path => Rank::Path,
        }
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Ranked) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank()).then_with(|| self.0.path.cmp(&other.0.path))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Ranked) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<'q> Sieve<'q> {
    pub fn new(query: &'q Query, router: &'q Router, tell: &'q mut dyn FnMut(Vec<Found>)) -> Sieve<'q> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (best, batch) = (BinaryHeap::new(), Vec::new());
        Sieve { query, router, now, best, batch, told: FoundAll::default(), tell }
    }

    /// The paths that were asked for.
    pub fn under(&self) -> &'q [RelPath] {
        &self.query.under
    }

    /// Nothing further is wanted.
    pub fn is_full(&self) -> bool {
        self.query.sort.is_none() && self.query.limit.is_some_and(|limit| self.told.files >= limit as u64)
    }

    /// Whether a file of this length could be told of.
    pub fn takes_size(&self, size: u64) -> bool {
        if !self.query.wants_size(size) {
            return false;
        }
        match (self.query.sort, self.is_crowded().then(|| self.best.peek()).flatten()) {
            // Not those of the same length: of a million equal images each would be looked at.
            (Some(Sort::Size), Some(last)) => size > last.0.size,
            _ => true,
        }
    }

    /// Whether a file could be told of that comes now in this order of a list.
    pub fn takes_listed(&self, by: By, size: u64, mtime: i64) -> bool {
        match (by, self.query.sort, self.is_crowded().then(|| self.best.peek()).flatten()) {
            (By::Size, Some(Sort::Size), Some(last)) => size > last.0.size,
            (By::Age, Some(Sort::Age), Some(last)) => mtime < last.0.mtime.secs,
            _ => true,
        }
    }

    fn is_crowded(&self) -> bool {
        self.query.limit.is_some_and(|limit| self.best.len() >= limit)
    }

    /// Whether a file of this path is asked for.
    pub fn takes_path(&self, path: &RelPath) -> bool {
        let query = self.query;
        (query.under.is_empty() || query.under.iter().any(|under| path.starts_with(under)))
            && query.name.as_ref().is_none_or(|glob| glob.matches(path))
            && query.rule.is_none_or(|rule| self.router.decide(path).rule == rule)
            && query.dataset.as_ref().is_none_or(|dataset| self.router.dataset_of(path) == *dataset)
    }

    /// Takes a file that [`Sieve::takes_path`] has let through, if it is all that is asked for.
    pub fn take(&mut self, found: Found) {
        let query = self.query;
        let age = self.now.saturating_sub(Duration::from_secs(found.mtime.secs.max(0) as u64));
        if !query.wants(found.tier, found.state)
            || !query.wants_size(found.size)
            || query.older.is_some_and(|older| age < older)
            || query.newer.is_some_and(|newer| age > newer)
        {
            return;
        }
        match (query.sort, query.limit) {
            (Some(sort), Some(limit)) => {
                self.best.push(Ranked(found, sort));
                if self.best.len() > limit {
                    self.best.pop();
                }
            }
            _ => self.pass_on(found),
        }
    }

    fn pass_on(&mut self, found: Found) {
        self.told.files += 1;
        self.told.bytes += found.size;
        self.batch.push(found);
        if self.batch.len() >= BATCH {
            (self.tell)(std::mem::take(&mut self.batch));
        }
    }

    /// Tells the rest.
    pub fn finish(mut self) -> FoundAll {
        let best = std::mem::take(&mut self.best).into_sorted_vec();
        best.into_iter().for_each(|ranked| self.pass_on(ranked.0));
        if !self.batch.is_empty() {
            (self.tell)(std::mem::take(&mut self.batch));
        }
        self.told
    }
}
