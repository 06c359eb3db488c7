//! One store, open: what is in it, and where.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};

use super::due::Note;
use super::ground::{Ground, below, chunk_path};
use super::left::Beside;
use super::marker::{Kind, Marker, PlateMarker, PlateShape, read_marker};
use super::pages::Pages;
use super::reader::StoreReader;
use super::sharding::Sharding;
use super::standing::files_of;
use super::stores::{SealedEntry, SealedId};
use super::table::{
    Attributes, Due, LITERALS, Literals, Page, Recipe, RecipeBytes, Record, RecordId, read_literal_chunks,
};
use super::totals::Totals;
use crate::backend::XattrSet;
use crate::config::Ngff;
use crate::model::{Identity, RelPath};

/// The group in a store that is ours alone.
pub(super) const OWN: &str = "scopefs";

/// A store.
pub(super) struct Store {
    pub ground: Arc<Ground>,
    /// As the marker says.
    pub id: u128,
    pub version: Ngff,
    pub kind: Kind,
    /// Its directory; renamed with those above it.
    pub place: Arc<RwLock<RelPath>>,
    /// What its plate is, if it is one.
    pub shape: Option<PlateShape>,
    /// Where the chunks of its fields are, if they are gathered in shards.
    pub sharding: Option<Arc<Sharding>>,
    /// It is on disk.
    pub created: AtomicBool,
    /// It was removed while somebody held it.
    pub gone: AtomicBool,
    /// It is being made or removed: what stands of it is ours, with a marker or without.
    pub in_work: AtomicBool,
    /// Files that are planned for it and not committed.
    pub reserved: AtomicUsize,
    /// Held through a commit; nothing but leaves is taken under it.
    pub state: Mutex<State>,
    /// What the state sums up.
    pub totals: Arc<Totals>,
}

/// What is in a store.
#[derive(Debug)]
pub(super) struct State {
    pub marker: Marker,
    pub pages: Pages,
    pub entries: HashMap<u64, Arc<Entry>>,
    /// Sums over the entries, which can be read with no lock.
    pub totals: Arc<Totals>,
    /// Which record has a name, relative to the base.
    pub by_name: BTreeMap<RelPath, u64>,
    /// Which record (or file on its way) has which chunk, by the hash of the chunk's path.
    pub claims: HashMap<u64, Claim>,
    /// Groups of images, by path, with the number of records that use them.
    pub images: BTreeMap<String, usize>,
    pub next_image: u64,
    pub next_record: u64,
    pub next_literal: u64,
    /// Chunks of literal bytes that the array's metadata declares.
    pub literals_declared: u64,
    /// Time points that files have.
    pub times_used: u64,
    /// The marker has labels that were not written with it.
    pub labels_new: bool,
    /// Display windows widened since they were last written.
    pub windows_moved: bool,
    /// A part of the table cannot be read: chunks that no record uses may be of one in there.
    pub flawed: bool,
    /// Records that keep names in their page which they have no more ([`super::update`]).
    pub beside: BTreeMap<u64, Beside>,
    /// Told those who come after a kill that files are leaving.
    pub leaving: Option<Note>,
}

/// Who has a chunk.
#[derive(Debug, Clone)]
pub(super) enum Claim {
    Record(u64),
    Pending(Arc<RelPath>),
}

/// A sealed file, without its recipe.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// Relative to the base.
    pub names: Vec<RelPath>,
    pub size: u64,
    pub attributes: Attributes,
    pub xattrs: XattrSet,
    pub source: Option<Identity>,
    /// Groups of its images.
    pub images: Vec<String>,
    /// Path of its first array.
    pub array: String,
    /// Bytes of its chunks as stored.
    pub stored: u64,
}

impl Store {
    /// A store that is not on disk yet.
    pub fn planned(ground: &Arc<Ground>, place: RelPath, marker: Marker) -> Store {
        let (id, kind) = (marker.id, marker.kind);
        Store::over(ground, (id, kind, ground.version), Arc::new(RwLock::new(place)), State::new(marker))
    }

    /// Opens the store in the directory `place`, and makes the renames that are due in it; `None` without a marker.
    pub fn open(ground: &Arc<Ground>, place: &RelPath) -> io::Result<Option<Store>> {
        let Some((version, marker)) = read_marker(ground, place)? else { return Ok(None) };
        let (id, kind) = (marker.id, marker.kind);
        let shared = Arc::new(RwLock::new(place.clone()));
        let mut state = State::new(marker);
        let mut dues = Vec::new();
        let (mut records, mut flawed) = (Vec::new(), false);
        state.pages = Pages::load(ground, place, version, &mut |number, page| {
            dues.extend(page.dues.iter().cloned());
            let before = records.len();
            records.extend(records_of(place, number, page));
            let sound = page.damage.is_empty() && page.lost == 0;
            flawed |= !sound || records.len() - before < page.records().count();
        })?;
        state.flawed = flawed || state.pages.unread;
        if ground.writable {
            redo(ground, place, &dues);
            Sharding::of(&state.marker).iter().for_each(|sharding| sharding.drop_empty(ground, place, &dues));
        }
        for (number, record) in records {
            if state.pages.home(record.id) == Some(number) {
                state.load(ground, &shared, version, &record);
            }
        }
        if ground.writable {
            state.forget_due(ground, place, &dues);
            state.forget_left_behind(ground, place, version)?;
        }
        state.next_record = state.next_record.max(state.marker.next_record);
        state.next_image = state.next_image.max(highest_group(ground, place)?);
        let store = Store::over(ground, (id, kind, version), shared, state);
        store.created.store(true, Ordering::Release);
        super::companions::take_in(&store, &mut store.state.lock())?;
        Ok(Some(store))
    }

    fn over(
        ground: &Arc<Ground>,
        (id, kind, version): (u128, Kind, Ngff),
        place: Arc<RwLock<RelPath>>,
        state: State,
    ) -> Store {
        Store {
            ground: ground.clone(),
            id,
            version,
            kind,
            place,
            shape: state.marker.plate.as_ref().and_then(PlateMarker::shape),
            sharding: Sharding::of(&state.marker),
            created: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            in_work: AtomicBool::new(false),
            reserved: AtomicUsize::new(0),
            totals: state.totals.clone(),
            state: Mutex::new(state),
        }
    }

    /// Whether it is on disk.
    pub fn is_created(&self) -> bool {
        self.created.load(Ordering::Acquire)
    }

    /// Whether it is being made or removed.
    pub fn is_in_work(&self) -> bool {
        self.in_work.load(Ordering::Acquire)
    }

    /// Whether it was removed.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// A file that was reserved in it is not planned for it any more.
    pub fn release(&self) {
        self.reserved.fetch_sub(1, Ordering::AcqRel);
    }

    /// Its directory now.
    pub fn place(&self) -> RelPath {
        self.place.read().clone()
    }

    /// The directory that it stands in; names are relative to it.
    pub fn base(&self) -> RelPath {
        self.place.read().split().map(|(base, _)| base).unwrap_or_default()
    }

    /// Reads chunks of `record`.
    pub fn reader(&self, record: &Record) -> StoreReader {
        StoreReader {
            ground: self.ground.clone(),
            store: self.id,
            place: self.place.clone(),
            version: self.version,
            arrays: Arc::from(record.arrays.as_slice()),
            sharding: self.sharding.clone(),
        }
    }

    /// A record, read from its page.
    pub fn record(&self, state: &State, id: RecordId) -> io::Result<Record> {
        let number = state.pages.home(id).ok_or(io::ErrorKind::NotFound)?;
        let page = state.pages.read(&self.ground, &self.place(), self.version, number)?;
        let record = page.record(id).ok_or(io::ErrorKind::NotFound)?;
        record.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    }

    /// The recipe of a record.
    pub fn recipe(&self, record: &Record) -> io::Result<Recipe> {
        recipe_of(&self.reader(record), record)
    }

    /// The entry of a record as the file system knows it.
    pub fn sealed_entry(&self, record: u64, entry: &Entry) -> SealedEntry {
        let base = self.base();
        let names = entry.names.iter().map(|name| whole(&base, name)).collect();
        let at = &entry.attributes;
        SealedEntry {
            id: SealedId { store: self.id, record },
            names,
            size: entry.size,
            perm: at.perm,
            uid: at.uid,
            gid: at.gid,
            atime: at.atime,
            mtime: at.mtime,
            xattrs: entry.xattrs.clone(),
            found: entry.source,
        }
    }
}

impl State {
    fn new(marker: Marker) -> State {
        State {
            next_record: marker.next_record,
            marker,
            pages: Pages::default(),
            entries: HashMap::new(),
            totals: Arc::default(),
            by_name: BTreeMap::new(),
            claims: HashMap::new(),
            images: BTreeMap::new(),
            next_image: 0,
            next_literal: 0,
            literals_declared: 0,
            times_used: 0,
            labels_new: false,
            windows_moved: false,
            flawed: false,
            beside: BTreeMap::new(),
            leaving: None,
        }
    }

    /// Takes in a record that is on disk. One whose recipe is damaged keeps its names: reading it is an error.
    fn load(&mut self, ground: &Arc<Ground>, place: &Arc<RwLock<RelPath>>, version: Ngff, record: &Record) {
        let arrays = Arc::from(record.arrays.as_slice());
        let reader = StoreReader {
            ground: ground.clone(),
            store: self.marker.id,
            place: place.clone(),
            version,
            arrays,
            sharding: Sharding::of(&self.marker),
        };
        let recipe = recipe_of(&reader, record);
        if let Err(e) = &recipe {
            tracing::error!("the recipe of {} in {} cannot be read: {e}", record.names[0], place.read());
            self.flawed = true;
        }
        self.take_in(version, record, recipe.ok().as_ref());
    }

    /// Takes in a record.
    pub fn take_in(&mut self, version: Ngff, record: &Record, recipe: Option<&Recipe>) {
        let entry = Entry::of(record, recipe);
        if let Some(plate) = &mut self.marker.plate {
            record.arrays.iter().for_each(|array| plate.know_labels(array));
        }
        for image in &entry.images {
            *self.images.entry(image.clone()).or_default() += 1;
            let number = image.parse::<u64>().map_or(0, |number| number + 1);
            self.next_image = self.next_image.max(number);
        }
        if let Some(recipe) = recipe {
            let highest = literal_ids(record, recipe).max().map_or(0, |id| id + 1);
            self.next_literal = self.next_literal.max(highest);
            self.see_times(record, recipe);
            for path in files_of(version, record, recipe) {
                match self.claims.get(&hash(&path)) {
                    // Of two records that claim one chunk the higher is the newer.
                    Some(Claim::Record(other)) if *other > record.id.0 => {}
                    _ => drop(self.claims.insert(hash(&path), Claim::Record(record.id.0))),
                }
            }
        }
        self.next_record = self.next_record.max(record.id.0 + 1);
        for name in &entry.names {
            // Of two records that claim one name the higher is the newer.
            let newest = self.by_name.entry(name.clone()).or_insert(record.id.0);
            *newest = record.id.0.max(*newest);
        }
        self.totals.add(&entry);
        if let Some(older) = self.entries.insert(record.id.0, Arc::new(entry)) {
            self.totals.sub(&older);
        }
    }

    /// Notes how far the time axis of a plate is really used.
    fn see_times(&mut self, record: &Record, recipe: &Recipe) {
        if self.marker.plate.as_ref().is_some_and(|plate| plate.extent_t.is_some()) {
            let full = recipe
                .chunks
                .iter()
                .filter(|chunk| record.arrays.get(chunk.array as usize).is_some_and(|array| !array.derived));
            let last = full.filter_map(|chunk| chunk.coords.first()).max().map_or(0, |time| time + 1);
            self.times_used = self.times_used.max(last);
        }
    }

    /// Lets go of a record: the images that have no record any more.
    pub fn let_go(&mut self, record: u64) -> Vec<String> {
        let Some(entry) = self.entries.remove(&record) else { return Vec::new() };
        self.totals.sub(&entry);
        for name in &entry.names {
            if self.by_name.get(name) == Some(&record) {
                self.by_name.remove(name);
            }
        }
        let mut empty = Vec::new();
        for image in &entry.images {
            if let Some(count) = self.images.get_mut(image) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    empty.push(image.clone());
                }
            }
        }
        empty
    }
}

impl Entry {
    /// What is kept of a record.
    pub fn of(record: &Record, recipe: Option<&Recipe>) -> Entry {
        let groups = record.arrays.iter().map(|array| image_of(&array.path));
        // Labels need the group of their image, whether it has planes or not.
        let groups = groups.flat_map(|group| [Some(group), super::labels::parse(group).map(|(image, _)| image)]);
        let mut images: Vec<String> = groups.flatten().map(str::to_owned).collect();
        images.sort_unstable();
        images.dedup();
        let chunks = recipe.map_or(0, |recipe| recipe.chunks.iter().map(|chunk| chunk.stored).sum());
        Entry {
            names: record.names.clone(),
            size: record.size,
            attributes: record.attributes,
            xattrs: record.xattrs.clone(),
            source: record.source,
            images,
            array: record.arrays.first().map(|array| array.path.clone()).unwrap_or_default(),
            stored: chunks,
        }
    }
}

/// The group that an array belongs to.
pub(super) fn image_of(array: &str) -> &str {
    array.rsplit_once('/').map_or("", |(image, _)| image)
}

/// `name`, which is relative to `base`, from the root.
pub(super) fn whole(base: &RelPath, name: &RelPath) -> RelPath {
    let mut path = base.clone();
    name.components().for_each(|part| path.push(part));
    path
}

/// `path` relative to `base`; `None` if it does not lie below it.
pub(super) fn relative(base: &RelPath, path: &RelPath) -> Option<RelPath> {
    if !path.starts_with(base) {
        return None;
    }
    let mut rest = RelPath::root();
    path.components().skip(base.components().count()).for_each(|part| rest.push(part));
    (!rest.is_root()).then_some(rest)
}

/// What claims are known by.
pub(super) fn hash(path: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(path.as_bytes())
}

/// Paths in the store of the chunks of arrays that a file uses, and of those that were made from them.
pub(super) fn chunk_paths<'a>(
    version: Ngff,
    record: &'a Record,
    recipe: &'a Recipe,
) -> impl Iterator<Item = String> + 'a {
    recipe.chunks.iter().filter_map(move |chunk| {
        let array = record.arrays.get(chunk.array as usize)?;
        Some(chunk_path(version, &array.path, chunk.coords))
    })
}

/// Numbers of the chunks of literal bytes that are a file's own.
pub(super) fn literal_ids<'a>(record: &'a Record, recipe: &'a Recipe) -> impl Iterator<Item = u64> + 'a {
    let literals = match &recipe.literals {
        Literals::Chunks { chunks, .. } => chunks.as_slice(),
        Literals::Inline(_) => &[],
    };
    let spilled = match &record.recipe {
        RecipeBytes::Spilled(spill) => spill.chunks.as_slice(),
        RecipeBytes::Inline(_) => &[],
    };
    literals.iter().chain(spilled).map(|chunk| chunk.id)
}

fn recipe_of(reader: &StoreReader, record: &Record) -> io::Result<Recipe> {
    let invalid = |e| io::Error::new(io::ErrorKind::InvalidData, e);
    match &record.recipe {
        RecipeBytes::Inline(_) => record.recipe().map_err(invalid),
        RecipeBytes::Spilled(spill) => {
            let mut bytes = vec![0; usize::try_from(spill.len).map_err(|_| io::ErrorKind::InvalidData)?];
            read_literal_chunks(reader, &spill.chunks, 0, &mut bytes)?;
            record.spilled_recipe(&bytes).map_err(invalid)
        }
    }
}

/// The records of a page that can be read.
fn records_of(place: &RelPath, number: u64, page: &Page) -> Vec<(u64, Record)> {
    if !page.damage.is_empty() || page.lost > 0 {
        tracing::error!("page {number} of the store {place} is damaged; run scopefs check");
    }
    let decoded = page.records().map(|(id, body)| Record::decode(id, body));
    let sound = decoded.filter_map(|record| {
        record.inspect_err(|e| tracing::error!("a record of the store {place} cannot be read: {e}")).ok()
    });
    sound.map(|record| (number, record)).collect()
}

/// Makes the renames that are due.
fn redo(ground: &Ground, place: &RelPath, dues: &[Due]) {
    for due in dues {
        let Due::Rename { staged, path } = due else { continue };
        match ground.files.publish_left(staged.as_ref(), &below(place, path)) {
            Ok(true) => tracing::info!("{path} of the store {place} got its place, as was due"),
            Ok(false) => {}
            Err(e) => tracing::error!("{path} of the store {place} cannot get its place, which is due: {e}"),
        }
    }
}

/// One more than the highest number that a group at the root of the store has, whoever made it.
fn highest_group(ground: &Ground, place: &RelPath) -> io::Result<u64> {
    let entries = ground.files.tree().list(place)?;
    let numbers = entries.iter().filter_map(|entry| entry.name.to_str()?.parse::<u64>().ok());
    Ok(numbers.max().map_or(0, |number| number + 1))
}

/// Path in the store of a chunk of literal bytes.
pub(super) fn literal_path(version: Ngff, id: u64) -> String {
    chunk_path(version, LITERALS, &[id])
}
