use proptest::prelude::*;

use super::encode::blocksize;
use super::*;

const FILTERS: [Filter; 3] = [Filter::None, Filter::Shuffle, Filter::BitShuffle];

/// Noise on a slope: as compressible as a camera image.
fn image(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes: Vec<u8> = (0..len.div_ceil(2))
        .flat_map(|at| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (300 + (at / 64) as u16 % 900 + (state >> 58) as u16).to_le_bytes()
        })
        .collect();
    bytes.truncate(len);
    bytes
}

fn open(bytes: &[u8], expected: usize) -> Result<Frame<&[u8]>, BloscError> {
    Frame::open(bytes, expected as u64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_frame_gives_its_bytes_back(
        len in prop_oneof![0usize..700, 4_000usize..9_000, (BLOCK_MOST - 40)..(BLOCK_MOST + 4_000), (2 * BLOCK_MOST - 9)..(2 * BLOCK_MOST + 900)],
        typesize in prop_oneof![Just(0u8), Just(1), Just(2), Just(3), Just(4), Just(8), Just(16), Just(17), Just(255)],
        filter in 0usize..3,
        seed: u64,
        noise in any::<bool>(),
        cut: (f64, f64),
    ) {
        let mut bytes = image(len, seed);
        if noise {
            bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_mul(167).rotate_left(3));
        }
        let frame = encode(&bytes, typesize, FilterChoice::Always(FILTERS[filter])).unwrap();
        prop_assert!(frame.bytes.len() <= len + 16);
        let opened = open(&frame.bytes, len).unwrap();
        prop_assert!(opened.decode_all().unwrap() == bytes);
        prop_assert_eq!(&opened.checks().unwrap(), &frame.checks);
        let from = (cut.0.abs().fract() * len as f64) as usize;
        let to = from + (cut.1.abs().fract() * (len - from) as f64) as usize;
        let mut part = vec![0; to - from];
        opened.decode_range_checked(from as u64, &mut part, &frame.checks, &mut Scratch::default()).unwrap();
        prop_assert!(part == bytes[from..to]);
    }

    #[test]
    fn a_mutated_frame_never_panics_and_never_gives_more_than_was_asked_for(
        len in 0usize..3_000,
        typesize in 1u8..20,
        filter in 0usize..3,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        head in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = image(len, 7);
        let mut frame = encode(&bytes, typesize, FilterChoice::Always(FILTERS[filter])).unwrap().bytes;
        let most = if head { 24.min(frame.len()) } else { frame.len() };
        for (at, value) in changes {
            frame[at.index(most)] = value;
        }
        frame.truncate(cut.index(frame.len()).max(frame.len() / 2));
        if let Ok(opened) = open(&frame, len) {
            prop_assert_eq!(opened.decoded_len(), len as u64);
            let _ = opened.decode_all();
            let _ = opened.checks();
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), expected in 0usize..300) {
        if let Ok(opened) = open(&bytes, expected) {
            let _ = opened.decode_all();
        }
    }
}

#[test]
fn blocks_are_whole_elements_and_no_longer_than_allowed() {
    for typesize in 1..=255usize {
        for len in [1, 100, 4_097, BLOCK_MOST, BLOCK_MOST + 1, 5_000_001] {
            let blocksize = blocksize(len, typesize);
            assert!(blocksize > 0 && blocksize <= len.min(BLOCK_MOST), "{len} by {typesize}: {blocksize}");
            assert!(len < 8 * typesize || blocksize % (8 * typesize) == 0, "{len} by {typesize}: {blocksize}");
        }
    }
}

#[test]
fn a_changed_block_is_told_from_a_damaged_one_and_named() {
    let bytes = image(700_000, 3);
    let frame = encode(&bytes, 2, FilterChoice::Always(Filter::Shuffle)).unwrap();
    let mut other = bytes.clone();
    other[400_000] ^= 1;
    let other = encode(&other, 2, FilterChoice::Always(Filter::Shuffle)).unwrap();
    let read = |stored: &[u8], start: u64, len: usize| {
        let opened = open(stored, bytes.len())?;
        opened.decode_range_checked(start, &mut vec![0; len], &frame.checks, &mut Scratch::default())
    };
    let block = open(&frame.bytes, bytes.len()).unwrap().range_of(1);
    assert!(block.contains(&400_000));
    read(&other.bytes, 0, block.start as usize).expect("the first block is the same");
    match read(&other.bytes, 0, bytes.len()) {
        Err(BloscError::Changed { range }) => assert_eq!(range, block),
        found => panic!("{found:?}"),
    }
    let mut damaged = frame.bytes.clone();
    let start = u32::from_le_bytes(*damaged[20..].first_chunk().unwrap()) as usize;
    damaged[start..start + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    match read(&damaged, 0, bytes.len()) {
        Err(BloscError::Damaged { range, .. }) => assert_eq!(range, block),
        found => panic!("{found:?}"),
    }
    read(&damaged, 0, block.start as usize).expect("the first block is sound");
}

#[test]
fn a_frame_that_claims_more_than_a_chunk_is_refused() {
    let mut frame = encode(&image(4_096, 1), 2, FilterChoice::Auto).unwrap().bytes;
    frame[4..8].copy_from_slice(&0x7fff_0000u32.to_le_bytes());
    assert!(matches!(open(&frame, 4_096), Err(BloscError::Size { expected: 4_096, .. })));
}

#[test]
fn the_filter_that_is_chosen_is_about_the_best() {
    let camera = image(1 << 20, 11);
    let cell = |at: usize| (at % 1024 % 120).abs_diff(60).pow(2) + (at / 1024 % 120).abs_diff(60).pow(2) < 1600;
    let label = |at: usize| if cell(at) { (at % 1024 / 120 + at / 122_880 * 9 + 1) as u16 } else { 0 };
    let labels: Vec<u8> = (0..1usize << 19).flat_map(|at| label(at).to_le_bytes()).collect();
    let floats: Vec<u8> = (0..1usize << 18).flat_map(|at| (at as f32 * 0.37).sin().to_le_bytes()).collect();
    let bytes: Vec<u8> = camera.iter().step_by(2).copied().collect();
    for (name, pixels, typesize) in
        [("camera", &camera, 2), ("labels", &labels, 2), ("floats", &floats, 4), ("bytes", &bytes, 1)]
    {
        let size = |filter| encode(pixels, typesize, filter).unwrap().bytes.len();
        let best = FILTERS.map(|filter| size(FilterChoice::Always(filter))).into_iter().min().unwrap();
        let chosen = size(FilterChoice::Auto);
        assert!(chosen <= best + best / 40, "{name}: {chosen} and not {best}");
    }
}

#[test]
fn the_bit_shuffle_is_in_the_order_of_the_specification() {
    let elements = 136;
    let from: Vec<u8> = image(elements * 3 + 2, 5);
    let mut to = vec![0; from.len()];
    bits::shuffle(3, &from, &mut to, &mut Vec::new());
    for bit in 0..elements * 24 {
        let (row, element) = (bit / elements, bit % elements);
        let wanted = from[element * 3 + row / 8] >> (row % 8) & 1;
        assert_eq!(to[bit / 8] >> (bit % 8) & 1, wanted, "bit {bit}");
    }
    assert_eq!(to[elements * 3..], from[elements * 3..]);
}

fn unhex(text: &str) -> Vec<u8> {
    let nibbles: Vec<u8> = text.bytes().filter_map(|c| (c as char).to_digit(16)).map(|digit| digit as u8).collect();
    nibbles.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn frames_of_numcodecs_are_read() {
    let wanted = fixtures::decoded();
    for (name, hex) in fixtures::FRAMES {
        let bytes = unhex(hex);
        let frame = open(&bytes, wanted.len()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(frame.decode_all().unwrap_or_else(|e| panic!("{name}: {e}")) == wanted, "{name}");
        let mut part = vec![0; 300];
        frame.decode_range(401, &mut part, &mut Scratch::default()).unwrap();
        assert!(part == wanted[401..701], "{name}");
    }
}
