//! How often each file was opened lately, in a fixed amount of memory.
//!
//! A count-min sketch (Cormode and Muthukrishnan, "An improved data stream summary", J. Algorithms 2005) whose counts are
//! halved again and again, so that it forgets (the ageing of TinyLFU: Einziger, Friedman and Manes, ACM ToS 2017). It may
//! take a file for hotter than it is, never for colder.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Counters in a row; a power of two.
const WIDTH: usize = 1 << 14;
const ROWS: usize = 4;
/// Counts are halved after so many opens for each counter of a row.
const LIFE: u64 = 8;

/// The counts.
pub(super) struct Heat {
    rows: Box<[AtomicU8]>,
    opens: AtomicU64,
}

impl Default for Heat {
    fn default() -> Heat {
        Heat { rows: (0..ROWS * WIDTH).map(|_| AtomicU8::new(0)).collect(), opens: AtomicU64::new(0) }
    }
}

impl Heat {
    /// Notes that the file with this inode number was opened.
    pub fn note(&self, ino: u64) {
        let now = self.of(ino);
        for counter in self.counters(ino) {
            // Only the smallest counts: the others were raised by other files (conservative update).
            if counter.load(Ordering::Relaxed) == now {
                counter.store(now.saturating_add(1), Ordering::Relaxed);
            }
        }
        if (self.opens.fetch_add(1, Ordering::Relaxed) + 1) % (LIFE * WIDTH as u64) == 0 {
            for counter in &self.rows {
                counter.store(counter.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
            }
        }
    }

    /// How often it was opened lately, at most.
    pub fn of(&self, ino: u64) -> u8 {
        self.counters(ino).map(|counter| counter.load(Ordering::Relaxed)).min().unwrap_or(0)
    }

    fn counters(&self, ino: u64) -> impl Iterator<Item = &AtomicU8> {
        self.rows.chunks(WIDTH).enumerate().filter_map(move |(row, counters)| counters.get(place(ino, row)))
    }
}

impl std::fmt::Debug for Heat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heat").field("opens", &self.opens).finish()
    }
}

/// The counter of a file in a row: the finaliser of SplitMix64, seeded by the row.
fn place(ino: u64, row: usize) -> usize {
    let mut hash = ino.wrapping_add((row as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (hash ^ (hash >> 31)) as usize % WIDTH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_never_taken_for_colder_than_it_is() {
        let heat = Heat::default();
        for ino in 0..20_000 {
            (0..ino % 4).for_each(|_| heat.note(ino));
        }
        assert!((0..20_000).all(|ino| u64::from(heat.of(ino)) >= ino % 4));
        let wrong = (0..20_000).filter(|ino| u64::from(heat.of(*ino)) > ino % 4).count();
        assert!(wrong < 2_000, "{wrong} of 20,000 are taken for hotter");
    }

    #[test]
    fn what_is_not_opened_any_more_is_forgotten() {
        let heat = Heat::default();
        (0..200).for_each(|_| heat.note(7));
        assert_eq!(heat.of(7), 200);
        let half_life = LIFE * WIDTH as u64;
        (0..8 * half_life).for_each(|n| heat.note(1_000 + n % 50_000));
        assert!(heat.of(7) < 40, "{}", heat.of(7));
    }
}
