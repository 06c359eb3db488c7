//! Files written by hand: each one thing that writers do or get wrong.

use std::io::Cursor;

use ::tiff::decoder::{Decoder, DecodingResult};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::generator::{Cut, File, Page, any_file};
use super::*;

/// Stands for the place of the pixels in a value of [`tiff`].
const PIXELS: u32 = u32::MAX - 7;

/// Tag, type, count and value.
pub type Entry = (u16, u16, u32, u32);

/// A classic little-endian file of one directory with values that fit in their entries, and pixels behind it.
pub fn tiff(entries: &[Entry], pixels: &[u8]) -> Vec<u8> {
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    let behind = 8 + 2 + 12 * entries.len() as u32 + 4;
    file.extend((entries.len() as u16).to_le_bytes());
    for &(tag, kind, count, value) in entries {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend((if value == PIXELS { behind } else { value }).to_le_bytes());
    }
    file.extend([0; 4]);
    file.extend(pixels);
    file
}

/// 4 × 4 pixels of 8 bits in one strip.
pub const PLAIN: [Entry; 6] =
    [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 1, 8), (273, 4, 1, PIXELS), (278, 3, 1, 4), (279, 4, 1, 16)];

/// [`PLAIN`] with other values for some tags, and further tags.
pub fn with(changes: &[Entry]) -> Vec<Entry> {
    let kept = PLAIN.iter().filter(|entry| !changes.iter().any(|change| change.0 == entry.0));
    kept.chain(changes).copied().collect()
}

pub fn without(tag: u16) -> Vec<Entry> {
    PLAIN.iter().filter(|entry| entry.0 != tag).copied().collect()
}

const DATA: [u8; 40] = [7; 40];

fn refusal(entries: &[Entry]) -> String {
    round_trip(&tiff(entries, &DATA), 7).unwrap_err().to_string()
}

fn planned(entries: &[Entry]) -> Layout {
    round_trip(&tiff(entries, &DATA), 7).unwrap().0
}

#[test]
fn missing_tags_have_their_defaults() {
    let expected = planned(&PLAIN).segments;
    assert_eq!(expected.iter().map(|segment| segment.len).collect::<Vec<_>>(), [86, 16, 24]);
    for tag in [278, 279] {
        let segments = planned(&without(tag)).segments;
        assert_eq!(segments.iter().map(|segment| segment.len).collect::<Vec<_>>(), [74, 16, 24], "without {tag}");
    }
    assert!(refusal(&without(258)).contains("1 bits"));
    assert!(refusal(&without(256)).contains("ImageWidth"));
    assert!(refusal(&without(273)).contains("no directory with pixels"));
    assert_eq!(planned(&with(&[(278, 4, 1, u32::MAX)])).segments, expected);
}

#[test]
fn a_strip_that_is_longer_than_needed_leaves_literal_bytes() {
    let layout = planned(&with(&[(279, 4, 1, 30)]));
    assert_eq!(layout.literals().map(|range| range.end - range.start).collect::<Vec<_>>(), [86, 24]);
}

#[test]
fn what_arrays_cannot_hold_is_refused_with_the_reason() {
    let cases: [(&[Entry], &str); 20] = [
        (&[(279, 4, 1, 15)], "fewer than 16 bytes"),
        (&[(278, 3, 1, 0)], "RowsPerStrip"),
        (&[(278, 3, 1, 2)], "needs 2 strips"),
        (&[(257, 4, 1, 400), (278, 4, 1, 400), (279, 4, 1, 1600)], "behind its end"),
        (&[(273, 4, 1, u32::MAX)], "behind its end"),
        (&[(273, 5, 1, 8)], "type 5"),
        (&[(273, 99, 1, 8)], "type 99"),
        (&[(259, 3, 1, 5)], "LZW"),
        (&[(259, 3, 1, 40_000)], "scheme 40000"),
        (&[(266, 3, 1, 2)], "FillOrder"),
        (&[(317, 3, 1, 2)], "Predictor"),
        (&[(258, 3, 1, 12)], "12 bits"),
        (&[(258, 3, 1, 16), (339, 3, 1, 3)], "floating-point numbers of 16 bits"),
        (&[(339, 3, 1, 5)], "complex"),
        (&[(339, 3, 1, 9)], "SampleFormat 9"),
        (&[(277, 3, 1, 0)], "SamplesPerPixel"),
        (&[(277, 3, 1, 2), (258, 3, 2, 0x0010_0008)], "differ in BitsPerSample"),
        (&[(284, 3, 1, 3)], "PlanarConfiguration"),
        (&[(262, 3, 1, 6), (277, 3, 1, 3)], "YCbCr"),
        (&[(32997, 3, 1, 4)], "ImageDepth"),
    ];
    for (changes, reason) in cases {
        let said = refusal(&with(changes));
        assert!(said.contains(reason), "{changes:?}: {said}");
    }
}

#[test]
fn tags_that_nobody_knows_stay_literal() {
    let layout = planned(&with(&[(50_838, 4, 3, u32::MAX), (65_000, 250, u32::MAX, 1), (270, 2, u32::MAX, 9)]));
    assert_eq!(layout.arrays.len(), 1);
}

#[test]
fn an_undefined_sample_format_is_taken_as_unsigned() {
    assert_eq!(planned(&with(&[(339, 3, 1, 4)])).arrays[0].dtype, Dtype::U8);
}

#[test]
fn sparse_tiles_are_zeros_that_are_not_in_the_file() {
    // Two tiles of 4 × 4; offsets and lengths of 2 bytes fit in their entries. The second tile is absent.
    let entries = [
        (256, 3, 1, 8),
        (257, 3, 1, 4),
        (258, 3, 1, 8),
        (322, 3, 1, 4),
        (323, 3, 1, 4),
        (324, 3, 2, 110),
        (325, 3, 2, 16),
    ];
    let file = tiff(&entries, &DATA);
    let (layout, chunks) = round_trip(&file, 5).unwrap();
    assert_eq!((chunks.len(), layout.chunks().count()), (1, 2));
    let absent = ChunkIndex { array: 0, plane: 0, row: 0, column: 1 };
    let mut chunk = vec![1; 3];
    gather(&layout.arrays[0], layout.by_chunk().of(absent), &&file[..], &mut chunk).unwrap();
    assert_eq!(chunk, [0; 16]);
    assert!(refusal(&with(&[(273, 4, 1, 0), (279, 4, 1, 0)])).contains("none of its pixels are stored"));
}

#[test]
fn strips_that_share_bytes_are_refused() {
    let entries = with(&[(278, 3, 1, 2), (273, 3, 2, 90 << 16 | 90), (279, 3, 2, 8 << 16 | 8)]);
    assert!(refusal(&entries).contains("share bytes, at byte 90"));
}

fn file(pages: Vec<Page>, description: &str) -> File {
    File { big_endian: false, big: true, pages, seed: 1, description: description.to_owned() }
}

const PAGE: Page = Page {
    width: 16,
    height: 12,
    samples: 1,
    dtype: Dtype::U16,
    planar: false,
    cut: Cut::Strips(None),
    excess: 0,
    no_lengths: false,
    below: false,
};

/// A file whose one page is the first of as many planes as fit into `planes` of its size behind each other.
fn planes_behind(description: &str, planes: usize) -> Vec<u8> {
    let mut written = file(vec![PAGE], description).write();
    let end = written.bytes.len() as u64;
    // Tag, type and count of the one offset; the page's own bytes stay behind as a gap.
    let entry = [0x11, 1, 16, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    let place = written.bytes.windows(12).position(|bytes| bytes == entry).unwrap() + 12;
    written.bytes[place..place + 8].copy_from_slice(&end.to_le_bytes());
    written.bytes.extend((0..planes * 16 * 12 * 2).map(|at| at as u8));
    written.bytes
}

#[test]
fn planes_behind_each_other_under_one_directory_are_all_found() {
    let imagej = "ImageJ=1.53t\nimages=6\nchannels=2\nslices=3\nhyperstack=true\n";
    let (layout, chunks) = round_trip(&planes_behind(imagej, 6), 1000).unwrap();
    assert_eq!((layout.arrays[0].planes, chunks.len()), (6, 6));
    assert_eq!(layout.meta.axes, [vec![(Axis::Depth, 3), (Axis::Channel, 2)]]);
    let shaped = r#"{"shape": [6, 12, 16], "truncated": true}"#;
    assert_eq!(round_trip(&planes_behind(shaped, 6), 1000).unwrap().0.arrays[0].planes, 6);
}

#[test]
fn planes_that_are_not_there_are_not_believed() {
    let imagej = "ImageJ=1.53t\nimages=6\nchannels=2\nslices=3\nhyperstack=true\n";
    let layout = round_trip(&planes_behind(imagej, 5), 1000).unwrap().0;
    assert_eq!((layout.arrays[0].planes, &layout.meta.axes[0][..]), (1, &[][..]));
    let endless = format!("ImageJ=1.53t\nimages={}\n", u64::MAX);
    assert_eq!(round_trip(&planes_behind(&endless, 2), 1000).unwrap().0.arrays[0].planes, 1);
}

#[test]
fn sizes_that_no_number_holds_are_not_taken() {
    let text = "ImageJ=1.53t\nimages=2\nslices=2\nunit=m\nspacing=1e308\nfinterval=1e308\ntunit=h\n";
    let layout = round_trip(&file(vec![PAGE; 2], text).write().bytes, 1000).unwrap().0;
    let calibration = layout.meta.calibration[0];
    assert_eq!((calibration.z, calibration.t), (None, None));
    let layout = round_trip(&file(vec![PAGE; 2], &text.replace("308", "3")).write().bytes, 1000).unwrap().0;
    let calibration = layout.meta.calibration[0];
    assert_eq!((calibration.z, calibration.t), (Some(1e9), Some(3.6e6)));
}

#[test]
fn a_metamorph_stack_has_as_many_planes_as_its_tag_has_values() {
    let layout = planned(&with(&[(279, 4, 1, 16), (33_629, 5, 2, 0)]));
    assert_eq!(layout.arrays[0].planes, 2);
}

#[test]
fn pages_below_are_levels_of_the_page_above() {
    let level = |divisor: usize| Page { width: 16 / divisor, height: 12 / divisor, below: divisor > 1, ..PAGE };
    let pages = vec![level(1), level(2), level(4), level(1), level(2), level(4)];
    let layout = round_trip(&file(pages, "").write().bytes, 100).unwrap().0;
    let roles: Vec<_> = layout.arrays.iter().map(|array| (array.role, array.planes, array.width)).collect();
    assert_eq!(roles, [(Role::Full(0), 2, 16), (Role::Reduced(0, 1), 2, 8), (Role::Reduced(0, 2), 2, 4)]);
}

#[test]
fn a_larger_page_below_a_thumbnail_is_an_image() {
    let pages = vec![Page { width: 4, height: 3, ..PAGE }, Page { below: true, ..PAGE }];
    let layout = round_trip(&file(pages, "").write().bytes, 100).unwrap().0;
    let roles: Vec<_> = layout.arrays.iter().map(|array| (array.role, array.width)).collect();
    assert_eq!(roles, [(Role::Full(1), 16), (Role::Full(0), 4)]);
}

#[test]
fn pages_of_another_shape_are_another_image() {
    let other = Page { width: 8, samples: 3, ..PAGE };
    let layout = round_trip(&file(vec![other.clone(), PAGE, other], "").write().bytes, 100).unwrap().0;
    let roles: Vec<_> = layout.arrays.iter().map(|array| (array.role, array.planes, array.samples)).collect();
    assert_eq!(roles, [(Role::Full(0), 2, 3), (Role::Full(1), 1, 1)]);
    assert_eq!(layout.meta.axes.len(), 2);
}

#[test]
fn images_of_one_shape_are_apart_where_the_file_says_so() {
    let image = |first: u8, name: &str| {
        format!(
            r#"<Image Name="{name}"><Pixels DimensionOrder="XYZCT" SizeZ="2" SizeC="1" SizeT="1">
            <TiffData IFD="{first}" PlaneCount="2"/></Pixels></Image>"#
        )
    };
    let text = format!("<OME>{}{}</OME>", image(2, "b"), image(0, "a"));
    let layout = round_trip(&file(vec![PAGE; 4], &text).write().bytes, 100).unwrap().0;
    let roles: Vec<_> = layout.arrays.iter().map(|array| (array.role, array.planes)).collect();
    assert_eq!(roles, [(Role::Full(0), 2), (Role::Full(1), 2)]);
    assert_eq!(layout.meta.names, [Some("a".to_owned()), Some("b".to_owned())]);
    assert_eq!(layout.meta.axes, vec![vec![(Axis::Depth, 2)]; 2]);
}

#[test]
fn adjacent_strips_are_one_segment() {
    let pixels = [0; 4 * 100];
    let mut file = tiff(&with(&[(257, 3, 1, 100), (278, 3, 1, 1), (273, 4, 100, 486), (279, 4, 100, 886)]), &pixels);
    file.extend((0..100u32).flat_map(|strip| (86 + 4 * strip).to_le_bytes()));
    file.extend([4u32; 100].iter().flat_map(|len| len.to_le_bytes()));
    assert_eq!(round_trip(&file, 50).unwrap().0.segments.len(), 3);
}

/// Little-endian bytes of what another reader decodes; `None` for what it cannot read.
fn decoded_elsewhere(file: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = Decoder::new(Cursor::new(file)).ok()?;
    Some(match decoder.read_image().ok()? {
        DecodingResult::U8(values) => values,
        DecodingResult::U16(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        DecodingResult::U32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        DecodingResult::U64(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        DecodingResult::I8(values) => values.iter().map(|&value| value as u8).collect(),
        DecodingResult::I16(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        DecodingResult::I32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        DecodingResult::I64(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        DecodingResult::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        DecodingResult::F64(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        _ => return None,
    })
}

#[test]
fn another_reader_decodes_the_same_pixels() {
    let mut runner = TestRunner::deterministic();
    let mut compared = 0;
    for _ in 0..300 {
        let mut file = any_file().new_tree(&mut runner).unwrap().current();
        file.pages.truncate(1);
        let page = file.pages.first_mut().unwrap();
        (page.samples, page.planar, page.no_lengths, page.excess) = (1, false, false, 0);
        let written = file.write();
        let Some(expected) = decoded_elsewhere(&written.bytes) else { continue };
        let (layout, chunks) = round_trip(&written.bytes, 1000).unwrap();
        let array = layout.arrays[0];
        let size = array.dtype.size();
        let mut pixels = vec![0; expected.len()];
        for (index, chunk) in &chunks {
            let (rows, columns) = array.covered(*index);
            let len = (columns.end - columns.start) as usize * size;
            for (line, row) in chunk.chunks_exact(array.chunk_width as usize * size).zip(rows) {
                let at = (row * array.width + columns.start) as usize * size;
                pixels[at..at + len].copy_from_slice(&line[..len]);
            }
        }
        assert_eq!(pixels, expected, "{file:?}");
        compared += 1;
    }
    assert!(compared > 100, "{compared}");
}
