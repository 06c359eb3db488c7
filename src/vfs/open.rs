//! Opening and closing files, and who serves them.
//!
//! How a handle is served is decided at open, under the inode's lock, and all handles of an inode belong to one family
//! until the last is released: the kernel answers EIO where a file is served by itself through one handle and cached
//! or answered by the daemon through another.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::handle::{Fh, FileHandle};
use super::inode::{Family, Inode, Opens, Reason};
use super::{Error, Goal, Result, Vfs};
use crate::backend::{Access, Object, lease};
use crate::model::{Durability, FileKind, Tier};

/// How long a writer waits for readers that may have closed the file already.
const READERS_CLOSE: Duration = Duration::from_millis(10);
/// How long a move that was asked for waits for handles that may have been closed already.
const ALL_CLOSE: Duration = Duration::from_millis(50);

/// How long a file that is to be sealed waits for its writers, who may be between two turns.
const WRITERS_CLOSE: Duration = Duration::from_millis(100);

/// What `open(2)` was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenFlags {
    /// For writing (or both).
    pub write: bool,
    /// Cut to nothing first.
    pub truncate: bool,
    /// O_SYNC or O_DSYNC.
    pub sync: bool,
    /// O_EXCL; only creation looks at it.
    pub exclusive: bool,
    /// To be run as a program.
    pub execute: bool,
}

/// How the kernel is to serve a handle.
#[derive(Debug, Clone)]
pub enum Serve {
    /// Every read and write comes to the daemon, past the page cache.
    Direct,
    /// Reads come through the page cache, which stays valid from one open to the next.
    Cached,
    /// The kernel reads and writes this file itself. With `direct`, reads and writes still come to the daemon, and
    /// only mappings go to the file.
    Kernel {
        /// The file.
        object: Arc<Object>,
        /// See above.
        direct: bool,
    },
}

/// An open handle.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Its number.
    pub fh: Fh,
    /// Whom the kernel should ask.
    pub serve: Serve,
}

impl Vfs {
    /// Opens a regular file.
    pub fn open(&self, ino: u64, flags: OpenFlags) -> Result<Opened> {
        let inode = self.inode(ino)?;
        if inode.kind == FileKind::Directory {
            return Err(Error::IsDirectory);
        }
        if flags.write || flags.truncate {
            self.check_writable()?;
        }
        if flags.sync && flags.write && inode.tier() == Tier::Memory {
            // Each write will have to be durable: the file is better off where that is one step. If it cannot move,
            // each write is brought home by itself.
            if let Err(e) = self.depart(&inode, Goal::Home, Reason::Synced) {
                tracing::debug!("inode {ino} stays in memory although opened for synchronous writing: {e}");
            }
        }
        if flags.truncate && !flags.write {
            check_not_running(&inode)?;
        }
        if flags.write || flags.truncate {
            self.check_not_in_store(&inode)?;
            self.track(&inode)?;
            inode.found.store(false, Ordering::Release);
            self.note_writer(&inode);
            return self.with_bytes(&inode, flags.truncate, || self.open_unsealed(&inode, &flags));
        }
        // What is sealed can be read as it is.
        self.open_unsealed(&inode, &flags)?.ok_or(Error::Stale)
    }

    /// Opens a file whose bytes are where they are needed; `None` if they are not.
    fn open_unsealed(&self, inode: &Arc<Inode>, flags: &OpenFlags) -> Result<Option<Opened>> {
        let _names = self.namespace.read();
        if flags.truncate && inode.tier() == Tier::Disk {
            self.restart_in_memory(inode)?;
        }
        let changes = flags.write || flags.truncate;
        self.saw_open(inode, inode.place(), changes);
        let mut opens = inode.opens.lock();
        if flags.write && inode.tier() == Tier::Memory {
            wait_for_readers(inode, &mut opens);
        }
        if changes && inode.is_absent() {
            return Ok(None);
        }
        let object = self.object(inode, changes)?;
        self.open_sealed(inode)?;
        if flags.truncate {
            self.truncate_object(inode, &object, 0)?;
        }
        Ok(Some(self.add_open(inode, &mut opens, object, flags)))
    }

    /// The first handle of a file that was just created.
    pub(super) fn open_new(&self, inode: &Arc<Inode>, object: Arc<Object>, flags: &OpenFlags) -> Opened {
        let mut opens = inode.opens.lock();
        inode.content.write().object.get_or_insert_with(|| object.clone());
        self.add_open(inode, &mut opens, object, flags)
    }

    /// The open object of an inode, opened now if it is not, for writing if need be. Hold `opens`.
    pub(super) fn object(&self, inode: &Inode, write: bool) -> Result<Arc<Object>> {
        let (place, open) = {
            let content = inode.content.read();
            (content.place, content.object.clone())
        };
        let object = match open {
            Some(object) if object.writable() || !write => return Ok(object),
            Some(object) => Arc::new(object.reopen_writable()?),
            None => Arc::new(self.open_at(inode, place.tier, if write { Access::Write } else { Access::Read })?),
        };
        inode.content.write().object = Some(object.clone());
        Ok(object)
    }

    /// Opens the file at one of the inode's names, making sure that it is still this inode.
    pub(super) fn open_at(&self, inode: &Inode, tier: Tier, access: Access) -> Result<Object> {
        let place = {
            let content = inode.content.read();
            if let Some(node) = content.gone.as_ref().and_then(|gone| gone.node.as_ref()) {
                return Ok(node.open(access)?);
            }
            content.place
        };
        for path in inode.paths() {
            let tree = match tier {
                Tier::Memory => self.memory()?.tree(),
                _ => self.disk.tree(),
            };
            let node = match tree.node(&path) {
                Ok(node) => node,
                Err(e) if crate::backend::is_absent(&e) => continue,
                Err(e) => return Err(e.into()),
            };
            let attr = node.stat()?;
            if (attr.dev, attr.ino) == (place.dev, place.ino) && attr.kind == FileKind::Regular {
                return Ok(node.open(access)?);
            }
        }
        Err(Error::Stale)
    }

    fn add_open(&self, inode: &Arc<Inode>, opens: &mut Opens, object: Arc<Object>, flags: &OpenFlags) -> Opened {
        let tier = inode.tier();
        let mapped = opens.family.is_none() && self.is_still_mapped(opens, tier, &object);
        let family = match opens.family {
            Some(family) => family,
            // What stands in memory is not the file.
            None if inode.is_partial() => Family::Daemon,
            None if mapped => Family::Kernel,
            None => self.choose_family(tier, flags.write),
        };
        opens.family = Some(family);
        opens.total += 1;
        opens.writers += u32::from(flags.write);
        opens.programs += u32::from(flags.execute);
        inode.used.store(self.now(), Ordering::Relaxed);
        self.promotion.heat.note(inode.ino);
        let serve = match family {
            Family::Kernel => {
                opens.maybe_mapped = true;
                let direct = tier == Tier::Memory && flags.write;
                if direct {
                    // Stores through a mapping go to the backing file, and nobody tells us.
                    opens.kernel_written = true;
                    self.mark_dirty(inode, inode.place());
                }
                Serve::Kernel { object, direct }
            }
            // Two copies of what is in memory anyway would be one too many; a writer past the cache is faster.
            Family::Daemon if tier == Tier::Memory || flags.write => Serve::Direct,
            Family::Daemon => Serve::Cached,
        };
        let fh = self.handles.add_file(FileHandle {
            inode: inode.clone(),
            write: flags.write,
            execute: flags.execute,
            sync: flags.sync,
            opened: self.now(),
        });
        Opened { fh, serve }
    }

    /// Whether a mapping lives on from handles that the kernel served: it must go on seeing what is written.
    fn is_still_mapped(&self, opens: &mut Opens, tier: Tier, object: &Object) -> bool {
        if tier != Tier::Memory || !opens.maybe_mapped {
            return false;
        }
        opens.maybe_mapped = !lease::is_unheld(object).unwrap_or(false);
        opens.maybe_mapped && self.passthrough.load(Ordering::Relaxed)
    }

    /// A reader of calm memory and everybody on disk is served by the kernel where that is possible; whoever writes
    /// in memory comes to the daemon, so that pages are charged to it and the file can move while it is written.
    fn choose_family(&self, tier: Tier, write: bool) -> Family {
        let kernel = self.passthrough.load(Ordering::Relaxed)
            && match tier {
                Tier::Memory => !write && !self.budget.is_pressed(),
                Tier::Disk => self.disk_leases,
                Tier::Zarr => false,
            };
        if kernel { Family::Kernel } else { Family::Daemon }
    }

    /// The kernel would not serve `fh` itself: the daemon does, if this is the only handle.
    ///
    /// # Errors
    /// `Busy` if other handles are already served by the kernel, beside which the daemon cannot serve one.
    pub fn served_by_daemon(&self, fh: Fh, never_again: bool) -> Result<Serve> {
        if never_again {
            self.passthrough.store(false, Ordering::Relaxed);
        }
        let handle = self.handles.file(fh)?;
        let mut opens = handle.inode.opens.lock();
        if opens.total > 1 && opens.family == Some(Family::Kernel) {
            return Err(Error::Busy("the kernel serves other handles of this file"));
        }
        opens.family = Some(Family::Daemon);
        opens.maybe_mapped = false;
        let cached = !handle.write && handle.inode.tier() != Tier::Memory;
        Ok(if cached { Serve::Cached } else { Serve::Direct })
    }

    /// Closes a handle.
    pub fn release(&self, fh: Fh) {
        let Some(handle) = self.handles.remove_file(fh) else { return };
        let inode = handle.inode.clone();
        if handle.write {
            self.settle_length(&inode);
        }
        let (closed, last) = {
            let mut opens = inode.opens.lock();
            opens.total = opens.total.saturating_sub(1);
            opens.writers = opens.writers.saturating_sub(u32::from(handle.write));
            opens.programs = opens.programs.saturating_sub(u32::from(handle.execute));
            inode.used.store(self.now(), Ordering::Relaxed);
            let last = opens.total == 0;
            (if last { inode.close(&mut opens) } else { None }, last)
        };
        self.rest(&inode, handle.write);
        if last && !handle.write {
            self.was_read(&inode, Duration::from_millis(self.now().saturating_sub(handle.opened)));
        }
        drop(closed);
        drop(handle);
        let ino = inode.ino;
        drop(inode);
        self.inodes.remove_if_unused(ino);
    }

    /// A descriptor of the handle was closed: under a `strict` rule the file is durable when this returns.
    pub fn flush(&self, fh: Fh) -> Result<()> {
        let handle = self.handles.file(fh)?;
        let strict = handle.write && {
            let _names = self.namespace.read();
            handle.inode.path().is_some_and(|path| self.router.decide(&path).durability == Durability::Strict)
        };
        if strict { self.fsync(fh, false) } else { Ok(()) }
    }
}

impl Inode {
    /// The last handle was released. What is returned is to be dropped when no lock is held.
    fn close(&self, opens: &mut Opens) -> Option<Arc<Object>> {
        opens.family = None;
        let (object, deleted) = {
            let mut content = self.content.write();
            if let Some(sealed) = &mut content.sealed {
                sealed.source = None;
            }
            (content.object.take(), content.gone.is_some())
        };
        // Closing the last descriptor of a deleted file frees its blocks, which takes long. Any other is closed before
        // the file seems free: who looks for mappings then would take ours for somebody else's.
        let closed = object.filter(|_| deleted);
        self.released.notify_all();
        closed
    }
}

/// The kernel tells of a close some time after it. A writer that comes right behind the last reader waits a moment for
/// that: its file can move while it is written, beside readers that the kernel serves it cannot.
fn wait_for_readers(inode: &Inode, opens: &mut parking_lot::MutexGuard<'_, Opens>) {
    if opens.writers == 0 {
        wait_for_kernel(inode, opens, READERS_CLOSE);
    }
}

/// For the same reason, whoever asks for a move of a file that was just closed would find it held.
pub(super) fn wait_for_closes(inode: &Inode) {
    wait_for_kernel(inode, &mut inode.opens.lock(), ALL_CLOSE);
}

/// The kernel refuses to open a program for writing while it runs. With O_TRUNC and without writing it looks only when
/// the file has been emptied already: that is refused here. A program that has just ended is waited for.
fn check_not_running(inode: &Inode) -> Result<()> {
    let mut opens = inode.opens.lock();
    inode.released.wait_while_for(&mut opens, |opens| opens.programs > 0, ALL_CLOSE);
    if opens.programs > 0 { Err(Error::Io(std::io::Error::from_raw_os_error(libc::ETXTBSY))) } else { Ok(()) }
}

/// A file that is written in many short turns can be sealed between two of them.
pub(super) fn wait_for_writers(inode: &Inode) {
    let is_written = |opens: &mut Opens| opens.writers > 0;
    inode.released.wait_while_for(&mut inode.opens.lock(), is_written, WRITERS_CLOSE);
}

fn wait_for_kernel(inode: &Inode, opens: &mut parking_lot::MutexGuard<'_, Opens>, most: Duration) {
    inode.released.wait_while_for(opens, |opens| opens.family == Some(Family::Kernel), most);
}
