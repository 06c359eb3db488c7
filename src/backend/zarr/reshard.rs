//! Shards are written anew as a whole, once for each page that is written: with the chunks of its files, and without those
//! that go.

use std::collections::BTreeMap;
use std::io;

use super::array::{Shard, ShardError, copy};
use super::files::StagedFile;
use super::ground::{StagedChunk, below};
use super::sharding::{Sharding, Slot};
use super::store::Store;
use super::table::Due;
use crate::backend::{ByteSource, Object};

/// The new shards of one page. What is not written when it is dropped is removed.
pub(super) struct Reshard<'s> {
    store: &'s Store,
    sharding: &'s Sharding,
    /// By path in the store.
    shards: BTreeMap<String, Fresh>,
}

/// A shard that is to be written.
struct Fresh {
    file: StagedFile,
    slots: usize,
}

/// A shard that is complete under a temporary name.
pub(super) struct StagedShard {
    file: StagedChunk,
    /// Nothing is in it: it goes instead.
    empty: bool,
}

impl<'s> Reshard<'s> {
    /// For a page of `store`; `None` if the store has no shards.
    pub fn of(store: &'s Store) -> Option<Reshard<'s>> {
        Some(Reshard { store, sharding: store.sharding.as_deref()?, shards: BTreeMap::new() })
    }

    /// Notes that the chunks `come` are to be written and those at `gone` removed, and adds to `dues` what this takes.
    /// What goes may also be a file of its own; what comes may not.
    pub fn note<'p>(
        &mut self,
        come: impl Iterator<Item = &'p str>,
        gone: &'p [String],
        dues: &mut Vec<Due>,
    ) -> io::Result<()> {
        let (inner, files): (Vec<&String>, Vec<&String>) = gone.iter().partition(|path| self.has(path));
        dues.extend(files.into_iter().map(|path| Due::Remove { path: path.clone() }));
        for path in come.chain(inner.into_iter().map(String::as_str)) {
            let Slot { file: path, slots, .. } = self.slot(path)?;
            let fresh = match self.shards.entry(path.clone()) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(free) => {
                    let file = self.store.ground.files.stage_empty()?;
                    free.insert(Fresh { file, slots })
                }
            };
            let staged = fresh.file.name().to_str().ok_or(io::ErrorKind::InvalidData)?.to_owned();
            let due = Due::Rename { staged, path };
            if !dues.contains(&due) {
                dues.push(due);
            }
        }
        Ok(())
    }

    /// Writes the shards with these changes: a chunk's path, and the chunk, or nothing if it goes. They are durable when
    /// it returns; only those that `note` has seen may change.
    pub fn write(mut self, changes: &[(&str, Option<&StagedChunk>)]) -> io::Result<Vec<StagedShard>> {
        let mut by_shard: BTreeMap<String, BTreeMap<usize, Option<&StagedChunk>>> = BTreeMap::new();
        for (path, chunk) in changes.iter().filter(|(path, chunk)| chunk.is_some() || self.has(path)) {
            let slot = self.slot(path)?;
            let shard = by_shard.entry(slot.file).or_default();
            // A chunk that comes counts more than one that goes.
            if chunk.is_some() || !shard.contains_key(&slot.slot) {
                shard.insert(slot.slot, *chunk);
            }
        }
        let mut written = Vec::new();
        for (path, changes) in by_shard {
            let fresh = self.shards.remove(&path).ok_or(io::ErrorKind::InvalidInput)?;
            written.push(self.write_one(path, fresh, &changes)?);
        }
        Ok(written)
    }

    fn write_one(
        &self,
        path: String,
        fresh: Fresh,
        changes: &BTreeMap<usize, Option<&StagedChunk>>,
    ) -> io::Result<StagedShard> {
        let invalid = |e: ShardError| match e {
            ShardError::Io(e) => e,
            e => io::Error::new(io::ErrorKind::InvalidData, format!("{path}: {e}")),
        };
        let nothing: &[u8] = &[];
        let ground = &self.store.ground;
        let before = ground.files.open(&below(&self.store.place(), &path))?;
        let (from, shard): (&dyn ByteSource, Shard) = match &before {
            Some(object) => (object, Shard::open(object, fresh.slots).map_err(invalid)?),
            None => (&nothing, Shard::empty(fresh.slots)),
        };
        let shard = shard.rewrite_with(from, changes, fresh.file.object(), put_chunk).map_err(invalid)?;
        fresh.file.sync()?;
        Ok(StagedShard { empty: shard.is_empty(), file: ground.staged(fresh.file, path) })
    }

    /// Whether a chunk lies in a shard.
    fn has(&self, path: &str) -> bool {
        self.sharding.place_of(path).is_some()
    }

    fn slot(&self, path: &str) -> io::Result<Slot> {
        let slot = self.sharding.place_of(path);
        slot.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{path} lies in no shard")))
    }
}

fn put_chunk(chunk: &&StagedChunk, to: &Object, at: u64) -> Result<u64, ShardError> {
    let from = chunk.open()?;
    let len = from.size()?;
    copy(&from, &(0..len), to, at)
}

impl StagedShard {
    /// Gives it its place, or removes the old one if nothing is left in it.
    pub fn publish(self, store: &Store) -> io::Result<()> {
        let place = store.place();
        if self.empty {
            return store.ground.files.remove(&below(&place, &self.file.path), &place).map(drop);
        }
        self.file.publish(&place)
    }

    /// Leaves it where it is, because a page says that its rename is due.
    pub fn keep(self) {
        self.file.keep();
    }
}
