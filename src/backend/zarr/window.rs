//! Display windows: the range of values worth showing.

use super::ngff::Window;
use super::sample::{Sample, with_sample};
use crate::view::Dtype;

/// So many samples are looked at for percentiles.
const LOOKED_AT: usize = 1 << 14;
/// Shares of the samples that are shown black, and at full colour.
const TAIL: f64 = 0.001;

/// Range and percentiles (0.1 and 99.9) of the samples in `bytes`; `None` if there is no number among them.
pub(super) fn window(dtype: Dtype, bytes: &[u8]) -> Option<Window> {
    with_sample!(dtype, T => window_of::<T>(bytes))
}

fn window_of<T: Sample>(bytes: &[u8]) -> Option<Window> {
    let size = size_of::<T>();
    let mut range: Option<(T, T)> = None;
    for value in bytes.chunks_exact(size).map(T::read).filter(|value| value.to_f64().is_finite()) {
        let (min, max) = range.unwrap_or((value, value));
        range = Some((if value < min { value } else { min }, if value > max { value } else { max }));
    }
    let (min, max) = range?;
    // An odd step does not fall into step with rows.
    let step = (bytes.len() / size / LOOKED_AT) | 1;
    let some = bytes.chunks_exact(size).step_by(step).map(|value| T::read(value).to_f64());
    let mut some: Vec<f64> = some.filter(|value| value.is_finite()).collect();
    some.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| some.get((share * (some.len().saturating_sub(1)) as f64).round() as usize).copied();
    let (start, end) = (at(TAIL)?, at(1.0 - TAIL)?);
    Some(Window { min: min.to_f64(), max: max.to_f64(), start, end: if end > start { end } else { max.to_f64() } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hot_pixel_does_not_set_the_window() {
        let mut values: Vec<u16> = (0..10_000).map(|v| 100 + v % 50).collect();
        values[77] = 65_000;
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let window = window(Dtype::U16, &bytes).unwrap();
        assert_eq!((window.min, window.max), (100.0, 65_000.0));
        assert!(window.start >= 100.0 && window.end < 150.0, "{window:?}");
    }

    #[test]
    fn an_image_of_nan_has_no_window() {
        let bytes: Vec<u8> = [f32::NAN; 4].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(window(Dtype::F32, &bytes), None);
    }
}
