//! Reduced levels of a plane.

use ndarray::{ArrayView3, Axis};

use super::sample::{Sample, with_sample};
use crate::view::Dtype;

/// Planes up to this many pixels a side have no reduced level.
const SMALL: u64 = 512;
/// The side that the reduced level of a plate's planes has at least.
const OVERVIEW: u64 = 256;

/// How many pixels of a side become one in the overview of a plane of `height` × `width`: a power of two that leaves
/// 256 px or a little more; `None` for planes that are small already.
pub(super) fn overview_factor(height: u64, width: u64) -> Option<u64> {
    let side = height.max(width);
    (side > SMALL).then(|| 1 << (side / OVERVIEW).ilog2())
}

/// Shape of a plane reduced by `factor`; a last partial block is a pixel too.
pub(super) fn reduced(side: u64, factor: u64) -> u64 {
    side.div_ceil(factor.max(1))
}

/// How pixels become fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reduce {
    /// Mean of a block.
    Mean,
    /// The block's first pixel, for labels.
    Nearest,
}

/// Reduces a decoded chunk of shape `[samples, rows, columns]` by `factor` down and across. `None` if `bytes` are fewer than
/// that shape has.
pub(super) fn reduce(dtype: Dtype, shape: [usize; 3], bytes: &[u8], factor: usize, how: Reduce) -> Option<Vec<u8>> {
    with_sample!(dtype, T => reduce_as::<T>(shape, bytes, factor.max(1), how))
}

fn reduce_as<T: Sample>(shape: [usize; 3], bytes: &[u8], factor: usize, how: Reduce) -> Option<Vec<u8>> {
    let values: Vec<T> = bytes.chunks_exact(size_of::<T>()).map(T::read).collect();
    let planes = ArrayView3::from_shape(shape, values.get(..shape.iter().product())?).ok()?;
    let mut out = Vec::with_capacity(bytes.len() / factor / factor + size_of::<T>());
    for plane in planes.outer_iter() {
        for band in plane.axis_chunks_iter(Axis(0), factor) {
            let rows: Vec<&[T]> = band.outer_iter().filter_map(|row| row.to_slice()).collect();
            match how {
                Reduce::Mean => put_means(&rows, factor, &mut out),
                Reduce::Nearest => rows.first()?.iter().step_by(factor).for_each(|value| value.put(&mut out)),
            }
        }
    }
    Some(out)
}

fn put_means<T: Sample>(rows: &[&[T]], factor: usize, out: &mut Vec<u8>) {
    let width = rows.first().map_or(0, |row| row.len());
    let mut sums = vec![T::Sum::default(); width.div_ceil(factor)];
    for row in rows {
        for (sum, block) in sums.iter_mut().zip(row.chunks(factor)) {
            block.iter().for_each(|value| *sum += value.widen());
        }
    }
    for (column, sum) in sums.into_iter().enumerate() {
        let across = factor.min(width - column * factor);
        T::mean(sum, (rows.len() * across) as u64).put(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(values: &[u16]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn overviews_are_about_256_px() {
        let sides = [512, 513, 1080, 2048, 2160].map(|side| overview_factor(side, side));
        assert_eq!(sides, [None, Some(2), Some(4), Some(8), Some(8)]);
        assert_eq!(reduced(1080, 4), 270);
    }

    #[test]
    fn a_mean_counts_partial_blocks_at_the_edges_by_their_own_pixels() {
        let plane = bytes_of(&[1, 3, 10, 5, 7, 20, 9, 9, 31]);
        let reduced = reduce(Dtype::U16, [1, 3, 3], &plane, 2, Reduce::Mean).unwrap();
        assert_eq!(reduced, bytes_of(&[4, 15, 9, 31]));
    }

    #[test]
    fn each_sample_is_reduced_by_itself() {
        let planes = bytes_of(&[2, 4, 6, 8, 100, 100, 100, 104]);
        assert_eq!(reduce(Dtype::U16, [2, 2, 2], &planes, 2, Reduce::Mean).unwrap(), bytes_of(&[5, 101]));
    }

    #[test]
    fn labels_keep_values_that_exist() {
        let plane = bytes_of(&[7, 0, 0, 0]);
        assert_eq!(reduce(Dtype::U16, [1, 2, 2], &plane, 2, Reduce::Nearest).unwrap(), bytes_of(&[7]));
    }

    #[test]
    fn means_of_negative_integers_round_to_nearest() {
        let plane: Vec<u8> = [-3_i16, -3, -3, -2].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(reduce(Dtype::I16, [1, 2, 2], &plane, 2, Reduce::Mean).unwrap(), (-3_i16).to_le_bytes());
    }

    #[test]
    fn too_few_bytes_are_no_plane() {
        assert!(reduce(Dtype::U16, [1, 2, 2], &[0; 6], 2, Reduce::Mean).is_none());
    }
}
