//! Files that the kernel reads and writes itself.
//!
//! The kernel wants the same backing id in every open handle of an inode, and answers EIO to another. So an id lives as
//! long as any handle that was given it, and whoever opens meanwhile gets the same.

use std::io;
use std::sync::{Arc, Weak};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use fuser::BackingId;

/// Backing ids by inode and by handle.
#[derive(Debug, Default)]
pub(super) struct Backings {
    by_inode: DashMap<u64, Weak<BackingId>>,
    by_handle: DashMap<u64, Arc<BackingId>>,
}

impl Backings {
    /// The id for handle `fh` of inode `ino`, registered by `register` if no handle has one.
    pub fn acquire(
        &self,
        ino: u64,
        fh: u64,
        register: impl FnOnce() -> io::Result<BackingId>,
    ) -> io::Result<Arc<BackingId>> {
        let id = match self.by_inode.entry(ino) {
            Entry::Occupied(mut known) => match known.get().upgrade() {
                Some(id) => id,
                None => {
                    let id = Arc::new(register()?);
                    known.insert(Arc::downgrade(&id));
                    id
                }
            },
            Entry::Vacant(free) => {
                let id = Arc::new(register()?);
                free.insert(Arc::downgrade(&id));
                id
            }
        };
        self.by_handle.insert(fh, id.clone());
        Ok(id)
    }

    /// The handle was released. Call before the `vfs` learns of it: what looks for mappings must not find our id.
    pub fn release(&self, ino: u64, fh: u64) {
        if self.by_handle.remove(&fh).is_some() {
            self.by_inode.remove_if(&ino, |_, id| id.strong_count() == 0);
        }
    }
}
