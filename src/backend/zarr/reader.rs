//! Reading chunks: those of a store, and those that are staged.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::ground::{Ground, StagedChunk, below, chunk_path, decode};
use super::table::{ArrayUse, CHUNK, ChunkReader, LITERALS, StoredChunk};
use crate::config::Ngff;
use crate::model::RelPath;

/// Decoded chunks of a file that is being sealed are kept up to this many bytes.
const STAGED_KEPT: usize = 64 << 20;

/// Reads the chunks of a store.
#[derive(Clone)]
pub(super) struct StoreReader {
    pub ground: Arc<Ground>,
    pub place: Arc<RwLock<RelPath>>,
    pub version: Ngff,
    pub arrays: Arc<[ArrayUse]>,
}

impl ChunkReader for StoreReader {
    fn read(&self, chunk: StoredChunk<'_>, range: Range<u64>, out: &mut [u8]) -> io::Result<()> {
        let path = below(&self.place.read(), &chunk_path(self.version, chunk.array, chunk.coords));
        let read = || {
            let object = self.ground.files.open(&path)?.ok_or(io::ErrorKind::NotFound)?;
            decode(object, decoded_len(&self.arrays, chunk.array)?, chunk.checks, range.clone(), out)
        };
        let failed = |e: io::Error| {
            tracing::error!("bytes {} to {} of the chunk {path} cannot be read: {e}", range.start, range.end);
            let what = format!("bytes {} to {} of the chunk {path}: {e}", range.start, range.end);
            io::Error::new(io::ErrorKind::InvalidData, what)
        };
        let mut read = read;
        read().map_err(failed)
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
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    chunks: Vec<(String, Arc<Vec<u8>>)>,
    bytes: usize,
}

impl<'a> StagedReader<'a> {
    pub fn new(version: Ngff, arrays: &'a [ArrayUse], staged: impl Iterator<Item = &'a StagedChunk>) -> Self {
        let staged = staged.map(|chunk| (chunk.path.as_str(), chunk)).collect();
        StagedReader { version, arrays, staged, kept: Mutex::default() }
    }

    /// The whole decoded chunk; `None` if none is staged there.
    pub fn chunk(&self, array: &str, coords: &[u64], checks: &[u64]) -> io::Result<Option<Arc<Vec<u8>>>> {
        let path = chunk_path(self.version, array, coords);
        if let Some((_, kept)) = self.kept.lock().chunks.iter().find(|(other, _)| *other == path) {
            return Ok(Some(kept.clone()));
        }
        let Some(staged) = self.staged.get(path.as_str()) else { return Ok(None) };
        let len = decoded_len(self.arrays, array)?;
        let mut bytes = vec![0; len as usize];
        decode(staged.open()?, len, checks, 0..len, &mut bytes)?;
        let bytes = Arc::new(bytes);
        self.keep(path, bytes.clone());
        Ok(Some(bytes))
    }

    fn keep(&self, path: String, bytes: Arc<Vec<u8>>) {
        let mut kept = self.kept.lock();
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
