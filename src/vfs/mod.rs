//! The whole file system, with no FUSE in it: inodes, names, handles, and where bytes are.
//!
//! Every call takes and gives what a file system call takes and gives; the FUSE room above only translates. A file's
//! bytes are in memory (a mirror tree in a tmpfs) or on disk (the workspace); the name in memory *shadows* the one on
//! disk until the newer bytes are durable there. How that works is told where it happens: `lookup` finds names in
//! two trees, `rename` changes both, `depart` brings bytes home, `arrive` brings them up, `recover` starts from
//! what a killed daemon left.
//!
//! # Locks, in the order in which they are taken
//!
//! 1. `Inode::moving`: one move of an inode at a time; held through the copy.
//! 2. `Vfs::namespace`: read by everything that turns an inode into a path and uses it, written by what changes names
//!    that others may be using (rename, unlink, rmdir). Never held through a copy or an fsync of data.
//! 3. `Inode::opens`: open counts; attribute changes and the end of a move.
//! 4. `Inode::content`: read through each read and write, written while the bytes change place.
//! 5. Leaves, each held for a moment: `Inode::names`, the tables, the journal, a delta.

mod arrive;
mod attributes;
mod behind;
mod budget;
mod census;
mod count;
mod data;
mod datasets;
mod delta;
mod depart;
mod directory;
mod durable;
mod error;
mod evict;
mod find;
mod forgo;
mod frozen;
mod gauge;
mod handle;
mod heat;
mod identity;
mod inode;
mod journal;
mod labels;
mod leaving;
mod lookup;
mod migrate;
mod names;
mod open;
mod partial;
mod pins;
mod promote;
mod publish;
mod rate;
mod records;
mod recover;
mod recover_records;
mod remembered;
mod rename;
mod report;
mod seal;
mod sealed;
mod seen;
mod settle;
mod shadow;
mod snapshot;
mod start;
mod stubs;
mod unseal;
mod unseal_part;
mod walk;
mod wants;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use dashmap::{DashMap, DashSet};
use parking_lot::{Mutex, RwLock};

pub use attributes::{Changes, Times};
pub use behind::WriteBound;
pub use budget::{Budget, Gauge, Room};
pub use datasets::DatasetView;
pub use depart::{Goal, MoveError};
pub use durable::Progress;
pub use error::{Error, Result};
pub use evict::Relief;
pub use find::{Found, FoundAll, Query, Sort};
pub use gauge::SystemGauge;
pub use handle::{DirEntry, Fh};
pub use identity::{ROOT, VIRTUAL};
pub use inode::{Inode, Reason};
pub use migrate::{Outlook, Placed};
pub use names::Creator;
pub use open::{OpenFlags, Opened, Serve};
pub use pins::{Pin, PinError};
pub use promote::{OnRead, Promoted, Read};
pub use recover::Recovered;
pub use rename::RenameMode;
pub use report::{Explained, Failure, Figures};
pub use seen::{Amount, Group, Observed, Past, Refused, Returned, Tally};
pub use walk::DiskTotals;

use crate::backend::zarr::{SealedId, Stores};
use crate::backend::{Disk, Memory};
use crate::model::{Clock, FileKind, RelPath, Tier, Timestamp};
use crate::route::Router;
use behind::Behind;
use datasets::Datasets;
use handle::Handles;
use identity::{Identities, Place};
use inode::InodeTable;
use journal::Journal;
use promote::Promotion;

/// The name that the daemon keeps for itself at the top of a workspace, and that the mount fills with status files.
pub const OWN_DIR: &str = ".scopefs";

/// What a mount is made of.
pub struct Parts {
    /// The workspace.
    pub disk: Disk,
    /// The memory tier; `None` where there is none (read-only mounts, no tmpfs to be had).
    pub memory: Option<Memory>,
    /// The stores; `None` where nothing is sealed and no sealed file is shown.
    pub stores: Option<Box<dyn Stores>>,
    /// Stores are listed like any directory.
    pub show_stores: bool,
    /// The rules.
    pub router: Router,
    /// Limit and marks.
    pub budget: Budget,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Whether the kernel may serve files itself, as far as is known yet.
    pub passthrough: bool,
    /// Nothing may be written.
    pub read_only: bool,
    /// The memory tier may end with a login session or a job: what is dirty comes home soon.
    pub short_lived: bool,
    /// The time within which everything dirty must be able to come home then.
    pub stop_within: std::time::Duration,
    /// A sealed file of at least this many bytes is unsealed in part when somebody writes to it.
    pub unseal_in_part_from: u64,
    /// Called when the last reader of a file has closed it: must return at once.
    pub on_read: OnRead,
    /// Called when memory is short, from the thread of the request: must return at once.
    pub on_short: Box<dyn Fn() + Send + Sync>,
}

/// A file system over a workspace.
pub struct Vfs {
    namespace: RwLock<()>,
    disk: Disk,
    memory: Option<Memory>,
    stores: Option<Box<dyn Stores>>,
    show_stores: bool,
    seals: SealTables,
    router: Arc<Router>,
    pins: pins::Pins,
    inodes: InodeTable,
    identities: Identities,
    journal: Option<Journal>,
    budget: Budget,
    handles: Handles,
    clock: Arc<dyn Clock>,
    passthrough: AtomicBool,
    /// On overlayfs the lease test sees no mappings: what the kernel served could never be moved safely.
    disk_leases: bool,
    read_only: bool,
    datasets: Datasets,
    behind: Behind,
    unseal_in_part_from: u64,
    draining: AtomicBool,
    root: Arc<Inode>,
    on_short: Box<dyn Fn() + Send + Sync>,
    promotion: Promotion,
    counters: Counters,
    seen: seen::Seen,
    listing: snapshot::Listing,
    began: std::time::Duration,
    failures: Mutex<Vec<Failure>>,
    conflicts: Mutex<Vec<RelPath>>,
}

/// What is known of sealed files beyond their inodes.
#[derive(Debug, Default)]
struct SealTables {
    /// Files of which a store holds a version, by their record.
    by_id: DashMap<SealedId, Arc<Inode>>,
    /// Records that are on their way out.
    dropped: DashSet<SealedId>,
    /// Of these, files that were deleted one behind the other.
    leaving: leaving::Leaving,
    /// Plain files of which a store holds a copy besides.
    kept: DashMap<u64, Kept>,
    /// Files that cannot be sealed, in the version (mtime, size) that was tried, and why.
    refused: DashMap<u64, (Timestamp, u64, String)>,
    /// Below these nothing is sealed any more, because the mount is to end with plain files there.
    plain: RwLock<Vec<RelPath>>,
    /// Files on disk that are to be sealed when they have come to rest.
    waiting: DashMap<u64, Arc<Inode>>,
    /// Held for reading from a commit until its files know of their records; for writing while a directory is renamed,
    /// because a commit knows its store by its path, and while stores are read. Before the namespace lock, never under it.
    in_place: RwLock<()>,
}

/// A copy of a plain file in a store, of this version.
#[derive(Debug, Clone, Copy)]
struct Kept {
    id: SealedId,
    mtime: Timestamp,
    size: u64,
}

/// What has happened so far.
#[derive(Debug, Default)]
struct Counters {
    materialized_files: AtomicU64,
    materialized_bytes: AtomicU64,
    failed: AtomicU64,
    promoted_files: AtomicU64,
    sealed_files: AtomicU64,
    sealed_bytes: AtomicU64,
    refused: AtomicU64,
    disk_files: std::sync::atomic::AtomicI64,
    disk_bytes: std::sync::atomic::AtomicI64,
    disk_counted: AtomicBool,
    images: Mutex<Vec<(crate::route::RuleId, u64, u64)>>,
}

/// Decoded chunks may take this part of the memory limit, within bounds in bytes.
const CACHE_SHARE: u64 = 16;
const CACHE_LEAST: u64 = 8 << 20;
const CACHE_MOST: u64 = 512 << 20;
const OVERLAYFS_MAGIC: i64 = 0x794c_7630;

impl Vfs {
    /// Builds the file system and takes over what an earlier daemon left in memory.
    pub fn new(parts: Parts) -> Result<(Arc<Vfs>, Recovered)> {
        let root_attr = parts.disk.tree().stat(&RelPath::root())?;
        let place = Place::of(Tier::Disk, &root_attr);
        let root = Arc::new(Inode::new(ROOT, FileKind::Directory, place, Reason::Found));
        let inodes = InodeTable::default();
        inodes.insert(root.clone());
        root.mirrored.store(parts.memory.is_some(), std::sync::atomic::Ordering::Release);
        let journal = parts.memory.as_ref().map(|memory| Journal::open(memory.top())).transpose()?;
        let (journal, records) = journal.map_or_else(Default::default, |(journal, records)| (Some(journal), records));
        let disk_leases = rustix::fs::fstatfs(parts.disk.tree().root())?.f_type as i64 != OVERLAYFS_MAGIC;
        let pins = pins::Pins::load(&parts.disk);
        let lines = *parts.router.lines();
        let vfs = Vfs {
            namespace: RwLock::new(()),
            disk: parts.disk,
            memory: parts.memory,
            stores: parts.stores,
            show_stores: parts.show_stores,
            seals: SealTables::default(),
            router: Arc::new(parts.router),
            pins,
            inodes,
            identities: Identities::new(place),
            journal,
            budget: parts.budget,
            handles: Handles::default(),
            began: parts.clock.now(),
            clock: parts.clock,
            passthrough: AtomicBool::new(parts.passthrough),
            disk_leases,
            read_only: parts.read_only,
            datasets: Datasets::new(lines),
            behind: Behind::new(parts.short_lived.then_some(parts.stop_within)),
            unseal_in_part_from: parts.unseal_in_part_from,
            draining: AtomicBool::new(false),
            root,
            on_short: parts.on_short,
            promotion: Promotion::new(parts.on_read),
            counters: Counters::default(),
            seen: seen::Seen::default(),
            listing: snapshot::Listing::default(),
            failures: Mutex::new(Vec::new()),
            conflicts: Mutex::new(Vec::new()),
        };
        if let Some(stores) = &vfs.stores {
            stores.set_cache((vfs.budget.limit() / CACHE_SHARE).clamp(CACHE_LEAST, CACHE_MOST));
        }
        let recovered = vfs.recover(records)?;
        Ok((Arc::new(vfs), recovered))
    }

    /// Limit, marks and what is held.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The rules.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Milliseconds of the mount's clock; never 0, which means "not yet".
    fn now(&self) -> u64 {
        self.clock.now().as_millis() as u64 + 1
    }

    /// From now on new files go to disk, because the mount is about to end.
    pub fn set_draining(&self, draining: bool) {
        if !draining {
            self.seals.plain.write().clear();
        }
        self.draining.store(draining, std::sync::atomic::Ordering::Relaxed);
    }

    /// Whether the mount is about to end.
    pub fn is_draining(&self) -> bool {
        self.draining.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Whether nothing may be written.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn check_writable(&self) -> Result<()> {
        if self.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    /// The memory tier, where the caller has just seen a file in it.
    fn memory(&self) -> Result<&Memory> {
        self.memory.as_ref().ok_or(Error::Unsupported("this mount has no memory tier"))
    }

    /// Adds a record to the journal; a mount without a memory tier has nothing to note.
    fn note(&self, record: &journal::Record) -> Result<()> {
        match &self.journal {
            Some(journal) => Ok(journal.append(record)?),
            None => Ok(()),
        }
    }

    /// An inode by the number that the mount shows.
    fn inode(&self, ino: u64) -> Result<Arc<Inode>> {
        self.inodes.get(ino).ok_or(Error::Stale)
    }

    /// A directory by the number that the mount shows, with the files of its stores. Not under the namespace lock.
    fn dir_inode(&self, ino: u64) -> Result<Arc<Inode>> {
        let inode = self.inode(ino)?;
        if inode.kind != FileKind::Directory {
            return Err(Error::NotDirectory);
        }
        self.load_stores(&inode)?;
        Ok(inode)
    }
}
