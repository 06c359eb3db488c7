//! Our arrays and those of zarrs, in both directions, and the files under them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use zarrs::array::{Array, ArraySubset};
use zarrs::filesystem::FilesystemStore;
use zarrs::metadata::ArrayMetadata;

use super::array::{ArraySpec, Chunk, ChunkArray, Shard, Version};
use super::blosc::{Filter, FilterChoice, Scratch};
use super::cache::{Cache, ChunkKey};
use super::codec;
use super::files::Files;
use crate::model::{ByteSource, RelPath};
use crate::view::Dtype;

const CHUNK: (usize, usize) = (128, 300);

/// Two directories on one file system.
struct Place {
    dir: tempfile::TempDir,
    files: Files,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let sub = |name| {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::File::open(dir.path().join(name)).unwrap().into()
        };
        let files = Files::new(sub("root"), sub("staging")).unwrap();
        Place { dir, files }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn staged(&self) -> usize {
        fs::read_dir(self.path("staging")).unwrap().count()
    }
}

fn rel(path: &str) -> RelPath {
    RelPath::from_path(Path::new(path)).unwrap()
}

fn spec(version: Version, sharded: bool) -> ArraySpec {
    ArraySpec {
        version,
        dtype: Dtype::U16,
        shape: vec![3, 250, 300],
        chunk: vec![1, CHUNK.0 as u64, CHUNK.1 as u64],
        shard: sharded.then(|| vec![4, 256, 300]),
        names: (version == Version::V3).then(|| ["c", "y", "x"].map(str::to_owned).to_vec()),
    }
}

const KINDS: [(Version, bool); 3] = [(Version::V2, false), (Version::V3, false), (Version::V3, true)];

fn value(plane: usize, row: usize, column: usize) -> u16 {
    (plane * 1000 + row * 3 + column % 17) as u16
}

fn chunk(plane: usize, band: usize) -> Vec<u8> {
    let cells = (0..CHUNK.0).flat_map(|row| (0..CHUNK.1).map(move |column| (row + band * CHUNK.0, column)));
    cells.flat_map(|(row, column)| value(plane, row, column).to_le_bytes()).collect()
}

/// Writes plane 0 and 2 of an array, plane 1 staying absent.
fn write(files: &Files, array: &ChunkArray, dir: &RelPath) {
    let document = dir.join(ChunkArray::document_name(array.spec().version));
    files.put(&document, &array.document().unwrap(), false).unwrap();
    let filters = [Filter::None, Filter::Shuffle, Filter::BitShuffle];
    let mut slots = BTreeMap::new();
    let mut shard = None;
    for (plane, band) in [(0, 0), (0, 1), (2, 0), (2, 1)] {
        let frame = array.encode(&chunk(plane, band), FilterChoice::Always(filters[(plane + band) % 3])).unwrap();
        let place = array.place(&[plane as u64, band as u64, 0]).unwrap();
        let mut path = dir.clone();
        place.file.components().for_each(|name| path.push(name));
        match place.slot {
            None => files.put(&path, &frame.bytes, false).unwrap(),
            Some(slot) => {
                slots.insert(slot, frame.bytes);
                shard = Some(path);
            }
        }
    }
    if let Some(path) = shard {
        let staged = files.stage_empty().unwrap();
        let changes = slots.iter().map(|(slot, bytes)| (*slot, Some(bytes.as_slice()))).collect();
        Shard::empty(array.slots().unwrap()).rewrite(&Nothing, &changes, staged.object()).unwrap();
        files.publish(staged, &path).unwrap();
    }
}

struct Nothing;

impl ByteSource for Nothing {
    fn size(&self) -> std::io::Result<u64> {
        Ok(0)
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> std::io::Result<usize> {
        Ok(0)
    }

    fn next_data(&self, _: u64) -> std::io::Result<Option<std::ops::Range<u64>>> {
        Ok(None)
    }
}

#[test]
fn zarrs_reads_what_we_write() {
    codec::register();
    for (version, sharded) in KINDS {
        let place = Place::new();
        let ours = ChunkArray::new(spec(version, sharded)).unwrap();
        write(&place.files, &ours, &rel("field/0"));
        let store = Arc::new(FilesystemStore::new(place.path("root")).unwrap());
        let theirs = Array::open(store, "/field/0").unwrap();
        let all: Vec<u16> = theirs.retrieve_array_subset(&ArraySubset::new_with_shape(vec![3, 250, 300])).unwrap();
        for (at, found) in all.iter().enumerate() {
            let (plane, row, column) = (at / 75_000, at / 300 % 250, at % 300);
            let wanted = if plane == 1 { 0 } else { value(plane, row, column) };
            assert_eq!(*found, wanted, "{version:?} sharded {sharded}: {plane} {row} {column}");
        }
        let part: Vec<u16> =
            theirs.retrieve_array_subset(&ArraySubset::new_with_ranges(&[2..3, 130..131, 7..9])).unwrap();
        assert_eq!(part, [value(2, 130, 7), value(2, 130, 8)], "{version:?} sharded {sharded}");
    }
}

#[test]
fn we_read_what_zarrs_writes() {
    codec::register();
    for (version, sharded) in KINDS {
        let place = Place::new();
        let document = ChunkArray::new(spec(version, sharded)).unwrap().document().unwrap();
        let metadata = match version {
            Version::V2 => ArrayMetadata::V2(serde_json::from_slice(&document).unwrap()),
            Version::V3 => ArrayMetadata::V3(serde_json::from_slice(&document).unwrap()),
        };
        let store = Arc::new(FilesystemStore::new(place.path("root")).unwrap());
        let theirs = Array::new_with_metadata(store, "/field/0", metadata).unwrap();
        theirs.store_metadata().unwrap();
        let cells = (0..250).flat_map(|row| (0..300).map(move |column| value(1, row, column)));
        let plane: Vec<u16> = cells.collect();
        theirs.store_array_subset(&ArraySubset::new_with_ranges(&[1..2, 0..250, 0..300]), plane.as_slice()).unwrap();

        let dir = rel("field/0");
        let document = place.files.read(&dir.join(ChunkArray::document_name(version)), 1 << 20).unwrap().unwrap();
        let ours = ChunkArray::parse(version, &document).unwrap();
        assert_eq!(*ours.spec(), spec(version, sharded));
        let mut row = vec![0; 600];
        let read = |index: [u64; 3], row: &mut Vec<u8>| {
            let chunk = ours.open(&place.files, &dir, &index).unwrap();
            chunk.read(600 * 100, row, None, &mut Scratch::default()).unwrap();
        };
        read([1, 1, 0], &mut row);
        let wanted: Vec<u8> = (0..300).flat_map(|column| value(1, 228, column).to_le_bytes()).collect();
        assert_eq!(row, wanted, "{version:?} sharded {sharded}");
        read([2, 0, 0], &mut row);
        assert_eq!(row, vec![0; 600]);
    }
}

#[test]
fn a_chunk_of_a_shard_is_replaced_and_the_others_stay() {
    let place = Place::new();
    let array = ChunkArray::new(spec(Version::V3, true)).unwrap();
    let dir = rel("a");
    write(&place.files, &array, &dir);
    let path = dir.join("c.0.0.0".as_ref());
    let old = place.files.open(&path).unwrap().unwrap();
    let shard = Shard::open(&old, array.slots().unwrap()).unwrap();
    let slot = |index: [u64; 3]| array.place(&index).unwrap().slot.unwrap();
    let frame = array.encode(&chunk(9, 0), FilterChoice::Auto).unwrap();
    let changes = BTreeMap::from([(slot([0, 0, 0]), Some(frame.bytes.as_slice())), (slot([2, 1, 0]), None)]);
    let staged = place.files.stage_empty().unwrap();
    let after = shard.rewrite(&old, &changes, staged.object()).unwrap();
    place.files.publish(staged, &path).unwrap();
    assert_eq!(after, Shard::open(&place.files.open(&path).unwrap().unwrap(), array.slots().unwrap()).unwrap());
    let read = |index: [u64; 3]| {
        let mut out = vec![0; array.chunk_len() as usize];
        array.open(&place.files, &dir, &index).unwrap().read(0, &mut out, None, &mut Scratch::default()).unwrap();
        out
    };
    assert!(read([0, 0, 0]) == chunk(9, 0));
    assert!(read([0, 1, 0]) == chunk(0, 1));
    assert!(read([2, 0, 0]) == chunk(2, 0));
    assert!(matches!(array.open(&place.files, &dir, &[2, 1, 0]).unwrap(), Chunk::Absent));
    let mut bytes = place.files.read(&path, 1 << 20).unwrap().unwrap();
    let last = bytes.len() - 20;
    bytes[last] ^= 1;
    place.files.put(&path, &bytes, false).unwrap();
    array.open(&place.files, &dir, &[0, 0, 0]).expect_err("its index is damaged");
}

#[test]
fn files_appear_whole_and_leave_nothing_behind() {
    let place = Place::new();
    let path = rel("P.ome.zarr/B/03/0/0/1");
    place.files.put(&path, b"first", true).unwrap();
    place.files.put(&path, b"second", true).unwrap();
    assert_eq!(fs::read(place.path("root/P.ome.zarr/B/03/0/0/1")).unwrap(), b"second");
    drop(place.files.stage(b"given up").unwrap());
    assert_eq!(place.staged(), 0);
    place.files.put(&rel("P.ome.zarr/B/04/0/.zarray"), b"{}", false).unwrap();
    assert!(place.files.remove(&path, &rel("P.ome.zarr")).unwrap());
    assert!(!place.files.remove(&path, &rel("P.ome.zarr")).unwrap());
    assert!(!place.path("root/P.ome.zarr/B/03").exists());
    assert!(place.path("root/P.ome.zarr/B/04/0/.zarray").exists());
    place.files.put(&path, b"again", false).expect("its directories are made anew");
    place.files.remove(&rel("P.ome.zarr/B/04/0/.zarray"), &rel("P.ome.zarr")).unwrap();
    place.files.remove(&path, &rel("P.ome.zarr")).unwrap();
    assert_eq!(fs::read_dir(place.path("root/P.ome.zarr")).unwrap().count(), 0);
}

#[test]
fn a_rename_that_is_due_is_made_once_by_whoever_comes_next() {
    let place = Place::new();
    let name = place.files.stage(b"plane").unwrap().keep();
    assert_eq!(place.staged(), 1);
    assert!(place.files.publish_left(&name, &rel("a/b/0")).unwrap());
    assert!(!place.files.publish_left(&name, &rel("a/b/0")).unwrap());
    assert_eq!(place.files.read(&rel("a/b/0"), 10).unwrap().unwrap(), b"plane");
    place.files.publish_left(place.path("root/a/b/0").as_os_str(), &rel("c")).expect_err("a path is no name");
}

#[test]
fn a_planted_link_leads_nowhere() {
    let place = Place::new();
    fs::create_dir(place.path("outside")).unwrap();
    std::os::unix::fs::symlink(place.path("outside"), place.path("root/0")).unwrap();
    place.files.put(&rel("0/1"), b"x", false).expect_err("the directory is a link");
    place.files.remove(&rel("0/1"), &RelPath::root()).expect_err("the directory is a link");
    assert_eq!(fs::read_dir(place.path("outside")).unwrap().count(), 0);
    place.files.put(&rel("0"), b"x", false).expect("the link itself is replaced");
    assert_eq!(fs::read(place.path("root/0")).unwrap(), b"x");
    assert_eq!(place.staged(), 0);
}

#[test]
fn ranges_through_the_cache_are_those_of_the_chunk() {
    let place = Place::new();
    let array = ChunkArray::new(ArraySpec { shape: vec![700, 800], chunk: vec![700, 800], ..spec(Version::V2, false) });
    let array = array.unwrap();
    let bytes: Vec<u8> = (0..560_000u32).flat_map(|at| ((at / 3) as u16).to_le_bytes()).collect();
    let frame = array.encode(&bytes, FilterChoice::Auto).unwrap();
    let dir = rel("a");
    place.files.put(&dir.join("0".as_ref()).join("0".as_ref()), &frame.bytes, false).unwrap();
    let chunk = array.open(&place.files, &dir, &[0, 0]).unwrap();
    let key = Arc::new(ChunkKey { store: 1, array: dir, index: vec![0, 0], generation: 1 });
    let cache = Cache::new(700_000);
    let mut scratch = Scratch::default();
    for strip in (0..bytes.len()).step_by(16_000).chain([0, 500_000, 1_000_000]) {
        for len in [16_000, 1, 400_000] {
            let len = len.min(bytes.len() - strip);
            let mut out = vec![0; len];
            cache.read(&key, &chunk, strip as u64, &mut out, Some(&frame.checks), &mut scratch).unwrap();
            assert!(out == bytes[strip..strip + len], "{len} bytes at {strip}");
            assert!(cache.bytes() <= 700_000);
        }
    }
    let mut out = vec![0; 10];
    cache.read(&key, &chunk, bytes.len() as u64 - 5, &mut out, None, &mut scratch).expect_err("there is no more");
    cache.read(&key, &Chunk::Absent, 0, &mut out, Some(&frame.checks), &mut scratch).expect_err("it was written");
}

#[test]
fn what_is_made_has_the_permissions_of_its_directory() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let mode = |path: &str| fs::metadata(place.path(path)).unwrap().permissions().mode() & 0o7777;
    for (above, dir, file) in [(0o2770, 0o770, 0o660), (0o755, 0o755, 0o644), (0o1777, 0o755, 0o644)] {
        fs::set_permissions(place.path("root"), fs::Permissions::from_mode(above)).unwrap();
        place.files.put(&rel("s/0/1"), b"x", false).unwrap();
        assert_eq!((mode("root/s") & 0o777, mode("root/s/0/1")), (dir, file), "below {above:o}");
        place.files.remove(&rel("s/0/1"), &RelPath::root()).unwrap();
    }
}
