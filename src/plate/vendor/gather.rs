//! From single images to distances between planes and time points.

use super::meta::PlateMeta;

/// What an index says of one image.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Taken {
    /// Row and column, counted in whatever way.
    pub well: (u32, u32),
    /// Field as names count it.
    pub field: u32,
    /// Channel, counted in whatever way.
    pub channel: u32,
    /// Index of the focal plane.
    pub depth: u32,
    /// Index of the time point.
    pub time: u32,
    /// Position of the field in its well, in µm.
    pub at_um: Option<(f64, f64)>,
    /// Height in µm.
    pub height_um: Option<f64>,
    /// Moment in seconds.
    pub moment_s: Option<f64>,
}

/// Looks at images in turn and keeps what is needed for the steps: the planes and the time points of the first image's
/// well, field and channel, and of those the outermost.
#[derive(Default)]
pub(super) struct Gather {
    first: Option<Taken>,
    depths: Ends,
    times: Ends,
}

impl Gather {
    /// Notes one image, and in `meta` its field.
    pub fn note(&mut self, image: Taken, meta: &mut PlateMeta) {
        if let Some((x, y)) = image.at_um {
            meta.field_at(image.field, x, y);
        }
        let first = *self.first.get_or_insert(image);
        if (image.well, image.field, image.channel) != (first.well, first.field, first.channel) {
            return;
        }
        if let (true, Some(height)) = (image.time == first.time, image.height_um) {
            self.depths.note(image.depth, height);
        }
        if let (true, Some(moment)) = (image.depth == first.depth, image.moment_s) {
            self.times.note(image.time, moment);
        }
    }

    /// Notes the steps in `meta`, where it has none.
    pub fn finish(self, meta: &mut PlateMeta) {
        meta.z_step_um = meta.z_step_um.or(self.depths.step());
        meta.time_step_s = meta.time_step_s.or(self.times.step());
    }
}

/// The values at the smallest and at the largest index.
#[derive(Default)]
struct Ends(Option<((u32, f64), (u32, f64))>);

impl Ends {
    fn note(&mut self, index: u32, value: f64) {
        let (low, high) = self.0.get_or_insert(((index, value), (index, value)));
        if index < low.0 {
            *low = (index, value);
        }
        if index > high.0 {
            *high = (index, value);
        }
    }

    /// The mean distance of neighbours.
    fn step(&self) -> Option<f64> {
        let ((low, from), (high, to)) = self.0?;
        let step = ((to - from) / f64::from(high.checked_sub(low)?)).abs();
        (step.is_finite() && step > 0.0).then_some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_those_of_one_stack_and_of_one_plane() {
        // Each plane takes a second, a stack is taken each minute, and the stage sinks by 10 µm meanwhile.
        let mut meta = PlateMeta::default();
        let mut gather = Gather::default();
        for (time, depth) in [(1, 1), (1, 3), (1, 2), (2, 1), (2, 4), (3, 9)] {
            let (t, z) = (f64::from(time), f64::from(depth));
            let moment_s = Some(60.0 * t + z);
            gather.note(
                Taken { depth, time, height_um: Some(2.0 * z - 10.0 * t), moment_s, ..Taken::default() },
                &mut meta,
            );
        }
        gather.finish(&mut meta);
        assert_eq!((meta.z_step_um, meta.time_step_s), (Some(2.0), Some(60.0)));
    }

    #[test]
    fn there_is_no_step_where_there_is_one_plane_or_no_distance() {
        let mut meta = PlateMeta::default();
        let mut gather = Gather::default();
        for depth in [1, 2] {
            gather.note(Taken { depth, height_um: Some(5.0), moment_s: Some(1.0), ..Taken::default() }, &mut meta);
        }
        gather.finish(&mut meta);
        assert_eq!(meta, PlateMeta::default());
    }
}
