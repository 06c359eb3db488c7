//! Up into memory, unasked: files that are read and that a copy in memory would serve better.
//!
//! A promoted file is a clean copy: dropping it costs nothing, and nothing on disk changes for it. It is let in below the
//! low mark only, so that it never makes pressure. When that room is taken a file comes in only for others that were
//! opened less often lately: whoever walks once through everything displaces nothing that is read again and again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::heat::Heat;
use super::inode::{Inode, Reason};
use super::open::wait_for_closes;
use super::{Result, Vfs};
use crate::backend::Object;
use crate::model::{FileKind, RelPath, Tier};

/// A sealed file comes up when it was opened as often as this: its chunks are cached by themselves.
const SEALED_FROM: u8 = 3;
/// No file comes up that takes more than this part of the limit.
const LARGEST: u64 = 8;
/// This part of the limit stays free below the low mark.
const MARGIN: u64 = 32;
/// Copies that are compared with a newcomer before it is sent away.
const COMPARED: usize = 16;

/// Who is told of files that were read.
pub type OnRead = Box<dyn Fn(Read) + Send + Sync>;

/// A file whose last reader has closed it.
#[derive(Debug, Clone, Copy)]
pub struct Read {
    /// Its inode number.
    pub ino: u64,
    /// How long that reader had it open.
    pub held: Duration,
}

/// What promotion knows.
pub(super) struct Promotion {
    pub heat: Heat,
    on_read: OnRead,
    /// Whether anybody wants to hear of reads.
    listening: AtomicBool,
    /// Copies that came up, in the order in which they are to go.
    copies: Mutex<VecDeque<Arc<Inode>>>,
}

/// What became of a file that might have come up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promoted {
    /// It is in memory now.
    Yes,
    /// It was there.
    Already,
    /// Not worth it, or not to be moved.
    No,
    /// All room is taken by files that are opened as often.
    NoRoom,
}

impl Promotion {
    pub fn new(on_read: OnRead) -> Promotion {
        Promotion {
            heat: Heat::default(),
            on_read,
            listening: AtomicBool::new(false),
            copies: Mutex::new(VecDeque::new()),
        }
    }
}

impl std::fmt::Debug for Promotion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Promotion").field("copies", &self.copies.lock().len()).finish()
    }
}

impl Vfs {
    /// From now on somebody is told of each file whose last reader has closed it.
    pub fn listen_to_reads(&self) {
        self.promotion.listening.store(true, Ordering::Relaxed);
    }

    /// The last reader has closed a file.
    pub(super) fn was_read(&self, inode: &Inode, held: Duration) {
        let comes_up = inode.tier() != Tier::Memory || inode.reason() == Reason::Promoted;
        if comes_up && self.promotion.listening.load(Ordering::Relaxed) {
            (self.promotion.on_read)(Read { ino: inode.ino, held });
        }
    }

    /// Brings a file up that was read, if it is worth its room.
    pub fn promote(&self, ino: u64) -> Promoted {
        match self.inodes.get(ino) {
            Some(inode) => self.promote_inode(&inode),
            None => Promoted::No,
        }
    }

    /// Brings a file up that will be read soon; its directory is one that somebody walks through.
    pub fn promote_ahead(&self, path: &RelPath) -> Promoted {
        let found = {
            let _names = self.namespace.read();
            self.walk(path)
        };
        let Ok((inode, _)) = found else { return Promoted::No };
        let promoted = if inode.tier() == Tier::Zarr { Promoted::No } else { self.promote_inode(&inode) };
        self.let_go(inode);
        promoted
    }

    fn promote_inode(&self, inode: &Arc<Inode>) -> Promoted {
        let idle = !self.draining.load(Ordering::Relaxed) && !self.budget.is_pressed();
        if inode.kind != FileKind::Regular || self.memory.is_none() || self.read_only || !idle {
            return Promoted::No;
        }
        if inode.tier() == Tier::Memory {
            return Promoted::Already;
        }
        let heat = self.promotion.heat.of(inode.ino);
        let attr = {
            let _names = self.namespace.read();
            self.attr(inode)
        };
        let Ok(attr) = attr else { return Promoted::No };
        if !inode.is_absent() && !self.may_be_in_memory(inode) {
            return Promoted::No;
        }
        if self.pin_of(inode) == Some(super::Pin::Never) {
            return Promoted::No;
        }
        let fits = attr.nlink == 1 && attr.size > 0 && attr.size <= self.budget.limit() / LARGEST;
        if !fits || (inode.is_absent() && heat < SEALED_FROM) {
            return Promoted::No;
        }
        if !self.make_room_for_copy(attr.size, heat) {
            return Promoted::NoRoom;
        }
        wait_for_closes(inode);
        let moved = match inode.is_absent() {
            true => self.unseal(inode, false, Reason::Promoted),
            false => self.arrive(inode, Reason::Promoted),
        };
        match moved {
            Ok(()) => {
                self.promotion.copies.lock().push_back(inode.clone());
                Promoted::Yes
            }
            Err(e) => {
                tracing::debug!("inode {} is not brought up: {e}", inode.ino);
                Promoted::No
            }
        }
    }

    /// Whether `size` bytes have room below the low mark, if need be in place of copies that were opened less often.
    fn make_room_for_copy(&self, size: u64, heat: u8) -> bool {
        let (_, low) = self.budget.marks();
        let most = ((self.budget.limit() as f64 * low) as u64).saturating_sub(self.budget.limit() / MARGIN);
        let mut held = self.budget.held();
        for _ in 0..COMPARED {
            if held + size <= most {
                return true;
            }
            let Some(oldest) = self.promotion.copies.lock().pop_front() else { return false };
            if !is_copy(&oldest) {
                continue;
            }
            if self.promotion.heat.of(oldest.ino) >= heat || !self.drop_promoted(&oldest) {
                self.promotion.copies.lock().push_back(oldest);
                continue;
            }
            self.let_go(oldest);
            held = self.budget.held();
        }
        false
    }

    /// Whether the rule of a file on disk does not say that it is to be there.
    fn may_be_in_memory(&self, inode: &Inode) -> bool {
        let _names = self.namespace.read();
        inode.path().is_some_and(|path| self.router.decide(&path).start == Tier::Memory)
    }

    fn drop_promoted(&self, inode: &Arc<Inode>) -> bool {
        let Some(_moving) = inode.moving.try_lock() else { return false };
        if self.stays_in_memory(inode) {
            return false;
        }
        if inode.is_sealed() {
            return self.drop_pages(inode).is_ok();
        }
        let _names = self.namespace.read();
        self.drop_copy(inode).unwrap_or(false)
    }

    /// Whether the bytes of a file are only in a store.
    pub fn is_sealed_file(&self, ino: u64) -> bool {
        self.inodes.get(ino).is_some_and(|inode| inode.is_absent())
    }

    /// The directory in which a file is, with its inode number, and the file's name there.
    pub fn whereabouts(&self, ino: u64) -> Option<(u64, RelPath, std::ffi::OsString)> {
        let inode = self.inodes.get(ino)?;
        let _names = self.namespace.read();
        let dentry = inode.names.read().first().cloned()?;
        Some((dentry.parent.ino, dentry.parent.path()?, dentry.name.to_os_string()))
    }

    /// The names of the plain files of a directory on disk, sorted.
    pub fn disk_names(&self, dir: &RelPath) -> Result<Vec<std::ffi::OsString>> {
        let entries = self.disk.tree().list(dir)?;
        let files = entries.into_iter().filter(|entry| entry.kind == FileKind::Regular);
        let mut names: Vec<_> = files.map(|entry| entry.name).collect();
        names.sort();
        Ok(names)
    }

    /// A plain file on disk, past the kernel's page cache; `None` if it is elsewhere or the disk cannot do that.
    pub fn open_uncached(&self, ino: u64) -> Option<Object> {
        let inode = self.inodes.get(ino).filter(|inode| inode.tier() == Tier::Disk)?;
        let _names = self.namespace.read();
        let object = self.open_at(&inode, Tier::Disk, crate::backend::Access::Read).ok()?;
        object.reopen_uncached().ok()
    }

    /// The length of a file in bytes.
    pub fn size_of(&self, ino: u64) -> Option<u64> {
        let inode = self.inodes.get(ino)?;
        let _names = self.namespace.read();
        self.attr(&inode).ok().map(|attr| attr.size)
    }

    /// Gives up copies that are not in memory any more.
    pub(super) fn forget_copies(&self) {
        self.promotion.copies.lock().retain(|inode| is_copy(inode));
    }
}

/// Whether a file is still a copy that costs nothing to drop.
fn is_copy(inode: &Inode) -> bool {
    inode.tier() == Tier::Memory && !inode.is_dirty() && inode.reason() == Reason::Promoted
}
