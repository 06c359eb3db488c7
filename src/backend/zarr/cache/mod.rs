//! Decoded blocks, kept within a bound.
//!
//! The unit is the Blosc block (at most 256 KiB): strips that follow each other share one, and a read of a few bytes
//! costs no more than one. What is read over its whole length is not kept, since whoever read it has it, and the
//! kernel keeps its pages. Which blocks stay is decided by `queues`.

mod queues;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use self::queues::Queues;
use super::array::{Chunk, ChunkError};
use super::blosc::{Frame, Scratch, Stored};
use crate::model::RelPath;

/// A version of a chunk. Whoever replaces a chunk gives the new one another generation; the old blocks age out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChunkKey {
    /// The store, by any number that is its own as long as the cache lives.
    pub store: u64,
    /// The array in the store.
    pub array: RelPath,
    /// The chunk in the array.
    pub index: Vec<u64>,
    /// Which version of it.
    pub generation: u64,
}

/// A block of a version of a chunk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct BlockKey {
    chunk: Arc<ChunkKey>,
    block: usize,
}

/// The cache. All methods may be called by many threads; no lock is held while a block is decoded, and no block is
/// decoded by two threads at a time.
#[derive(Debug)]
pub struct Cache {
    queues: Mutex<Queues<BlockKey>>,
    decoded: Condvar,
}

/// What a look into the cache gave.
enum Found<'c> {
    Here(Arc<Vec<u8>>),
    /// It is for us to decode; the others wait.
    Ours(Claim<'c>),
}

/// The duty to decode a block. Dropped without [`Claim::keep`], it passes to one of those that wait.
struct Claim<'c> {
    cache: &'c Cache,
    key: BlockKey,
}

impl Cache {
    /// A cache of at most `bound` bytes of decoded blocks.
    pub fn new(bound: usize) -> Cache {
        Cache { queues: Mutex::new(Queues::new(bound)), decoded: Condvar::new() }
    }

    /// Sets another bound; what is over it goes at once.
    pub fn set_bound(&self, bound: usize) {
        self.queues.lock().set_bound(bound);
    }

    /// Bytes of the decoded blocks that are kept.
    pub fn bytes(&self) -> usize {
        self.queues.lock().bytes()
    }

    /// Drops the blocks of the chunks that `gone` tells.
    pub fn drop_chunks(&self, gone: impl Fn(&ChunkKey) -> bool) {
        self.queues.lock().remove_all(|key| gone(&key.chunk));
    }

    /// Reads `out.len()` decoded bytes of `chunk` from `start`, as [`Chunk::read`] does.
    pub fn read(
        &self,
        key: &Arc<ChunkKey>,
        chunk: &Chunk,
        start: u64,
        out: &mut [u8],
        checks: Option<&[u64]>,
        scratch: &mut Scratch,
    ) -> Result<(), ChunkError> {
        let Chunk::Stored(frame) = chunk else { return chunk.read(start, out, checks, scratch) };
        let end = start.saturating_add(out.len() as u64);
        if end > frame.decoded_len() {
            return chunk.read(start, out, checks, scratch);
        }
        let mut rest = out;
        let mut at = start;
        while !rest.is_empty() {
            let Some(block) = frame.block_at(at) else { break };
            let range = frame.range_of(block);
            let len = (range.end.min(end) - at) as usize;
            let (here, next) = rest.split_at_mut(len);
            let key = BlockKey { chunk: key.clone(), block };
            if here.len() as u64 == range.end - range.start {
                let found = self.queues.lock().get(&key);
                match found {
                    Some(bytes) => here.copy_from_slice(&bytes),
                    None => decode(frame, at, here, checks, scratch)?,
                }
            } else {
                let bytes = self.block(key, frame, checks, scratch)?;
                let from = (at - range.start) as usize;
                here.copy_from_slice(bytes.get(from..from + len).unwrap_or_default());
            }
            at += len as u64;
            rest = next;
        }
        Ok(())
    }

    /// Decodes the blocks of a chunk that are not here yet, because they are likely to be read.
    pub fn fetch(
        &self,
        key: &Arc<ChunkKey>,
        chunk: &Chunk,
        checks: Option<&[u64]>,
        scratch: &mut Scratch,
    ) -> Result<(), ChunkError> {
        let Chunk::Stored(frame) = chunk else { return Ok(()) };
        for block in 0..frame.blocks() {
            self.block(BlockKey { chunk: key.clone(), block }, frame, checks, scratch)?;
        }
        Ok(())
    }

    /// One whole block, from here or decoded.
    fn block<S: Stored>(
        &self,
        key: BlockKey,
        frame: &Frame<S>,
        checks: Option<&[u64]>,
        scratch: &mut Scratch,
    ) -> Result<Arc<Vec<u8>>, ChunkError> {
        let claim = match self.find(key) {
            Found::Here(bytes) => return Ok(bytes),
            Found::Ours(claim) => claim,
        };
        let range = frame.range_of(claim.key.block);
        let mut bytes = vec![0; (range.end - range.start) as usize];
        decode(frame, range.start, &mut bytes, checks, scratch)?;
        Ok(claim.keep(bytes))
    }

    fn find(&self, key: BlockKey) -> Found<'_> {
        let mut queues = self.queues.lock();
        loop {
            if let Some(bytes) = queues.get(&key) {
                return Found::Here(bytes);
            }
            if queues.claim(&key) {
                return Found::Ours(Claim { cache: self, key });
            }
            self.decoded.wait(&mut queues);
        }
    }
}

impl Claim<'_> {
    fn keep(self, bytes: Vec<u8>) -> Arc<Vec<u8>> {
        let bytes = Arc::new(bytes);
        self.cache.queues.lock().insert(self.key.clone(), bytes.clone());
        bytes
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.cache.queues.lock().release(&self.key);
        self.cache.decoded.notify_all();
    }
}

fn decode<S: Stored>(
    frame: &Frame<S>,
    start: u64,
    out: &mut [u8],
    checks: Option<&[u64]>,
    scratch: &mut Scratch,
) -> Result<(), ChunkError> {
    let decoded = match checks {
        Some(checks) => frame.decode_range_checked(start, out, checks, scratch),
        None => frame.decode_range(start, out, scratch),
    };
    decoded.map_err(ChunkError::from)
}
