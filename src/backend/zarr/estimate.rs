//! What bytes of an image would take as chunks, without making any.

use super::blosc::{FilterChoice, encode};

/// Bytes that a sample of an image takes when it is compressed as chunks are; whichever width of samples does best.
pub fn compressed_size(sample: &[u8]) -> usize {
    [1, 2, 4]
        .into_iter()
        .filter_map(|width| encode(sample, width, FilterChoice::Auto).ok())
        .map(|encoded| encoded.bytes.len())
        .min()
        .unwrap_or(sample.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_tells_noise_from_what_can_be_compressed() {
        let noise: Vec<u8> = (0..65536u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let dim: Vec<u8> = (0..65536u32).flat_map(|n| [(n.wrapping_mul(2_654_435_761) >> 27) as u8, 0]).collect();
        assert!(compressed_size(&noise) > noise.len() * 9 / 10);
        assert!(compressed_size(&dim) < dim.len() / 2);
        assert!(compressed_size(&[]) < 64);
    }
}
