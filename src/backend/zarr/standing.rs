//! The version of a file that is in a store already. One that is sealed anew stays where it was, and chunks that are
//! equal to what stands there are neither written nor removed.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Zarr;
use super::array::ChunkArray;
use super::blosc::Encoded;
use super::choose::{Target, TargetKind};
use super::ground::{below, chunk_path, decode, zarr_version};
use super::plan::{ImagePlan, Plan};
use super::store::{Store, image_of, literal_ids, literal_path, relative};
use super::stores::Subject;
use super::table::{ArrayUse, ChunkRef, LiteralChunk, Literals, Recipe, RecipeBytes, Record, RecordId};
use crate::backend::{ByteSource, Object};
use crate::config::Ngff;
use crate::model::RelPath;
use crate::view::Layout;

/// A file of more chunks is sealed as if it were new: all renames of a replacement are noted in one page.
const CHUNKS_MOST: usize = 50_000;

/// A sealed file that another version is about to replace.
pub(super) struct Standing {
    store: Arc<Store>,
    /// Its record.
    pub id: RecordId,
    arrays: Vec<ArrayUse>,
    recipe: Recipe,
    /// Index in the recipe of each chunk, by path.
    chunks: HashMap<String, usize>,
    /// Chunks of literal bytes that the new version does not use yet.
    literals: Mutex<Vec<LiteralChunk>>,
}

impl Standing {
    /// The version of `subject` in `store` that its new one replaces, if it can be read.
    pub fn of(store: &Arc<Store>, subject: &Subject, names: &[RelPath]) -> Option<Standing> {
        if store.sharding.is_some() {
            // A shard that changes is written as a whole.
            return None;
        }
        let id = {
            let state = store.state.lock();
            let known = subject.replaces.filter(|id| id.store == store.id).map(|id| id.record);
            let known = known.filter(|record| state.entries.contains_key(record));
            RecordId(known.or_else(|| names.iter().find_map(|name| state.by_name.get(name)).copied())?)
        };
        Standing::read(store, id)
            .inspect_err(|e| tracing::warn!("a file in the store {} is sealed as if it were new: {e}", store.place()))
            .ok()
            .filter(|standing| standing.chunks.len() <= CHUNKS_MOST)
    }

    fn read(store: &Arc<Store>, id: RecordId) -> io::Result<Standing> {
        let record = store.record(&store.state.lock(), id)?;
        let recipe = store.recipe(&record)?;
        let path = |array: u32, coords: &[u64]| {
            Some(chunk_path(store.version, &record.arrays.get(array as usize)?.path, coords))
        };
        let chunks = recipe.chunks.iter().enumerate();
        let chunks = chunks.filter_map(|(index, chunk)| Some((path(chunk.array, chunk.coords)?, index))).collect();
        let literals = Mutex::new(literals_of(&record, &recipe));
        Ok(Standing { store: store.clone(), id, arrays: record.arrays, recipe, chunks, literals })
    }

    /// The version of a file that belongs to no plate, in whichever store it is, with the plan of the new one: the same
    /// images of the same types, in the same chunks.
    pub fn image(zarr: &Zarr, target: &Target, subject: &Subject, layout: &Layout) -> Option<(Standing, Plan)> {
        if matches!(target.kind, TargetKind::Plate(..)) {
            return None;
        }
        let store = zarr.registry.reserve_standing(subject)?;
        let found = below_base(&store, &subject.names).and_then(|names| {
            let standing = Standing::of(&store, subject, &names)?;
            let plan = standing.plan(layout)?;
            Some((standing, plan))
        });
        if found.is_none() {
            store.release();
        }
        found
    }

    /// The group of its first image.
    pub fn group(&self) -> Option<&str> {
        self.arrays.first().map(|array| image_of(&array.path))
    }

    /// The store that it is in.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    fn plan(&self, layout: &Layout) -> Option<Plan> {
        let mut images: Vec<&str> = Vec::new();
        for array in &self.arrays {
            let image = array.path.rsplit_once('/').map_or("", |(image, _)| image);
            if !images.contains(&image) {
                images.push(image);
            }
        }
        let path =
            |number: u64| images.get(number as usize).map_or_else(|| "none".to_owned(), |path| (*path).to_owned());
        let plan = Plan::of_images(layout, path)?;
        let levels: usize = plan.images.iter().map(|image| image.levels.len()).sum();
        let same = plan.images.len() == images.len() && levels == self.arrays.len();
        (same && plan.images.iter().all(|image| self.fits(image))).then_some(plan)
    }

    /// Whether the arrays that are there serve the new version of an image.
    pub fn fits(&self, image: &ImagePlan) -> bool {
        image.levels.iter().all(|level| {
            let wanted = image.array_use(level);
            self.arrays.contains(&wanted) && self.is_declared(image, &wanted).unwrap_or(false)
        })
    }

    /// Whether the metadata of an array says what its chunks are; names of its axes do not change.
    fn is_declared(&self, image: &ImagePlan, wanted: &ArrayUse) -> Option<bool> {
        let version = zarr_version(self.store.version);
        let path = below(&self.store.place(), &wanted.path).join(ChunkArray::document_name(version));
        let bytes = self.store.ground.document(&path).ok().flatten()?;
        let array = ChunkArray::parse(version, &bytes).ok()?;
        let spec = array.spec();
        let names = image.extents.axes();
        let named = self.store.version == Ngff::V04
            || spec.names.as_ref().is_some_and(|known| known.iter().map(String::as_str).eq(names.iter().copied()));
        Some(spec.dtype == wanted.dtype && spec.chunk == wanted.chunk_shape && named)
    }

    /// The chunk at `path`, if it stands there and decodes to `bytes`. One that was damaged or changed since does not.
    pub fn equal(&self, path: &str, used: &ArrayUse, bytes: &[u8]) -> Option<ChunkRef<'_>> {
        let chunk = self.recipe.chunks.get(*self.chunks.get(path)?)?;
        let len = bytes.len() as u64;
        if self.arrays.get(chunk.array as usize) != Some(used) || used.chunk_bytes() != Some(len) {
            return None;
        }
        let object = self.open(path).ok()??;
        if object.size().ok()? != chunk.stored {
            return None;
        }
        let mut found = vec![0; bytes.len()];
        decode(object, len, chunk.checks, 0..len, &mut found).ok()?;
        (found == bytes).then_some(chunk)
    }

    /// The chunk of literal bytes that is equal to one that was just encoded; it is given out once.
    pub fn take_literal(&self, frame: &Encoded) -> Option<LiteralChunk> {
        let mut literals = self.literals.lock();
        let same = |known: &LiteralChunk| known.stored == frame.bytes.len() as u64 && known.checks == frame.checks;
        let at = literals.iter().position(same)?;
        let path = literal_path(self.store.version, literals.get(at)?.id);
        let object = self.open(&path).ok().flatten()?;
        is_same(&object, &frame.bytes).ok().filter(|same| *same)?;
        Some(literals.swap_remove(at))
    }

    /// Opens one of its files.
    pub fn open(&self, path: &str) -> io::Result<Option<Object>> {
        self.store.ground.files.open(&below(&self.store.place(), path))
    }
}

/// Whether a file holds exactly these bytes.
fn is_same(object: &Object, bytes: &[u8]) -> io::Result<bool> {
    if object.size()? != bytes.len() as u64 {
        return Ok(false);
    }
    let mut stored = vec![0; bytes.len()];
    Ok(object.read_at(&mut stored, 0)? == bytes.len() && stored == bytes)
}

fn literals_of(record: &Record, recipe: &Recipe) -> Vec<LiteralChunk> {
    let literals: &[LiteralChunk] = match &recipe.literals {
        Literals::Chunks { chunks, .. } => chunks,
        Literals::Inline(_) => &[],
    };
    let spilled: &[LiteralChunk] = match &record.recipe {
        RecipeBytes::Spilled(spill) => &spill.chunks,
        RecipeBytes::Inline(_) => &[],
    };
    literals.iter().chain(spilled).cloned().collect()
}

/// All names relative to the base of a store; `None` if one lies outside.
fn below_base(store: &Store, names: &[RelPath]) -> Option<Vec<RelPath>> {
    let base = store.base();
    names.iter().map(|name| relative(&base, name)).collect()
}

/// Paths in the store of all files that a record uses.
pub(super) fn files_of(version: Ngff, record: &Record, recipe: &Recipe) -> impl Iterator<Item = String> {
    let literals: Vec<String> = literal_ids(record, recipe).map(|id| literal_path(version, id)).collect();
    let chunks: Vec<String> = super::store::chunk_paths(version, record, recipe).collect();
    chunks.into_iter().chain(literals)
}
