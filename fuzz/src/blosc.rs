//! Blosc frames: any bytes as a frame, and any bytes in a frame.

use scopefs::backend::zarr::blosc::{BloscError, Filter, FilterChoice, Frame, Scratch, encode};

use super::take;

/// Longest buffer that is encoded: 16 splits of the least length. Several blocks of ours would take a hundred times as
/// long; the unit tests have them.
const ENCODED_MOST: usize = 2 << 10;

/// First byte even: the bytes are a frame; odd: they are put into one.
pub fn blosc(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let [which] = take(&mut rest);
    if which & 1 == 0 { frame(rest) } else { round_trip(which >> 1, rest) }
}

/// Decoded length, beginning and length of a range, each u16; the frame.
fn frame(mut bytes: &[u8]) -> bool {
    let [expected, start, len] = [take(&mut bytes), take(&mut bytes), take(&mut bytes)].map(u16::from_le_bytes);
    let Ok(frame) = Frame::open(bytes, expected.into()) else { return false };
    assert_eq!(frame.decoded_len(), u64::from(expected));
    let mut part = vec![0; len.into()];
    let mut scratch = Scratch::default();
    let ranged = frame.decode_range(start.into(), &mut part, &mut scratch);
    let range = usize::from(start)..usize::from(start) + part.len();
    match frame.decode_all() {
        Ok(all) => {
            assert_eq!(all.len(), usize::from(expected));
            assert_eq!(ranged.is_ok(), range.end <= all.len(), "{ranged:?}");
            assert!(ranged.is_err() || part == all[range], "a range differs from the whole");
            let checks = frame.checks().expect("checks of a frame that decodes");
            assert_eq!(checks.len(), frame.blocks());
            let mut again = vec![0; all.len()];
            frame.decode_range_checked(0, &mut again, &checks, &mut scratch).expect("its own checks");
            assert!(again == all, "decoded twice, it differs");
            true
        }
        Err(BloscError::Damaged { range, .. }) => {
            assert!(!range.is_empty() && range.end <= u64::from(expected), "damage at {range:?}");
            false
        }
        Err(_) => false,
    }
}

/// Bytes of an element and how often the bytes are repeated, each u8; the bytes.
fn round_trip(filter: u8, mut bytes: &[u8]) -> bool {
    let [typesize, repeat] = take(&mut bytes);
    let filters = [Filter::None, Filter::Shuffle, Filter::BitShuffle].map(FilterChoice::Always);
    let filter = filters.get(usize::from(filter % 4)).copied().unwrap_or(FilterChoice::Auto);
    // Each repetition differs, or LZ4 would see nothing but the first.
    let turn = |turn: u8| bytes.iter().map(move |byte| byte ^ turn);
    let bytes: Vec<u8> = (0..=repeat).flat_map(turn).take(ENCODED_MOST).collect();
    let encoded = encode(&bytes, typesize, filter).expect("a frame");
    assert!(encoded.bytes.len() <= bytes.len() + 16, "longer than the bytes as they are");
    let frame = Frame::open(&encoded.bytes[..], bytes.len() as u64).expect("a frame of our own");
    assert!(frame.decode_all().expect("its bytes") == bytes, "other bytes came back");
    assert_eq!(frame.checks().expect("checks"), encoded.checks);
    let start = bytes.len() / 3;
    let mut part = vec![0; bytes.len() / 2];
    let mut scratch = Scratch::default();
    frame.decode_range_checked(start as u64, &mut part, &encoded.checks, &mut scratch).expect("a range");
    assert!(part == bytes[start..start + part.len()], "a range differs");
    true
}
