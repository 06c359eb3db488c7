//! Whether everything in a store is as it was written.

use std::collections::HashSet;

use super::super::array::{Chunk, ChunkError};
use super::super::blosc::{BloscError, Scratch};
use super::super::table::{
    ArrayUse, Due, Flaw, LITERALS, LiteralChunk, Literals, Recipe, RecipeBytes, Record, RecordId, StoredChunk,
    TableError,
};
use super::{Offline, Progress, STEP, hash, orphans, path_of};
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
    let mut metadata = Metadata::new();
    let mut entries = store.table.entries();
    entries.sort_by(|(_, a), (_, b)| a.names.cmp(&b.names));
    for (id, entry) in entries {
        let Some(name) = entry.names.first() else { continue };
        let mut step = |share: f64| {
            let bytes = verdict.bytes + (entry.size as f64 * share) as u64;
            // Whether to go on is asked between files.
            let _ = progress(verdict.files, bytes);
        };
        let found = check_file(store, id, name, &mut metadata, &mut step);
        verdict.findings.extend(found.findings);
        verdict.chunks += found.chunks;
        verdict.files += 1;
        verdict.bytes += entry.size;
        if !progress(verdict.files, verdict.bytes) {
            verdict.ended = true;
            return verdict;
        }
    }
    match leftovers(store) {
        Ok(found) => verdict.findings.extend(found),
        Err(e) => verdict.findings.push(Finding::Metadata { array: String::new(), what: e.to_string() }),
    }
    verdict
}

/// What is still to be done, and what nothing uses.
fn leftovers(store: &Offline) -> Result<Vec<Finding>, TableError> {
    let used = orphans::used(store)?;
    let mut findings = Vec::new();
    for (_, due) in &store.found.dues {
        if orphans::is_left(store, &used, due)? {
            findings.push(Finding::Due(due.clone()));
        }
    }
    let due = |path: &RelPath| {
        findings.iter().any(|found| matches!(found, Finding::Due(Due::Remove { path: due }) if path_of(due) == *path))
    };
    let orphans: Vec<RelPath> = orphans::find(store, &used)?.into_iter().filter(|path| !due(path)).collect();
    findings.extend(orphans.into_iter().map(|path| Finding::Orphan { path }));
    Ok(findings)
}

/// Arrays that were looked at.
type Metadata = HashSet<ArrayUse>;

/// What was found in one file.
#[derive(Default)]
struct Looked {
    chunks: u64,
    findings: Vec<Finding>,
}

/// `step` is told the share of the work on the file that is done: half of it are the chunks, half the whole.
fn check_file(
    store: &Offline,
    id: RecordId,
    name: &RelPath,
    metadata: &mut Metadata,
    step: &mut dyn FnMut(f64),
) -> Looked {
    let mut looked = Looked::default();
    if let Err(what) = check_parts(store, id, name, metadata, step, &mut looked) {
        looked.findings.push(Finding::Unsound { name: name.clone(), what });
    }
    looked
}

fn check_parts(
    store: &Offline,
    id: RecordId,
    name: &RelPath,
    metadata: &mut Metadata,
    step: &mut dyn FnMut(f64),
    looked: &mut Looked,
) -> Result<(), String> {
    let said = |e: TableError| e.to_string();
    let record = store.table.record(id).map_err(said)?;
    for array in &record.arrays {
        looked.findings.extend(check_array(store, array, metadata));
    }
    if let RecipeBytes::Spilled(spill) = &record.recipe {
        check_literals(store, name, &spill.chunks, looked);
    }
    let recipe = store.recipe(&record).map_err(said)?;
    check_chunks(store, name, &record, &recipe, step, looked);
    if !looked.findings.is_empty() {
        // It can only differ, which has been said.
        return Ok(());
    }
    let mut done = 0.0;
    let mut further = |part: &[u8]| {
        done += part.len() as f64;
        step(0.5 + 0.5 * done / record.size.max(1) as f64);
        Ok(())
    };
    let sha256 = hash(&store.source(&record).map_err(said)?, &mut further).map_err(|e| e.to_string())?;
    match sha256 == record.sha256 {
        true => Ok(()),
        false => Err("its hash differs from that of the original".to_owned()),
    }
}

/// Each array is spoken of once.
fn check_array(store: &Offline, array: &ArrayUse, metadata: &mut Metadata) -> Option<Finding> {
    if !metadata.insert(array.clone()) {
        return None;
    }
    let finding = |what: String| Some(Finding::Metadata { array: array.path.clone(), what });
    match store.arrays.array(&array.path) {
        Err(e) => finding(e.to_string()),
        Ok(there) if there.spec().dtype != array.dtype || there.spec().chunk != array.chunk_shape => {
            finding("its type or chunks are not those of its files".to_owned())
        }
        Ok(_) => None,
    }
}

fn check_chunks(
    store: &Offline,
    name: &RelPath,
    record: &Record,
    recipe: &Recipe,
    step: &mut dyn FnMut(f64),
    looked: &mut Looked,
) {
    let all = recipe.chunks.iter().count().max(1) as f64;
    for (at, chunk) in recipe.chunks.iter().enumerate() {
        let Some(array) = record.arrays.get(chunk.array as usize) else { continue };
        let (coords, stored, checks) = (chunk.coords, chunk.stored, chunk.checks);
        check_chunk(store, name, StoredChunk { array: &array.path, coords, stored, checks }, looked);
        step(0.5 * (at + 1) as f64 / all);
    }
    if let Literals::Chunks { chunks, .. } = &recipe.literals {
        check_literals(store, name, chunks, looked);
    }
}

fn check_literals(store: &Offline, name: &RelPath, chunks: &[LiteralChunk], looked: &mut Looked) {
    for chunk in chunks {
        let (stored, checks) = (chunk.stored, chunk.checks.as_slice());
        check_chunk(store, name, StoredChunk { array: LITERALS, coords: &[chunk.id], stored, checks }, looked);
    }
}

fn check_chunk(store: &Offline, name: &RelPath, stored: StoredChunk<'_>, looked: &mut Looked) {
    looked.chunks += 1;
    let (name, chunk) = (name.clone(), format!("{} {:?}", stored.array, stored.coords));
    let finding = match state(store, stored) {
        Ok(()) => return,
        Err(ChunkError::Missing { .. } | ChunkError::NoSuchChunk) => Finding::Missing { name, chunk },
        Err(ChunkError::Frame(BloscError::Changed { .. })) => Finding::Changed { name, chunk },
        Err(e) => Finding::Damaged { name, chunk, what: e.to_string() },
    };
    looked.findings.push(finding);
}

/// Whether a chunk is as it was written. `Changed` only if all of it can be decoded, and it does not look as if bits of it
/// were lost.
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
    let now = frame.checks()?;
    if now == stored.checks {
        return Ok(());
    }
    let mut differing = (0..now.len()).filter(|&block| now.get(block) != stored.checks.get(block));
    let only = differing.next().filter(|_| differing.next().is_none() && now.len() == stored.checks.len());
    match only {
        // LZ4 has no check of its own: bits that are lost in what it copies leave a block that decodes. Whoever writes
        // other pixels gets another length, unless nothing was compressed.
        Some(block) if !frame.is_stored() && frame.stored_len() == stored.stored => {
            let what = "it decodes to other bytes than were written, though the chunk is as long as it was";
            Err(BloscError::Damaged { range: frame.range_of(block), what }.into())
        }
        _ => Err(BloscError::Changed { range: 0..at }.into()),
    }
}
