//! From disk to memory: copies that are made on request, and files that are written anew.
//!
//! The disk file stays where it is, untouched, under the copy; until the copy is changed it can be dropped at no cost.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::delta::Delta;
use super::depart::copy_attributes;
use super::identity::Place;
use super::inode::{Content, Inode, Opens, Reason};
use super::journal::Record;
use super::report::over_record;
use super::{MoveError, Result, Room, Vfs};
use crate::backend::{Access, Backend, Expected, Object, PublishError, Staged};
use crate::model::{Attr, FileKind, Identity, RelPath, Tier};

impl Vfs {
    /// Brings a disk file up into memory, as a clean copy.
    pub fn arrive(&self, inode: &Arc<Inode>, reason: Reason) -> std::result::Result<(), MoveError> {
        let _moving = inode.moving.lock();
        let memory = self.memory.as_ref().ok_or(super::Error::Unsupported("this mount has no memory tier"))?;
        let (source, before) = {
            let _names = self.namespace.read();
            let opens = inode.opens.lock();
            if inode.tier() == Tier::Memory {
                return Ok(());
            }
            self.check_pin(inode, Tier::Memory)?;
            self.check_arrival(inode, &opens, None)?;
            let source = self.open_at(inode, Tier::Disk, Access::Read)?.reopen_unseen()?;
            let before = source.stat()?;
            (source, before)
        };
        if before.nlink > 1 {
            return Err(super::Error::Busy("it has several names on disk, and those never leave it").into());
        }
        if self.budget.ask(before.blocks * 512) != Room::Granted || self.budget.is_pressed() {
            (self.on_short)();
            return Err(super::Error::NoSpace("memory has no room for it now").into());
        }
        inode.content.write().delta = Some(Mutex::new(Delta::default()));
        let arrived = memory.stage(&source).map_err(MoveError::from).and_then(|staged| {
            let _names = self.namespace.read();
            let opens = inode.opens.lock();
            self.check_arrival(inode, &opens, Some(&source))?;
            self.settle_in_memory(inode, &source, staged, &before, opens.total > 0, true)
        });
        inode.content.write().delta = None;
        arrived?;
        inode.set_reason(reason);
        Ok(())
    }

    /// Whether nothing but the daemon touches the disk file's bytes. Hold `opens`.
    fn check_arrival(&self, inode: &Inode, opens: &Opens, ours: Option<&Object>) -> std::result::Result<(), MoveError> {
        if inode.kind != FileKind::Regular || inode.place().dev != self.root.place().dev {
            return Err(super::Error::Unsupported("only regular files of the workspace's file system move").into());
        }
        self.check_free(inode, opens, ours)
    }

    /// A disk file is about to be written anew from nothing: if its rule and the pressure allow, the new version
    /// starts in memory, and the old one stays on disk until the new one is durable. Hold the namespace lock.
    pub(super) fn restart_in_memory(&self, inode: &Arc<Inode>) -> Result<()> {
        let Some(path) = inode.path() else { return Ok(()) };
        if !self.wants_memory(&path) {
            return Ok(());
        }
        let Some(_moving) = inode.moving.try_lock() else { return Ok(()) };
        let opens = inode.opens.lock();
        if self.check_arrival(inode, &opens, None).is_err() {
            return Ok(());
        }
        let source = self.open_at(inode, Tier::Disk, Access::Read)?;
        let before = source.stat()?;
        if before.nlink > 1 {
            return Ok(());
        }
        let staged = self.memory()?.tree().stage_empty()?;
        match self.settle_in_memory(inode, &source, staged, &before, opens.total > 0, false) {
            Ok(()) => inode.set_reason(Reason::Rule),
            Err(e) => tracing::debug!("{path} is rewritten on disk, not in memory: {e}"),
        }
        Ok(())
    }

    fn wants_memory(&self, path: &RelPath) -> bool {
        self.memory.is_some()
            && self.start_tier(path) == Tier::Memory
            && !self.draining.load(Ordering::Relaxed)
            && !self.budget.is_pressed()
            && self.budget.ask(4096) == Room::Granted
    }

    /// Gives a staged copy its name in the mirror; from then on the inode is in memory. Hold the namespace lock and
    /// `opens`.
    fn settle_in_memory(
        &self,
        inode: &Arc<Inode>,
        source: &Object,
        staged: Staged,
        before: &Attr,
        open: bool,
        clean: bool,
    ) -> std::result::Result<(), MoveError> {
        let Some(dentry) = inode.names.read().first().cloned() else { return Err(MoveError::NotThere) };
        let Some(path) = inode.path() else { return Err(MoveError::NotThere) };
        self.mirror_dir(&dentry.parent)?;
        let object: Arc<Object> = staged.object().clone();
        let mut content = inode.content.write();
        let disk = copy_rest(&content, source, &staged, before, clean)?;
        let over: Identity = disk.identity();
        let shown = self.identities.ctime(content.place, disk.ctime);
        let made = object.stat()?;
        let memory_ino = made.ino;
        self.note(&over_record(memory_ino, &dentry.parent, &dentry.name, Some(over)))?;
        // Known before it can be found: whoever finds the name in the mirror, or looked there a moment too early and
        // finds the disk file, must come to this inode and to no other.
        inode.add_name(&dentry.parent, &dentry.name, Some(over));
        self.inodes.settle(memory_ino, inode.clone(), made.size);
        self.identities.moved(inode.ino, content.place, disk.ctime, shown);
        let published = match self.memory()?.publish(staged, &path, Expected::Absent) {
            Ok(attr) => Ok(attr),
            Err(PublishError::Conflict(_)) => Err(super::Error::Busy("it is in memory already")),
            Err(PublishError::Io(_, e)) => Err(e.into()),
        };
        let attr = published.inspect_err(|_| {
            self.inodes.unsettle(memory_ino);
            inode.add_name(&dentry.parent, &dentry.name, None);
        })?;
        let to = Place::of(Tier::Memory, &attr);
        self.identities.moved(inode.ino, to, attr.ctime, shown);
        content.place = to;
        content.object = open.then_some(object);
        // Still under `content`: a writer that comes next must find the state that its first change ends.
        self.note_arrival(inode, to, &attr, clean)?;
        drop(content);
        self.counters.promoted_files.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// What is in memory now is what the disk has, or is about to be newer.
    fn note_arrival(&self, inode: &Inode, to: Place, attr: &Attr, clean: bool) -> Result<()> {
        if !clean {
            self.mark_dirty(inode, to);
            return Ok(());
        }
        self.note(&Record::Clean { memory: attr.identity() })?;
        if inode.is_found() {
            self.note(&Record::Found { memory: to.ino })?;
        }
        self.count_clean(inode, attr.blocks * 512);
        Ok(())
    }
}

/// What was written while a copy was made follows into it, and its attributes; gives those of the file on disk.
fn copy_rest(content: &Content, source: &Object, staged: &Staged, before: &Attr, clean: bool) -> Result<Attr> {
    let late = content.delta.as_ref().map(|delta| delta.lock().take()).unwrap_or_default();
    for range in &late {
        staged.copy_range(source, range.start, range.end)?;
    }
    let disk = source.stat()?;
    // Only what our own handles did meanwhile is in the delta.
    if late.is_empty() && disk.identity() != before.identity() {
        return Err(super::Error::Busy("it changed while it was copied"));
    }
    if clean {
        staged.object().set_size(disk.size)?;
    }
    copy_attributes(source, &disk, staged.object())?;
    Ok(disk)
}
