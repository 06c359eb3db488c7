//! Reading chunks: those of a store, and those that are staged.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::array::{Chunk, Shard};
use super::blosc::{Frame, Scratch, Section};
use super::cache::ChunkKey;
use super::ground::{Ground, StagedChunk, below, chunk_path, decode};
use super::sharding::Sharding;
use super::standing::Standing;
use super::table::{ArrayUse, CHUNK, ChunkReader, LITERALS, StoredChunk};
use crate::backend::Object;
use crate::config::Ngff;
use crate::model::RelPath;

/// Decoded chunks of a file that is being sealed are kept up to this many bytes.
const STAGED_KEPT: usize = 8 << 20;

/// Chunks that are kept open, each for one descriptor.
const OPEN_MOST: usize = 64;

/// Reads the chunks of a store.
#[derive(Clone)]
pub(super) struct StoreReader {
    pub ground: Arc<Ground>,
    pub store: u128,
    pub place: Arc<RwLock<RelPath>>,
    pub version: Ngff,
    pub arrays: Arc<[ArrayUse]>,
    /// Where chunks are that are not files of their own.
    pub sharding: Option<Arc<Sharding>>,
}

impl ChunkReader for StoreReader {
    fn read(&self, chunk: StoredChunk<'_>, range: Range<u64>, out: &mut [u8]) -> io::Result<()> {
        self.try_read(chunk, range.start, out).map_err(|e| {
            let path = self.path_of(chunk);
            let what = format!("bytes {} to {} of the chunk {path} cannot be read: {e}", range.start, range.end);
            tracing::error!("{what}");
            io::Error::new(io::ErrorKind::InvalidData, what)
        })
    }
}

impl StoreReader {
    fn path_of(&self, chunk: StoredChunk<'_>) -> RelPath {
        below(&self.place.read(), &chunk_path(self.version, chunk.array, chunk.coords))
    }

    /// The file that a chunk is in, and where in it.
    pub fn find(&self, array: &str, coords: &[u64]) -> io::Result<(Object, Range<u64>)> {
        let place = self.sharding.as_ref().and_then(|sharding| sharding.place(array, coords));
        let file = place.as_ref().map_or_else(|| chunk_path(self.version, array, coords), |place| place.file.clone());
        let object = self.ground.files.open(&below(&self.place.read(), &file))?.ok_or(io::ErrorKind::NotFound)?;
        let range = match place {
            Some(place) => Shard::open(&object, place.slots).map_err(invalid)?.range(place.slot),
            None => Some(0..object.stat()?.size),
        };
        Ok((object, range.ok_or(io::ErrorKind::NotFound)?))
    }

    fn try_read(&self, chunk: StoredChunk<'_>, start: u64, out: &mut [u8]) -> io::Result<()> {
        let key = ChunkKey {
            store: self.store as u64,
            array: below(&RelPath::root(), chunk.array),
            index: chunk.coords.to_vec(),
            // A chunk that was replaced is another: nothing of the old one is taken for it.
            generation: chunk.checks.iter().fold(chunk.stored, |sum, check| sum.rotate_left(5) ^ check),
        };
        let open = self.ground.opened.get(key, |key| {
            let (object, stored) = self.find(chunk.array, chunk.coords)?;
            let section = Section { source: Box::new(object), range: stored };
            let frame = Frame::open(section, decoded_len(&self.arrays, chunk.array)?).map_err(invalid)?;
            Ok(OpenChunk { key, chunk: Chunk::Stored(frame) })
        })?;
        let cache = &self.ground.cache;
        cache.read(&open.key, &open.chunk, start, out, Some(chunk.checks), &mut Scratch::default()).map_err(invalid)
    }
}

fn invalid<E: Into<Box<dyn std::error::Error + Send + Sync>>>(e: E) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, e)
}

/// A chunk whose header was read.
pub(super) struct OpenChunk {
    key: Arc<ChunkKey>,
    chunk: Chunk,
}

/// Chunks that were read from lately, open.
#[derive(Default)]
pub(super) struct Opened(Mutex<VecDeque<Arc<OpenChunk>>>);

impl Opened {
    /// The chunk `key`, opened by `open` if it is not here.
    fn get(
        &self,
        key: ChunkKey,
        open: impl FnOnce(Arc<ChunkKey>) -> io::Result<OpenChunk>,
    ) -> io::Result<Arc<OpenChunk>> {
        let known = self.0.lock().iter().find(|chunk| *chunk.key == key).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let chunk = Arc::new(open(Arc::new(key))?);
        let mut all = self.0.lock();
        if all.len() >= OPEN_MOST {
            all.pop_front();
        }
        all.push_back(chunk.clone());
        Ok(chunk)
    }

    /// Closes the chunks of a store.
    pub fn forget(&self, store: u128) {
        self.0.lock().retain(|chunk| chunk.key.store != store as u64);
    }
}

/// Bytes of a decoded chunk of the array at `path`.
fn decoded_len(arrays: &[ArrayUse], path: &str) -> io::Result<u64> {
    if path == LITERALS {
        return Ok(CHUNK as u64);
    }
    let len = arrays.iter().find(|array| array.path == path).and_then(ArrayUse::chunk_bytes);
    len.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{path} is no array of the file")))
}

/// Reads chunks that are staged, before the file is committed.
pub(super) struct StagedReader<'a> {
    version: Ngff,
    arrays: &'a [ArrayUse],
    staged: HashMap<&'a str, &'a StagedChunk>,
    /// The version that is replaced: chunks that are not staged stand there.
    standing: Option<&'a Standing>,
    kept: &'a KeptChunks,
}

/// Decoded chunks of a file that is being sealed.
#[derive(Default)]
pub(super) struct KeptChunks(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    chunks: Vec<(String, Arc<Vec<u8>>)>,
    bytes: usize,
}

impl<'a> StagedReader<'a> {
    pub fn new(
        (version, standing): (Ngff, Option<&'a Standing>),
        arrays: &'a [ArrayUse],
        staged: impl Iterator<Item = &'a StagedChunk>,
        kept: &'a KeptChunks,
    ) -> Self {
        let staged = staged.map(|chunk| (chunk.path.as_str(), chunk)).collect();
        StagedReader { version, arrays, staged, standing, kept }
    }

    /// The whole decoded chunk; `None` if none is staged there, and none stands there.
    pub fn chunk(&self, array: &str, coords: &[u64], checks: &[u64]) -> io::Result<Option<Arc<Vec<u8>>>> {
        let path = chunk_path(self.version, array, coords);
        if let Some((_, kept)) = self.kept.0.lock().chunks.iter().find(|(other, _)| *other == path) {
            return Ok(Some(kept.clone()));
        }
        let object = match (self.staged.get(path.as_str()), self.standing) {
            (Some(staged), _) => Some(staged.open()?),
            (None, Some(standing)) => standing.open(&path)?,
            (None, None) => None,
        };
        let Some(object) = object else { return Ok(None) };
        let len = decoded_len(self.arrays, array)?;
        let mut bytes = vec![0; len as usize];
        decode(object, len, checks, 0..len, &mut bytes)?;
        let bytes = Arc::new(bytes);
        self.keep(path, bytes.clone());
        Ok(Some(bytes))
    }

    fn keep(&self, path: String, bytes: Arc<Vec<u8>>) {
        let mut kept = self.kept.0.lock();
        while !kept.chunks.is_empty() && kept.bytes + bytes.len() > STAGED_KEPT {
            let (_, oldest) = kept.chunks.remove(0);
            kept.bytes -= oldest.len();
        }
        kept.bytes += bytes.len();
        kept.chunks.push((path, bytes));
    }
}

impl ChunkReader for StagedReader<'_> {
    fn read(&self, chunk: StoredChunk<'_>, range: Range<u64>, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.chunk(chunk.array, chunk.coords, chunk.checks)?.ok_or(io::ErrorKind::NotFound)?;
        let range = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let part = range.and_then(|(start, end)| bytes.get(start..end)).ok_or(io::ErrorKind::InvalidData)?;
        out.copy_from_slice(part);
        Ok(())
    }
}
