//! Two marks with a gap between them, so that relief once begun is brought to an end.

/// The pressures at which the memory tier begins (`high`) and ceases (`low`) to give way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Watermarks {
    /// At or above this pressure, closed files are materialized and new ones go to disk.
    pub high: f64,
    /// Below this pressure, that ends. Not above `high`.
    pub low: f64,
}

impl Default for Watermarks {
    fn default() -> Self {
        Watermarks { high: 0.80, low: 0.70 }
    }
}

/// Whether memory has to give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// There is room.
    Calm,
    /// From the high mark on, until pressure is below the low mark.
    High,
}

/// Follows the pressure. Pure: no clock, no thread, no I/O.
#[derive(Debug, Clone)]
pub struct Monitor {
    marks: Watermarks,
    level: Level,
}

impl Monitor {
    /// Begins calm.
    pub fn new(marks: Watermarks) -> Monitor {
        Monitor { marks, level: Level::Calm }
    }

    /// Takes note of the pressure now and says where that leads.
    pub fn observe(&mut self, pressure: f64) -> Level {
        // `high` is asked first: with marks the wrong way round, a full memory still counts as full.
        if pressure >= self.marks.high {
            self.level = Level::High;
        } else if pressure < self.marks.low {
            self.level = Level::Calm;
        }
        self.level
    }

    /// What the last [`Monitor::observe`] said.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The marks it was made with.
    pub fn marks(&self) -> Watermarks {
        self.marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn high_begins_at_the_high_mark_and_ends_below_the_low_one() {
        let mut monitor = Monitor::new(Watermarks::default());
        let seen: Vec<Level> =
            [0.1, 0.79, 0.80, 0.75, 0.70, 0.69, 0.75, 1.3].into_iter().map(|p| monitor.observe(p)).collect();
        use Level::{Calm, High};
        assert_eq!(seen, [Calm, Calm, High, High, High, Calm, Calm, High]);
        assert_eq!(monitor.level(), High);
    }
}
