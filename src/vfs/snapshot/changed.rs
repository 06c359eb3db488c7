//! What has changed since files were listed.

use std::collections::HashSet;
use std::sync::Arc;

use crate::model::RelPath;

/// Directories renamed since, of which each listed path has to be asked.
const RENAMES: usize = 64;
/// What a path takes besides its bytes.
const OVERHEAD: u64 = 64;

/// Files to be looked at by themselves, and directories that are called otherwise.
#[derive(Debug, Clone, Default)]
pub(in crate::vfs) struct Changed {
    // Shared with those who are looking at it: copied only if it changes meanwhile.
    touched: Arc<HashSet<RelPath>>,
    renamed: Arc<Vec<(RelPath, RelPath)>>,
    /// Bytes that may still be taken.
    left: u64,
    too_much: bool,
}

impl Changed {
    /// Nothing yet; `left` bytes may be taken.
    pub fn new(left: u64) -> Changed {
        Changed { left, ..Changed::default() }
    }

    /// More than is worth it, or than can be told.
    pub fn is_too_much(&self) -> bool {
        self.too_much
    }

    /// Whether listed paths may not be those at which files were found: names moved while they were.
    pub fn has_moved(&self) -> bool {
        self.too_much || !self.renamed.is_empty()
    }

    /// See [`super::Listing::touch`].
    pub fn touch(&mut self, path: &RelPath) {
        if self.too_much || self.touched.contains(path) {
            return;
        }
        let takes = path.as_bytes().len() as u64 + OVERHEAD;
        if takes > self.left {
            return self.give_up();
        }
        self.left -= takes;
        Arc::make_mut(&mut self.touched).insert(path.clone());
    }

    /// The directory `from` is called `to`.
    pub fn renamed(&mut self, from: &RelPath, to: &RelPath) {
        if self.too_much || self.renamed.len() >= RENAMES {
            return self.give_up();
        }
        Arc::make_mut(&mut self.renamed).push((from.clone(), to.clone()));
        let moved: Vec<RelPath> = self.touched.iter().filter(|path| path.starts_with(from)).cloned().collect();
        let touched = Arc::make_mut(&mut self.touched);
        for path in moved {
            touched.remove(&path);
            touched.extend(path.below(from, to));
        }
    }

    /// See [`super::Listing::give_up`].
    pub fn give_up(&mut self) {
        *self = Changed { too_much: true, ..Changed::default() };
    }

    /// Where a listed file is now, as far as directories were renamed.
    pub fn now(&self, listed: RelPath) -> RelPath {
        self.renamed.iter().fold(listed, |path, (from, to)| path.below(from, to).unwrap_or(path))
    }

    /// Whether a file is looked at by itself.
    pub fn has(&self, path: &RelPath) -> bool {
        self.touched.contains(path)
    }

    /// Files to be looked at by themselves.
    pub fn touched(&self) -> impl Iterator<Item = &RelPath> {
        self.touched.iter()
    }
}
