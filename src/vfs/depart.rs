//! From memory to disk: the one way in which bytes leave memory.
//!
//! A departure copies to a file without a name, verifies it, makes it durable, and publishes it by one rename; only
//! then, if the file is to leave, is the copy in memory dropped. Until the last step the file is read and written in
//! memory as ever: what is written meanwhile is noted and copied again, in rounds that grow short, and for the last of
//! them writers wait. A step that fails leaves the file where it was.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use thiserror::Error;

use super::delta::Delta;
use super::identity::Place;
use super::inode::{Content, Dentry, Family, Inode, Opens, Reason};
use super::journal::Record;
use super::partial::{Composite, Partial};
use super::rename::is_version;
use super::sealed::Sealed;
use super::{Error, Result, Vfs};
use crate::backend::zarr::SealedId;
use crate::backend::{Access, Backend, ByteSource, Object, Owner, Staged, Time, Times, lease};
use crate::model::{Attr, Tier};

/// Rounds of copying what was written during the last one, before writers have to wait.
const ROUNDS: usize = 4;
/// A round that leaves less than this is the last, in bytes.
const SHORT: u64 = 1 << 20;

/// What a departure is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// The home gets everything; memory keeps its copy, now clean.
    Clean,
    /// The file leaves memory.
    Home,
}

/// Why a file was not moved.
#[derive(Debug, Error)]
pub enum MoveError {
    /// The kernel serves an open handle, or a mapping is alive.
    #[error("the file is open or mapped, and the kernel serves it itself")]
    Held,
    /// It is not where it would have to leave from; perhaps it was moved or removed meanwhile.
    #[error("the file is not in that tier any more")]
    NotThere,
    /// A step failed; the file is where it was.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<std::io::Error> for MoveError {
    fn from(e: std::io::Error) -> MoveError {
        MoveError::Failed(Error::Io(e))
    }
}

/// A file on its way.
pub(super) struct Departure {
    pub(super) inode: Arc<Inode>,
    source: Object,
    /// The bytes, where the source has only names and attributes: a store has them.
    sealed: Option<Arc<dyn ByteSource>>,
    /// Which bytes the source has, where a store has the others.
    partial: Option<Arc<Partial>>,
    staged: Staged,
    goal: Goal,
    /// The version that is durable in the copy, with its attributes.
    pub(super) settled: Option<Attr>,
}

impl Departure {
    /// Lets the disk begin, so that the files of a batch are written side by side.
    pub(super) fn start_writeback(&self) {
        // Advice only: the sync that follows is what counts.
        let _ = rustix::fs::fadvise(&**self.staged.object(), 0, None, rustix::fs::Advice::DontNeed);
    }
}

impl Vfs {
    /// Brings one file home, start to end.
    pub fn depart(&self, inode: &Arc<Inode>, goal: Goal, reason: Reason) -> std::result::Result<(), MoveError> {
        let _moving = inode.moving.lock();
        self.depart_held(inode, goal, reason)
    }

    fn depart_held(&self, inode: &Arc<Inode>, goal: Goal, reason: Reason) -> std::result::Result<(), MoveError> {
        match self.begin_departure(inode, goal)? {
            None => Ok(()),
            Some(mut departure) => {
                let settled = self.settle_departure(&mut departure);
                let record = self.end_departure(departure, settled, reason)?;
                self.remove_given_up_in_place(record.as_slice());
                Ok(())
            }
        }
    }

    /// Begins to copy; `None` if nothing had to be copied and the goal is reached. Hold `moving`.
    pub(super) fn begin_departure(
        &self,
        inode: &Arc<Inode>,
        goal: Goal,
    ) -> std::result::Result<Option<Departure>, MoveError> {
        let (source, sealed, partial) = {
            let _names = self.namespace.read();
            let opens = inode.opens.lock();
            let place = inode.place();
            if place.tier != Tier::Memory {
                return Err(MoveError::NotThere);
            }
            if goal == Goal::Home {
                self.check_free(inode, &opens, None)?;
            }
            let current = !inode.is_dirty();
            if current && (goal == Goal::Clean || (!inode.is_sealed() && self.leave_clean(inode, &opens)?)) {
                return Ok(None);
            }
            let open = inode.content.read().object.clone();
            // A descriptor of its own, because a move must not count as an access.
            let source = match open {
                Some(object) => object.reopen_unseen()?,
                None => match self.open_at(inode, Tier::Memory, Access::Read) {
                    Ok(object) => object.reopen_unseen()?,
                    Err(Error::Stale) => return Err(MoveError::NotThere),
                    Err(e) => return Err(e.into()),
                },
            };
            let sealed = match inode.sealed_id().filter(|_| inode.is_absent()) {
                Some(id) => Some(self.stores()?.open(id)?),
                None => None,
            };
            let mut content = inode.content.write();
            content.delta = Some(Mutex::new(Delta::default()));
            (source, sealed, content.partial().cloned())
        };
        match self.stage_copy(&source, sealed.as_deref(), partial.as_ref()) {
            Ok(staged) => {
                Ok(Some(Departure { inode: inode.clone(), source, sealed, partial, staged, goal, settled: None }))
            }
            Err(e) => {
                inode.content.write().delta = None;
                Err(self.failed(inode, e.into()))
            }
        }
    }

    /// Copies all there is: what a store has of an absent file, or what it and memory have.
    fn stage_copy(
        &self,
        source: &Object,
        sealed: Option<&dyn ByteSource>,
        partial: Option<&Arc<Partial>>,
    ) -> std::io::Result<Staged> {
        match (sealed, partial) {
            (Some(sealed), _) => self.disk.stage(sealed),
            (None, Some(partial)) => self.disk.stage(&Composite::new(source, partial.clone())),
            (None, None) => self.disk.stage(source),
        }
    }

    /// Whether nothing but the daemon touches the bytes: no handle that the kernel serves, no mapping that outlived
    /// one. `ours` is the descriptor that the daemon has open, if any: a second one would look like somebody else's.
    /// Hold `opens`.
    pub(super) fn check_free(
        &self,
        inode: &Inode,
        opens: &Opens,
        ours: Option<&Object>,
    ) -> std::result::Result<(), MoveError> {
        if opens.family == Some(Family::Kernel) {
            return Err(MoveError::Held);
        }
        if !opens.maybe_mapped || opens.total > 0 {
            return Ok(());
        }
        let tier = inode.place().tier;
        let unheld = match ours {
            Some(object) => lease::is_unheld(object)?,
            None => lease::is_unheld(&self.open_at(inode, tier, Access::Read)?)?,
        };
        if unheld && (tier == Tier::Memory || self.disk_leases) { Ok(()) } else { Err(MoveError::Held) }
    }

    /// A clean file leaves memory without a copy. `false` if the home no longer has what was copied there: then memory
    /// holds the only copy, and it is dirty.
    fn leave_clean(&self, inode: &Arc<Inode>, opens: &Opens) -> Result<bool> {
        if opens.total == 0 && self.drop_copy_locked(inode, opens)? {
            return Ok(true);
        }
        // Its handles need the disk file open before the memory file goes.
        if self.reopen_at_home(inode, opens)? {
            return Ok(true);
        }
        self.mark_dirty(inode, inode.place());
        Ok(false)
    }

    fn reopen_at_home(&self, inode: &Arc<Inode>, opens: &Opens) -> Result<bool> {
        let dentries = inode.names.read().clone();
        for dentry in &dentries {
            let Some(path) = dentry.parent.path().map(|dir| dir.join(&dentry.name)) else { continue };
            let Ok(node) = self.disk.tree().node(&path) else { continue };
            let attr = node.stat()?;
            if !is_version(dentry.over, &attr) {
                continue;
            }
            let access = if opens.writers > 0 { Access::Write } else { Access::Read };
            let object = Arc::new(node.open(access)?);
            let shown = self.attr(inode)?;
            let mut content = inode.content.write();
            if inode.is_dirty() || content.place.tier != Tier::Memory {
                return Ok(false);
            }
            let object = (opens.total > 0).then_some(object);
            let memory_ino = content.place.ino;
            let record = self.arrive_on_disk(inode, &mut content, &attr, shown.ctime, object);
            drop(content);
            let record = record.map(|sealed| sealed.id);
            self.leave_memory(inode, memory_ino, record)?;
            self.remove_given_up(record.as_slice());
            return Ok(true);
        }
        Ok(false)
    }

    /// Copies what was written since, in rounds, and makes the copy durable; nobody waits.
    pub(super) fn settle_departure(&self, departure: &mut Departure) -> std::result::Result<(), MoveError> {
        let Departure { inode, source, partial, staged, settled, .. } = departure;
        for _ in 0..ROUNDS {
            let (ranges, bytes) = {
                // For writing: everything noted so far has also been written.
                let content = inode.content.write();
                let Some(delta) = &content.delta else { return Err(MoveError::NotThere) };
                let mut delta = delta.lock();
                let bytes = delta.bytes();
                (delta.take(), bytes)
            };
            for range in ranges {
                copy_changed(staged, source, partial.as_ref(), range).map_err(|e| self.failed(inode, e.into()))?;
            }
            if bytes <= SHORT {
                break;
            }
        }
        let memory = source.stat()?;
        // It may have been cut short since the copy began.
        staged.object().set_size(memory.size).map_err(|e| self.failed(inode, e.into()))?;
        copy_attributes(source, &memory, staged.object()).map_err(|e| self.failed(inode, e))?;
        staged.object().sync(false).map_err(|e| self.failed(inode, e.into()))?;
        *settled = Some(memory);
        Ok(())
    }

    /// Publishes the copy; if the goal is home, the file leaves memory. Gives back the record in a store that it had
    /// until then, which was given up and is still to be removed.
    pub(super) fn end_departure(
        &self,
        departure: Departure,
        settled: std::result::Result<(), MoveError>,
        reason: Reason,
    ) -> std::result::Result<Option<SealedId>, MoveError> {
        let inode = departure.inode.clone();
        let ended = settled.and_then(|()| {
            let _names = self.namespace.read();
            let mut opens = inode.opens.lock();
            self.end_locked(&inode, departure, &mut opens, reason)
        });
        inode.content.write().delta = None;
        ended
    }

    /// An inode that was only known for being in memory need not be known any more.
    pub(super) fn let_go(&self, inode: Arc<Inode>) {
        let ino = inode.ino;
        drop(inode);
        self.inodes.remove_if_unused(ino);
    }

    fn end_locked(
        &self,
        inode: &Arc<Inode>,
        departure: Departure,
        opens: &mut Opens,
        reason: Reason,
    ) -> std::result::Result<Option<SealedId>, MoveError> {
        let Departure { source, sealed, partial, staged, goal, settled, .. } = departure;
        if sealed.is_some() != inode.is_absent() || partial.is_some() != inode.is_partial() {
            // Somebody began to write to it.
            return Err(MoveError::Held);
        }
        if goal == Goal::Home {
            // Somebody may have opened it since: for the kernel to serve, or to map.
            self.check_free(inode, opens, Some(&source))?;
        }
        let mut content = inode.content.write();
        let memory = self.catch_up(inode, &content, (&source, partial.as_ref()), &staged, settled)?;
        let shown = self.identities.ctime(content.place, memory.ctime);
        let object = staged.object().clone();
        let dentries = inode.names.read().clone();
        if dentries.is_empty() {
            // Deleted while open: it goes on without a name.
            if goal == Goal::Home {
                drop(staged);
                // Its record is removed with the last handle.
                content.sealed = self.arrive_on_disk(inode, &mut content, &object.stat()?, shown, Some(object));
                inode.set_reason(reason);
            }
            return Ok(None);
        }
        let attr = self.publish(inode, staged, &memory, &dentries)?;
        self.counters.materialized_files.fetch_add(1, Ordering::Relaxed);
        self.counters.materialized_bytes.fetch_add(memory.size, Ordering::Relaxed);
        self.saw_home(inode, memory.size, reason);
        self.mended(inode);
        if goal == Goal::Clean {
            self.identities.moved(inode.ino, Place::of(Tier::Disk, &attr), attr.ctime, shown);
            self.stay(inode, opens, &source, &memory, &attr)?;
            return Ok(None);
        }
        let open = (opens.total > 0).then_some(object);
        let record = self.arrive_on_disk(inode, &mut content, &attr, shown, open);
        inode.set_reason(reason);
        drop(content);
        self.saw_leave(inode, memory.size, reason);
        let record = record.map(|sealed| sealed.id);
        self.leave_memory(inode, memory.ino, record)?;
        Ok(record)
    }

    /// The file is on disk under all its names: what is left of it in memory goes, and its record in a store is given
    /// up.
    pub(super) fn leave_memory(&self, inode: &Inode, memory: u64, record: Option<SealedId>) -> Result<()> {
        let dentries = inode.names.read().clone();
        if let Some(id) = record {
            self.note(&Record::Dropping { id })?;
        }
        self.remove_mirror_names(inode, memory, &dentries)?;
        if let Some(id) = record {
            self.give_up(id);
        }
        Ok(())
    }

    /// The last round, for which writers wait: what was written since the copy was made durable, and the attributes.
    fn catch_up(
        &self,
        inode: &Inode,
        content: &Content,
        (source, partial): (&Object, Option<&Arc<Partial>>),
        staged: &Staged,
        settled: Option<Attr>,
    ) -> std::result::Result<Attr, MoveError> {
        let late = content.delta.as_ref().map(|delta| delta.lock().take()).unwrap_or_default();
        for range in late.iter().cloned() {
            copy_changed(staged, source, partial, range)?;
        }
        let memory = source.stat()?;
        if !late.is_empty() || settled.is_none_or(|settled| !is_unchanged(&settled, &memory)) {
            staged.object().set_size(memory.size)?;
            copy_attributes(source, &memory, staged.object()).map_err(|e| self.failed(inode, e))?;
            staged.object().sync(false).map_err(|e| self.failed(inode, e.into()))?;
        }
        Ok(memory)
    }

    /// The home has everything, and the file stays in memory: clean, unless somebody may write unseen.
    fn stay(&self, inode: &Inode, opens: &mut Opens, source: &Object, memory: &Attr, disk: &Attr) -> Result<()> {
        if opens.total == 0 && opens.maybe_mapped && lease::is_unheld(source).unwrap_or(false) {
            (opens.maybe_mapped, opens.kernel_written) = (false, false);
        }
        if opens.kernel_written {
            // What the kernel writes through its own handles or mappings, nobody tells us: it is due again later.
            let now = self.now();
            inode.changed.store(now, Ordering::Relaxed);
            inode.dirty_since.store(now, Ordering::Relaxed);
            return self.note_shadows(inode, memory.ino, disk.identity());
        }
        self.refresh_clean(inode, memory.identity(), disk.identity())?;
        inode.dirty.store(false, Ordering::Release);
        self.inodes.census.recount(inode);
        self.count_clean(inode, memory.blocks * 512);
        Ok(())
    }

    /// From now on the inode is this disk file. Hold `content` for writing. Returns the record that a store still has.
    fn arrive_on_disk(
        &self,
        inode: &Inode,
        content: &mut Content,
        attr: &Attr,
        shown_ctime: crate::model::Timestamp,
        object: Option<Arc<Object>>,
    ) -> Option<Sealed> {
        let from = content.place;
        let to = Place::of(Tier::Disk, attr);
        self.identities.forget(from);
        self.identities.moved(inode.ino, to, attr.ctime, shown_ctime);
        content.place = to;
        content.object = object;
        inode.dirty.store(false, Ordering::Release);
        self.uncount_clean(inode);
        self.inodes.unsettle(from.ino);
        for dentry in inode.names.write().iter_mut() {
            dentry.over = None;
        }
        inode.absent.store(false, Ordering::Release);
        inode.partial.store(false, Ordering::Release);
        inode.seal_is_current.store(false, Ordering::Release);
        content.sealed.take().map(|sealed| Sealed { source: None, partial: None, ..sealed })
    }

    /// Removes a file's names from the mirror: its bytes are safe at home.
    fn remove_mirror_names(&self, inode: &Inode, memory_ino: u64, dentries: &[Dentry]) -> Result<()> {
        if dentries.len() > 1 {
            // Some of them may be gone when a successor looks, and the rest must not seem to be a file of their own.
            self.note(&Record::Left { memory: memory_ino })?;
        }
        for dentry in dentries {
            let Some(path) = dentry.parent.path().map(|dir| dir.join(&dentry.name)) else { continue };
            match self.memory()?.tree().unlink(&path) {
                Err(e) if !crate::backend::is_absent(&e) => {
                    tracing::error!("{path} is on disk, but its copy in memory cannot be removed: {e}");
                    return Err(e.into());
                }
                _ => {}
            }
        }
        tracing::debug!("inode {} left memory", inode.ino);
        Ok(())
    }
}

/// Copies bytes again that were changed since.
fn copy_changed(
    staged: &Staged,
    source: &Object,
    partial: Option<&Arc<Partial>>,
    range: Range<u64>,
) -> std::io::Result<()> {
    match partial {
        Some(partial) => staged.copy_range(&Composite::new(source, partial.clone()), range.start, range.end),
        None => staged.copy_range(source, range.start, range.end),
    }
}

/// Whether nothing but the access time differs.
fn is_unchanged(then: &Attr, now: &Attr) -> bool {
    Attr { atime: now.atime, ..*then } == *now
}

/// Owner, mode, extended attributes and times, in the order in which one does not undo the other.
pub(super) fn copy_attributes(from: &Object, attr: &Attr, to: &Object) -> Result<()> {
    let there = to.stat()?;
    if (there.uid, there.gid) != (attr.uid, attr.gid) {
        to.set_owner(Owner { uid: Some(attr.uid), gid: Some(attr.gid) })?;
    }
    to.set_perm(attr.perm)?;
    let wanted = from.xattrs().all()?;
    to.xattrs().replace_with(&wanted)?;
    Ok(to.set_times(Times { atime: Time::At(attr.atime), mtime: Time::At(attr.mtime) })?)
}
