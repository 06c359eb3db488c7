//! How fast bytes come home: measured as they do.

use std::time::Duration;

use parking_lot::Mutex;

/// Bytes that make one measurement: less says more about one fsync than about the disk.
const WINDOW: u64 = 4 << 20;
/// Weight of the newest measurement.
const NEWEST: f64 = 0.3;

/// A moving average in bytes per second.
#[derive(Debug, Default)]
pub(super) struct Rate(Mutex<Measured>);

#[derive(Debug, Default)]
struct Measured {
    bytes: u64,
    took: Duration,
    per_second: Option<f64>,
}

impl Rate {
    /// So many bytes came home, durably, in this time.
    pub fn note(&self, bytes: u64, took: Duration) {
        let mut measured = self.0.lock();
        measured.bytes += bytes;
        measured.took += took;
        if measured.bytes < WINDOW || measured.took.is_zero() {
            return;
        }
        let now = measured.bytes as f64 / measured.took.as_secs_f64();
        let before = measured.per_second.unwrap_or(now);
        *measured = Measured { per_second: Some(before + (now - before) * NEWEST), ..Measured::default() };
    }

    /// Bytes per second; `None` before the first measurement.
    pub fn per_second(&self) -> Option<u64> {
        self.0.lock().per_second.map(|rate| rate as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_the_disk_without_leaping() {
        let rate = Rate::default();
        rate.note(1 << 20, Duration::from_secs(1));
        assert_eq!(rate.per_second(), None, "too little to tell");
        rate.note(7 << 20, Duration::from_secs(1));
        assert_eq!(rate.per_second(), Some(4 << 20));
        rate.note(80 << 20, Duration::from_secs(1));
        let after_one = rate.per_second().expect("measured");
        assert!(after_one > 20 << 20 && after_one < 40 << 20, "{after_one}");
        (0..30).for_each(|_| rate.note(80 << 20, Duration::from_secs(1)));
        assert!(rate.per_second().expect("measured") > 79 << 20);
    }

    #[test]
    fn a_clock_that_stands_still_measures_nothing() {
        let rate = Rate::default();
        rate.note(1 << 30, Duration::ZERO);
        assert_eq!(rate.per_second(), None);
    }
}
