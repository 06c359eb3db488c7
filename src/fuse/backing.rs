//! Files that the kernel reads and writes itself.
//!
//! The kernel wants the same backing id in every open handle of an inode, and answers EIO to another. So an id lives as
//! long as any handle that was given it, and whoever opens meanwhile gets the same.
//!
//! Not a moment longer: the inode may then move to another tier, or its number pass to a new file, and whoever was
//! given the old id would read and write the old file. That is why handles are counted here and references are not:
//! the thread that answers an open still has its own when the program has long closed the file again.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use fuser::BackingId;

/// Backing ids by inode.
#[derive(Debug)]
pub(super) struct Backings<Id = BackingId> {
    by_inode: DashMap<u64, Shared<Id>>,
}

/// An id, and the handles that were given it; never none.
#[derive(Debug)]
struct Shared<Id> {
    id: Arc<Id>,
    handles: HashSet<u64>,
}

impl<Id> Default for Backings<Id> {
    fn default() -> Backings<Id> {
        Backings { by_inode: DashMap::new() }
    }
}

impl<Id> Backings<Id> {
    /// The id for handle `fh` of inode `ino`, registered by `register` if no handle has one.
    pub fn acquire(&self, ino: u64, fh: u64, register: impl FnOnce() -> io::Result<Id>) -> io::Result<Arc<Id>> {
        match self.by_inode.entry(ino) {
            Entry::Occupied(mut known) => {
                let shared = known.get_mut();
                shared.handles.insert(fh);
                Ok(shared.id.clone())
            }
            Entry::Vacant(free) => {
                let id = Arc::new(register()?);
                free.insert(Shared { id: id.clone(), handles: HashSet::from([fh]) });
                Ok(id)
            }
        }
    }

    /// The handle was released. Call before the `vfs` learns of it: what looks for mappings must not find our id, and
    /// what opens the inode at its next place, or a new file of its number, must not be given it.
    pub fn release(&self, ino: u64, fh: u64) {
        let Entry::Occupied(mut known) = self.by_inode.entry(ino) else { return };
        let shared = known.get_mut();
        shared.handles.remove(&fh);
        if shared.handles.is_empty() {
            known.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which file `fh` of inode 7 would be served from, if `file` is what the inode is now.
    fn opened(backings: &Backings<&'static str>, fh: u64, file: &'static str) -> Arc<&'static str> {
        backings.acquire(7, fh, || Ok(file)).expect("registers")
    }

    #[test]
    fn handles_that_are_open_together_share_one_id() {
        let backings = Backings::default();
        let first = opened(&backings, 1, "registered");
        let second = opened(&backings, 2, "registered again");
        assert!(Arc::ptr_eq(&first, &second));
        backings.release(7, 1);
        assert!(Arc::ptr_eq(&second, &opened(&backings, 3, "registered again")), "one of them is still open");
    }

    #[test]
    fn a_file_that_takes_the_number_of_a_released_one_is_not_served_from_that_ones_bytes() {
        let backings = Backings::default();
        // The thread that answers the open is still about to return when the program has closed the file.
        let answering = opened(&backings, 1, "the file that had the number");
        backings.release(7, 1);
        assert_eq!(*opened(&backings, 2, "the new file"), "the new file");
        drop(answering);
        assert_eq!(*opened(&backings, 3, "registered again"), "the new file", "a late thread takes nobody's id away");
    }

    #[test]
    fn the_release_of_a_handle_that_the_daemon_serves_takes_no_id_away() {
        let backings = Backings::default();
        opened(&backings, 1, "registered");
        backings.release(7, 2);
        assert_eq!(*opened(&backings, 3, "registered again"), "registered");
    }

    #[test]
    fn a_file_that_could_not_be_registered_is_tried_again() {
        let backings = Backings::default();
        let refused = backings.acquire(7, 1, || Err(io::ErrorKind::PermissionDenied.into()));
        assert!(refused.is_err());
        assert_eq!(*opened(&backings, 2, "registered"), "registered");
    }

    #[test]
    fn the_last_release_lets_go_of_the_id() {
        let backings = Backings::default();
        let id = Arc::downgrade(&opened(&backings, 1, "registered"));
        backings.release(7, 1);
        assert!(id.upgrade().is_none());
        assert!(backings.by_inode.is_empty());
    }
}
