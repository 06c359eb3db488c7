//! Records, recipes and pages come back as they were, and damage never does more than it must.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;

use crate::model::{ByteSource, Identity, RelPath, Timestamp};
use crate::view::{Array, ChunkIndex, Dtype, ImageMeta, Interleave, Layout, Role, Run, Segment};

use super::*;

/// Chunks in memory: chunk `[n]` of any array holds `seed + n + index` in each byte.
struct Bytes;

fn byte(coords: &[u64], at: u64) -> u8 {
    coords.iter().fold(0, |sum: u64, &n| sum.wrapping_add(n)).wrapping_mul(31).wrapping_add(at) as u8
}

impl ChunkReader for Bytes {
    fn read(&self, chunk: StoredChunk<'_>, range: Range<u64>, out: &mut [u8]) -> io::Result<()> {
        assert_eq!(range.end - range.start, out.len() as u64);
        out.iter_mut().zip(range).for_each(|(out, at)| *out = byte(chunk.coords, at));
        Ok(())
    }
}

pub(super) fn array(path: &str, shape: &[u64]) -> ArrayUse {
    ArrayUse { path: path.to_owned(), dtype: Dtype::U16, chunk_shape: shape.to_vec(), derived: false }
}

pub(super) fn record(id: u64, name: &[u8], recipe: Vec<u8>) -> Record {
    Record {
        id: RecordId(id),
        names: vec![RelPath::from_bytes(name).unwrap()],
        size: 0,
        attributes: Attributes { perm: 0o640, uid: 1, gid: 2, ..Attributes::default() },
        xattrs: Vec::new(),
        sha256: [7; 32],
        source: None,
        arrays: vec![array("B/03/0/0", &[1, 1, 1, 8, 8])],
        recipe: RecipeBytes::Inline(recipe),
    }
}

fn segment(offset: &mut u64, len: u64, run: Option<Run>) -> Segment {
    let segment = Segment { offset: *offset, len, run };
    *offset += len;
    segment
}

fn run(plane: u64, row: u32, at: u64) -> Option<Run> {
    Some(Run { chunk: ChunkIndex { array: 0, plane, row, column: 0 }, at, swap: false, interleave: None })
}

fn layout(size: u64, segments: Vec<Segment>) -> Layout {
    let array = Array {
        dtype: Dtype::U16,
        planes: 1,
        samples: 1,
        height: 8,
        width: 8,
        chunk_height: 8,
        chunk_width: 8,
        role: Role::Full(0),
    };
    Layout { size, arrays: vec![array], segments, meta: ImageMeta::default() }
}

/// A stack of `pages` pages, each a plane in one chunk and an IFD.
fn stack(pages: u64, plane: u64, ifd: u64) -> Layout {
    let mut at = 0;
    let mut segments = vec![segment(&mut at, 8, None)];
    for page in 0..pages {
        segments.push(segment(&mut at, plane, run(page, 0, 0)));
        segments.push(segment(&mut at, ifd + page % 7 / 6, None));
    }
    layout(at, segments)
}

fn one_check_each(layout: &Layout, grid: u64) -> ChunkList {
    let mut chunks = ChunkList::default();
    for index in Recipe::chunk_order(layout) {
        let coords = [0, index.plane % grid, index.plane / grid, u64::from(index.row), u64::from(index.column)];
        chunks.push(ChunkRef {
            array: 0,
            coords: &coords,
            stored: 1_800_000 + index.plane * 977 % 5000,
            checks: &[index.plane],
        });
    }
    chunks
}

/// Bytes of the encoded recipe without checks and literal bytes.
fn bare_len(layout: &Layout, chunks: ChunkList) -> usize {
    let checks: usize = chunks.iter().map(|chunk| chunk.checks.len() * 8).sum();
    let literals: u64 = layout.segments.iter().filter(|s| s.run.is_none()).map(|s| s.len).sum();
    let recipe = Recipe::new(layout, chunks, Literals::Inline(vec![0; literals as usize])).unwrap();
    let bytes = recipe.encode();
    let arrays = [array("0", &[1, 1, 1, 1080, 1080])];
    assert_eq!(Recipe::decode(&bytes, layout.size, &arrays).unwrap(), recipe);
    bytes.len() - checks - literals as usize
}

#[test]
fn a_page_of_a_stack_takes_few_bytes() {
    let layout = stack(930, 2 * 1080 * 1080, 180);
    let len = bare_len(&layout, one_check_each(&layout, 3));
    assert!(len < 930 * 12, "{len} bytes for 930 pages");
}

#[test]
fn a_hundred_thousand_tiles_take_few_bytes_beside_checks_and_lengths() {
    let mut at = 0;
    let mut segments = vec![segment(&mut at, 16, None)];
    for tile in 0..100_000_u32 {
        let chunk = ChunkIndex { array: 0, plane: 0, row: tile / 316, column: tile % 316 };
        segments.push(segment(&mut at, 65_536, Some(Run { chunk, at: 0, swap: true, interleave: None })));
    }
    let layout = layout(at, segments);
    let len = bare_len(&layout, one_check_each(&layout, 1));
    assert!(len < 100_000 * 3 + 5_000, "{len} bytes");
    let recipe = Segments::new(layout.segments.iter().map(|s| (s.len, s.run.map(|_| (0, 0, 0))))).unwrap();
    assert_eq!(recipe.iter().count(), layout.segments.len());
}

#[test]
fn stretches_give_back_every_segment() {
    let layout = stack(50, 100, 3);
    let recipe =
        Recipe::new(&layout, one_check_each(&layout, 1), Literals::Inline(vec![0; layout.size as usize - 5000]))
            .unwrap();
    let pieces: Vec<(u64, u64, bool)> =
        recipe.segments.iter().map(|p| (p.offset, p.len, matches!(p.origin, Origin::Literal(_)))).collect();
    let expected: Vec<(u64, u64, bool)> = layout.segments.iter().map(|s| (s.offset, s.len, s.run.is_none())).collect();
    assert_eq!(pieces, expected);
}

/// Any segments: runs of few shapes so that repetitions occur, and literals.
fn any_layout() -> impl Strategy<Value = Layout> {
    let mode = prop_oneof![
        Just((false, None)),
        Just((true, None)),
        Just((true, Some(Interleave { samples: 3, sample_stride: 40 }))),
    ];
    let piece = prop_oneof![
        (1_u64..5).prop_map(|len| (len, None)),
        (1_u64..3, 0_u64..6, 0_u64..3, mode).prop_map(|(len, plane, at, mode)| (len * 6, Some((plane, at * 2, mode)))),
    ];
    prop::collection::vec((prop::collection::vec(piece, 1..4), 1_usize..6), 1..8).prop_map(|groups| {
        let mut at = 0;
        let mut segments = Vec::new();
        for (pieces, repeat) in groups {
            for turn in 0..repeat {
                for (len, from) in &pieces {
                    let run = from.map(|(plane, start, (swap, interleave))| Run {
                        chunk: ChunkIndex { array: 0, plane: plane + turn as u64, row: 0, column: 0 },
                        at: start,
                        swap,
                        interleave,
                    });
                    segments.push(segment(&mut at, *len, run));
                }
            }
        }
        layout(at, segments)
    })
}

/// Byte `k` of a segment, as the documentation of `Interleave` has it.
fn expected(layout: &Layout) -> Vec<u8> {
    let mut literal = 0_u8;
    let mut out = Vec::new();
    for segment in &layout.segments {
        for k in 0..segment.len {
            out.push(match segment.run {
                None => {
                    literal = literal.wrapping_add(1);
                    literal
                }
                Some(run) => {
                    let byte_of = if run.swap { 1 - k % 2 } else { k % 2 };
                    let (samples, stride) = run.interleave.map_or((1, 0), |i| (u64::from(i.samples), i.sample_stride));
                    let (sample, pixel) = (k / 2 % samples, k / 2 / samples);
                    byte(&[run.chunk.plane], run.at + sample * stride + pixel * 2 + byte_of)
                }
            });
        }
    }
    out
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0_u32..1_000_000_000).prop_map(|(secs, nanos)| Timestamp { secs, nanos })
}

fn any_record() -> impl Strategy<Value = Record> {
    let name = prop::collection::vec("[a-z\u{e9} .-]{1,9}x", 1..3).prop_map(|parts| {
        let mut bytes = parts.join("/").into_bytes();
        bytes.push(0xff);
        RelPath::from_bytes(&bytes).unwrap()
    });
    let xattr = ("user\\.[a-z]{1,8}", prop::collection::vec(any::<u8>(), 0..20));
    let source = (any::<[u64; 3]>(), any_time(), any_time()).prop_map(|([dev, ino, size], mtime, ctime)| Identity {
        dev,
        ino,
        size,
        mtime,
        ctime,
    });
    let chunk = prop::collection::vec(any::<u64>(), 0..3);
    let literal = (any::<[u64; 2]>(), chunk).prop_map(|([id, stored], checks)| LiteralChunk { id, stored, checks });
    let recipe = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..50).prop_map(RecipeBytes::Inline),
        (any::<u32>(), prop::collection::vec(literal, 1..3)).prop_map(|(crc, chunks)| {
            RecipeBytes::Spilled(Spill { len: (chunks.len() * CHUNK) as u64 - 5, crc, chunks })
        }),
    ];
    let head =
        (any::<u64>(), prop::collection::vec(name, 1..4), any::<[u32; 2]>(), 0_u16..0o10000, [any_time(), any_time()]);
    let tail = (prop::collection::vec(xattr, 0..3), any::<[u8; 32]>(), prop::option::of(source), 0_usize..3, recipe);
    (head, tail).prop_map(
        |((id, names, [uid, gid], perm, [atime, mtime]), (xattrs, sha256, source, arrays, recipe))| Record {
            id: RecordId(id),
            names,
            size: id,
            attributes: Attributes { perm, uid, gid, atime, mtime },
            xattrs: xattrs.into_iter().map(|(name, value)| (name.into(), value)).collect(),
            sha256,
            source,
            arrays: (0..arrays).map(|n| array(&format!("A/1/{n}/0"), &[1, n as u64 + 1, 9])).collect(),
            recipe,
        },
    )
}

fn page_of(records: &[Record]) -> Page {
    let mut page = Page::new("B/03");
    page.sequence = 9;
    page.dues = vec![
        Due::Rename { staged: "seal-7-0".into(), path: "B/03/0/0/0/0/0/0/0".into() },
        Due::Rename { staged: "seal-7-1".into(), path: "B/03/0/0/0/1/0/0/0".into() },
        Due::Remove { path: "B/03/1/0/0/1/0/0/0".into() },
    ];
    for (id, record) in (0..).zip(records) {
        assert!(page.put(RecordId(id), record.encode()));
    }
    page
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_come_back(record in any_record()) {
        prop_assert_eq!(Record::decode(record.id, &record.encode()), Ok(record));
    }

    #[test]
    fn a_changed_or_shortened_record_never_panics(record in any_record(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let mut bytes = record.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok(record) = Record::decode(record.id, &bytes) {
            let _ = record.recipe();
        }
    }

    #[test]
    fn any_range_of_any_layout_is_rebuilt(layout in any_layout(), ends: [prop::sample::Index; 2]) {
        let expected = expected(&layout);
        let literals: u64 = layout.segments.iter().filter(|s| s.run.is_none()).map(|s| s.len).sum();
        let mut chunks = ChunkList::default();
        for index in Recipe::chunk_order(&layout) {
            chunks.push(ChunkRef { array: 0, coords: &[index.plane, 0, 0], stored: 5, checks: &[1, 2] });
        }
        let literals = Literals::Inline((1..=literals).map(|n| n as u8).collect());
        let recipe = Recipe::new(&layout, chunks, literals).unwrap();
        let arrays = vec![array("0", &[1, 8, 16])];
        let recipe = Recipe::decode(&recipe.encode(), layout.size, &arrays).unwrap();
        let file = Rebuilt::new(arrays.into(), Arc::new(recipe), Bytes);
        let (a, b) = (ends[0].index(expected.len() + 1), ends[1].index(expected.len() + 1));
        for range in [0..expected.len(), a.min(b)..a.max(b)] {
            let mut out = vec![0; range.len()];
            prop_assert_eq!(file.read_at(&mut out, range.start as u64).unwrap(), range.len());
            prop_assert_eq!(&out, &expected[range]);
        }
        prop_assert_eq!(file.read_at(&mut [0; 4], layout.size).unwrap(), 0);
    }

    #[test]
    fn a_changed_recipe_never_panics(layout in any_layout(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let literals: u64 = layout.segments.iter().filter(|s| s.run.is_none()).map(|s| s.len).sum();
        let recipe = Recipe::new(&layout, one_check_each(&layout, 2), Literals::Inline(vec![1; literals as usize])).unwrap();
        let mut bytes = recipe.encode();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let arrays = vec![array("0", &[1, 1, 1, 8, 16])];
        if let Ok(recipe) = Recipe::decode(&bytes, layout.size, &arrays) {
            let file = Rebuilt::new(arrays.into(), Arc::new(recipe), Bytes);
            let _ = file.read_at(&mut vec![0; layout.size as usize], 0);
        }
    }

    #[test]
    fn noise_is_no_recipe(bytes in prop::collection::vec(any::<u8>(), 0..300), size: u64) {
        let mut with_version = vec![1];
        with_version.extend(&bytes);
        let _ = Recipe::decode(&with_version, size, &[array("0", &[4, 4])]);
        let _ = Record::decode(RecordId(1), &with_version);
        let _ = Page::decode(&bytes);
    }

    #[test]
    fn pages_come_back(records in prop::collection::vec(any_record(), 0..6)) {
        let page = page_of(&records);
        let bytes = page.encode().unwrap();
        prop_assert_eq!(bytes.len(), CHUNK);
        prop_assert_eq!(Page::decode(&bytes).unwrap(), page);
    }

    #[test]
    fn a_flipped_byte_costs_one_record_at_most(records in prop::collection::vec(any_record(), 1..6), at: prop::sample::Index, flip in 1_u8..) {
        let page = page_of(&records);
        let mut bytes = page.encode().unwrap();
        let used = bytes.iter().rposition(|&b| b != 0).unwrap() + 1;
        bytes[at.index(used)] ^= flip;
        let Ok(read) = Page::decode(&bytes) else { return Err(TestCaseError::fail("refused")) };
        prop_assert!(read.records().count() + 1 >= records.len());
        prop_assert_eq!(read.owner.as_deref(), Some("B/03"));
        // The zeros that fill up a frame are nobody's.
        prop_assert!(read.damage.len() == 1 || read == page);
        // Damaged bytes survive a change of the page, and are still told of.
        let again = Page::decode(&read.encode().unwrap()).unwrap();
        prop_assert_eq!(again.records().count(), read.records().count());
        prop_assert_eq!(again.damage.len() + again.lost, read.damage.len() + read.lost);
    }
}

#[test]
fn a_blanked_part_of_a_page_is_noticed() {
    let records: Vec<Record> = (0..8).map(|n| record(n, b"a.tif", vec![3; 500])).collect();
    let mut bytes = page_of(&records).encode().unwrap();
    bytes[1024..2560].fill(0);
    let page = Page::decode(&bytes).unwrap();
    assert!(page.records().count() < 8);
    assert!(!page.damage.is_empty() || page.lost > 0);
}

#[test]
fn a_full_page_takes_no_more_and_a_smaller_record_still_fits() {
    let mut page = Page::new("B/03");
    let mut count = 0;
    while page.put(RecordId(count), vec![1; 5000]) {
        count += 1;
    }
    assert!(count > 200, "{count} records of 5000 bytes");
    assert!(page.put(RecordId(0), vec![2; 5000]), "in place of one of the same size");
    assert!(!page.put(RecordId(0), vec![2; 500_000]));
    page.encode().unwrap();
    let room = page.room();
    assert!(page.put(RecordId(count), vec![1; room]));
    assert_eq!(page.encode().unwrap().len(), CHUNK);
}

#[test]
fn a_segment_of_a_part_of_a_pixel_is_refused() {
    let arrays = [array("0", &[4, 32])];
    for (samples, len, sound) in [(3, 6, true), (3, 7, false), (65_535, 1, false), (65_535, 131_070, true)] {
        let mode = Mode { swap: false, interleave: Some(Interleave { samples, sample_stride: 0 }) };
        let mut chunks = ChunkList::default();
        chunks.push(ChunkRef { array: 0, coords: &[0, 0], stored: 9, checks: &[1] });
        let segments = Segments::new([(len, Some((0, 0, 0)))]).unwrap();
        let recipe = Recipe { chunks, modes: vec![mode], segments, literals: Literals::Inline(Vec::new()) };
        assert_eq!(Recipe::decode(&recipe.encode(), len, &arrays).is_ok(), sound, "{len} bytes of {samples} samples");
    }
}

#[test]
fn a_later_version_is_left_alone() {
    let mut body = record(1, b"a", Vec::new()).encode();
    body[0] = 2;
    assert_eq!(Record::decode(RecordId(1), &body), Err(FormatError::Version(2)));
}

#[test]
fn paths_that_lead_out_of_the_store_are_refused() {
    for path in ["../x", "/etc", "a//b", "a/./b"] {
        let mut record = record(1, b"a", Vec::new());
        record.arrays = vec![array(path, &[4])];
        assert!(Record::decode(RecordId(1), &record.encode()).is_err(), "{path}");
        let mut page = Page::new("");
        page.dues = vec![Due::Remove { path: path.to_owned() }];
        assert!(Page::decode(&page.encode().unwrap()).is_err(), "{path}");
    }
}
