//! What is left when a commit is cut short, and what damage does.

use super::*;

/// A workspace whose next commit stops at `step`.
fn stopping_at(step: &'static str) -> Room {
    let stop = move |reached: &'static str| {
        if reached == step { Err(io::Error::other("stopped by the test")) } else { Ok(()) }
    };
    let room = Room::over(TempDir::new().unwrap(), Ngff::V04, Some(Box::new(stop)));
    fs::create_dir_all(room.dir.path().join("P")).unwrap();
    room
}

const NAME: &str = "P/P_B03_s1_w1.tif";

#[test]
fn renames_that_are_due_are_made_when_the_store_is_opened() {
    let room = stopping_at("renames");
    let bytes = tiff(3, 600, 600);
    assert!(room.seal(NAME, &bytes).is_err());
    assert!(!room.has("P/P.ome.zarr/B/03/0/0/0/0/0"));
    let room = room.again();
    assert!(room.read_name(NAME) == bytes);
    assert!(room.has("P/P.ome.zarr/B/03/0/1/0/0/0"));
    assert_eq!(room.staged(), 0);
}

#[test]
fn a_commit_that_stops_before_its_page_leaves_no_plane_and_no_well() {
    for step in ["prepare", "prepared", "page"] {
        let room = stopping_at(step);
        assert!(room.seal(NAME, &tiff(3, 600, 600)).is_err());
        assert_eq!(room.names("P"), Vec::<String>::new(), "{step}");
        assert!(!room.has("P/P.ome.zarr/B"), "{step}");
        let room = room.again();
        assert_eq!(room.staged(), 0, "{step}");
        room.seal(NAME, &tiff(3, 600, 600)).unwrap();
        assert!(room.read_name(NAME) == tiff(3, 600, 600), "{step}");
    }
}

#[test]
fn damage_is_an_error_for_exactly_the_bytes_concerned() {
    let room = Room::new(Ngff::V04);
    let bytes = tiff(3, 1000, 1000);
    let id = room.seal("a.tif", &bytes).unwrap();
    let chunk = room.dir.path().join("workspace.images.ome.zarr/0/0/0/0/0");
    let mut stored = fs::read(&chunk).unwrap();
    let last = stored.len() - 100;
    stored[last] ^= 1;
    fs::write(&chunk, stored).unwrap();
    let source = room.zarr.open(id).unwrap();
    let mut begin = vec![0; 100_000];
    assert_eq!(source.read_at(&mut begin, 0).unwrap(), 100_000);
    assert!(begin == bytes[..100_000]);
    let failed = source.read_at(&mut begin, bytes.len() as u64 - 100_000).unwrap_err();
    assert!(failed.to_string().contains("workspace.images.ome.zarr/0/0/0/0/0"), "{failed}");
    // What follows the pixels is literal, and not in the chunk.
    assert_eq!(source.read_at(&mut begin[..50], bytes.len() as u64 - 50).unwrap(), 50);
    assert!(begin[..50] == bytes[bytes.len() - 50..]);
    fs::remove_file(&chunk).unwrap();
    drop(source);
    let room = room.again();
    let source = room.zarr.open(room.zarr.listing(&RelPath::root()).unwrap()[0].id).unwrap();
    assert!(source.read_at(&mut begin, 8).is_err());
}

#[test]
fn a_store_that_is_deleted_takes_its_names_with_it() {
    let room = Room::new(Ngff::V04);
    room.seal("a.tif", &tiff(3, 20, 20)).unwrap();
    assert_eq!(room.names("").len(), 1);
    fs::remove_dir_all(room.dir.path().join("workspace.images.ome.zarr")).unwrap();
    // A directory is looked at anew each second.
    let began = std::time::Instant::now();
    while !room.names("").is_empty() {
        assert!(began.elapsed().as_secs() < 20, "its names are still there");
        std::thread::yield_now();
    }
    room.seal("a.tif", &tiff(3, 20, 20)).unwrap();
}

#[test]
fn groups_that_a_killed_commit_made_go_when_the_workspace_is_mounted_again() {
    for (version, document, array) in [(Ngff::V04, ".zattrs", ".zarray"), (Ngff::V05, "zarr.json", "zarr.json")] {
        let room = Room::new(version);
        fs::create_dir_all(room.dir.path().join("P")).unwrap();
        room.seal(NAME, &tiff(3, 600, 600)).unwrap();
        let store = room.dir.path().join("P/P.ome.zarr");
        let before = fs::read(store.join(document)).unwrap();
        let (shape, larger) = ("[\n    1,\n    600,\n    600\n  ]", "[\n    3,\n    600,\n    600\n  ]");
        let full = store.join("B/03/0/0").join(array);
        let arrays = fs::read_to_string(&full).unwrap();
        assert!(arrays.contains(shape), "{arrays}");
        // Just before the page: further groups, directories for their chunks, arrays that have grown.
        fs::write(&full, arrays.replacen(shape, larger, 1)).unwrap();
        for other in ["B/03/1", "C/04/0"] {
            for level in ["", "0", "1"] {
                let (from, to) = (store.join("B/03/0").join(level), store.join(other).join(level));
                fs::create_dir_all(&to).unwrap();
                for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
                    if entry.file_type().unwrap().is_file() {
                        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
                    }
                }
            }
            fs::create_dir_all(store.join(other).join("0/0/0")).unwrap();
        }
        fs::write(store.join(document), String::from_utf8(before.clone()).unwrap().replace("03", "05")).unwrap();
        drop(super::super::due::note(&room.zarr.ground, [(path("P/P.ome.zarr"), Vec::new())].into_iter()).unwrap());
        let room = room.again();
        assert!(!store.join("B/03/1").exists() && !store.join("C").exists());
        assert_eq!(fs::read_to_string(&full).unwrap(), arrays);
        assert_eq!(fs::read(store.join(document)).unwrap(), before);
        assert!(room.read_name(NAME) == tiff(3, 600, 600));
    }
}

#[test]
fn a_store_whose_last_file_leaves_while_another_is_planned_goes_when_that_does_not_come() {
    let bytes = tiff(3, 600, 600);
    for name in ["P/P_B03_s1_w1.tif", "P/i1.tif"] {
        let room = Room::new(Ngff::V04);
        fs::create_dir_all(room.dir.path().join("P")).unwrap();
        let store = if name.ends_with("w1.tif") { "P/P.ome.zarr" } else { "P/P.images.ome.zarr" };
        let other = if name.ends_with("w1.tif") { "P/P_B04_s1_w1.tif" } else { "P/i2.tif" };
        for tidied in [true, false] {
            let id = room.seal(name, &bytes).unwrap();
            let batch = room.zarr.begin();
            batch.add(subject(other, &bytes), &&bytes[..]).unwrap();
            room.zarr.remove(id).unwrap();
            assert!(room.has(store), "somebody is about to put a file into it");
            if tidied {
                drop(batch);
                room.zarr.tidy().unwrap();
                assert!(!room.has(store), "{name}");
                continue;
            }
            // As before the directory itself is removed.
            room.zarr.clear(&path("P")).unwrap();
            fs::remove_dir(room.dir.path().join("P")).unwrap();
            assert!(batch.commit().iter().all(|(_, answer)| answer.is_err()));
            assert!(!room.dir.path().join("P").exists(), "{name}");
            assert_eq!(room.staged(), 0);
        }
    }
}

#[test]
fn a_directory_that_was_removed_meanwhile_does_not_come_back() {
    let room = Room::new(Ngff::V04);
    fs::create_dir(room.dir.path().join("d")).unwrap();
    let bytes = tiff(64, 64, 1);
    let batch = room.zarr.begin();
    batch.add(subject("d/a.tif", &bytes), &bytes.as_slice()).unwrap();
    fs::remove_dir(room.dir.path().join("d")).unwrap();
    let answers = batch.commit();
    assert!(matches!(&answers[0].1, Err(SealError::Io(e)) if e.kind() == io::ErrorKind::NotFound), "{:?}", answers[0]);
    assert!(!room.dir.path().join("d").exists());
    fs::create_dir(room.dir.path().join("d")).unwrap();
    let id = room.seal("d/a.tif", &bytes).unwrap();
    assert_eq!(room.read(id).unwrap(), bytes);
}
