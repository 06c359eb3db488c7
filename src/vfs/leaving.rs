//! Records whose files were deleted leave their stores. One file alone is gone from its store when `unlink` returns; of
//! many in a row the others go in the background, together, because one writing of a page serves all of it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Vfs;
use crate::backend::zarr::SealedId;

/// Who deletes two files within this time, in milliseconds, deletes many.
const IN_A_ROW: u64 = 50;
/// Records that are removed while no directory can be renamed.
const TOGETHER: usize = 256;

/// What is called when a record waits to be removed.
pub type OnLeave = Box<dyn Fn() + Send + Sync>;

/// Records that wait to be removed, all of them given up.
#[derive(Default)]
pub(super) struct Leaving {
    on_leave: OnceLock<OnLeave>,
    waiting: Mutex<Vec<SealedId>>,
    /// When a file was last deleted, in milliseconds of the mount's clock.
    last: AtomicU64,
    /// Held while what waited is removed. Before the namespace lock.
    removing: Mutex<()>,
}

impl std::fmt::Debug for Leaving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leaving").field("waiting", &self.waiting.lock().len()).finish_non_exhaustive()
    }
}

impl Vfs {
    /// From now on somebody calls [`Vfs::remove_leaving`] whenever `on_leave` was called.
    pub fn listen_to_leaving(&self, on_leave: OnLeave) {
        // Whoever came first goes on.
        let _ = self.seals.leaving.on_leave.set(on_leave);
    }

    /// Removes a record whose file has lost its last name. Hold the namespace lock.
    pub(super) fn remove_deleted(&self, id: SealedId) {
        self.give_up(id);
        let in_a_row = self.now().saturating_sub(self.seals.leaving.last.load(Ordering::Relaxed)) < IN_A_ROW;
        match self.seals.leaving.on_leave.get() {
            Some(on_leave) if in_a_row => {
                self.seals.leaving.waiting.lock().push(id);
                on_leave();
            }
            _ => self.remove_given_up(&[id]),
        }
        self.seals.leaving.last.store(self.now(), Ordering::Relaxed);
    }

    /// Removes what waits to be removed; when this returns, all is that waited before. Not under the namespace lock.
    pub fn remove_leaving(&self) {
        let _removing = self.seals.leaving.removing.lock();
        let waiting = std::mem::take(&mut *self.seals.leaving.waiting.lock());
        for some in waiting.chunks(TOGETHER) {
            self.remove_given_up_in_place(some);
        }
    }
}
