//! Changes to a store that are cut short at each of their steps, as by a kill: what is left goes at the next mount.

use std::sync::Mutex;

use super::*;

/// A workspace in which a change stops when it reaches the step that is set.
fn dying(version: Ngff) -> (Room, Arc<Mutex<&'static str>>) {
    let at: Arc<Mutex<&'static str>> = Arc::new(Mutex::new(""));
    let step = at.clone();
    let hook = move |reached: &'static str| {
        let wanted = *step.lock().unwrap();
        if wanted == reached {
            *step.lock().unwrap() = "";
            return Err(io::Error::other("killed"));
        }
        Ok(())
    };
    (Room::over(TempDir::new().unwrap(), version, Some(Box::new(hook))), at)
}

const PLATE: &str = "P/P_B03_s1_w1.tif";
const OTHER: &str = "P/P_C04_s2_w1.tif";

/// Everything below a directory, sorted.
fn tree(room: &Room, dir: &str) -> Vec<String> {
    let (mut all, mut left) = (Vec::new(), vec![room.dir.path().join(dir)]);
    while let Some(here) = left.pop() {
        for entry in fs::read_dir(here).into_iter().flatten().map(Result::unwrap) {
            let path = entry.path();
            all.push(path.strip_prefix(room.dir.path()).unwrap().to_str().unwrap().to_owned());
            left.extend(entry.file_type().unwrap().is_dir().then_some(path));
        }
    }
    all.sort();
    all
}

#[test]
fn the_last_file_takes_its_store_with_it_wherever_the_removal_is_cut_short() {
    for name in [PLATE, "P/i1.tif"] {
        for step in ["removed", "chunks", "scopefs/tables", "scopefs/literals", "scopefs"] {
            for version in [Ngff::V04, Ngff::V05] {
                let (room, at) = dying(version);
                fs::create_dir_all(room.dir.path().join("P")).unwrap();
                let id = room.seal(name, &tiff(3, 600, 600)).unwrap();
                *at.lock().unwrap() = step;
                assert!(room.zarr.remove(id).is_err(), "{name} {step}");
                let room = room.again();
                assert_eq!(tree(&room, "P"), Vec::<String>::new(), "{name} {step}");
                assert_eq!(room.staged(), 0);
            }
        }
    }
}

#[test]
fn a_file_that_leaves_others_behind_leaves_no_group_wherever_its_removal_is_cut_short() {
    for (gone, stays, group) in [(PLATE, OTHER, "P/P.ome.zarr/B"), ("P/i1.tif", "P/i2.tif", "P/P.images.ome.zarr/0")] {
        for step in ["removed", "chunks"] {
            let (room, at) = dying(Ngff::V04);
            fs::create_dir_all(room.dir.path().join("P")).unwrap();
            let id = room.seal(gone, &tiff(3, 600, 600)).unwrap();
            room.seal(stays, &tiff(4, 600, 600)).unwrap();
            *at.lock().unwrap() = step;
            assert!(room.zarr.remove(id).is_err(), "{gone} {step}");
            let room = room.again();
            assert_eq!(tree(&room, group), Vec::<String>::new(), "{gone} {step}");
            assert!(!room.has(group), "{gone} {step}");
            assert_eq!(room.names("P"), [stays]);
            assert!(room.read_name(stays) == tiff(4, 600, 600));
        }
    }
}

#[test]
fn a_store_with_a_page_that_cannot_be_read_is_not_dropped_with_the_last_file_that_is_known() {
    let room = Room::new(Ngff::V04);
    fs::create_dir_all(room.dir.path().join("P")).unwrap();
    room.seal(PLATE, &tiff(3, 600, 600)).unwrap();
    room.seal(OTHER, &tiff(4, 600, 600)).unwrap();
    let page = room.dir.path().join("P/P.ome.zarr/scopefs/tables/1");
    let whole = fs::read(&page).unwrap();
    fs::write(&page, b"no page").unwrap();
    let room = room.again();
    let id = room.zarr.listing(&path("P")).unwrap()[0].id;
    room.zarr.remove(id).unwrap();
    assert_eq!(room.names("P"), Vec::<String>::new());
    fs::write(&page, whole).unwrap();
    let room = room.again();
    assert_eq!(room.names("P"), [OTHER]);
    assert!(room.read_name(OTHER) == tiff(4, 600, 600));
}

#[test]
fn a_record_that_was_moved_to_another_page_does_not_come_back_from_the_old_one() {
    let (room, at) = dying(Ngff::V04);
    fs::create_dir_all(room.dir.path().join("P")).unwrap();
    // Names, and attributes of incompressible length, until the page of the well is nearly full.
    let value: Vec<u8> = pixels(9, 120_000).iter().flat_map(|v| v.to_le_bytes()).collect();
    for site in 1..=4 {
        let name = format!("P/P_B03_s{site}_w1.tif");
        let bytes = tiff(site, 60, 60);
        let batch = room.zarr.begin();
        let xattrs = vec![("user.a".into(), value.clone())];
        batch.add(Subject { xattrs, ..subject(&name, &bytes) }, &bytes.as_slice()).unwrap();
        batch.commit().remove(0).1.unwrap();
    }
    let mut entry =
        room.zarr.listing(&path("P")).unwrap().into_iter().find(|e| e.names[0] == path("P/P_B03_s1_w1.tif"));
    let mut entry = entry.take().unwrap();
    entry.xattrs = vec![("user.a".into(), [value.clone(), value].concat())];
    *at.lock().unwrap() = "moved";
    assert!(room.zarr.update(&entry).is_err());
    let room = room.again();
    assert_eq!(room.names("P").len(), 4);
    room.zarr.remove(entry.id).unwrap();
    let room = room.again();
    assert_eq!(room.names("P").len(), 3, "{:?}", room.names("P"));
}

#[test]
fn each_file_has_a_name_at_every_moment_while_two_change_theirs() {
    let start = || {
        let room = Room::new(Ngff::V04);
        fs::create_dir_all(room.dir.path().join("P")).unwrap();
        let ids = ["P/i1.tif", "P/i2.tif"].map(|name| room.seal(name, &tiff(name.len() as u64, 60, 60)).unwrap());
        let entries = room.zarr.listing(&path("P")).unwrap();
        let [older, newer] = ids.map(|id| entries.iter().find(|entry| entry.id == id).unwrap().clone());
        (room, older, newer)
    };
    let called = |entry: &SealedEntry, name: &str| SealedEntry { names: vec![path(name)], ..entry.clone() };
    // The older takes the name of the newer, which goes.
    let (room, older, newer) = start();
    room.zarr.update(&called(&older, "P/i2.tif")).unwrap();
    let room = room.again();
    assert_eq!(room.names("P"), ["P/i1.tif", "P/i2.tif"], "cut short");
    room.zarr.update(&called(&older, "P/i2.tif")).unwrap();
    room.zarr.remove(newer.id).unwrap();
    let room = room.again();
    assert_eq!(room.names("P"), ["P/i2.tif"]);
    // Both change places.
    let (room, older, newer) = start();
    room.zarr.update(&called(&older, "P/i2.tif")).unwrap();
    room.zarr.update(&called(&newer, "P/i1.tif")).unwrap();
    let room = room.again();
    let entries = room.zarr.listing(&path("P")).unwrap();
    let name_of = |id| entries.iter().find(|entry| entry.id == id).unwrap().names.clone();
    assert_eq!((name_of(older.id), name_of(newer.id)), (vec![path("P/i2.tif")], vec![path("P/i1.tif")]));
}

/// While a change waits at `step`, somebody looks where its store is: it is ours, whether it has a marker or not.
fn looked_at_during(step: &'static str, prepare: impl Fn(&Room), change: impl Fn(&Room) + Sync) {
    let (reached, is_reached) = std::sync::mpsc::channel();
    let (go, goes_on) = std::sync::mpsc::channel::<()>();
    let goes_on = Mutex::new(goes_on);
    let hook: Hook = Box::new(move |now| {
        if now == step {
            reached.send(()).unwrap();
            goes_on.lock().unwrap().recv().unwrap();
        }
        Ok(())
    });
    let room = Room::over(TempDir::new().unwrap(), Ngff::V04, Some(hook));
    fs::create_dir_all(room.dir.path().join("P")).unwrap();
    prepare(&room);
    let (room, change) = (&room, &change);
    // `go` is moved in, so that the hook is let go whatever happens here.
    std::thread::scope(move |scope| {
        let changed = scope.spawn(move || change(room));
        is_reached.recv().unwrap();
        fs::write(room.dir.path().join("P/new"), "").unwrap();
        // What is known of a directory is believed for a while, unless it is renamed.
        room.zarr.rename_dirs(&path("P"), &path("P"), false, &mut || true);
        assert!(room.has("P/P.ome.zarr"), "it stands there");
        assert_eq!(room.zarr.within(&path("P/P.ome.zarr")), Within::Store, "{step}");
        go.send(()).unwrap();
        changed.join().unwrap();
    });
}

#[test]
fn a_store_that_is_being_made_is_not_somebody_elses_directory_meanwhile() {
    looked_at_during("making", |_| (), |room| assert!(room.seal(PLATE, &tiff(3, 600, 600)).is_ok()));
}

#[test]
fn a_store_that_is_being_removed_is_not_somebody_elses_directory_meanwhile() {
    let seal = |room: &Room| assert!(room.seal(PLATE, &tiff(3, 600, 600)).is_ok());
    looked_at_during("scopefs", seal, |room| {
        room.zarr.remove(room.zarr.listing(&path("P")).unwrap()[0].id).unwrap();
        assert_eq!(tree(room, "P"), ["P/new"]);
        assert_eq!(room.zarr.within(&path("P/P.ome.zarr")), Within::Outside);
    });
}
