//! Unsealing in part: how a large sealed file comes to be [partly in memory](super::partial), and how that ends.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::inode::{Content, Inode, Reason};
use super::journal::Record;
use super::partial::{KnownParts, Lost, Partial};
use super::{Error, Goal, MoveError, Result, Room, Vfs};
use crate::backend::zarr::SealedEntry;
use crate::backend::{Access, ByteSource, Object, Time, Times};
use crate::model::Tier;

impl Vfs {
    /// Whether a sealed file of this size is unsealed in part when somebody writes to it. One with several names is
    /// not: names may go, and the store's table with them.
    pub(super) fn unseals_in_part(&self, inode: &Inode, size: u64, reason: Reason) -> bool {
        reason == Reason::Unsealed && size >= self.unseal_in_part_from && inode.names.read().len() == 1
    }

    /// A stub takes what is written from now on; none of its bytes count yet. Hold `content` for writing.
    pub(super) fn begin_partial(&self, inode: &Inode, content: &mut Content, size: u64) -> Result<()> {
        let memory = content.place.ino;
        let Some(sealed) = &mut content.sealed else { return Err(Error::Stale) };
        let source = match sealed.source.take() {
            Some(source) => source,
            None => self.stores()?.open(sealed.id)?,
        };
        // Before anything is written that could be taken for the whole.
        self.note(&Record::Partial { memory, id: sealed.id, upto: size })?;
        sealed.partial = Some(Arc::new(Partial::new(source, size)));
        inode.partial.store(true, Ordering::Release);
        Ok(())
    }

    /// A read from a file that is partly in memory failed: a commit may just have put the next version in the store.
    /// Whoever seals it tells which, and then lets go.
    pub(super) fn read_again(&self, inode: &Inode, buf: &mut [u8], offset: u64, first: io::Error) -> io::Result<usize> {
        drop(inode.moving.lock());
        let content = inode.content.read();
        match (content.object.as_ref(), content.partial()) {
            (Some(object), Some(partial)) => partial.read_at(object, buf, offset),
            _ => Err(first),
        }
    }

    /// Bytes of `range` were written: from now on they are read from memory. Hold `content`.
    pub(super) fn note_written(&self, content: &Content, range: &Range<u64>) -> Result<()> {
        let Some(partial) = content.partial() else { return Ok(()) };
        if !partial.add(range) {
            return Ok(());
        }
        self.note(&Record::Written { memory: content.place.ino, start: range.start, end: range.end })
    }

    /// The file was cut or extended to `size` bytes. Hold `content`.
    pub(super) fn note_size(&self, content: &Content, size: u64) -> Result<()> {
        match &content.sealed {
            Some(super::sealed::Sealed { id, partial: Some(partial), .. }) => {
                let upto = partial.cut(size);
                self.note(&Record::Partial { memory: content.place.ino, id: *id, upto })
            }
            _ => Ok(()),
        }
    }

    /// Takes over a file that was partly in memory when the daemon was killed: `entry` is what its store has of it.
    pub(super) fn recover_partial(
        &self,
        inode: &Arc<Inode>,
        entry: Option<&SealedEntry>,
        known: &KnownParts,
        size: u64,
    ) {
        let opened = match entry {
            Some(entry) => self.stores().and_then(|stores| Ok(stores.open(entry.id)?)),
            None => Err(Error::Stale),
        };
        let source = opened.unwrap_or_else(|e| {
            tracing::error!(
                "{:?}: what was not written since it was sealed cannot be read any more, because its store cannot: {e}",
                inode.paths()
            );
            Arc::new(Lost)
        });
        let partial = Partial::new(source, known.upto.min(size));
        for range in &known.written {
            // The journal is where it comes from.
            let _ = partial.add(range);
        }
        let mut content = inode.content.write();
        if let Some(sealed) = &mut content.sealed {
            sealed.partial = Some(Arc::new(partial));
            inode.partial.store(true, Ordering::Release);
        }
    }

    /// A store has a newer version of a file that was written to meanwhile: what is not in memory is read from that.
    /// Hold `content` for writing.
    pub(super) fn rebase_partial(&self, content: &mut Content, partial: Arc<Partial>) {
        let memory = content.place.ino;
        let Some(sealed) = &mut content.sealed else { return };
        let rebased = self.stores().and_then(|stores| Ok(stores.open(sealed.id)?));
        match rebased {
            Ok(source) => partial.rebase(source),
            Err(e) => tracing::error!("what was just sealed of inode {memory} of the memory tier cannot be read: {e}"),
        }
        for record in partial.records(memory, sealed.id) {
            if let Err(e) = self.note(&record) {
                tracing::error!("cannot write the memory tier's journal: {e}");
            }
        }
        sealed.partial = Some(partial);
    }

    /// If the ranges of a file have become too many, it is fetched as a whole. Not under any lock of the inode.
    pub(super) fn gather_if_scattered(&self, inode: &Arc<Inode>) -> Result<()> {
        let scattered = inode.is_partial() && inode.content.read().partial().is_some_and(|p| p.is_scattered());
        if scattered { self.make_whole(inode) } else { Ok(()) }
    }

    /// Fetches what memory does not have of a file, or brings the file to disk if memory is short. Afterwards it is
    /// like any other. Does nothing for files that are not partly in memory.
    ///
    /// # Errors
    /// `Busy` if the kernel serves it; whatever the store or the disk say. It stays as it was.
    pub(super) fn make_whole(&self, inode: &Arc<Inode>) -> Result<()> {
        if !inode.is_partial() {
            return Ok(());
        }
        match self.fetch_rest(inode) {
            Err(MoveError::Failed(Error::NoSpace(_))) => {}
            Ok(()) | Err(MoveError::NotThere) => return Ok(()),
            Err(MoveError::Failed(e)) => return Err(e),
            Err(MoveError::Held) => return Err(Error::Busy("the kernel serves the file")),
        }
        match self.depart(inode, Goal::Home, Reason::Unsealed) {
            Ok(()) | Err(MoveError::NotThere) => Ok(()),
            Err(MoveError::Held) => Err(Error::Busy("the kernel serves the file")),
            Err(MoveError::Failed(e)) => Err(e),
        }
    }

    fn fetch_rest(&self, inode: &Arc<Inode>) -> std::result::Result<(), MoveError> {
        let _moving = inode.moving.lock();
        let object = {
            let _names = self.namespace.read();
            let _opens = inode.opens.lock();
            if !inode.is_partial() {
                return Ok(());
            }
            self.open_at(inode, Tier::Memory, Access::Write)?
        };
        let size = object.size()?;
        let held = inode.content.read().partial().map_or(0, |partial| partial.held(size));
        if self.budget.ask(size.saturating_sub(held)) != Room::Granted || self.budget.is_pressed() {
            (self.on_short)();
            return Err(Error::NoSpace("memory has no room for it now").into());
        }
        while self.fetch_step(inode, &object)? {}
        let content = inode.content.write();
        self.note(&Record::Whole { memory: content.place.ino })?;
        let mut content = content;
        if let Some(sealed) = &mut content.sealed {
            sealed.partial = None;
        }
        inode.partial.store(false, Ordering::Release);
        if !inode.is_dirty() {
            self.note_whole_version(&content, &object)?;
            self.count_clean(inode, object.stat()?.blocks * 512);
        }
        Ok(())
    }

    /// What the store has is what memory has, and memory has all of it.
    fn note_whole_version(&self, content: &Content, object: &Object) -> Result<()> {
        match &content.sealed {
            Some(sealed) => {
                let memory = object.stat()?.identity();
                self.note(&Record::Sealed { memory, id: sealed.id, absent: false })
            }
            None => Ok(()),
        }
    }

    /// Fetches the next bytes; `false` when there are no more.
    fn fetch_step(&self, inode: &Inode, object: &Object) -> Result<bool> {
        // For writing: nobody may write between the fetching of a byte and its coming to memory.
        let content = inode.content.write();
        let Some(partial) = content.partial() else { return Ok(false) };
        let before = object.stat()?;
        if !partial.fetch_into(object, before.size)? {
            return Ok(false);
        }
        let shown = self.identities.ctime(content.place, before.ctime);
        object.set_times(Times { atime: Time::At(before.atime), mtime: Time::At(before.mtime) })?;
        self.identities.moved(inode.ino, content.place, object.stat()?.ctime, shown);
        Ok(true)
    }
}
