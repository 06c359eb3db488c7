//! Files that are sealed anew: what is equal stays.

use super::*;

/// A TIFF of `pages` pages of 16 bits, each with its directory behind its pixels; page `n` has the seed `seed(n)`.
fn stack(pages: u32, (width, height): (u32, u32), seed: impl Fn(u32) -> u64) -> Vec<u8> {
    let mut out = b"II*\0\0\0\0\0".to_vec();
    let mut link = 4;
    for page in 0..pages {
        let at = out.len() as u32;
        let count = (width * height) as usize;
        out.extend(pixels(seed(page), count).iter().flat_map(|v| v.to_le_bytes()));
        let directory = out.len() as u32;
        out[link..link + 4].copy_from_slice(&directory.to_le_bytes());
        let tags: [(u16, u16, u32); 9] = [
            (256, 4, width),
            (257, 4, height),
            (258, 3, 16),
            (259, 3, 1),
            (262, 3, 1),
            (273, 4, at),
            (277, 3, 1),
            (278, 4, height),
            (279, 4, count as u32 * 2),
        ];
        out.extend_from_slice(&(tags.len() as u16).to_le_bytes());
        for (tag, kind, value) in tags {
            out.extend_from_slice(&tag.to_le_bytes());
            out.extend_from_slice(&kind.to_le_bytes());
            out.extend_from_slice(&1_u32.to_le_bytes());
            out.extend_from_slice(&value.to_le_bytes());
        }
        link = out.len();
        out.extend_from_slice(&0_u32.to_le_bytes());
    }
    out
}

fn plain(pages: u32, size: (u32, u32)) -> Vec<u8> {
    stack(pages, size, |page| u64::from(page) + 1)
}

/// Seals a file as the version that follows `old`.
fn seal_over(room: &Room, old: SealedId, name: &str, bytes: &[u8]) -> Result<SealedId, SealError> {
    let batch = room.zarr.begin();
    batch.add(Subject { replaces: Some(old), ..subject(name, bytes) }, &bytes)?;
    batch.commit().remove(0).1
}

fn inode(room: &Room, file: &str) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(room.dir.path().join(file)).unwrap_or_else(|e| panic!("{file}: {e}")).ino()
}

/// All files below the store's arrays, without our own group.
fn files(room: &Room, dir: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut left = vec![room.dir.path().join(dir)];
    while let Some(here) = left.pop() {
        for entry in fs::read_dir(here).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                left.push(entry.path());
            } else {
                all.push(entry.path().strip_prefix(room.dir.path()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    all.sort();
    all
}

const STORE: &str = "workspace.images.ome.zarr";

#[test]
fn an_appended_stack_keeps_its_number_and_its_chunks() {
    for version in [Ngff::V04, Ngff::V05] {
        let room = Room::new(version);
        let between = if version == Ngff::V05 { "c/" } else { "" };
        let chunk = |n: u32| format!("{STORE}/0/0/{between}0/{n}/0/0");
        let old = room.seal("a.tif", &plain(3, (64, 64))).unwrap();
        let before: Vec<u64> = (0..3).map(|n| inode(&room, &chunk(n))).collect();
        let bytes = plain(5, (64, 64));
        let new = seal_over(&room, old, "a.tif", &bytes).unwrap();
        assert_ne!(old, new);
        assert_eq!((0..3).map(|n| inode(&room, &chunk(n))).collect::<Vec<_>>(), before);
        assert!(room.has(&chunk(4)) && !room.has(&format!("{STORE}/1")));
        let document = if version == Ngff::V05 { "zarr.json" } else { ".zarray" };
        let shape = room.json(&format!("{STORE}/0/0/{document}"))["shape"].clone();
        assert_eq!(shape, serde_json::json!([1, 5, 64, 64]));
        assert!(room.read(new).unwrap() == bytes && room.read(old).is_err());
        let room = room.again();
        assert!(room.read_name("a.tif") == bytes);
        assert_eq!((room.names(""), room.staged()), (vec!["a.tif".to_owned()], 0));
        room.zarr.remove(room.zarr.listing(&RelPath::root()).unwrap()[0].id).unwrap();
        assert!(!room.has(STORE));
    }
}

#[test]
fn a_page_that_changed_is_the_only_one_that_is_written() {
    let room = Room::new(Ngff::V04);
    let old = room.seal("a.tif", &plain(4, (64, 64))).unwrap();
    let before: Vec<u64> = (0..4).map(|n| inode(&room, &format!("{STORE}/0/0/0/{n}/0/0"))).collect();
    let bytes = stack(4, (64, 64), |page| if page == 2 { 77 } else { u64::from(page) + 1 });
    let new = seal_over(&room, old, "a.tif", &bytes).unwrap();
    let after: Vec<u64> = (0..4).map(|n| inode(&room, &format!("{STORE}/0/0/0/{n}/0/0"))).collect();
    let same: Vec<bool> = before.iter().zip(&after).map(|(a, b)| a == b).collect();
    assert_eq!(same, [true, true, false, true]);
    assert!(room.read(new).unwrap() == bytes);
}

#[test]
fn pages_that_are_cut_off_leave_no_chunk_behind() {
    let room = Room::new(Ngff::V04);
    let old = room.seal("a.tif", &plain(6, (64, 64))).unwrap();
    let bytes = plain(2, (64, 64));
    let new = seal_over(&room, old, "a.tif", &bytes).unwrap();
    let chunks: Vec<String> =
        files(&room, &format!("{STORE}/0/0")).into_iter().filter(|f| !f.contains("/.z")).collect();
    assert_eq!(chunks, [0, 1].map(|n| format!("{STORE}/0/0/0/{n}/0/0")));
    assert_eq!(room.json(&format!("{STORE}/0/0/.zarray"))["shape"], serde_json::json!([1, 2, 64, 64]));
    assert!(room.read(new).unwrap() == bytes);
}

#[test]
fn the_same_name_is_enough_to_be_known_again() {
    let room = Room::new(Ngff::V04);
    room.seal("a.tif", &plain(3, (64, 64))).unwrap();
    room.seal("b.tif", &plain(2, (32, 32))).unwrap();
    let room = room.again();
    let before = inode(&room, &format!("{STORE}/0/0/0/1/0/0"));
    let bytes = plain(4, (64, 64));
    room.seal("a.tif", &bytes).unwrap();
    assert_eq!(inode(&room, &format!("{STORE}/0/0/0/1/0/0")), before);
    assert!(!room.has(&format!("{STORE}/2")) && room.read_name("a.tif") == bytes);
    assert!(room.read_name("b.tif") == plain(2, (32, 32)));
}

#[test]
fn another_shape_gets_a_new_number_and_the_old_one_goes() {
    let room = Room::new(Ngff::V04);
    let old = room.seal("a.tif", &plain(3, (64, 64))).unwrap();
    let bytes = plain(3, (32, 64));
    let new = seal_over(&room, old, "a.tif", &bytes).unwrap();
    assert!(!room.has(&format!("{STORE}/0")) && room.has(&format!("{STORE}/1")));
    assert!(room.read(new).unwrap() == bytes);
}

#[test]
fn an_image_with_levels_has_them_chunk_by_chunk() {
    let room = Room::new(Ngff::V04);
    let old = room.seal("a.tif", &plain(2, (2100, 40))).unwrap();
    let level = format!("{STORE}/0/2/0/1/0/0");
    let before = inode(&room, &level);
    let bytes = plain(3, (2100, 40));
    let new = seal_over(&room, old, "a.tif", &bytes).unwrap();
    assert_eq!(inode(&room, &level), before);
    assert!(room.has(&format!("{STORE}/0/2/0/2/0/0")) && room.read(new).unwrap() == bytes);
}

#[test]
fn a_plane_of_a_plate_that_did_not_change_is_not_written() {
    let room = Room::new(Ngff::V04);
    let name = "P/P_B03_s1_w1.tif";
    let old = room.seal(name, &tiff(3, 600, 600)).unwrap();
    let before = [0, 1].map(|level| inode(&room, &format!("P/P.ome.zarr/B/03/0/{level}/0/0/0")));
    // Another byte behind the image, the same pixels.
    let mut bytes = tiff(3, 600, 600);
    bytes.push(7);
    let new = seal_over(&room, old, name, &bytes).unwrap();
    assert_eq!([0, 1].map(|level| inode(&room, &format!("P/P.ome.zarr/B/03/0/{level}/0/0/0"))), before);
    assert!(room.read(new).unwrap() == bytes);
}

#[test]
fn a_file_that_grows_out_of_its_page_keeps_its_chunks() {
    let room = Room::new(Ngff::V04);
    let junk = |seed: u64| pixels(seed, 30_000).iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    // Fills the page with literal bytes of others.
    for n in 0..17 {
        let mut bytes = tiff(n, 20, 20);
        bytes.extend(junk(n));
        room.seal(&format!("{n}.tif"), &bytes).unwrap();
    }
    let old = room.seal("a.tif", &plain(3, (64, 64))).unwrap();
    let mut bytes = plain(3, (64, 64));
    bytes.extend(junk(99));
    let chunk = format!("{STORE}/17/0/0/1/0/0");
    let before = inode(&room, &chunk);
    let new = seal_over(&room, old, "a.tif", &bytes).unwrap();
    assert!(room.has(&format!("{STORE}/scopefs/tables/1")));
    assert_eq!(inode(&room, &chunk), before);
    assert!(room.read(new).unwrap() == bytes);
    assert!(room.again().read_name("a.tif") == bytes);
}

#[test]
fn a_replacement_that_is_cut_short_is_the_old_version_or_the_new_one() {
    for (step, is_new) in [("prepare", false), ("prepared", false), ("page", false), ("renames", true)] {
        let room = Room::new(Ngff::V04);
        let before = plain(4, (64, 64));
        room.seal("a.tif", &before).unwrap();
        let Room { dir, zarr } = room;
        drop(zarr);
        let stop = move |reached: &'static str| {
            if reached == step { Err(io::Error::other("stopped by the test")) } else { Ok(()) }
        };
        let room = Room::over(dir, Ngff::V04, Some(Box::new(stop)));
        let old = room.zarr.listing(&RelPath::root()).unwrap()[0].id;
        let after = stack(6, (64, 64), |page| if page == 1 { 77 } else { u64::from(page) + 1 });
        assert!(seal_over(&room, old, "a.tif", &after).is_err(), "{step}");
        if !is_new {
            assert!(room.read(old).unwrap() == before, "{step}");
        }
        let room = room.again();
        assert!(room.read_name("a.tif") == if is_new { after.clone() } else { before.clone() }, "{step}");
        assert_eq!(room.staged(), 0, "{step}");
        room.seal("a.tif", &after).unwrap();
        assert!(room.read_name("a.tif") == after, "{step}");
        let chunks = files(&room, &format!("{STORE}/0/0")).into_iter().filter(|f| !f.contains("/.z")).count();
        assert_eq!(chunks, 6, "{step}");
    }
}

#[test]
fn a_stack_that_is_appended_to_and_sealed_now_and_then_is_written_once() {
    let room = Room::new(Ngff::V04);
    let (pages, side) = (20, 512);
    let whole = plain(pages, (side, side));
    let page = whole.len() / pages as usize;
    let mut old = None;
    for count in (4..=pages).step_by(4) {
        let bytes = plain(count, (side, side));
        old = Some(match old {
            None => room.seal("a.tif", &bytes).unwrap(),
            Some(old) => seal_over(&room, old, "a.tif", &bytes).unwrap(),
        });
    }
    assert!(room.read(old.unwrap()).unwrap() == whole);
    let written = room.zarr.ground.files.written();
    let once = room.zarr.figures().stored_bytes;
    println!("{pages} pages of {page} bytes: {written} bytes written, {once} stored, {} appended", whole.len());
    assert!(written as f64 <= 1.2 * whole.len() as f64, "{written} bytes for {}", whole.len());
    assert!(written as f64 <= 1.2 * once as f64, "{written} bytes written for {once} that are stored");
}

#[test]
fn of_two_files_that_go_on_with_one_version_the_second_waits() {
    // The file whose version it is was renamed after it had been changed, and another has its name now.
    let room = Room::new(Ngff::V04);
    let old = room.seal("a.tif", &plain(2, (64, 64))).unwrap();
    let (renamed, named) = (stack(2, (64, 64), |page| 10 + u64::from(page)), stack(2, (64, 64), |_| 20));
    let batch = room.zarr.begin();
    batch.add(Subject { replaces: Some(old), ..subject("b.tif", &renamed) }, &renamed.as_slice()).unwrap();
    batch.add(subject("a.tif", &named), &named.as_slice()).unwrap();
    let mut answers = batch.commit();
    assert!(matches!(&answers[1].1, Err(SealError::Io(e)) if e.kind() == io::ErrorKind::NotFound), "{:?}", answers[1]);
    let first = answers.remove(0).1.unwrap();
    assert_eq!(room.read(first).unwrap(), renamed);
    let second = room.seal("a.tif", &named).unwrap();
    assert_eq!(room.read(second).unwrap(), named);
    assert_eq!(room.read(first).unwrap(), renamed);
    let room = room.again();
    assert_eq!(room.names(""), ["a.tif", "b.tif"]);
    room.zarr.remove(first).unwrap();
    assert_eq!(room.read(second).unwrap(), named);
}
