//! Files of random structure, whole and damaged.

use std::collections::HashSet;

use proptest::prelude::*;

use super::generator::{self, File, Written, any_file};
use super::*;

/// Every pixel of every page is where the array says, in little-endian order, and padding is 0 or the file's.
fn pixels_are_in_place(file: &File, written: &Written, layout: &Layout, chunks: &Chunks) {
    let mut planes = HashSet::new();
    for (number, page) in file.pages.iter().enumerate() {
        let first = written.first[number];
        let chunk = layout.segments_in(first..first + 1)[0].run.unwrap().chunk;
        assert!(planes.insert((chunk.array, chunk.plane)), "two pages are one plane");
        let array = layout.array(chunk).unwrap();
        let extents = (array.width as usize, array.height as usize, array.samples as usize, array.dtype);
        assert_eq!(extents, (page.width, page.height, page.samples, page.dtype));
        let (width, height, size) = (array.chunk_width as usize, array.chunk_height as usize, array.dtype.size());
        for (sample, y) in (0..page.samples).flat_map(|sample| (0..page.height).map(move |y| (sample, y))) {
            for x in 0..page.width {
                let index = ChunkIndex { row: (y / height) as u32, column: (x / width) as u32, ..chunk };
                let at = ((sample * height + y % height) * width + x % width) * size;
                assert_eq!(chunks[&index][at..at + size], generator::value(number, sample, y, x)[..size]);
            }
        }
    }
    let stacked: u64 = layout.arrays.iter().map(|array| array.planes).sum();
    assert_eq!((planes.len(), stacked), (file.pages.len(), file.pages.len() as u64));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_plain_file_is_planned_rebuilt_and_holds_its_pixels(file in any_file(), step in 1u64..200) {
        let written = file.write();
        let (layout, chunks) = round_trip(&written.bytes, step).unwrap();
        pixels_are_in_place(&file, &written, &layout, &chunks);
    }

    #[test]
    fn a_damaged_file_is_rebuilt_or_refused(
        file in any_file(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        keep in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = file.write().bytes;
        for (at, value) in damage {
            let len = bytes.len();
            bytes[at.index(len)] = value;
        }
        if let Some(keep) = keep {
            bytes.truncate(keep.index(bytes.len()));
        }
        let _ = round_trip(&bytes, 1 << 20);
    }

    #[test]
    fn any_bytes_behind_a_magic_number_are_rebuilt_or_refused(
        magic in prop::sample::select(vec![&b"II*\0\x08\0\0\0"[..], b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0", b"\x93NUMPY\x01\0"]),
        rest in prop::collection::vec(prop_oneof![3 => Just(0u8), 2 => 1u8..5, 1 => any::<u8>()], 0..300),
    ) {
        let _ = round_trip(&[magic, &rest].concat(), 1 << 20);
    }
}
