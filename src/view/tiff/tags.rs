//! The tags that say where pixels are and what they mean. All others stay literal.

pub(super) const NEW_SUBFILE_TYPE: u16 = 254;
pub(super) const IMAGE_WIDTH: u16 = 256;
pub(super) const IMAGE_LENGTH: u16 = 257;
pub(super) const BITS_PER_SAMPLE: u16 = 258;
pub(super) const COMPRESSION: u16 = 259;
pub(super) const PHOTOMETRIC: u16 = 262;
pub(super) const FILL_ORDER: u16 = 266;
pub(super) const IMAGE_DESCRIPTION: u16 = 270;
pub(super) const STRIP_OFFSETS: u16 = 273;
pub(super) const SAMPLES_PER_PIXEL: u16 = 277;
pub(super) const ROWS_PER_STRIP: u16 = 278;
pub(super) const STRIP_BYTE_COUNTS: u16 = 279;
pub(super) const X_RESOLUTION: u16 = 282;
pub(super) const Y_RESOLUTION: u16 = 283;
pub(super) const PLANAR_CONFIGURATION: u16 = 284;
pub(super) const RESOLUTION_UNIT: u16 = 296;
pub(super) const PREDICTOR: u16 = 317;
pub(super) const TILE_WIDTH: u16 = 322;
pub(super) const TILE_LENGTH: u16 = 323;
pub(super) const TILE_OFFSETS: u16 = 324;
pub(super) const TILE_BYTE_COUNTS: u16 = 325;
pub(super) const SUB_IFDS: u16 = 330;
pub(super) const SAMPLE_FORMAT: u16 = 339;
pub(super) const YCBCR_SUBSAMPLING: u16 = 530;
pub(super) const IMAGE_DEPTH: u16 = 32997;
pub(super) const TILE_DEPTH: u16 = 32998;
/// MetaMorph stacks: as many values as there are planes behind each other under the one directory.
pub(super) const UIC2: u16 = 33629;

/// All of the above, sorted.
pub(super) const KNOWN: &[u16] = &[
    NEW_SUBFILE_TYPE,
    IMAGE_WIDTH,
    IMAGE_LENGTH,
    BITS_PER_SAMPLE,
    COMPRESSION,
    PHOTOMETRIC,
    FILL_ORDER,
    IMAGE_DESCRIPTION,
    STRIP_OFFSETS,
    SAMPLES_PER_PIXEL,
    ROWS_PER_STRIP,
    STRIP_BYTE_COUNTS,
    X_RESOLUTION,
    Y_RESOLUTION,
    PLANAR_CONFIGURATION,
    RESOLUTION_UNIT,
    PREDICTOR,
    TILE_WIDTH,
    TILE_LENGTH,
    TILE_OFFSETS,
    TILE_BYTE_COUNTS,
    SUB_IFDS,
    SAMPLE_FORMAT,
    YCBCR_SUBSAMPLING,
    IMAGE_DEPTH,
    TILE_DEPTH,
    UIC2,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_tags_are_sorted() {
        assert!(KNOWN.is_sorted());
    }
}
