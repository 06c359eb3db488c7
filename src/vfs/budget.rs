//! What memory may still take: the limit that is a promise, and the space at home that every byte must find.
//!
//! A write asks before it grows a file in memory. Most answers come from a credit that was measured earlier, so asking
//! costs one atomic subtraction; when the credit is used up, what is really held is measured anew.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

/// Largest credit given out at once, in bytes: how far what is held may be beside the last measurement.
const CREDIT_MOST: u64 = 8 << 20;
/// Files that may be created between two looks at the home's free inodes.
const FILE_CREDIT: i64 = 256;

/// Where the figures come from; tests bring their own.
pub trait Gauge: Send + Sync {
    /// Bytes held: the tmpfs and this process.
    fn held(&self) -> u64;
    /// Bytes that the tmpfs holds.
    fn tmpfs(&self) -> u64;
    /// Bytes and inodes free at home for an ordinary user.
    fn home_free(&self) -> (u64, u64);
}

/// The answer to a write that wants memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Go ahead.
    Granted,
    /// Memory is short: the file must go home.
    MemoryShort,
    /// Memory would do, but the home could not take these bytes later.
    HomeFull,
}

/// The memory tier's account.
pub struct Budget {
    gauge: Box<dyn Gauge>,
    limit: AtomicU64,
    high: f64,
    low: f64,
    credit: AtomicI64,
    files: AtomicI64,
    measuring: Mutex<()>,
    pressed: AtomicBool,
    home_full: AtomicBool,
    /// Bytes of memory files that the home has too.
    clean: AtomicU64,
}

impl Budget {
    /// An account of `limit` bytes with a high and a low mark, as shares of it.
    pub fn new(gauge: Box<dyn Gauge>, limit: u64, high: f64, low: f64) -> Budget {
        Budget {
            gauge,
            limit: AtomicU64::new(limit),
            high,
            low,
            credit: AtomicI64::new(0),
            files: AtomicI64::new(0),
            measuring: Mutex::new(()),
            pressed: AtomicBool::new(false),
            home_full: AtomicBool::new(false),
            clean: AtomicU64::new(0),
        }
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// The high and the low mark, as shares of the limit.
    pub fn marks(&self) -> (f64, f64) {
        (self.high, self.low)
    }

    /// Bytes held now: tmpfs and daemon.
    pub fn held(&self) -> u64 {
        self.gauge.held()
    }

    /// Bytes that files in memory hold now.
    pub fn tmpfs(&self) -> u64 {
        self.gauge.tmpfs()
    }

    /// Whether memory is past the high mark and not yet below the low one.
    pub fn is_pressed(&self) -> bool {
        self.pressed.load(Ordering::Relaxed)
    }

    /// The monitor's verdict.
    pub fn set_pressed(&self, pressed: bool) {
        self.pressed.store(pressed, Ordering::Relaxed);
    }

    /// Whether the last measurement found no room at home.
    pub fn is_home_full(&self) -> bool {
        self.home_full.load(Ordering::Relaxed)
    }

    /// Bytes to free until the low mark is reached.
    pub fn above_low(&self) -> u64 {
        self.held().saturating_sub((self.limit() as f64 * self.low) as u64)
    }

    /// Bytes became clean.
    pub fn add_clean(&self, bytes: u64) {
        self.clean.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Clean bytes were changed or dropped.
    pub fn sub_clean(&self, bytes: u64) {
        // Never below zero: files change size between the two calls.
        let _ = self.clean.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |c| Some(c.saturating_sub(bytes)));
    }

    /// Bytes of memory that the home has too.
    pub fn clean(&self) -> u64 {
        self.clean.load(Ordering::Relaxed)
    }

    /// Asks for `bytes` more.
    pub fn ask(&self, bytes: u64) -> Room {
        let wanted = bytes as i64;
        if self.credit.fetch_sub(wanted, Ordering::Relaxed) >= wanted {
            return Room::Granted;
        }
        let _one = self.measuring.lock();
        // Somebody else may have measured while we waited.
        if self.credit.fetch_sub(wanted, Ordering::Relaxed) >= wanted {
            return Room::Granted;
        }
        self.measure(bytes)
    }

    fn measure(&self, bytes: u64) -> Room {
        let limit = self.limit();
        let held = self.gauge.held();
        if held as f64 >= limit as f64 * self.high {
            self.set_pressed(true);
        }
        // What requests under way and the daemon itself may add before the next look.
        let margin = (limit / 8).min(32 << 20);
        let memory = limit.saturating_sub(margin).saturating_sub(held);
        let (free, _) = self.gauge.home_free();
        let only_here = self.gauge.tmpfs().saturating_sub(self.clean());
        let home = free.saturating_sub(free / 128 + (1 << 20)).saturating_sub(only_here);
        self.home_full.store(home < bytes, Ordering::Relaxed);
        if memory < bytes {
            self.credit.store(0, Ordering::Relaxed);
            return Room::MemoryShort;
        }
        if home < bytes {
            self.credit.store(0, Ordering::Relaxed);
            return Room::HomeFull;
        }
        let credit = ((memory - bytes) / 4).min((home - bytes) / 4).min(CREDIT_MOST);
        self.credit.store(credit as i64, Ordering::Relaxed);
        Room::Granted
    }

    /// Asks for a further file; false if the home has no inode for it.
    pub fn ask_file(&self, resident: usize) -> bool {
        if self.files.fetch_sub(1, Ordering::Relaxed) > 0 {
            return true;
        }
        let (_, inodes) = self.gauge.home_free();
        let left = inodes.saturating_sub(resident as u64 + 16);
        self.files.store(((left / 4) as i64).min(FILE_CREDIT), Ordering::Relaxed);
        left > 0
    }
}

impl std::fmt::Debug for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budget").field("limit", &self.limit()).field("pressed", &self.is_pressed()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Default)]
    struct Figures {
        held: AtomicU64,
        free: AtomicU64,
    }

    impl Gauge for Arc<Figures> {
        fn held(&self) -> u64 {
            self.held.load(Ordering::Relaxed)
        }
        fn tmpfs(&self) -> u64 {
            self.held.load(Ordering::Relaxed)
        }
        fn home_free(&self) -> (u64, u64) {
            (self.free.load(Ordering::Relaxed), 1000)
        }
    }

    fn budget(held: u64, free: u64) -> (Budget, Arc<Figures>) {
        let figures = Arc::new(Figures::default());
        figures.held.store(held, Ordering::Relaxed);
        figures.free.store(free, Ordering::Relaxed);
        (Budget::new(Box::new(figures.clone()), 512 << 20, 0.8, 0.7), figures)
    }

    #[test]
    fn what_is_granted_never_passes_the_limit() {
        let (budget, figures) = budget(0, 1 << 40);
        let step = 1 << 20;
        while budget.ask(step) == Room::Granted {
            figures.held.fetch_add(step, Ordering::Relaxed);
        }
        let held = figures.held.load(Ordering::Relaxed);
        assert!(held <= 512 << 20, "{held}");
        assert!(held > 400 << 20, "{held} is far from the limit");
        assert!(budget.is_pressed(), "passing the high mark is noticed without the monitor");
    }

    #[test]
    fn what_the_home_cannot_take_is_refused_now() {
        let (budget, figures) = budget(0, 64 << 20);
        let step = 1 << 20;
        let mut granted = 0;
        while budget.ask(step) == Room::Granted {
            figures.held.fetch_add(step, Ordering::Relaxed);
            granted += step;
        }
        assert_eq!(budget.ask(step), Room::HomeFull);
        assert!(granted <= 64 << 20 && granted > 48 << 20, "{granted}");
    }

    #[test]
    fn clean_bytes_need_no_room_at_home() {
        let (budget, figures) = budget(0, 64 << 20);
        figures.held.store(60 << 20, Ordering::Relaxed);
        assert_eq!(budget.ask(8 << 20), Room::HomeFull);
        budget.add_clean(60 << 20);
        assert_eq!(budget.ask(8 << 20), Room::Granted);
    }
}
