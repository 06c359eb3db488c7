//! Reading and writing through handles.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::{FallocateFlags, SeekFrom};

use super::handle::{Fh, FileHandle};
use super::identity::Place;
use super::inode::{Content, Inode, Reason};
use super::{Error, Goal, MoveError, Result, Room, Vfs};
use crate::backend::{ByteSource, Object};
use crate::model::Tier;

/// Bytes copied in one step by `copy_range`.
const STEP: u64 = 256 << 10;

impl Vfs {
    /// Reads at most `buf.len()` bytes at `offset`; less only at the end of the file.
    pub fn read(&self, fh: Fh, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let handle = self.handles.file(fh)?;
        let inode = &handle.inode;
        let content = inode.content.read();
        if inode.is_absent()
            && let Some(source) = content.sealed.as_ref().and_then(|sealed| sealed.source.clone())
        {
            // Not under the lock: a chunk may have to be decoded. The version is the same wherever it is.
            drop(content);
            return source.read_at(buf, offset).map_err(|e| self.unreadable(inode, offset, buf.len(), e));
        }
        let object = content.object.as_ref().ok_or(Error::BadHandle)?;
        match content.partial() {
            Some(partial) => match partial.read_at(object, buf, offset) {
                Ok(got) => Ok(got),
                Err(e) => {
                    drop(content);
                    let again = self.read_again(inode, buf, offset, e);
                    again.map_err(|e| self.unreadable(inode, offset, buf.len(), e))
                }
            },
            None => Ok(object.read_at(buf, offset)?),
        }
    }

    /// A store cannot give bytes of a file: the store knows the chunk, and this the file.
    pub(super) fn unreadable(&self, inode: &Inode, offset: u64, len: usize, e: std::io::Error) -> Error {
        let path = {
            let _names = self.namespace.read();
            inode.path()
        };
        let name = path.map_or_else(|| format!("the deleted file with inode {}", inode.ino), |path| path.to_string());
        tracing::error!("{name}: bytes {offset} to {} cannot be read from its store: {e}", offset + len as u64);
        e.into()
    }

    /// Writes all of `data` at `offset`. With `kill_suid` the writer may not keep set-id bits; with `sync` it is
    /// durable when this returns.
    pub fn write(&self, fh: Fh, offset: u64, data: &[u8], kill_suid: bool, sync: bool) -> Result<()> {
        let handle = self.handles.file(fh)?;
        if !handle.write {
            return Err(Error::BadHandle);
        }
        let end = offset.checked_add(data.len() as u64).ok_or(Error::Invalid("beyond the largest file"))?;
        let write = |content: &Content, object: &Object| {
            object.write_all_at(data, offset)?;
            self.grew(&handle.inode, content, end);
            self.note_written(content, &(offset..end))
        };
        self.change(&handle, data.len() as u64, offset..end, write)?;
        if kill_suid {
            self.drop_privileges(&handle.inode)?;
        }
        if sync || handle.sync {
            self.fsync(fh, true)?;
        }
        Ok(())
    }

    /// `fallocate(2)`.
    pub fn fallocate(&self, fh: Fh, mode: FallocateFlags, offset: u64, len: u64) -> Result<()> {
        let handle = self.handles.file(fh)?;
        if !handle.write {
            return Err(Error::BadHandle);
        }
        let end = offset.checked_add(len).ok_or(Error::Invalid("beyond the largest file"))?;
        let shifts = FallocateFlags::COLLAPSE_RANGE | FallocateFlags::INSERT_RANGE;
        let takes = if mode.contains(FallocateFlags::PUNCH_HOLE) { 0 } else { len };
        // What moves everything behind it changes everything behind it.
        let changed = if mode.intersects(shifts) { offset..u64::MAX >> 1 } else { offset..end };
        if !(mode - FallocateFlags::KEEP_SIZE).is_empty() {
            // Whatever changes bytes without writing them is done to whole files.
            self.make_whole(&handle.inode)?;
        }
        self.change(&handle, takes, changed, |content, object| {
            object.allocate(mode, offset, len)?;
            self.resized(&handle.inode, content, object.size()?);
            Ok(())
        })
    }

    /// Changes the bytes of an open file: `takes` bytes more may be needed, and `range` will be different.
    fn change(
        &self,
        handle: &FileHandle,
        takes: u64,
        range: std::ops::Range<u64>,
        act: impl Fn(&Content, &Object) -> Result<()>,
    ) -> Result<()> {
        let inode = &handle.inode;
        let mut last_resort = false;
        loop {
            self.gather_if_scattered(inode)?;
            let content = inode.content.read();
            let object = content.object.as_ref().ok_or(Error::BadHandle)?;
            if content.place.tier != Tier::Memory {
                let done = act(&content, object);
                note_change(&content, range);
                return done;
            }
            preserve(&content, object, &range);
            let room = if last_resort { Room::Granted } else { self.budget.ask(takes) };
            match room {
                Room::Granted => {
                    self.mark_dirty(inode, content.place);
                    let done = act(&content, object);
                    note_change(&content, range.clone());
                    match done {
                        // The tmpfs has an end of its own, which others may have reached first.
                        Err(Error::Io(e)) if e.raw_os_error() == Some(libc::ENOSPC) && !last_resort => {}
                        Ok(()) if range.end <= inode.length() => return Ok(()),
                        Ok(()) => return Ok(self.inodes.census.measure(inode, || object.size())?),
                        failed => return failed,
                    }
                }
                Room::MemoryShort => {}
                Room::HomeFull => return Err(Error::NoSpace("the workspace's disk cannot take more")),
            }
            drop(content);
            (self.on_short)();
            last_resort = !self.go_home(inode)?;
        }
    }

    /// Memory is short: the file that is being written goes to disk, under its open handles, or others make room for
    /// it. `false` if neither can be: the kernel serves readers of the file, and nothing else can leave. Then it may
    /// take what the tmpfs still gives.
    fn go_home(&self, inode: &Arc<Inode>) -> Result<bool> {
        // What the disk has already is the cheapest to let go.
        if self.drop_clean(self.budget.limit() / 16) > 0 {
            return Ok(true);
        }
        match self.depart(inode, Goal::Home, Reason::Outgrown) {
            Ok(()) | Err(MoveError::NotThere) => Ok(true),
            Err(MoveError::Held) => {
                let relief = self.relieve(self.budget.limit() / 8);
                Ok(relief.bytes > 0 || self.wait_for_a_move(inode))
            }
            Err(MoveError::Failed(e)) => Err(e),
        }
    }

    /// Waits until a move that somebody else has begun is over; `false` if there is none.
    fn wait_for_a_move(&self, except: &Inode) -> bool {
        let moving = self.inodes.residents().into_iter().find(|file| file.ino != except.ino && file.moving.is_locked());
        match moving {
            Some(file) => {
                drop(file.moving.lock());
                true
            }
            None => false,
        }
    }

    /// `lseek(2)` for data and holes.
    pub fn seek(&self, fh: Fh, pos: SeekFrom) -> Result<u64> {
        let handle = self.handles.file(fh)?;
        let content = handle.inode.content.read();
        let object = content.object.as_ref().ok_or(Error::BadHandle)?;
        if handle.inode.is_absent() || content.partial().is_some() {
            return seek_without_holes(object.size()?, pos);
        }
        Ok(object.seek(pos)?)
    }

    /// Copies up to `len` bytes from one handle to another; returns how many.
    pub fn copy_range(&self, from: Fh, offset: u64, to: Fh, to_offset: u64, len: u64) -> Result<u64> {
        let mut buf = vec![0; STEP.min(len) as usize];
        let mut done = 0;
        while done < len {
            let want = (len - done).min(STEP) as usize;
            let got = self.read(from, offset + done, &mut buf[..want])?;
            if got == 0 {
                break;
            }
            match self.write(to, to_offset + done, &buf[..got], false, false) {
                Ok(()) => done += got as u64,
                // What has been copied counts; the caller meets the error when it goes on.
                Err(_) if done > 0 => break,
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    /// Cuts or extends an open object. Hold `opens`, so that no move ends meanwhile.
    pub(super) fn truncate_object(&self, inode: &Inode, object: &Object, size: u64) -> Result<()> {
        let content = inode.content.read();
        let before = object.size()?;
        self.mark_dirty(inode, content.place);
        preserve(&content, object, &(before.min(size)..before.max(size)));
        object.set_size(size)?;
        self.resized(inode, &content, size);
        note_change(&content, before.min(size)..before.max(size));
        if content.place.tier == Tier::Memory {
            self.inodes.census.measure(inode, || object.size())?;
        }
        self.note_size(&content, size)
    }

    /// Notes that memory is about to hold what the home does not: always before the change itself.
    pub(super) fn mark_dirty(&self, inode: &Inode, place: Place) {
        if place.tier != Tier::Memory {
            return;
        }
        let now = self.now();
        let before = inode.changed.swap(now, Ordering::Relaxed);
        inode.seal_is_current.store(false, Ordering::Release);
        if inode.dirty.swap(true, Ordering::AcqRel) {
            return;
        }
        inode.dirty_since.store(now, Ordering::Relaxed);
        self.inodes.census.recount(inode);
        self.saw_change(inode, before);
        self.uncount_clean(inode);
        // Should the record be missing after a kill, recovery still sees that the times differ.
        if let Err(e) = self.note(&super::journal::Record::Dirty { memory: place.ino }) {
            tracing::error!("cannot write the memory tier's journal: {e}");
        }
    }

    /// The budget counts `bytes` of this file as being at home too.
    pub(super) fn count_clean(&self, inode: &Inode, bytes: u64) {
        self.budget.sub_clean(inode.clean_bytes.swap(bytes, Ordering::AcqRel));
        self.budget.add_clean(bytes);
    }

    /// The budget no longer counts this file as being at home.
    pub(super) fn uncount_clean(&self, inode: &Inode) {
        self.budget.sub_clean(inode.clean_bytes.swap(0, Ordering::AcqRel));
    }
}

/// A sealed file is data from end to end.
fn seek_without_holes(size: u64, pos: SeekFrom) -> Result<u64> {
    match pos {
        SeekFrom::Data(at) if at < size => Ok(at),
        SeekFrom::Hole(at) if at < size => Ok(size),
        SeekFrom::Data(_) | SeekFrom::Hole(_) => Err(Error::Io(rustix::io::Errno::NXIO.into())),
        SeekFrom::Start(at) => Ok(at),
        SeekFrom::End(by) | SeekFrom::Current(by) => {
            size.checked_add_signed(by).ok_or(Error::Invalid("before the start of the file"))
        }
    }
}

/// Before bytes are written over that somebody reads as they were.
fn preserve(content: &Content, object: &Object, range: &std::ops::Range<u64>) {
    if let Some(delta) = &content.delta {
        let read = |buf: &mut [u8], at: u64| match content.partial() {
            Some(partial) => partial.read_at(object, buf, at),
            None => object.read_at(buf, at),
        };
        delta.lock().preserve(range.clone(), read);
    }
}

/// While a copy is being made, what changes has to be copied again.
fn note_change(content: &Content, range: std::ops::Range<u64>) {
    if let Some(delta) = &content.delta {
        delta.lock().add(range);
    }
}
