//! Plates whose fields are gathered in shards.

use std::os::unix::fs::MetadataExt;

use super::super::array::{ChunkArray, Shard, Version};
use super::*;

const STORE: &str = "P/P.ome.zarr";

fn name(well: &str, site: u32, channel: u32) -> String {
    format!("P/P_{well}_s{site}_w{channel}.tif")
}

/// Wells of two sites and two channels, all of them different.
fn plate(wells: u32, side: u32) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for well in 0..wells {
        for (site, channel) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            let seed = u64::from(well << 8 | site << 4 | channel);
            files.push((name(&format!("B{:02}", well + 2), site, channel), tiff(seed, side, side)));
        }
    }
    files
}

fn fill(room: &Room, files: &[(String, Vec<u8>)]) {
    fs::create_dir_all(room.dir.path().join("P")).unwrap();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    for answer in room.seal_all(&files) {
        answer.unwrap();
    }
}

fn room_of(files: &[(String, Vec<u8>)]) -> Room {
    let room = Room::sharded(None);
    fill(&room, files);
    room
}

/// Which slots of a shard are in use.
fn slots(room: &Room, field: &str, level: u32, shard: &str) -> Vec<usize> {
    let dir = room.dir.path().join(STORE).join(field).join(level.to_string());
    let array = ChunkArray::parse(Version::V3, &fs::read(dir.join("zarr.json")).unwrap()).unwrap();
    let bytes = fs::read(dir.join(shard)).unwrap();
    let index = Shard::open(&bytes.as_slice(), array.slots().unwrap()).unwrap();
    (0..array.slots().unwrap()).filter(|slot| index.range(*slot).is_some()).collect()
}

fn files_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn entry(room: &Room, name: &str) -> SealedEntry {
    room.zarr.listing(&path("P")).unwrap().into_iter().find(|entry| entry.names.contains(&path(name))).expect(name)
}

/// Different inodes below a directory.
fn inodes(dir: &Path, seen: &mut std::collections::HashSet<u64>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        seen.insert(entry.metadata().unwrap().ino());
        if entry.file_type().unwrap().is_dir() {
            inodes(&entry.path(), seen);
        }
    }
}

#[test]
fn a_field_is_one_shard_a_level_and_comes_back_before_and_after_a_remount() {
    let files = plate(2, 600);
    let mut room = room_of(&files);
    for _ in 0..2 {
        for (name, bytes) in &files {
            assert!(room.read_name(name) == *bytes, "{name}");
        }
        room = room.again();
    }
    for level in 0..2 {
        assert_eq!(files_in(&room.dir.path().join(format!("{STORE}/B/02/1/{level}"))), ["c.0.0.0", "zarr.json"]);
        assert_eq!(slots(&room, "B/02/1", level, "c.0.0.0"), [0, 1]);
    }
    assert_eq!(room.staged(), 0);
}

#[test]
fn at_most_four_inodes_are_taken_for_each_file() {
    // Wide enough for a reduced level, and small.
    let files: Vec<_> = plate(24, 1).into_iter().map(|(name, _)| (name, tiff(1, 520, 8))).collect();
    let room = room_of(&files);
    let mut seen = std::collections::HashSet::new();
    inodes(&room.dir.path().join("P"), &mut seen);
    println!("{} inodes for {} files", seen.len(), files.len());
    assert!(seen.len() <= 4 * files.len(), "{} inodes for {} files", seen.len(), files.len());
}

#[test]
fn planes_that_come_later_join_those_that_are_there() {
    let files = plate(2, 600);
    let room = Room::sharded(None);
    for file in &files {
        fill(&room, std::slice::from_ref(file));
    }
    fill(&room, &[(name("B02", 1, 5), tiff(77, 600, 600))]);
    assert_eq!(slots(&room, "B/02/0", 0, "c.0.0.0"), [0, 1, 4]);
    assert_eq!(slots(&room, "B/02/1", 1, "c.0.0.0"), [0, 1]);
    assert_eq!(room.json(&format!("{STORE}/B/03/1/0/zarr.json"))["shape"], serde_json::json!([5, 600, 600]));
    let room = room.again();
    files.iter().for_each(|(name, bytes)| assert!(room.read_name(name) == *bytes, "{name}"));
    assert!(room.read_name(&name("B02", 1, 5)) == tiff(77, 600, 600));
}

#[test]
fn a_changed_plane_replaces_its_own_and_leaves_the_others() {
    let files = plate(1, 600);
    let room = room_of(&files);
    let (first, new) = (files[0].0.clone(), tiff(99, 600, 600));
    let batch = room.zarr.begin();
    let subject = Subject { replaces: Some(entry(&room, &first).id), ..subject(&first, &new) };
    batch.add(subject, &new.as_slice()).unwrap();
    batch.commit().remove(0).1.unwrap();
    let room = room.again();
    assert!(room.read_name(&first) == new);
    files[1..].iter().for_each(|(name, bytes)| assert!(room.read_name(name) == *bytes, "{name}"));
    assert_eq!(slots(&room, "B/02/0", 0, "c.0.0.0"), [0, 1]);
    assert_eq!((room.names("P").len(), room.staged()), (4, 0));
}

#[test]
fn a_plane_that_is_removed_leaves_its_shard_and_the_last_one_takes_it_along() {
    let files = plate(1, 600);
    let room = room_of(&files);
    room.zarr.remove(entry(&room, &files[0].0).id).unwrap();
    assert_eq!(slots(&room, "B/02/0", 0, "c.0.0.0"), [1]);
    assert_eq!(slots(&room, "B/02/0", 1, "c.0.0.0"), [1]);
    assert!(room.read_name(&files[1].0) == files[1].1);
    room.zarr.remove(entry(&room, &files[1].0).id).unwrap();
    assert!(!room.has(&format!("{STORE}/B/02/0")));
    for (name, _) in &files[2..] {
        room.zarr.remove(entry(&room, name).id).unwrap();
    }
    assert!(files_in(&room.dir.path().join("P")).is_empty());
    assert_eq!(room.staged(), 0);
}

#[test]
fn a_long_series_goes_on_in_a_further_shard() {
    let room = Room::sharded(None);
    let series: Vec<_> = (1..=10).map(|t| (format!("P/P_B02_s1_w1_t{t}.tif"), tiff(t, 16, 16))).collect();
    fill(&room, &series[..7]);
    fill(&room, &series[7..]);
    room.zarr.tidy().unwrap();
    assert_eq!(slots(&room, "B/02/0", 0, "c.1.0.0.0").len(), 2);
    let room = room.again();
    series.iter().for_each(|(name, bytes)| assert!(room.read_name(name) == *bytes, "{name}"));
}

#[test]
fn a_shard_that_is_due_gets_its_place_when_the_store_is_opened() {
    let files = plate(1, 600);
    for step in ["page", "renames"] {
        let room = room_of(&files[..1]);
        let Room { dir, zarr } = room;
        drop(zarr);
        let stop = move |at: &'static str| if at == step { Err(io::Error::other("stopped")) } else { Ok(()) };
        let room = Room::with(dir, (Ngff::V05, config::Shards::Field), Some(Box::new(stop)));
        assert!(room.seal(&files[1].0, &files[1].1).is_err());
        assert_eq!(slots(&room, "B/02/0", 0, "c.0.0.0"), [0]);
        let room = room.again();
        assert!(room.read_name(&files[0].0) == files[0].1);
        let sealed = step == "renames";
        assert_eq!(room.names("P").len(), 1 + usize::from(sealed), "{step}");
        assert_eq!(room.staged(), 0, "{step}");
        if sealed {
            assert!(room.read_name(&files[1].0) == files[1].1);
        }
    }
}

#[test]
fn a_removal_that_is_cut_short_is_finished_when_the_store_is_opened() {
    let files = plate(1, 600);
    let Room { dir, zarr } = room_of(&files);
    drop(zarr);
    let stop = |at: &'static str| if at == "removed" { Err(io::Error::other("stopped")) } else { Ok(()) };
    let room = Room::with(dir, (Ngff::V05, config::Shards::Field), Some(Box::new(stop)));
    assert!(room.zarr.remove(entry(&room, &files[0].0).id).is_err());
    let room = room.again();
    assert_eq!(room.names("P").len(), 3);
    files[1..].iter().for_each(|(name, bytes)| assert!(room.read_name(name) == *bytes, "{name}"));
}

#[test]
fn a_damaged_shard_is_an_error_for_its_planes_and_they_can_be_removed() {
    let files = plate(1, 600);
    let room = room_of(&files);
    let shard = room.dir.path().join(STORE).join("B/02/0/0/c.0.0.0");
    let mut bytes = fs::read(&shard).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&shard, bytes).unwrap();
    let room = room.again();
    assert!(room.read(entry(&room, &files[0].0).id).is_err());
    assert!(room.read_name(&files[2].0) == files[2].1);
    room.zarr.remove(entry(&room, &files[0].0).id).unwrap();
    assert_eq!(room.names("P").len(), 3);
}

#[test]
fn shards_are_those_that_the_store_was_made_with() {
    let files = plate(1, 16);
    let Room { dir, zarr } = room_of(&files[..2]);
    drop(zarr);
    let room = Room::over(dir, Ngff::V05, None);
    fill(&room, &files[2..]);
    assert!(room.has(&format!("{STORE}/B/02/1/0/c.0.0.0")));
    files.iter().for_each(|(name, bytes)| assert!(room.read_name(name) == *bytes, "{name}"));
}
