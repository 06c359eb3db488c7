//! How fast the workspace's disk is, measured: a copy in memory helps where reading from it takes long. Where it does
//! not, the kernel's page cache does the same.

use std::time::{Duration, Instant};

use crate::backend::{ByteSource, Object};
use crate::vfs::{Read, Vfs};

/// A disk that gives fewer bytes a second is slow.
const FAST: f64 = 100e6;
/// So is one that takes longer for a few bytes.
const QUICK: Duration = Duration::from_millis(5);
/// Programs that get fewer bytes a second out of the files that they have open wait for the disk (or compute meanwhile: then
/// a copy is of no use, and costs only what is free). Of small files nothing can be told by that, nor of a moment.
const SLOW: f64 = 60e6;
const TELLING: u64 = 256 << 10;
const MOMENT: f64 = 0.2;
/// What was read before counts for so much less with each read: a disk that is throttled gives in bursts.
const FADES: f64 = 0.9;
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
    /// Bytes that programs read lately, and seconds for which they had the files open.
    read: (f64, f64),
}

impl Backing {
    /// Whether the disk is slow; measured anew, on a file that was just read, when that is too long ago.
    pub fn is_slow(&mut self, vfs: &Vfs, read: Read) -> bool {
        // The disk may be slow for programs alone: the kernel serves them itself, in their own cgroup.
        self.note_read(vfs.size_of(read.ino).unwrap_or(0), read.held);
        self.programs_wait() || self.is_measured_slow(vfs, read.ino)
    }

    fn note_read(&mut self, size: u64, held: Duration) {
        if size >= TELLING {
            self.read = (self.read.0 * FADES + size as f64, self.read.1 * FADES + held.as_secs_f64());
        }
    }

    fn programs_wait(&self) -> bool {
        self.read.1 >= MOMENT && self.read.0 / self.read.1 < SLOW
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

    fn waits(reads: impl IntoIterator<Item = (u64, u64)>) -> bool {
        let mut backing = Backing::default();
        reads.into_iter().for_each(|(size, millis)| backing.note_read(size, Duration::from_millis(millis)));
        backing.programs_wait()
    }

    #[test]
    fn a_disk_that_gives_in_bursts_is_as_slow_as_it_is_all_in_all() {
        assert!(waits((0..40).map(|n| (1 << 20, if n % 4 == 3 { 100 } else { 1 }))), "40 MB/s");
        assert!(!waits((0..40).map(|_| (1 << 20, 5))), "200 MB/s");
        assert!(!waits((0..40).map(|_| (4096, 20))), "small files tell nothing");
        assert!(!waits([(1 << 20, 100)]), "nor does a moment");
    }
}
