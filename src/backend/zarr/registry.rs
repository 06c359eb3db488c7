//! The stores that are known, by id and by the directory that they stand in.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use parking_lot::Mutex;

use super::choose::{ENDING, Target, TargetKind};
use super::ground::Ground;
use super::level::overview_factor;
use super::marker::{Kind, Marker, PlateMarker, read_marker};
use super::sharding::shard_planes;
use super::store::Store;
use super::stores::Subject;
use crate::config::Shards;
use crate::model::{FileKind, RelPath, Timestamp};

/// How long a directory is trusted to have the stores that it had.
const TRUSTED: Duration = Duration::from_secs(1);

/// The stores that are known.
pub(super) struct Registry {
    ground: Arc<Ground>,
    stores: DashMap<u128, Arc<Store>>,
    /// Taken before any store's state.
    dirs: Mutex<HashMap<RelPath, Listed>>,
}

/// Stores of a directory.
struct Listed {
    checked: Instant,
    stamp: Option<(u64, Timestamp, Timestamp)>,
    stores: Vec<Arc<Store>>,
}

impl Registry {
    pub fn new(ground: Arc<Ground>) -> Registry {
        Registry { ground, stores: DashMap::new(), dirs: Mutex::default() }
    }

    /// The store with this id.
    pub fn get(&self, id: u128) -> Option<Arc<Store>> {
        self.stores.get(&id).map(|store| store.clone())
    }

    /// All that are known.
    pub fn all(&self) -> Vec<Arc<Store>> {
        self.stores.iter().map(|entry| entry.value().clone()).collect()
    }

    /// The stores that stand in `dir`, planned ones too. Those on disk are looked for if the directory changed.
    pub fn list(&self, dir: &RelPath) -> io::Result<Vec<Arc<Store>>> {
        let mut dirs = self.dirs.lock();
        self.refresh(&mut dirs, dir)
    }

    /// The store that `target` belongs to, made if there is none yet (on disk only with its first commit). A file is
    /// reserved in it.
    pub fn reserve(&self, target: &Target) -> io::Result<Arc<Store>> {
        let mut dirs = self.dirs.lock();
        for store in self.refresh(&mut dirs, &target.base)? {
            if !store.is_gone() && takes(&store, &target.kind) {
                store.reserved.fetch_add(1, Ordering::AcqRel);
                return Ok(store);
            }
        }
        let place = self.free_place(&dirs, target)?;
        let plate = match &target.kind {
            TargetKind::Plate(shape, _) => {
                let mut plate = PlateMarker::new(shape, overview_factor(shape.height, shape.width));
                plate.shard = (self.ground.shards == Shards::Field).then(|| shard_planes(&plate));
                Some(plate)
            }
            _ => None,
        };
        let store = Arc::new(Store::planned(&self.ground, place, Marker::new(new_id(), target.kind.kind(), plate)));
        store.reserved.fetch_add(1, Ordering::AcqRel);
        self.add(&mut dirs, target.base.clone(), store.clone());
        Ok(store)
    }

    /// The store in which a version of a file that belongs to no plate is, with the file reserved in it: by the record
    /// that is replaced, or by name in the file's directory.
    pub fn reserve_standing(&self, subject: &Subject) -> Option<Arc<Store>> {
        let first = subject.names.first()?;
        let replaced = subject.replaces.and_then(|id| self.get(id.store));
        let beside = self.list(&first.split()?.0).unwrap_or_default();
        let has = |store: &Arc<Store>| {
            store.kind != Kind::Plate && {
                let (base, state) = (store.base(), store.state.lock());
                let record = subject.replaces.filter(|id| id.store == store.id).map(|id| id.record);
                record.is_some_and(|record| state.entries.contains_key(&record))
                    || super::store::relative(&base, first).is_some_and(|name| state.by_name.contains_key(&name))
            }
        };
        let store = replaced.into_iter().chain(beside).find(has)?;
        let _dirs = self.dirs.lock();
        if store.is_gone() {
            return None;
        }
        store.reserved.fetch_add(1, Ordering::AcqRel);
        Some(store)
    }

    /// The store in `dir`, planned ones too, that `rank` ranks lowest, with a file reserved in it and what `rank` found.
    pub fn reserve_best<T>(
        &self,
        dir: &RelPath,
        rank: impl Fn(&Store) -> Option<(usize, T)>,
    ) -> io::Result<Option<(Arc<Store>, T)>> {
        let ranked =
            self.list(dir)?.into_iter().filter_map(|store| rank(&store).map(|(rank, found)| (rank, store, found)));
        let Some((_, store, found)) = ranked.min_by_key(|(rank, ..)| *rank) else { return Ok(None) };
        let _dirs = self.dirs.lock();
        if store.is_gone() {
            return Ok(None);
        }
        store.reserved.fetch_add(1, Ordering::AcqRel);
        Ok(Some((store, found)))
    }

    /// Forgets a store that is not on disk and that nobody plans a file for.
    pub fn forget_unused(&self, store: &Arc<Store>) {
        let mut dirs = self.dirs.lock();
        if store.reserved.load(Ordering::Acquire) == 0 && (!store.is_created() || store.is_gone()) {
            store.gone.store(true, Ordering::Release);
            self.stores.remove(&store.id);
            if let Some(listed) = dirs.get_mut(&store.base()) {
                listed.stores.retain(|other| other.id != store.id);
            }
        }
    }

    /// Renames directories by `act`, which says whether it did. Nobody looks for stores in between: one that is found at
    /// its new place while it is known at the old would be taken for a copy, or for one that was removed.
    pub fn rename(&self, from: &RelPath, to: &RelPath, exchange: bool, act: &mut dyn FnMut() -> bool) {
        let mut dirs = self.dirs.lock();
        if !act() {
            return;
        }
        if exchange {
            // By way of a name that no directory can have.
            let aside = RelPath::root().join(OsStr::new("\0"));
            for (old, new) in [(from, &aside), (to, from), (&aside, to)] {
                self.renamed(&mut dirs, old, new);
            }
        } else {
            self.renamed(&mut dirs, from, to);
        }
    }

    /// A directory is called otherwise now.
    fn renamed(&self, dirs: &mut HashMap<RelPath, Listed>, from: &RelPath, to: &RelPath) {
        self.ground.files.tree().forget_dirs();
        for store in self.all() {
            let moved = {
                let mut place = store.place.write();
                let before = place.clone();
                if let Some(rest) = super::store::relative(from, &place) {
                    *place = super::store::whole(to, &rest);
                } else if *place == *from {
                    *place = to.clone();
                }
                *place != before
            };
            if moved {
                // It names the old place; nothing is leaving while directories are renamed.
                store.state.lock().has_left();
            }
        }
        // The next look finds each store at its new place, by its id.
        dirs.retain(|dir, _| !dir.starts_with(from) && !dir.starts_with(to));
        for path in [from, to] {
            if let Some((above, _)) = path.split() {
                dirs.remove(&above);
            }
        }
        for store in self.all().into_iter().filter(|store| !store.is_created()) {
            self.add(dirs, store.base(), store);
        }
    }

    fn add(&self, dirs: &mut HashMap<RelPath, Listed>, dir: RelPath, store: Arc<Store>) {
        self.stores.insert(store.id, store.clone());
        let listed =
            dirs.entry(dir).or_insert_with(|| Listed { checked: Instant::now(), stamp: None, stores: Vec::new() });
        listed.stores.push(store);
    }

    fn refresh(&self, dirs: &mut HashMap<RelPath, Listed>, dir: &RelPath) -> io::Result<Vec<Arc<Store>>> {
        if let Some(listed) = dirs.get(dir)
            && listed.stamp.is_some()
            && listed.checked.elapsed() < TRUSTED
        {
            return Ok(listed.stores.clone());
        }
        let attr = self.ground.files.tree().find(dir)?.filter(|attr| attr.kind == FileKind::Directory);
        let stamp = attr.map(|attr| (attr.ino, attr.mtime, attr.ctime));
        if let Some(listed) = dirs.get_mut(dir)
            && listed.stamp == stamp
            && stamp.is_some()
        {
            listed.checked = Instant::now();
            return Ok(listed.stores.clone());
        }
        let before = dirs.remove(dir).map(|listed| listed.stores).unwrap_or_default();
        let stores = if stamp.is_some() { self.look(dir, before)? } else { self.lose(before) };
        let listed = Listed { checked: Instant::now(), stamp, stores: stores.clone() };
        dirs.insert(dir.clone(), listed);
        Ok(stores)
    }

    /// Looks which stores are in a directory.
    fn look(&self, dir: &RelPath, before: Vec<Arc<Store>>) -> io::Result<Vec<Arc<Store>>> {
        let (mut known, mut stores) = (before, Vec::new());
        for entry in self.ground.files.tree().list(dir)? {
            if entry.kind != FileKind::Directory || !entry.name.as_bytes().ends_with(ENDING.as_bytes()) {
                continue;
            }
            let place = dir.join(&entry.name);
            let Some((_, marker)) = read_marker(&self.ground, &place)? else {
                // One that is being made has no marker yet; one that is being removed has it no more.
                let ours = |store: &Arc<Store>| store.is_in_work() && store.place() == place;
                stores.extend(self.all().into_iter().find(ours));
                known.retain(|store| !ours(store));
                continue;
            };
            known.retain(|store| store.id != marker.id || store.place() != place);
            match self.at(&place, &marker) {
                Some(store) => stores.push(store),
                None => match self.open(&place, &marker) {
                    Ok(Some(store)) => stores.push(store),
                    Ok(None) => {}
                    // One store that cannot be read does not hide the others.
                    Err(e) => tracing::error!("the store {place} cannot be opened: {e}"),
                },
            }
        }
        stores.extend(self.lose(known));
        Ok(stores)
    }

    /// The store that is known to be at `place`; one that was moved there is found by its id.
    fn at(&self, place: &RelPath, marker: &Marker) -> Option<Arc<Store>> {
        let store = self.get(marker.id)?;
        let known = store.place();
        if known == *place {
            return Some(store);
        }
        let still = read_marker(&self.ground, &known).ok().flatten().is_some_and(|(_, other)| other.id == marker.id);
        if still {
            return None;
        }
        *store.place.write() = place.clone();
        Some(store)
    }

    fn open(&self, place: &RelPath, marker: &Marker) -> io::Result<Option<Arc<Store>>> {
        let Some(mut store) = Store::open(&self.ground, place)? else { return Ok(None) };
        if self.stores.contains_key(&marker.id) {
            // A copy of a store that is still there: from now on it is one of its own.
            store.id = new_id();
            let mut state = store.state.lock();
            state.marker.id = store.id;
            if let Err(e) = store.put_marker(&state) {
                tracing::warn!("the copied store {place} keeps its mark of origin: {e}");
            }
            drop(state);
        }
        let store = Arc::new(store);
        self.stores.insert(store.id, store.clone());
        Ok(Some(store))
    }

    /// Of stores that were not found, keeps those that are only planned.
    fn lose(&self, stores: Vec<Arc<Store>>) -> Vec<Arc<Store>> {
        let lost = |store: &Arc<Store>| {
            let created = store.is_created();
            if created && !store.is_gone() && read_marker(&self.ground, &store.place()).ok().flatten().is_none() {
                tracing::warn!("the store {} was removed; its files go with it", store.place());
                store.gone.store(true, Ordering::Release);
                self.ground.opened.forget(store.id);
                self.stores.remove(&store.id);
            }
            created
        };
        stores.into_iter().filter(|store| !lost(store)).collect()
    }

    /// A name that nothing has.
    fn free_place(&self, dirs: &HashMap<RelPath, Listed>, target: &Target) -> io::Result<RelPath> {
        let first = target.stems.first().cloned().unwrap_or_default();
        let numbered = (2_u32..).map(|number| {
            let mut stem = first.clone();
            stem.push(format!("-{number}"));
            stem
        });
        let planned = |place: &RelPath| {
            dirs.get(&target.base).is_some_and(|dir| dir.stores.iter().any(|store| store.place() == *place))
        };
        for mut stem in target.stems.iter().cloned().chain(numbered) {
            stem.push(OsString::from(ENDING));
            let place = target.base.join(&stem);
            if !planned(&place) && self.ground.files.tree().find(&place)?.is_none() {
                return Ok(place);
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Whether a store is the one for files of this kind.
fn takes(store: &Store, kind: &TargetKind) -> bool {
    match kind {
        TargetKind::Plate(shape, _) => store.shape.as_ref() == Some(&**shape),
        TargetKind::Collection => store.kind == kind.kind(),
        TargetKind::Image => false,
    }
}

/// An id that no other store has.
fn new_id() -> u128 {
    let half = || u128::from(RandomState::new().hash_one(std::process::id()));
    half() << 64 | half()
}
