//! Inodes and the names that lead to them.

use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::{Condvar, Mutex, RwLock};
use smallvec::SmallVec;

use super::census::{Census, Counted};
use super::datasets::Dataset;
use super::delta::Delta;
use super::identity::Place;
use super::sealed::Sealed;
use super::seen::Tally;
use crate::backend::{Node, Object};
use crate::model::{Attr, FileKind, Identity, Name, RelPath, Tier};

/// One name of an inode.
#[derive(Debug, Clone)]
pub(crate) struct Dentry {
    /// The directory it is in.
    pub parent: Arc<Inode>,
    /// The name there.
    pub name: Box<OsStr>,
    /// The version of the disk file that this memory name shadows, if there is one under it.
    pub over: Option<Identity>,
}

impl Dentry {
    /// Whether this is `name` in `parent`.
    pub fn is(&self, parent: &Inode, name: &Name) -> bool {
        self.parent.ino == parent.ino && &*self.name == name
    }
}

/// Who serves the open handles of an inode. All of them belong to one family until the last is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Requests come to us; the inode can be moved while it is open.
    Daemon,
    /// The kernel reads and writes the backing file itself; the inode stays where it is.
    Kernel,
}

/// What is open.
#[derive(Debug, Default)]
pub(crate) struct Opens {
    /// Handles.
    pub total: u32,
    /// Of these, handles that may write.
    pub writers: u32,
    /// Of these, handles of programs that run.
    pub programs: u32,
    /// Set while `total` is not zero.
    pub family: Option<Family>,
    /// The kernel has served this inode since it was last proven that no mapping holds it.
    pub maybe_mapped: bool,
    /// The kernel may have written without our hearing of it: dirty, whatever its times say.
    pub kernel_written: bool,
    /// When it was last fsynced through the mount.
    pub synced: Option<Duration>,
}

/// Where the bytes are, and the open object where a handle needs one.
#[derive(Debug)]
pub(crate) struct Content {
    /// Tier and inode of the backend.
    pub place: Place,
    /// Open while any handle is.
    pub object: Option<Arc<Object>>,
    /// While a copy is being made: what was written since.
    pub delta: Option<Mutex<Delta>>,
    /// Set when the inode has lost its last name.
    pub gone: Option<Box<Gone>>,
    /// The version that a store holds.
    pub sealed: Option<Sealed>,
    /// What its length counts to; unknown until somebody may write to it.
    pub dataset: Option<Arc<Dataset>>,
}

/// What is left of an inode without a name. The kernel may still open it: a program may have found the name a moment
/// before it was taken away.
#[derive(Debug)]
pub(crate) struct Gone {
    /// The last attributes, with no names.
    pub attr: Attr,
    /// The inode itself, until the kernel forgets it.
    pub node: Option<Node>,
}

/// Why a file's bytes are where they are; for `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// It was in the workspace before, or was put there by somebody else.
    Found,
    /// Its rule says so.
    Rule,
    /// Memory was under pressure when it was made.
    PressureAtCreate,
    /// Memory was under pressure, and it was its turn to go home.
    Evicted,
    /// It outgrew what memory had left while it was written.
    Outgrown,
    /// It is fsynced again and again, or opened for synchronous writing.
    Synced,
    /// Somebody asked for it.
    Migrated,
    /// Attributes that memory could take but its home might not.
    Attributes,
    /// It was in memory when an earlier daemon ended.
    Recovered,
    /// It has several names on disk.
    Linked,
    /// Its directory is on another file system than the workspace's root.
    OtherFileSystem,
    /// There is no memory tier in this mount.
    NoMemoryTier,
    /// It came to rest under a rule that seals.
    Sealed,
    /// A sealed file that somebody writes to.
    Unsealed,
    /// Memory holds as much as can be written before the job or session ends.
    SessionBound,
    /// It is read again and again, or somebody walks towards it.
    Promoted,
}

/// A file, directory, link or special file.
#[derive(Debug)]
pub struct Inode {
    /// The number that the mount shows.
    pub ino: u64,
    /// What it is.
    pub kind: FileKind,
    /// How many lookups the kernel has not forgotten.
    pub(crate) lookups: AtomicU64,
    /// Last open, in milliseconds of the mount's clock.
    pub(crate) used: AtomicU64,
    /// First change that the home does not have, in milliseconds of the mount's clock.
    pub(crate) dirty_since: AtomicU64,
    /// Last change, likewise.
    pub(crate) changed: AtomicU64,
    /// Milliseconds between the last change and the next time that somebody opened it to write.
    pub(crate) writer_gap: AtomicU64,
    /// Bytes of this file that the budget counts as clean.
    pub(crate) clean_bytes: AtomicU64,
    /// Length that its dataset counts, while it has one. Changed under `content`, for reading or writing.
    pub(crate) length: AtomicU64,
    /// It was in the workspace before, or was put there by somebody else, and nobody has opened it for writing since.
    pub(crate) found: AtomicBool,
    /// Memory holds what the home does not.
    pub(crate) dirty: AtomicBool,
    /// Bytes of it that were written to disk or sealed, all in all.
    pub(crate) brought_home: AtomicU64,
    /// It was last written to disk because it had been idle.
    pub(crate) written_behind: AtomicBool,
    /// It was last written to disk because its dataset is beyond `memory_below`.
    pub(crate) written_at_once: AtomicBool,
    /// How often it was opened for reading on disk.
    pub(crate) opened: AtomicU32,
    /// Where what happens to it is counted, once something has.
    pub(crate) tally: OnceLock<Arc<Tally>>,
    /// It has a name in the mirror tree.
    pub(crate) resident: AtomicBool,
    /// Length of a file in memory, in bytes.
    pub(crate) size: AtomicU64,
    /// A leaf: how the census counts it.
    pub(crate) counted: Mutex<Counted>,
    /// The bytes are only in a store; what stands in memory is a name with attributes. Changed under `content`.
    pub(crate) absent: AtomicBool,
    /// Some of its bytes are only in a store, others perhaps only in memory. Changed under `content`.
    pub(crate) partial: AtomicBool,
    /// What the store holds is the newest version.
    pub(crate) seal_is_current: AtomicBool,
    /// For directories: when its stores were last looked for, in milliseconds of the mount's clock; 0 for never.
    pub(crate) stores_read: AtomicU64,
    /// For directories: held while its stores are looked for. The first look is waited for.
    pub(crate) reading_stores: Mutex<()>,
    /// For directories: what was found then.
    pub(crate) stores_revision: AtomicU64,
    /// For directories: there is a mirror directory.
    pub(crate) mirrored: AtomicBool,
    /// For directories: the mirror directory may carry a default ACL. True until the first look.
    pub(crate) has_default_acl: AtomicBool,
    reason: AtomicU8,
    /// For directories, a leaf: held while a name comes or goes, so that a move that restores the directory's times
    /// undoes nobody else's.
    pub(crate) times: Mutex<()>,
    /// Leaf lock: held only to read or change the list.
    pub(crate) names: RwLock<SmallVec<[Dentry; 1]>>,
    /// Held through a whole move, so that there is one at a time. Taken before anything else.
    pub(crate) moving: Mutex<()>,
    /// Told when the last handle of a family is released; goes with `opens`.
    pub(crate) released: Condvar,
    /// After the namespace lock, before `content`. Attribute changes and the end of a move hold it.
    pub(crate) opens: Mutex<Opens>,
    /// Held for reading through each read and write, for writing while the bytes change place.
    pub(crate) content: RwLock<Content>,
}

impl Inode {
    /// An inode that nobody knows yet.
    pub(crate) fn new(ino: u64, kind: FileKind, place: Place, reason: Reason) -> Inode {
        Inode {
            ino,
            kind,
            lookups: AtomicU64::new(0),
            used: AtomicU64::new(0),
            dirty_since: AtomicU64::new(0),
            changed: AtomicU64::new(0),
            writer_gap: AtomicU64::new(0),
            clean_bytes: AtomicU64::new(0),
            length: AtomicU64::new(0),
            found: AtomicBool::new(false),
            dirty: AtomicBool::new(false),
            brought_home: AtomicU64::new(0),
            written_behind: AtomicBool::new(false),
            written_at_once: AtomicBool::new(false),
            opened: AtomicU32::new(0),
            tally: OnceLock::new(),
            resident: AtomicBool::new(false),
            size: AtomicU64::new(0),
            counted: Mutex::default(),
            absent: AtomicBool::new(false),
            partial: AtomicBool::new(false),
            seal_is_current: AtomicBool::new(false),
            stores_read: AtomicU64::new(0),
            reading_stores: Mutex::new(()),
            stores_revision: AtomicU64::new(0),
            mirrored: AtomicBool::new(false),
            has_default_acl: AtomicBool::new(true),
            reason: AtomicU8::new(reason as u8),
            times: Mutex::new(()),
            names: RwLock::new(SmallVec::new()),
            moving: Mutex::new(()),
            released: Condvar::new(),
            opens: Mutex::new(Opens::default()),
            content: RwLock::new(Content { place, object: None, delta: None, gone: None, sealed: None, dataset: None }),
        }
    }

    /// Where the bytes are now.
    pub(crate) fn place(&self) -> Place {
        self.content.read().place
    }

    /// In which tier the bytes are now.
    pub fn tier(&self) -> Tier {
        let content = self.content.read();
        if self.is_absent() { Tier::Zarr } else { content.place.tier }
    }

    /// Whether its names and attributes are in the mirror tree: the bytes are in memory or in a store.
    pub(crate) fn in_mirror(&self) -> bool {
        self.place().tier == Tier::Memory
    }

    /// Whether the bytes are only in a store.
    pub(crate) fn is_absent(&self) -> bool {
        self.absent.load(Ordering::Acquire)
    }

    /// Whether a store holds the newest version, whatever else does.
    pub(crate) fn is_sealed(&self) -> bool {
        self.seal_is_current.load(Ordering::Acquire)
    }

    /// Whether it was there before, and nobody has rewritten it through the mount.
    pub(crate) fn is_found(&self) -> bool {
        self.found.load(Ordering::Acquire)
    }

    /// Whether memory holds what the home does not.
    pub fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Acquire)
    }

    /// Whether a directory has a mirror in memory.
    pub(crate) fn is_mirrored(&self) -> bool {
        self.mirrored.load(Ordering::Acquire)
    }

    /// Why the bytes are where they are.
    pub fn reason(&self) -> Reason {
        use Reason::*;
        const ALL: [Reason; 16] = [
            Found,
            Rule,
            PressureAtCreate,
            Evicted,
            Outgrown,
            Synced,
            Migrated,
            Attributes,
            Recovered,
            Linked,
            OtherFileSystem,
            NoMemoryTier,
            Sealed,
            Unsealed,
            SessionBound,
            Promoted,
        ];
        ALL[usize::from(self.reason.load(Ordering::Relaxed)) % ALL.len()]
    }

    pub(crate) fn set_reason(&self, reason: Reason) {
        self.reason.store(reason as u8, Ordering::Relaxed);
    }

    /// The first path that leads here; `None` if the last name is gone. Hold the namespace lock while using it.
    pub(crate) fn path(&self) -> Option<RelPath> {
        self.paths().into_iter().next()
    }

    /// All known paths that lead here.
    pub(crate) fn paths(&self) -> Vec<RelPath> {
        if self.ino == super::identity::ROOT {
            return vec![RelPath::root()];
        }
        let names = self.names.read().clone();
        names.iter().filter_map(|dentry| Some(dentry.parent.path()?.join(&dentry.name))).collect()
    }

    /// Adds a name, or updates what it shadows.
    pub(crate) fn add_name(&self, parent: &Arc<Inode>, name: &Name, over: Option<Identity>) {
        let mut names = self.names.write();
        match names.iter_mut().find(|dentry| dentry.is(parent, name)) {
            Some(dentry) => dentry.over = over,
            None => names.push(Dentry { parent: parent.clone(), name: name.into(), over }),
        }
    }

    /// Makes sure a name is known, leaving what it shadows as it is.
    pub(crate) fn know_name(&self, parent: &Arc<Inode>, name: &Name) {
        if self.names.read().iter().any(|dentry| dentry.is(parent, name)) {
            return;
        }
        self.names.write().push(Dentry { parent: parent.clone(), name: name.into(), over: None });
    }

    /// Removes a name.
    pub(crate) fn drop_name(&self, parent: &Inode, name: &Name) {
        self.names.write().retain(|dentry| !dentry.is(parent, name));
    }

    /// What `name` in `parent` shadows on disk.
    pub(crate) fn over(&self, parent: &Inode, name: &Name) -> Option<Identity> {
        self.names.read().iter().find(|dentry| dentry.is(parent, name)).and_then(|dentry| dentry.over)
    }
}

/// Every inode that the kernel knows, that is open, or that is in memory.
#[derive(Debug, Default)]
pub(crate) struct InodeTable {
    by_ino: DashMap<u64, Arc<Inode>>,
    /// Files in memory, by their inode number in the tmpfs.
    resident: DashMap<u64, Arc<Inode>>,
    /// Of these, which are dirty.
    pub census: Census,
}

impl InodeTable {
    /// The inode shown as `ino`.
    pub fn get(&self, ino: u64) -> Option<Arc<Inode>> {
        self.by_ino.get(&ino).map(|inode| inode.clone())
    }

    /// The inode shown as `ino`, made by `make` if it is not known; one more lookup if `counted`.
    pub fn get_or_insert(&self, ino: u64, counted: bool, make: impl FnOnce() -> Inode) -> Arc<Inode> {
        let inode = match self.by_ino.entry(ino) {
            Entry::Occupied(known) => known.into_ref(),
            Entry::Vacant(free) => free.insert(Arc::new(make())),
        };
        // Counted while the entry is locked: a forget cannot remove it in between.
        if counted {
            inode.lookups.fetch_add(1, Ordering::Relaxed);
        }
        inode.clone()
    }

    /// Adds an inode that was made elsewhere.
    pub fn insert(&self, inode: Arc<Inode>) {
        self.by_ino.insert(inode.ino, inode);
    }

    /// The kernel forgets `count` lookups.
    pub fn forget(&self, ino: u64, count: u64) {
        let Some(inode) = self.get(ino) else { return };
        let before = inode.lookups.fetch_sub(count, Ordering::AcqRel);
        debug_assert!(before >= count, "the kernel forgot more lookups than it made");
        drop(inode);
        self.remove_if_unused(ino);
    }

    /// Removes an inode that nobody needs, and then the directories that only it kept.
    pub fn remove_if_unused(&self, ino: u64) {
        let mut next = Some(ino);
        while let Some(ino) = next.take() {
            let removed = self.by_ino.remove_if(&ino, |_, inode| {
                ino != super::identity::ROOT
                    && inode.lookups.load(Ordering::Acquire) == 0
                    // Children, handles and residents each hold a reference.
                    && Arc::strong_count(inode) == 1
            });
            if let Some((_, inode)) = removed {
                let parent = inode.names.read().first().map(|dentry| dentry.parent.ino);
                drop(inode);
                next = parent;
            }
        }
    }

    /// The file in memory with this inode number in the tmpfs.
    pub fn resident(&self, memory_ino: u64) -> Option<Arc<Inode>> {
        self.resident.get(&memory_ino).map(|inode| inode.clone())
    }

    /// Notes that `inode`, of so many bytes, is in memory.
    pub fn settle(&self, memory_ino: u64, inode: Arc<Inode>, size: u64) {
        inode.size.store(size, Ordering::Release);
        inode.resident.store(true, Ordering::Release);
        self.census.recount(&inode);
        self.resident.insert(memory_ino, inode);
    }

    /// Notes that the file is no longer in memory.
    pub fn unsettle(&self, memory_ino: u64) {
        if let Some((_, inode)) = self.resident.remove(&memory_ino) {
            inode.resident.store(false, Ordering::Release);
            self.census.recount(&inode);
        }
    }

    /// Every file in memory.
    pub fn residents(&self) -> Vec<Arc<Inode>> {
        self.resident.iter().map(|entry| entry.value().clone()).collect()
    }

    /// Every regular file that is known.
    pub fn files(&self) -> Vec<Arc<Inode>> {
        self.by_ino.iter().filter(|inode| inode.kind == FileKind::Regular).map(|inode| inode.clone()).collect()
    }

    /// Every directory that is known.
    pub fn directories(&self) -> Vec<Arc<Inode>> {
        self.by_ino.iter().filter(|inode| inode.kind == FileKind::Directory).map(|inode| inode.clone()).collect()
    }

    /// How many files are in memory.
    pub fn resident_count(&self) -> usize {
        self.resident.len()
    }

    /// At most `most` disk files that are known only because the kernel remembers them, with a name of each.
    pub fn remembered(&self, most: usize) -> Vec<(u64, Box<OsStr>)> {
        let mut found = Vec::new();
        for inode in self.by_ino.iter() {
            if found.len() >= most {
                break;
            }
            // Open handles and files in memory hold further references.
            if inode.kind == FileKind::Directory || Arc::strong_count(&inode) > 1 {
                continue;
            }
            if let Some(dentry) = inode.names.read().first() {
                found.push((dentry.parent.ino, dentry.name.clone()));
            }
        }
        found
    }

    /// How many inodes are known.
    pub fn len(&self) -> usize {
        self.by_ino.len()
    }
}
