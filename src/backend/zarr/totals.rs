//! What a store holds in figures, kept beside its state so that telling them waits for no commit.

use std::sync::atomic::{AtomicU64, Ordering};

use super::store::Entry;

/// What a store holds, summed up.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub files: AtomicU64,
    pub bytes: AtomicU64,
    pub stored: AtomicU64,
}

impl Totals {
    pub fn add(&self, entry: &Entry) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(entry.size, Ordering::Relaxed);
        self.stored.fetch_add(entry.stored, Ordering::Relaxed);
    }

    pub fn sub(&self, entry: &Entry) {
        self.files.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(entry.size, Ordering::Relaxed);
        self.stored.fetch_sub(entry.stored, Ordering::Relaxed);
    }
}
