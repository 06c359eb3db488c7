//! The tables of a store: recipes, records and pages.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use scopefs::backend::zarr::table::{ArrayUse, ChunkReader, Page, Rebuilt, Recipe, Record, RecordId, StoredChunk};
use scopefs::model::ByteSource;
use scopefs::view::Dtype;

use super::take;

/// Bytes of a sealed file that are read at one place.
const READ: u64 = 4096;

/// First byte: 0 the bytes are a recipe, 1 a record, 2 a page, 3 the frames of a page without their checks.
pub fn recipe(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let [which] = take(&mut rest);
    match which % 4 {
        0 => recipe_of(rest),
        1 => record(rest),
        2 => page(rest),
        _ => page(&framed(rest)),
    }
}

/// Size of the file, u64; the recipe, over arrays of few dimensions and of many.
fn recipe_of(mut bytes: &[u8]) -> bool {
    let size = u64::from_le_bytes(take(&mut bytes));
    let array = |path: &str, dtype, shape: &[u64]| ArrayUse {
        path: path.to_owned(),
        dtype,
        chunk_shape: shape.to_vec(),
        derived: false,
    };
    let arrays =
        [array("0", Dtype::U16, &[3, 8, 16]), array("1", Dtype::U8, &[64]), array("2", Dtype::F64, &[1, 2, 1, 4, 4])];
    let Ok(recipe) = Recipe::decode(bytes, size, &arrays) else { return false };
    assert_eq!(Recipe::decode(&recipe.encode(), size, &arrays).as_ref(), Ok(&recipe));
    read(recipe, &arrays);
    true
}

fn record(body: &[u8]) -> bool {
    let Ok(record) = Record::decode(RecordId(5), body) else { return false };
    assert_eq!(Record::decode(RecordId(5), &record.encode()).as_ref(), Ok(&record));
    if let Ok(recipe) = record.recipe() {
        assert_eq!(Recipe::decode(&recipe.encode(), record.size, &record.arrays).as_ref(), Ok(&recipe));
        read(recipe, &record.arrays);
    }
    true
}

fn page(bytes: &[u8]) -> bool {
    let Ok(page) = Page::decode(bytes) else { return false };
    let records = |page: &Page| page.records().map(|(id, body)| (id, body.to_vec())).collect::<Vec<_>>();
    if let Ok(mut encoded) = page.encode() {
        // The zeros at the end cost time: most of them go.
        while let Some(rest) = encoded.strip_suffix(&[0; 1024]) {
            encoded.truncate(rest.len());
        }
        let again = Page::decode(&encoded).expect("a page of our own");
        assert_eq!(records(&again), records(&page));
        assert_eq!((&again.dues, again.sequence), (&page.dues, page.sequence));
        assert_eq!(again.damage.is_empty(), page.damage.is_empty());
        assert!(page.owner.is_none() || again.owner == page.owner);
    }
    let found = records(&page);
    for (_, body) in &found {
        record(body);
    }
    !found.is_empty() || !page.dues.is_empty()
}

/// Frames: kind u8, number u8, length u16, body. What is left at the end stands behind them.
fn framed(mut bytes: &[u8]) -> Vec<u8> {
    let mut page = Vec::new();
    while bytes.len() >= 4 {
        let [kind, number, low, high] = take(&mut bytes);
        let kind = [b"sfPG", b"sfDU", b"sfRC", b"sfXX"][usize::from(kind % 4)];
        let (body, rest) = bytes.split_at(bytes.len().min(u16::from_le_bytes([low, high]).into()));
        bytes = rest;
        let head = [&kind[..], &(body.len() as u32).to_le_bytes(), &u64::from(number).to_le_bytes()].concat();
        page.extend_from_slice(&head);
        page.extend(crc32([&head[..], body].concat()).to_le_bytes());
        page.extend([0; 4]);
        page.extend_from_slice(body);
        page.resize(page.len().next_multiple_of(8), 0);
    }
    page.extend_from_slice(bytes);
    page
}

/// CRC-32 as in IEEE 802.3, half a byte at a time.
fn crc32(bytes: Vec<u8>) -> u32 {
    let bit = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    let table: [u32; 16] = std::array::from_fn(|at| (0..4).fold(at as u32, |crc, _| bit(crc)));
    let half = |crc: u32| crc >> 4 ^ table[(crc & 15) as usize];
    !bytes.iter().fold(!0, |crc: u32, &byte| half(half(crc ^ u32::from(byte))))
}

/// Chunks that hold whatever is asked for.
struct Anything(Vec<ArrayUse>);

impl ChunkReader for Anything {
    fn read(&self, chunk: StoredChunk<'_>, range: Range<u64>, out: &mut [u8]) -> io::Result<()> {
        assert!(!range.is_empty() && range.end - range.start == out.len() as u64, "{range:?}");
        let fits = |array: &&ArrayUse| array.path == chunk.array && array.chunk_shape.len() == chunk.coords.len();
        let inside = |array: &ArrayUse| array.chunk_bytes().is_some_and(|len| range.end <= len);
        assert!(self.0.iter().filter(fits).any(inside), "{range:?} of {chunk:?}");
        out.fill(range.start as u8);
        Ok(())
    }
}

/// Reads both ends and the middle of the file.
fn read(recipe: Recipe, arrays: &[ArrayUse]) {
    let size = recipe.segments.size();
    let literal = |array: &ArrayUse| array.path.is_empty() || array.path.starts_with("scopefs");
    if arrays.iter().any(literal) {
        return;
    }
    let mut known = arrays.to_vec();
    known.push(literals());
    let file = Rebuilt::new(arrays.into(), Arc::new(recipe), Anything(known));
    assert_eq!(file.size().expect("its size"), size);
    for at in [0, size / 2, size.saturating_sub(READ)] {
        let mut out = vec![0; READ.min(size - at) as usize];
        if let Ok(len) = file.read_at(&mut out, at) {
            assert_eq!(len, out.len());
        }
    }
    assert_eq!(file.read_at(&mut [0; 4], size).expect("nothing"), 0);
}

/// The array of literal bytes.
fn literals() -> ArrayUse {
    use scopefs::backend::zarr::table::{CHUNK, LITERALS};
    ArrayUse { path: LITERALS.to_owned(), dtype: Dtype::U8, chunk_shape: vec![CHUNK as u64], derived: false }
}
