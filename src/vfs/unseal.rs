//! From a store back to bytes in memory, because somebody writes to a sealed file or reads it again and again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::inode::{Content, Inode, Opens, Reason};
use super::journal::Record;
use super::open::wait_for_closes;
use super::{Error, Goal, MoveError, Result, Room, Vfs};
use crate::backend::{Access, ByteSource, Object, Time, Times};

/// Bytes copied in one step.
const STEP: usize = 256 << 10;
/// Somebody may seal a file between its unsealing and the writing that it was unsealed for, so many times in a row.
const TRIES: u32 = 20;
/// Between two tries where the file is held.
const PAUSE: Duration = Duration::from_millis(5);

impl Vfs {
    /// Does something that writes to a file, whose bytes come back to memory for that if it is sealed or, if memory is
    /// short, to disk; with `emptied` nobody needs them. `act` gives back nothing if the file is sealed: somebody was
    /// faster, and it is unsealed once more.
    ///
    /// # Errors
    /// Those of `act` and of what must be done before; `Busy` if the file is sealed again and again.
    pub(super) fn with_bytes<T>(
        &self,
        inode: &Arc<Inode>,
        emptied: bool,
        mut act: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        if inode.is_absent() {
            self.saw_unseal(inode);
        }
        for _ in 0..TRIES {
            if self.unseal_to_write(inode, emptied)? {
                if let Some(done) = act()? {
                    return Ok(done);
                }
            } else {
                wait_for_closes(inode);
                inode.released.wait_for(&mut inode.opens.lock(), PAUSE);
            }
        }
        Err(Error::Busy("it is sealed, or held by the kernel, again and again"))
    }

    /// Makes a sealed file ready to be written; `false` if that has to be tried again. Does nothing for other files.
    fn unseal_to_write(&self, inode: &Arc<Inode>, emptied: bool) -> Result<bool> {
        if !inode.is_absent() {
            return Ok(true);
        }
        let unsealed = match self.unseal(inode, emptied, Reason::Unsealed) {
            Err(MoveError::Failed(Error::NoSpace(_))) => self.depart(inode, Goal::Home, Reason::Unsealed),
            unsealed => unsealed,
        };
        match unsealed {
            Ok(()) | Err(MoveError::NotThere) => Ok(true),
            Err(MoveError::Held) => Ok(false),
            Err(MoveError::Failed(e)) => Err(e),
        }
    }

    /// Fills a stub with its bytes. The record stays: until something changes, memory holds a copy that can be
    /// dropped.
    pub(super) fn unseal(
        &self,
        inode: &Arc<Inode>,
        emptied: bool,
        reason: Reason,
    ) -> std::result::Result<(), MoveError> {
        let _moving = inode.moving.lock();
        let (object, source) = {
            let _names = self.namespace.read();
            let _opens = inode.opens.lock();
            if !inode.is_absent() {
                return Ok(());
            }
            let Some(id) = inode.sealed_id() else { return Err(MoveError::NotThere) };
            (
                self.open_at(inode, crate::model::Tier::Memory, Access::Write)?,
                self.stores()?.open(id).map_err(Error::from)?,
            )
        };
        let before = object.stat()?;
        if !emptied && self.pin_of(inode) == Some(super::Pin::Never) {
            return Err(Error::NoSpace("it is pinned never to enter memory").into());
        }
        let in_part = !emptied && self.unseals_in_part(inode, before.size, reason);
        if emptied {
            object.set_size(0)?;
        } else if !in_part {
            if self.budget.ask(before.size) != Room::Granted || self.budget.is_pressed() {
                (self.on_short)();
                return Err(Error::NoSpace("memory has no room for it now").into());
            }
            if let Err(e) = fill(&object, &*source, before.size) {
                self.empty(&object, before.size);
                return Err(Error::from(e).into());
            }
        }
        let _names = self.namespace.read();
        let mut opens = inode.opens.lock();
        if in_part {
            let mut content = inode.content.write();
            self.begin_partial(inode, &mut content, before.size)?;
            self.fill_is_over(inode, &mut content, object, opens.total > 0);
        } else {
            self.settle_unsealed(inode, object, &before, emptied, &mut opens)?;
        }
        inode.set_reason(reason);
        Ok(())
    }

    fn settle_unsealed(
        &self,
        inode: &Inode,
        object: Object,
        before: &crate::model::Attr,
        emptied: bool,
        opens: &mut Opens,
    ) -> Result<()> {
        let mut content = inode.content.write();
        let shown = self.identities.ctime(content.place, before.ctime);
        // Filling the pages moved them.
        object.set_times(Times { atime: Time::At(before.atime), mtime: Time::At(before.mtime) })?;
        let attr = object.stat()?;
        self.identities.moved(inode.ino, content.place, attr.ctime, shown);
        if emptied {
            // What is in the pages is not what the store has: noted before anything says that they count.
            self.note(&Record::Dirty { memory: attr.ino })?;
        } else if let Some(id) = content.sealed.as_ref().map(|sealed| sealed.id) {
            self.note(&Record::Sealed { memory: attr.identity(), id, absent: false })?;
        }
        self.inodes.census.measure(inode, || Ok(attr.size))?;
        self.fill_is_over(inode, &mut content, object, opens.total > 0);
        drop(content);
        if emptied {
            self.mark_dirty(inode, inode.place());
        } else {
            self.count_clean(inode, attr.blocks * 512);
        }
        Ok(())
    }

    fn fill_is_over(&self, inode: &Inode, content: &mut Content, object: Object, open: bool) {
        inode.absent.store(false, Ordering::Release);
        self.inodes.census.recount(inode);
        if let Some(sealed) = &mut content.sealed {
            sealed.source = None;
        }
        if open && content.object.is_none() {
            content.object = Some(Arc::new(object));
        }
    }

    /// Gives the pages of a stub back; what is left is its length.
    pub(super) fn empty(&self, object: &Object, size: u64) {
        use rustix::fs::FallocateFlags;
        if size == 0 {
            return;
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        // Rounded up, so that the last page goes as a whole.
        if let Err(e) = object.allocate(flags, 0, size.next_multiple_of(4096)) {
            tracing::error!("memory of a sealed file cannot be given back: {e}");
        }
    }
}

/// Copies all of `source` into the pages of `object`, leaving its holes.
fn fill(object: &Object, source: &dyn ByteSource, size: u64) -> std::io::Result<()> {
    let mut buf = vec![0; STEP.min(size as usize)];
    let mut at = 0;
    while at < size {
        let want = (size - at).min(STEP as u64) as usize;
        let got = source.read_at(&mut buf[..want], at)?;
        if got == 0 {
            return Err(std::io::Error::new(
                std::io::ErrorKind::UnexpectedEof,
                format!("the store gives only {at} of {size} bytes"),
            ));
        }
        object.write_all_at(&buf[..got], at)?;
        at += got as u64;
    }
    Ok(())
}
