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

    /// The upper bits of a linear congruential generator.
    fn noise(bits: u32) -> Vec<u8> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> (32 - bits)) as u8
        };
        (0..65536).map(|_| next()).collect()
    }

    #[test]
    fn an_estimate_tells_noise_from_what_can_be_compressed() {
        let loud = noise(8);
        let dim: Vec<u8> = noise(5).into_iter().flat_map(|sample| [sample, 0]).collect();
        assert!(compressed_size(&loud) > loud.len() * 9 / 10);
        assert!(compressed_size(&dim) < dim.len() * 6 / 10);
        assert!(compressed_size(&[]) < 64);
    }
}
