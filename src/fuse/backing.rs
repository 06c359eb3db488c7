//! Files that the kernel reads and writes itself.
//!
//! The kernel wants the same backing id in every open handle of an inode, and answers EIO to another. So an id lives as
//! long as any handle that was given it, and whoever opens meanwhile gets the same.
//!
//! Not a moment longer: the inode may then move to another tier, or its number pass to a new file, and whoever was
//! given the old id would read and write the old file. So the `vfs` counts a handle as open as long as anything refers
//! to its id, and that can be longer than the kernel does: the thread that answers an open needs the id until after
//! the reply, and by then the program may have closed the file and others be at work with its name. Whichever of the
//! two comes last, the end of the answer or the release, tells the `vfs`.

use std::collections::HashMap;
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
    handles: HashMap<u64, Stage>,
}

/// How far a handle has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A thread holds the id to answer the open.
    Answering,
    Open,
    /// Released while it was being answered.
    Released,
}

/// Whether the `vfs` is to be told now that a handle is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Release {
    Now,
    /// Somebody else will, or the handle stays open.
    NotByUs,
}

impl<Id> Default for Backings<Id> {
    fn default() -> Backings<Id> {
        Backings { by_inode: DashMap::new() }
    }
}

impl<Id> Backings<Id> {
    /// The id for handle `fh` of inode `ino`, registered by `register` if no handle has one. Give it back to
    /// `answered`.
    pub fn acquire(&self, ino: u64, fh: u64, register: impl FnOnce() -> io::Result<Id>) -> io::Result<Arc<Id>> {
        match self.by_inode.entry(ino) {
            Entry::Occupied(mut known) => {
                let shared = known.get_mut();
                shared.handles.insert(fh, Stage::Answering);
                Ok(shared.id.clone())
            }
            Entry::Vacant(free) => {
                let id = Arc::new(register()?);
                free.insert(Shared { id: id.clone(), handles: HashMap::from([(fh, Stage::Answering)]) });
                Ok(id)
            }
        }
    }

    /// The open of `fh` was answered.
    pub fn answered(&self, ino: u64, fh: u64, id: Arc<Id>) -> Release {
        drop(id);
        self.step(ino, fh, |stage| if stage == Stage::Released { None } else { Some(Stage::Open) })
    }

    /// The kernel released `fh`, whoever serves it.
    pub fn release(&self, ino: u64, fh: u64) -> Release {
        self.step(ino, fh, |stage| if stage == Stage::Answering { Some(Stage::Released) } else { None })
    }

    /// Takes a handle to its next stage, or, where there is none, out of the table: with the last one goes the id,
    /// before the `vfs` hears of it.
    fn step(&self, ino: u64, fh: u64, next: impl FnOnce(Stage) -> Option<Stage>) -> Release {
        let Entry::Occupied(mut known) = self.by_inode.entry(ino) else { return Release::Now };
        let handles = &mut known.get_mut().handles;
        let Some(stage) = handles.get_mut(&fh) else { return Release::Now };
        if let Some(next) = next(*stage) {
            *stage = next;
            return Release::NotByUs;
        }
        handles.remove(&fh);
        if handles.is_empty() {
            known.remove();
        }
        Release::Now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INO: u64 = 7;

    /// An id, by the file that it was registered for.
    struct Of(&'static str);

    type Files = Backings<Of>;

    /// The id that `fh` gets, if `file` is what the inode is now.
    fn opening(files: &Files, fh: u64, file: &'static str) -> Arc<Of> {
        files.acquire(INO, fh, || Ok(Of(file))).expect("registers")
    }

    /// Which file `fh` is served from, likewise.
    fn opened(files: &Files, fh: u64, file: &'static str) -> &'static str {
        let id = opening(files, fh, file);
        let served = id.0;
        assert_eq!(files.answered(INO, fh, id), Release::NotByUs);
        served
    }

    #[test]
    fn handles_that_are_open_together_share_one_id() {
        let files = Files::default();
        assert_eq!(opened(&files, 1, "registered"), "registered");
        assert_eq!(opened(&files, 2, "registered again"), "registered");
        assert_eq!(files.release(INO, 1), Release::Now);
        assert_eq!(opened(&files, 3, "registered again"), "registered", "one of them is still open");
    }

    #[test]
    fn a_file_that_takes_the_number_of_a_released_one_is_not_served_from_that_ones_bytes() {
        let files = Files::default();
        opened(&files, 1, "the file that had the number");
        assert_eq!(files.release(INO, 1), Release::Now);
        assert_eq!(opened(&files, 2, "the new file"), "the new file");
    }

    #[test]
    fn a_file_is_open_until_the_thread_that_answers_has_let_go_of_its_id() {
        let files = Files::default();
        let answering = opening(&files, 1, "registered");
        let id = Arc::downgrade(&answering);
        assert_eq!(files.release(INO, 1), Release::NotByUs, "its number or its place could change hands");
        assert_eq!(files.answered(INO, 1, answering), Release::Now);
        assert!(id.upgrade().is_none(), "what looks for mappings would find it");
        assert_eq!(opened(&files, 2, "the new file"), "the new file");
    }

    #[test]
    fn a_handle_of_the_daemon_is_released_at_once_and_takes_no_id_away() {
        let files = Files::default();
        assert_eq!(files.release(INO, 1), Release::Now);
        opened(&files, 2, "registered");
        assert_eq!(files.release(INO, 1), Release::Now);
        assert_eq!(opened(&files, 3, "registered again"), "registered");
    }

    #[test]
    fn a_file_that_could_not_be_registered_is_tried_again() {
        let files = Files::default();
        assert!(files.acquire(INO, 1, || Err(io::ErrorKind::PermissionDenied.into())).is_err());
        assert_eq!(opened(&files, 2, "registered"), "registered");
    }

    #[test]
    fn nothing_is_left_when_all_is_released() {
        let files = Files::default();
        for fh in 1..4 {
            opened(&files, fh, "registered");
        }
        for fh in 1..4 {
            assert_eq!(files.release(INO, fh), Release::Now);
        }
        assert!(files.by_inode.is_empty());
    }
}
