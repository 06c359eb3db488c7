//! Whether everything in a store is as it was written.

use std::collections::HashMap;

use super::super::array::{Chunk, ChunkError};
use super::super::blosc::{BloscError, Scratch};
use super::super::table::{
    ArrayUse, Due, Flaw, LITERALS, LiteralChunk, Literals, Recipe, RecipeBytes, Record, RecordId, StoredChunk,
};
use super::{Offline, Progress, STEP, hash, orphans};
use crate::model::RelPath;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A page or a record is damaged.
    Table(Flaw),
    /// A chunk is not there.
    Missing {
        /// Of which file.
        name: RelPath,
        /// Which chunk.
        chunk: String,
    },
    /// A chunk is damaged.
    Damaged {
        /// Of which file.
        name: RelPath,
        /// Which chunk.
        chunk: String,
        /// What was found.
        what: String,
    },
    /// A chunk is sound, but somebody else wrote it.
    Changed {
        /// Of which file.
        name: RelPath,
        /// Which chunk.
        chunk: String,
    },
    /// The file cannot be put together, or is another than it was, though its chunks are what they were.
    Unsound {
        /// Which file.
        name: RelPath,
        /// Why.
        what: String,
    },
    /// Metadata of an array are missing, or contradict what the file says of its chunks.
    Metadata {
        /// The array.
        array: String,
        /// In what.
        what: String,
    },
    /// A file of chunks that no record uses.
    Orphan {
        /// Its path in the store.
        path: RelPath,
    },
    /// Something was left to be done.
    Due(Due),
}

impl Finding {
    /// Whether bytes of a file may be lost: all but leftovers.
    pub fn is_loss(&self) -> bool {
        !matches!(self, Finding::Orphan { .. } | Finding::Due(_))
    }
}

/// What was looked at, and found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Files looked at.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Chunks looked at.
    pub chunks: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// It was ended early.
    pub ended: bool,
}

impl Verdict {
    /// Whether all of it was looked at and found sound.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty() && !self.ended
    }
}

/// Looks at every record, chunk and hash, and for files that nothing uses.
pub fn check(store: &Offline, progress: &mut Progress<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.findings.extend(store.found.flaws.iter().cloned().map(Finding::Table));
    verdict.findings.extend(store.found.dues.iter().map(|(_, due)| Finding::Due(due.clone())));
    let mut metadata = HashMap::new();
    let mut entries = store.table.entries();
    entries.sort_by(|(_, a), (_, b)| a.names.cmp(&b.names));
    for (id, entry) in entries {
        let Some(name) = entry.names.first() else { continue };
        check_file(store, id, name, &mut metadata, &mut verdict);
        verdict.files += 1;
        verdict.bytes += entry.size;
        if !progress(verdict.files, verdict.bytes) {
            verdict.ended = true;
            return verdict;
        }
    }
    match orphans::find(store) {
        Ok(found) => verdict.findings.extend(found.into_iter().map(|path| Finding::Orphan { path })),
        Err(e) => verdict.findings.push(Finding::Metadata { array: String::new(), what: e.to_string() }),
    }
    verdict
}

/// Arrays that were looked at, and whether they are as records say.
type Metadata = HashMap<ArrayUse, bool>;

fn check_file(store: &Offline, id: RecordId, name: &RelPath, metadata: &mut Metadata, verdict: &mut Verdict) {
    let unsound = |what: String| Finding::Unsound { name: name.clone(), what };
    let record = match store.table.record(id) {
        Ok(record) => record,
        Err(e) => return verdict.findings.push(unsound(e.to_string())),
    };
    let before = verdict.findings.len();
    for array in &record.arrays {
        check_array(store, array, metadata, verdict);
    }
    if let RecipeBytes::Spilled(spill) = &record.recipe {
        check_literals(store, name, &spill.chunks, verdict);
    }
    let recipe = match store.recipe(&record) {
        Ok(recipe) => recipe,
        Err(e) => return verdict.findings.push(unsound(e.to_string())),
    };
    check_chunks(store, name, &record, &recipe, verdict);
    if verdict.findings.len() > before {
        // It can only differ, which has been said.
        return;
    }
    let hashed = store.source(&record).and_then(|source| Ok(hash(&source, &mut |_| Ok(()))?));
    match hashed {
        Ok(sha256) if sha256 == record.sha256 => {}
        Ok(_) => verdict.findings.push(unsound("its hash differs from that of the original".to_owned())),
        Err(e) => verdict.findings.push(unsound(e.to_string())),
    }
}

fn check_array(store: &Offline, array: &ArrayUse, metadata: &mut Metadata, verdict: &mut Verdict) {
    if metadata.insert(array.clone(), true).is_some() {
        return;
    }
    let finding = |what: String| Finding::Metadata { array: array.path.clone(), what };
    match store.arrays.array(&array.path) {
        Err(e) => verdict.findings.push(finding(e.to_string())),
        Ok(there) if there.spec().dtype != array.dtype || there.spec().chunk != array.chunk_shape => {
            verdict.findings.push(finding("its type or chunks are not those of its files".to_owned()));
        }
        Ok(_) => {}
    }
}

fn check_chunks(store: &Offline, name: &RelPath, record: &Record, recipe: &Recipe, verdict: &mut Verdict) {
    for chunk in recipe.chunks.iter() {
        let Some(array) = record.arrays.get(chunk.array as usize) else { continue };
        let (coords, stored, checks) = (chunk.coords, chunk.stored, chunk.checks);
        check_chunk(store, name, StoredChunk { array: &array.path, coords, stored, checks }, verdict);
    }
    if let Literals::Chunks { chunks, .. } = &recipe.literals {
        check_literals(store, name, chunks, verdict);
    }
}

fn check_literals(store: &Offline, name: &RelPath, chunks: &[LiteralChunk], verdict: &mut Verdict) {
    for chunk in chunks {
        let (stored, checks) = (chunk.stored, chunk.checks.as_slice());
        check_chunk(store, name, StoredChunk { array: LITERALS, coords: &[chunk.id], stored, checks }, verdict);
    }
}

fn check_chunk(store: &Offline, name: &RelPath, stored: StoredChunk<'_>, verdict: &mut Verdict) {
    verdict.chunks += 1;
    let (name, chunk) = (name.clone(), format!("{} {:?}", stored.array, stored.coords));
    let finding = match state(store, stored) {
        Ok(()) => return,
        Err(ChunkError::Missing { .. } | ChunkError::NoSuchChunk) => Finding::Missing { name, chunk },
        Err(ChunkError::Frame(BloscError::Changed { .. })) => Finding::Changed { name, chunk },
        Err(e) => Finding::Damaged { name, chunk, what: e.to_string() },
    };
    verdict.findings.push(finding);
}

/// Whether a chunk is as it was written. `Changed` only if all of it can be decoded.
pub(super) fn state(store: &Offline, stored: StoredChunk<'_>) -> Result<(), ChunkError> {
    let Chunk::Stored(frame) = store.arrays.open(stored.array, stored.coords)? else {
        return Err(ChunkError::Missing { range: 0..0 });
    };
    let mut scratch = Scratch::default();
    let mut buf = Vec::new();
    let mut at = 0;
    // One block at a time would read it twice where they are short.
    while at < frame.decoded_len() {
        buf.resize(STEP.min(usize::try_from(frame.decoded_len() - at).unwrap_or(STEP)), 0);
        frame.decode_range(at, &mut buf, &mut scratch)?;
        at += buf.len() as u64;
    }
    if frame.checks()? == stored.checks { Ok(()) } else { Err(BloscError::Changed { range: 0..at }.into()) }
}
