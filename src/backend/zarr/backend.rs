//! The stores of a workspace, as the file system uses them.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::ahead::{self, Walks};
use super::batch::Sealer;
use super::blosc::{Filter, FilterChoice};
use super::cache::Cache;
use super::files::Files;
use super::ground::{Ground, Hook};
use super::reader::Opened;
use super::registry::Registry;
use super::remove::{drop_empty, remove_record, remove_records};
use super::store::{Store, relative};
use super::stores::{
    Batch, SealError, SealedEntry, SealedFile, SealedId, StoreFigures, StoreTotal, StoredAt, Stores, Within,
};
use super::table::{Attributes, Rebuilt, RecordId};
use super::{due, tidy, within};
use crate::backend::ByteSource;
use crate::config;
use crate::model::RelPath;
use crate::plate::Recogniser;
use crate::view::Layout;

/// Directories and metadata that a chunk may need, in inodes.
const INODES_A_CHUNK: u64 = 4;
/// Inodes for groups and arrays of a file.
const INODES_A_FILE: u64 = 24;
/// Bytes of decoded chunks that are kept where nobody says otherwise.
const CACHE: usize = 32 << 20;
/// Bytes that are left to others on the disk.
const BYTES_LEFT: u64 = 16 << 20;

/// The stores of a workspace.
pub struct Zarr {
    pub(super) ground: Arc<Ground>,
    pub(super) registry: Registry,
    pub(super) recogniser: Recogniser,
    walks: Walks,
}

impl Zarr {
    /// The stores below `root`, with temporary files in `staging`, a directory on the same file system that nobody else
    /// uses or empties; `None` for a workspace that is only read. `patterns` are those of plates from the configuration
    /// ([`Recogniser::new`]).
    ///
    /// What an earlier run left in `staging` is put in place or removed.
    pub fn new(
        root: OwnedFd,
        staging: Option<OwnedFd>,
        config: &config::Zarr,
        patterns: &[String],
    ) -> io::Result<Zarr> {
        Zarr::with_hook(root, staging, config, patterns, None)
    }

    /// The same, with something that is called at each step of a commit.
    pub(super) fn with_hook(
        root: OwnedFd,
        staging: Option<OwnedFd>,
        config: &config::Zarr,
        patterns: &[String],
        hook: Option<Hook>,
    ) -> io::Result<Zarr> {
        let recogniser = Recogniser::new(patterns).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
        let writable = staging.is_some();
        // Nothing is ever staged where nothing is written: any directory will do.
        let staging = staging.map_or_else(|| root.try_clone(), Ok)?;
        let files = Files::new(root, staging)?;
        let filter = match config.filter {
            config::Filter::Auto => FilterChoice::Auto,
            config::Filter::None => FilterChoice::Always(Filter::None),
            config::Filter::Shuffle => FilterChoice::Always(Filter::Shuffle),
            config::Filter::Bitshuffle => FilterChoice::Always(Filter::BitShuffle),
        };
        let (cache, opened) = (Cache::new(CACHE), Opened::default());
        let (version, shards) = (config.ngff, config.shards);
        let ground = Arc::new(Ground { files, version, shards, filter, writable, hook, cache, opened });
        if writable {
            due::finish_left(&ground)?;
        }
        Ok(Zarr { registry: Registry::new(ground.clone()), ground, recogniser, walks: Walks::default() })
    }

    /// Fails where nothing may be written.
    pub(super) fn check_writable(&self) -> io::Result<()> {
        if self.ground.writable { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EROFS)) }
    }

    /// Refuses a file whose chunks would not find room, before anything is written.
    pub(super) fn has_room(&self, layout: &Layout) -> Result<(), SealError> {
        let free = rustix::fs::fstatvfs(self.ground.files.tree().root()).map_err(io::Error::from)?;
        let bytes = free.f_bavail.saturating_mul(free.f_frsize);
        let chunks: u64 =
            layout.arrays.iter().map(|a| a.planes.saturating_mul(a.rows()).saturating_mul(a.columns())).sum();
        let inodes = chunks.saturating_mul(INODES_A_CHUNK).saturating_add(INODES_A_FILE);
        // Some file systems have no fixed number of inodes, and say 0 of 0.
        let enough_inodes = free.f_files == 0 || free.f_favail >= inodes;
        if enough_inodes && bytes >= layout.size.saturating_add(BYTES_LEFT) { Ok(()) } else { Err(SealError::NoSpace) }
    }

    fn store(&self, id: SealedId) -> io::Result<Arc<Store>> {
        self.registry.get(id.store).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Stores for Zarr {
    fn begin(&self) -> Box<dyn Batch + '_> {
        Box::new(Sealer::new(self))
    }

    fn listing(&self, dir: &RelPath) -> io::Result<Vec<SealedEntry>> {
        let mut all = Vec::new();
        for store in self.registry.list(dir)? {
            let state = store.state.lock();
            for (record, entry) in &state.entries {
                let mut listed = store.sealed_entry(*record, entry);
                // A name that a newer record has is not this one's any more.
                let base = store.base();
                listed
                    .names
                    .retain(|name| relative(&base, name).is_some_and(|name| state.by_name.get(&name) == Some(record)));
                all.push(listed);
            }
        }
        Ok(all)
    }

    fn revision(&self, dir: &RelPath) -> io::Result<u64> {
        let stores = self.registry.list(dir)?;
        let there = stores.iter().filter(|store| store.is_created() && !store.is_gone());
        // The order in which they are found says nothing.
        Ok(there.fold(0, |sum, store| sum ^ (store.id as u64) ^ (store.id >> 64) as u64))
    }

    fn open(&self, id: SealedId) -> io::Result<Arc<dyn ByteSource>> {
        let store = self.store(id)?;
        let record = {
            let state = store.state.lock();
            ahead::opened(&self.walks, &store, &state, RecordId(id.record));
            store.record(&state, RecordId(id.record))?
        };
        let recipe = store.recipe(&record)?;
        let reader = store.reader(&record);
        Ok(Arc::new(Rebuilt::new(reader.arrays.clone(), Arc::new(recipe), reader)))
    }

    fn holds_name(&self, id: SealedId, name: &RelPath) -> bool {
        self.registry.get(id.store).is_some_and(|store| relative(&store.base(), name).is_some())
    }

    fn update(&self, entry: &SealedEntry) -> io::Result<()> {
        self.check_writable()?;
        let store = self.store(entry.id)?;
        let base = store.base();
        let mut state = store.state.lock();
        let id = RecordId(entry.id.record);
        let mut record = store.record(&state, id)?;
        let outside = || io::Error::new(io::ErrorKind::InvalidInput, "a name lies outside of the store's directory");
        record.names = entry.names.iter().map(|n| relative(&base, n).ok_or_else(outside)).collect::<io::Result<_>>()?;
        record.attributes =
            Attributes { perm: entry.perm, uid: entry.uid, gid: entry.gid, atime: entry.atime, mtime: entry.mtime };
        record.xattrs = entry.xattrs.clone();
        record.source = entry.found;
        super::update::put(&store, &mut state, &record)
    }

    fn remove(&self, id: SealedId) -> io::Result<()> {
        self.check_writable()?;
        let store = self.store(id)?;
        remove_record(&store, RecordId(id.record))?;
        self.registry.forget_unused(&store);
        Ok(())
    }

    fn remove_all(&self, ids: &[SealedId]) -> Vec<(SealedId, io::Error)> {
        let mut by_store: BTreeMap<u128, Vec<RecordId>> = BTreeMap::new();
        for id in ids {
            by_store.entry(id.store).or_default().push(RecordId(id.record));
        }
        let mut failed = Vec::new();
        for (number, records) in by_store {
            let of = |record: RecordId| SealedId { store: number, record: record.0 };
            let removed = self.check_writable().and_then(|()| self.store(SealedId { store: number, record: 0 }));
            match removed {
                Ok(store) => {
                    let kept = remove_records(&store, &records);
                    failed.extend(kept.into_iter().map(|(record, e)| (of(record), e)));
                    self.registry.forget_unused(&store);
                }
                Err(e) => failed.extend(records.into_iter().map(|record| (of(record), io::Error::from(e.kind())))),
            }
        }
        failed
    }

    fn clear(&self, dir: &RelPath) -> io::Result<()> {
        for store in self.registry.list(dir)? {
            drop_empty(&store)?;
            self.registry.forget_unused(&store);
        }
        Ok(())
    }

    fn rename_dirs(&self, from: &RelPath, to: &RelPath, exchange: bool, act: &mut dyn FnMut() -> bool) {
        self.registry.rename(from, to, exchange, act);
    }

    fn within(&self, path: &RelPath) -> Within {
        within::within(&self.registry, path)
    }

    fn stored_at(&self, id: SealedId) -> Option<StoredAt> {
        let store = self.registry.get(id.store)?;
        let state = store.state.lock();
        let entry = state.entries.get(&id.record)?;
        Some(StoredAt { store: store.place(), array: entry.array.clone(), stored_bytes: entry.stored })
    }

    fn figures(&self) -> StoreFigures {
        let mut figures = StoreFigures::default();
        for store in self.registry.all() {
            figures.stores += u64::from(store.is_created() && !store.is_gone());
            figures.files += store.totals.files.load(Ordering::Relaxed);
            figures.bytes += store.totals.bytes.load(Ordering::Relaxed);
            figures.stored_bytes += store.totals.stored.load(Ordering::Relaxed);
        }
        figures
    }

    fn totals(&self) -> Vec<StoreTotal> {
        self.store_totals()
    }

    fn visit_sealed(&self, under: &[RelPath], visit: &mut dyn FnMut(SealedFile) -> bool) {
        Zarr::visit_sealed(self, under, visit);
    }

    fn tidy(&self) -> io::Result<()> {
        if !self.ground.writable {
            return Ok(());
        }
        self.registry.all().iter().try_for_each(|store| {
            tidy::tidy(store)?;
            if store.is_gone() {
                self.registry.forget_unused(store);
            }
            Ok(())
        })
    }

    fn finish(&self) -> io::Result<()> {
        self.tidy()?;
        if self.ground.writable { self.ground.files.sync_all() } else { Ok(()) }
    }

    fn set_cache(&self, bytes: u64) {
        self.ground.cache.set_bound(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
}
