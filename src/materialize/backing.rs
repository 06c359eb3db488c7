//! How fast the workspace's disk is, measured: a copy in memory helps where reading from it takes long. Where it does
//! not, the kernel's page cache does the same.

use std::time::{Duration, Instant};

use crate::backend::{ByteSource, Object};
use crate::vfs::{Read, Vfs};

/// A disk that gives fewer bytes a second is slow.
const FAST: f64 = 100e6;
/// So is one that takes longer for a few bytes.
const QUICK: Duration = Duration::from_millis(5);
/// A program that had files open for longer than this, and longer than they take at this rate, waited for the disk (or
/// computed meanwhile: then a copy is of no use, and costs only what is free).
const MOMENT: Duration = Duration::from_millis(10);
const SLOW: f64 = 50e6;
/// Of smaller files nothing can be told by that.
const TELLING: u64 = 256 << 10;
/// So many such reads, more than others, say that the disk is slow.
const LONG: u32 = 16;
/// So many measurements in a row must say so: a disk that is busy for a moment is not slow.
const SURE: u32 = 3;
/// A verdict holds this long.
const HOLDS: Duration = Duration::from_secs(30);
/// Bytes read to measure, past the page cache.
const SAMPLE: usize = 1 << 20;
/// Offsets and buffers of uncached reads are multiples of this.
const BLOCK: usize = 4096;

/// What is known of the disk.
#[derive(Debug, Default)]
pub(super) struct Backing {
    verdict: Option<(bool, Instant)>,
    /// Measurements in a row that found it slow.
    slow: u32,
    /// Reads lately that took their program long, less those that did not.
    long: u32,
}

impl Backing {
    /// Whether the disk is slow; measured anew, on a file that was just read, when that is too long ago.
    pub fn is_slow(&mut self, vfs: &Vfs, read: Read) -> bool {
        // The disk may be slow for programs alone: the kernel serves them itself, in their own cgroup.
        self.long = match took_long(vfs.size_of(read.ino).unwrap_or(0), read.held) {
            true => (self.long + 1).min(2 * LONG),
            false => self.long.saturating_sub(1),
        };
        self.long >= LONG || self.is_measured_slow(vfs, read.ino)
    }

    fn is_measured_slow(&mut self, vfs: &Vfs, ino: u64) -> bool {
        if let Some((slow, since)) = self.verdict
            && since.elapsed() < HOLDS
        {
            return slow;
        }
        let Some(slow) = vfs.open_uncached(ino).and_then(|object| is_slow(&object)) else { return false };
        self.slow = if slow { self.slow + 1 } else { 0 };
        if slow && self.slow < SURE {
            return false;
        }
        if self.verdict.is_none_or(|(before, _)| before != slow) {
            let what =
                if slow { "slow: files that are read come up into memory" } else { "as fast as the page cache needs" };
            tracing::info!("the workspace's disk is {what}");
        }
        self.verdict = Some((slow, Instant::now()));
        slow
    }
}

/// Whether somebody had a file open for longer than reading it should take.
fn took_long(size: u64, held: Duration) -> bool {
    size >= TELLING && held >= MOMENT && size as f64 / held.as_secs_f64() < SLOW
}

/// Whether reading from the disk takes long; `None` if that cannot be told from this file.
fn is_slow(object: &Object) -> Option<bool> {
    let size = usize::try_from(object.size().ok()?).ok()?;
    if size < BLOCK {
        return None;
    }
    let mut buf = vec![0; SAMPLE + BLOCK];
    let start = buf.as_ptr().align_offset(BLOCK);
    let buf = buf.get_mut(start..)?;
    let began = Instant::now();
    object.read_at(buf.get_mut(..BLOCK)?, 0).ok()?;
    let first = began.elapsed();
    if first > QUICK {
        return Some(true);
    }
    let len = (size / BLOCK * BLOCK).min(SAMPLE);
    let began = Instant::now();
    let got = object.read_at(buf.get_mut(..len)?, 0).ok()?;
    let rate = got as f64 / began.elapsed().as_secs_f64().max(1e-9);
    // Of few bytes most of the time is the way there and back, which was looked at above.
    Some(len == SAMPLE && rate < FAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_is_what_takes_longer_than_a_moment_and_than_its_bytes_should() {
        assert!(took_long(2 << 20, Duration::from_millis(100)));
        assert!(!took_long(2 << 20, Duration::from_millis(9)), "a moment");
        assert!(!took_long(100 << 20, Duration::from_millis(500)), "200 MB/s");
        assert!(!took_long(100, Duration::from_millis(20)), "too few bytes to tell");
    }
}
