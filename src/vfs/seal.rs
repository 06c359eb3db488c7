//! From memory or disk into a store.
//!
//! Files are sealed in batches, because one commit of the disk serves a batch as it serves a file. A file stays readable
//! where it is all the while; one that is changed before the commit is left out, one that is changed behind it is
//! sealed in the version that was read, and dirty. Files that cannot be chunks go to disk as they are, and are not tried
//! again until they change.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::delta::Delta;
use super::depart::copy_attributes;
use super::frozen::{Frozen, can_freeze, freeze, is_preserved, is_still};
use super::identity::Place;
use super::inode::{Dentry, Inode, Reason};
use super::journal::Record;
use super::partial::Composite;
use super::rename::is_version;
use super::report::over_record;
use super::sealed::Sealed;
use super::{Error, Goal, MoveError, Result, Vfs};
use crate::backend::zarr::{Batch, SealError, SealedId, Subject, Ticket};
use crate::backend::{Access, Backend, ByteSource, Expected, Object, PublishError, Time, Times};
use crate::config::Originals;
use crate::model::{Attr, FileKind, RelPath, Tier, Timestamp};

/// Files are sealed side by side as long as their planes take no more than one part in so many of the memory limit.
const SEALING_SHARE: u64 = 8;
/// No more of a file is taken at once, in bytes: the largest chunk.
const PLANE_MOST: u64 = 32 << 20;

/// A file on its way into a store.
struct Sealing {
    inode: Arc<Inode>,
    source: Object,
    before: Attr,
    names: Vec<RelPath>,
    ticket: Ticket,
    /// When it was read as it was at one moment, whatever is written to it: that moment, in milliseconds of the mount's
    /// clock.
    frozen: Option<u64>,
}

type Moved = std::result::Result<(), MoveError>;

impl Vfs {
    /// As [`Vfs::seal_batch`], in one commit.
    pub(super) fn seal_together(&self, inodes: &[Arc<Inode>], goal: Goal, reason: Reason, wait: bool) -> Vec<Moved> {
        // What was deleted keeps no place in a plate from what comes in its stead.
        self.remove_leaving();
        // More than one is locked: only ever by trying, unless it is alone.
        let guards: Vec<_> = match inodes {
            [one] if wait => vec![Some(one.moving.lock())],
            _ => inodes.iter().map(|inode| inode.moving.try_lock()).collect(),
        };
        let Ok(stores) = self.stores() else { return inodes.iter().map(|_| Err(MoveError::NotThere)).collect() };
        let batch = stores.begin();
        let mut begun =
            self.begin_all(inodes, &guards.iter().map(|guard| guard.is_some()).collect::<Vec<_>>(), (&*batch, reason));
        // Until the files know of their records: whoever reads the stores in between would take them for files.
        let in_place = begun.iter().any(|result| result.is_ok()).then(|| self.seals.in_place.read());
        for result in &mut begun {
            if let Ok(sealing) = result
                && let Err(e) = self.still_unchanged(sealing)
            {
                batch.abandon(sealing.ticket);
                self.end_copy(&sealing.inode);
                *result = Err(e);
            }
        }
        // A commit waits for the disk; nothing is worth no wait.
        let any = begun.iter().any(|result| result.is_ok());
        let mut committed: HashMap<Ticket, _> = if any { batch.commit().into_iter().collect() } else { HashMap::new() };
        let settle = |result: std::result::Result<Sealing, MoveError>| {
            let sealing = result?;
            let answer = committed.remove(&sealing.ticket);
            self.end_seal(sealing, answer, goal, reason)
        };
        let mut results: Vec<Moved> = begun.into_iter().map(settle).collect();
        drop(in_place);
        let missed: Vec<bool> = guards.iter().map(|guard| guard.is_none()).collect();
        drop(guards);
        if wait {
            for ((inode, missed), result) in inodes.iter().zip(missed).zip(&mut results) {
                if missed {
                    *result =
                        self.seal_together(std::slice::from_ref(inode), goal, reason, true).pop().unwrap_or(Ok(()));
                }
            }
        }
        results
    }

    /// What the store answered, taken over.
    fn end_seal(
        &self,
        sealing: Sealing,
        answer: Option<std::result::Result<SealedId, SealError>>,
        goal: Goal,
        reason: Reason,
    ) -> Moved {
        let inode = sealing.inode.clone();
        let sealed = match answer {
            Some(Ok(id)) => self.settle_sealed(&sealing, id, reason),
            Some(Err(e)) => Err(self.not_sealed(&inode, e)),
            None => Err(MoveError::NotThere),
        };
        self.end_copy(&inode);
        // Our own descriptor would look like somebody's who holds the file.
        drop(sealing);
        sealed?;
        if goal == Goal::Clean && self.stays_in_memory(&inode) {
            return Ok(());
        }
        match self.drop_pages(&inode) {
            _ if !inode.is_sealed() => Ok(()),
            // It is safe in the store; where somebody holds it, its copy in memory stays for now.
            Err(MoveError::Held) if goal == Goal::Clean => Ok(()),
            dropped => dropped,
        }
    }

    /// Reads and encodes all files, several at a time.
    fn begin_all(
        &self,
        inodes: &[Arc<Inode>],
        locked: &[bool],
        (batch, reason): (&dyn Batch, Reason),
    ) -> Vec<std::result::Result<Sealing, MoveError>> {
        let threads = self.sealers(inodes);
        let next = std::sync::atomic::AtomicUsize::new(0);
        let done: Mutex<Vec<(usize, std::result::Result<Sealing, MoveError>)>> = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        let (Some(inode), Some(locked)) = (inodes.get(n), locked.get(n)) else { break };
                        let begun = if *locked { self.begin_seal(inode, batch, reason) } else { Err(MoveError::Held) };
                        done.lock().push((n, begun));
                    }
                });
            }
        });
        let mut done = done.into_inner();
        done.sort_by_key(|(n, _)| *n);
        done.into_iter().map(|(_, begun)| begun).collect()
    }

    /// How many of these files are read and encoded side by side: what each of them takes on the way counts against the
    /// limit like what is in memory.
    fn sealers(&self, inodes: &[Arc<Inode>]) -> usize {
        let largest = inodes.iter().filter_map(|inode| self.size_of(inode.ino)).max().unwrap_or_default();
        let fit = self.budget.limit() / SEALING_SHARE / largest.clamp(1, PLANE_MOST);
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        cores.min(inodes.len()).min(usize::try_from(fit).unwrap_or(usize::MAX)).max(1)
    }

    /// Reads and encodes one file. What is written behind ([`Reason::Rule`]) is read as it is now, even if somebody
    /// goes on writing. Hold `moving`.
    fn begin_seal(
        &self,
        inode: &Arc<Inode>,
        batch: &dyn Batch,
        reason: Reason,
    ) -> std::result::Result<Sealing, MoveError> {
        let (source, subject, frozen) = {
            let _names = self.namespace.read();
            let opens = inode.opens.lock();
            if inode.is_sealed() || inode.kind != FileKind::Regular {
                return Err(MoveError::NotThere);
            }
            let freezes = reason == Reason::Rule && can_freeze(inode, &opens);
            if opens.writers > 0 && !freezes {
                return Err(MoveError::Held);
            }
            let tier = inode.place().tier;
            // A disk file is about to be replaced by a stub; in memory only stores that nobody tells of matter.
            if tier == Tier::Disk || opens.kernel_written {
                self.check_free(inode, &opens, None)?;
            }
            let source = self.open_at(inode, tier, Access::Read)?.reopen_unseen()?;
            let mut subject = self.subject(inode, &source, tier)?;
            if freezes {
                subject.attr = freeze(inode, &source)?;
            } else {
                inode.content.write().delta = Some(Mutex::new(Delta::default()));
            }
            (source, subject, freezes.then(|| self.now()))
        };
        let (before, names) = (subject.attr, subject.names.clone());
        let composite = inode.content.read().partial().map(|partial| Composite::new(&source, partial.clone()));
        let bytes: &dyn ByteSource = composite.as_ref().map_or(&source, |composite| composite);
        let still = Frozen { source: bytes, inode, size: before.size };
        match batch.add(subject, if frozen.is_some() { &still } else { bytes }) {
            Ok(ticket) => Ok(Sealing { inode: inode.clone(), source, before, names, ticket, frozen }),
            Err(e) => {
                // Read while it was written: no wonder that it differs, or seems to be no image.
                let written = self.was_written(inode)
                    || inode.opens.lock().writers > 0
                    || !is_still(&source, &before).unwrap_or(false);
                self.end_copy(inode);
                if written && !matches!(e, SealError::NoSpace) {
                    Err(MoveError::Held)
                } else {
                    Err(self.not_sealed(inode, e))
                }
            }
        }
    }

    fn subject(&self, inode: &Inode, source: &Object, tier: Tier) -> std::result::Result<Subject, MoveError> {
        let attr = source.stat()?;
        let names = inode.paths();
        let Some(first) = names.first() else { return Err(MoveError::NotThere) };
        if tier == Tier::Disk && attr.nlink > 1 {
            return Err(Error::Busy("it has several names on disk, of which not all are known").into());
        }
        let originals = self.originals(first);
        let labels = self.labels_of(first);
        Ok(Subject {
            attr,
            xattrs: source.xattrs().all()?,
            replaces: inode.sealed_id().or_else(|| self.seals.kept.get(&inode.ino).map(|kept| kept.id)),
            originals,
            found: if tier == Tier::Disk { Some(attr.identity()) } else { self.plain_copy(inode) },
            names,
            labels,
        })
    }

    /// Whether what was read is still what the file is, as far as can be told before the commit.
    fn still_unchanged(&self, sealing: &Sealing) -> Moved {
        let _names = self.namespace.read();
        let opens = sealing.inode.opens.lock();
        let same = match sealing.frozen {
            Some(_) => can_freeze(&sealing.inode, &opens) && is_preserved(&sealing.inode),
            None => {
                opens.writers == 0 && is_still(&sealing.source, &sealing.before)? && !self.was_written(&sealing.inode)
            }
        };
        let same = same && sealing.inode.paths() == sealing.names;
        if same { Ok(()) } else { Err(MoveError::Held) }
    }

    fn was_written(&self, inode: &Inode) -> bool {
        inode.content.read().delta.as_ref().is_some_and(|delta| delta.lock().bytes() > 0)
    }

    fn end_copy(&self, inode: &Inode) {
        inode.content.write().delta = None;
    }

    /// The store has the file, durably. From here on nothing may fail in a way that loses it.
    fn settle_sealed(&self, sealing: &Sealing, id: SealedId, reason: Reason) -> Moved {
        let inode = &sealing.inode;
        self.take_over(sealing, id)?;
        if self.originals_of(inode) == Originals::Keep {
            return Ok(());
        }
        if inode.paths() != sealing.names {
            let _names = self.namespace.read();
            self.update_sealed(inode)?;
        }
        if !inode.is_sealed() {
            let Some(moment) = sealing.frozen else { return Err(MoveError::Held) };
            // What was written until then is safe.
            inode.dirty_since.store(moment, Ordering::Relaxed);
            return Ok(());
        }
        inode.set_reason(reason);
        self.counters.sealed_files.fetch_add(1, Ordering::Relaxed);
        self.counters.sealed_bytes.fetch_add(sealing.before.size, Ordering::Relaxed);
        self.saw_home(inode, sealing.before.size, reason);
        self.mended(inode);
        Ok(())
    }

    /// The inode's bytes are those of the record from now on, unless it was changed meanwhile: then the record holds an
    /// older version of what is in memory, and none of what is on disk, where nobody would remember it.
    fn take_over(&self, sealing: &Sealing, id: SealedId) -> Moved {
        let inode = &sealing.inode;
        let _names = self.namespace.read();
        let opens = inode.opens.lock();
        if inode.paths().is_empty() {
            drop(opens);
            self.remove_sealed(id);
            return Err(MoveError::NotThere);
        }
        if inode.paths().iter().any(|path| !self.holds(id, path)) {
            drop(opens);
            self.forgo_record(inode, id);
            return Err(MoveError::Held);
        }
        if self.originals_of(inode) == Originals::Keep {
            self.keep_original(inode, id, &sealing.before);
            return Ok(());
        }
        let changed = self.was_written(inode)
            || opens.writers > 0
            || (!inode.in_mirror() && self.check_free(inode, &opens, Some(&sealing.source)).is_err())
            || !is_still(&sealing.source, &sealing.before)?;
        if changed && !inode.in_mirror() {
            drop(opens);
            self.remove_sealed(id);
            return Err(MoveError::Held);
        }
        self.replace_record(inode, id, sealing.before.atime);
        if changed {
            return Ok(self.note_older_version(id, &sealing.before)?);
        }
        if inode.in_mirror() {
            self.seal_in_memory(inode, id, &sealing.source)?;
        } else {
            self.seal_from_disk(inode, id, sealing, opens.total)?;
        }
        Ok(())
    }

    pub(super) fn originals_of(&self, inode: &Inode) -> Originals {
        inode.path().map_or(Originals::Replace, |path| self.originals(&path))
    }

    /// Notes which record holds a version of the file.
    pub(super) fn replace_record(&self, inode: &Arc<Inode>, id: SealedId, atime: Timestamp) {
        let mut content = inode.content.write();
        if let Some(old) = content.sealed.replace(Sealed::new(id, atime)) {
            if let Some(partial) = old.partial {
                self.rebase_partial(&mut content, partial);
            }
            self.seals.by_id.remove(&old.id);
        }
        self.seals.by_id.insert(id, inode.clone());
    }

    /// A file in memory is in a store now: it is clean, and a plain copy on disk is not needed any more. Hold the
    /// namespace lock and `opens`.
    fn seal_in_memory(&self, inode: &Arc<Inode>, id: SealedId, source: &Object) -> Result<()> {
        let attr = source.stat()?;
        // First: of a file with several names a successor could not tell that it is one file, if some of its plain names
        // were gone and nothing said that it is sealed.
        self.note(&Record::Sealed { memory: attr.identity(), id, absent: false })?;
        let dentries = inode.names.read().clone();
        for dentry in dentries.iter().filter(|dentry| dentry.over.is_some()) {
            self.remove_plain_copy(inode, dentry, attr.ino)?;
        }
        let _content = inode.content.write();
        inode.dirty.store(false, Ordering::Release);
        inode.seal_is_current.store(true, Ordering::Release);
        self.inodes.census.recount(inode);
        self.count_clean(inode, attr.blocks * 512);
        Ok(())
    }

    /// The disk file that a memory name shadows, if it is still the one that is known.
    pub(super) fn remove_plain_copy(&self, inode: &Inode, dentry: &Dentry, memory: u64) -> Result<()> {
        let Some(dir) = dentry.parent.path() else { return Ok(()) };
        let path = dir.join(&dentry.name);
        let Some(disk) = self.disk.tree().find(&path)? else { return Ok(()) };
        if !is_version(dentry.over, &disk) || self.originals(&path) == Originals::Keep {
            return Ok(());
        }
        let _times = dentry.parent.times.lock();
        let node = self.disk.tree().node(&dir)?;
        let before = node.stat()?;
        self.disk.tree().unlink(&path)?;
        self.restore_dir(&node, &before);
        self.count_disk(-1, -(disk.size as i64));
        self.note(&over_record(memory, &dentry.parent, &dentry.name, None))?;
        inode.add_name(&dentry.parent, &dentry.name, None);
        Ok(())
    }

    /// A disk file is in a store now: a stub takes its place. Hold the namespace lock and `opens`.
    fn seal_from_disk(&self, inode: &Arc<Inode>, id: SealedId, sealing: &Sealing, open: u32) -> Result<()> {
        let Some(dentry) = inode.names.read().first().cloned() else { return Err(Error::NotFound) };
        let Some(path) = inode.path() else { return Err(Error::NotFound) };
        self.mirror_dir(&dentry.parent)?;
        let staged = self.memory()?.tree().stage_empty()?;
        let object = staged.object().clone();
        object.set_size(sealing.before.size)?;
        copy_attributes(&sealing.source, &sealing.before, &object)?;
        let source = if open > 0 { Some(self.stores()?.open(id)?) } else { None };
        let mut content = inode.content.write();
        let from = content.place;
        let shown = self.identities.ctime(from, sealing.before.ctime);
        let memory_ino = object.stat()?.ino;
        let over = Some(sealing.before.identity());
        self.note(&over_record(memory_ino, &dentry.parent, &dentry.name, over))?;
        inode.add_name(&dentry.parent, &dentry.name, over);
        self.inodes.settle(memory_ino, inode.clone(), sealing.before.size);
        self.identities.moved(inode.ino, from, sealing.before.ctime, shown);
        // Before it has its name: without this a successor would take the stub's zeros for the file.
        self.note(&Record::Sealed { memory: object.stat()?.identity(), id, absent: true })?;
        let attr = match self.memory()?.publish(staged, &path, Expected::Absent) {
            Ok(attr) => attr,
            Err(e) => {
                self.inodes.unsettle(memory_ino);
                inode.add_name(&dentry.parent, &dentry.name, None);
                return Err(match e {
                    PublishError::Conflict(_) => Error::Exists,
                    PublishError::Io(_, e) => e.into(),
                });
            }
        };
        let to = Place::of(Tier::Memory, &attr);
        self.identities.moved(inode.ino, to, attr.ctime, shown);
        content.place = to;
        content.object = (open > 0).then_some(object);
        content.sealed = Some(Sealed { source, ..Sealed::new(id, sealing.before.atime) });
        inode.absent.store(true, Ordering::Release);
        inode.seal_is_current.store(true, Ordering::Release);
        inode.dirty.store(false, Ordering::Release);
        self.inodes.census.recount(inode);
        drop(content);
        self.remove_plain_copy(inode, &Dentry { over, ..dentry }, memory_ino)
    }

    /// A file that a store has, and memory too, leaves memory.
    pub(super) fn drop_pages(&self, inode: &Arc<Inode>) -> Moved {
        let _names = self.namespace.read();
        let opens = inode.opens.lock();
        if inode.is_absent() {
            return Ok(());
        }
        if !inode.in_mirror() || !inode.is_sealed() || inode.is_dirty() || opens.writers > 0 {
            return Err(MoveError::NotThere);
        }
        self.check_free(inode, &opens, None)?;
        let known = inode.content.read().sealed.as_ref().map(|sealed| (sealed.id, sealed.atime));
        let Some((id, atime)) = known else { return Err(MoveError::NotThere) };
        let source = if opens.total > 0 { Some(self.stores()?.open(id).map_err(Error::from)?) } else { None };
        let object = self.open_at(inode, Tier::Memory, Access::Write)?;
        let mut content = inode.content.write();
        if inode.is_dirty() || inode.paths().is_empty() {
            return Err(MoveError::NotThere);
        }
        let before = object.stat()?;
        let shown = self.identities.ctime(content.place, before.ctime);
        self.note(&Record::Sealed { memory: before.identity(), id, absent: true })?;
        inode.absent.store(true, Ordering::Release);
        inode.partial.store(false, Ordering::Release);
        self.inodes.census.recount(inode);
        content.sealed = Some(Sealed { source, ..Sealed::new(id, atime) });
        self.empty(&object, before.size);
        object.set_times(Times { atime: Time::At(atime), mtime: Time::At(before.mtime) })?;
        self.identities.moved(inode.ino, content.place, object.stat()?.ctime, shown);
        self.uncount_clean(inode);
        Ok(())
    }

    /// Why a file was not sealed, remembered where trying again would be of no use.
    fn not_sealed(&self, inode: &Inode, error: SealError) -> MoveError {
        match error {
            // Deleted meanwhile: nobody waits for it.
            _ if inode.paths().is_empty() => MoveError::NotThere,
            // The store that it was planned for, or the version that it replaces, has gone meanwhile: it is planned anew.
            SealError::Io(e) if e.kind() == std::io::ErrorKind::NotFound => MoveError::Held,
            SealError::Refused(_) | SealError::Claimed(_) => {
                let why = error.to_string();
                tracing::debug!("inode {} stays as it is: {why}", inode.ino);
                let _names = self.namespace.read();
                if let Ok(attr) = self.attr(inode) {
                    let fresh = self.seals.refused.insert(inode.ino, (attr.mtime, attr.size, why.clone())).is_none();
                    if fresh {
                        self.counters.refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
                MoveError::Failed(Error::Refused(why))
            }
            SealError::NoSpace => MoveError::Failed(Error::NoSpace("the workspace's disk has no room for the chunks")),
            SealError::Differs | SealError::Io(_) => {
                let e = std::io::Error::other(error.to_string());
                self.failed(inode, e.into())
            }
        }
    }

    /// Whether this very version was refused before.
    pub(super) fn is_refused(&self, inode: &Inode) -> bool {
        let Some(known) = self.seals.refused.get(&inode.ino).map(|known| (known.0, known.1)) else { return false };
        match self.attr(inode) {
            Ok(attr) if (attr.mtime, attr.size) == known => true,
            _ => {
                self.seals.refused.remove(&inode.ino);
                false
            }
        }
    }

    /// Why a file is not sealed, if that was tried.
    pub(super) fn why_refused(&self, inode: &Inode) -> Option<String> {
        self.seals.refused.get(&inode.ino).map(|known| known.2.clone())
    }
}
