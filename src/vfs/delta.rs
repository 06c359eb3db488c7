//! What was written to a file while it was being copied.

use std::ops::Range;

/// More ranges than this are merged into the one that spans them: a bound on memory, at the price of copying more.
const MOST: usize = 1024;

/// Byte ranges whose copy is out of date.
#[derive(Debug, Default)]
pub struct Delta {
    ranges: Vec<Range<u64>>,
}

impl Delta {
    /// Notes that `range` changed.
    pub fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        // Sequential writers are the common case: they extend the last range.
        if let Some(last) = self.ranges.last_mut()
            && range.start <= last.end
            && range.end >= last.start
        {
            last.start = last.start.min(range.start);
            last.end = last.end.max(range.end);
            return;
        }
        self.ranges.push(range);
        if self.ranges.len() > MOST {
            let start = self.ranges.iter().map(|r| r.start).min().unwrap_or(0);
            let end = self.ranges.iter().map(|r| r.end).max().unwrap_or(0);
            self.ranges.clear();
            self.ranges.push(start..end);
        }
    }

    /// The ranges noted so far, leaving none.
    pub fn take(&mut self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.ranges)
    }

    /// Bytes that would have to be copied again.
    pub fn bytes(&self) -> u64 {
        self.ranges.iter().map(|r| r.end - r.start).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequential_writes_make_one_range() {
        let mut delta = Delta::default();
        for at in 0..100 {
            delta.add(at * 10..at * 10 + 10);
        }
        assert_eq!(delta.take().first(), Some(&(0..1000)));
        assert_eq!(delta.bytes(), 0);
    }

    #[test]
    fn scattered_writes_stay_bounded_and_none_is_lost() {
        let mut delta = Delta::default();
        for at in (0..10_000u64).rev() {
            delta.add(at * 100..at * 100 + 1);
        }
        let ranges = delta.take();
        assert!(ranges.len() <= MOST);
        for at in 0..10_000u64 {
            assert!(ranges.iter().any(|r| r.contains(&(at * 100))));
        }
    }
}
