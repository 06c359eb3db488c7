//! Plates.

use super::*;

const WELLS: [&str; 2] = ["B03", "C10"];

fn name(well: &str, site: u32, channel: u32) -> String {
    format!("lab/P1/P1_{well}_s{site}_w{channel}.tif")
}

/// Two wells of two sites and two channels.
fn plate(side: u32) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for (number, well) in WELLS.iter().enumerate() {
        for site in 1..=2 {
            for channel in 1..=2 {
                let seed = (number as u64) << 8 | u64::from(site << 4 | channel);
                files.push((name(well, site, channel), tiff(seed, side, side)));
            }
        }
    }
    files
}

fn room_of(files: &[(String, Vec<u8>)], version: Ngff) -> Room {
    let room = Room::new(version);
    fs::create_dir_all(room.dir.path().join("lab/P1")).unwrap();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    for answer in room.seal_all(&files) {
        answer.unwrap();
    }
    room
}

#[test]
fn a_plate_comes_back_byte_for_byte_before_and_after_a_remount() {
    for version in [Ngff::V04, Ngff::V05] {
        let files = plate(600);
        let mut room = room_of(&files, version);
        for _ in 0..2 {
            assert_eq!(room.names("lab/P1").len(), 8);
            for (name, bytes) in &files {
                assert!(room.read_name(name) == *bytes, "{name}");
            }
            room = room.again();
        }
        assert_eq!(room.staged(), 0);
        assert_eq!(room.names("lab/P1").len(), 8);
        assert_eq!(room.zarr.figures().files, 8);
    }
}

#[test]
fn a_sealed_file_keeps_its_attributes() {
    let room = room_of(&plate(16), Ngff::V04).again();
    let entries = room.zarr.listing(&path("lab/P1")).unwrap();
    let entry = entries.iter().find(|e| e.names[0] == path(&name("B03", 1, 1))).unwrap();
    assert_eq!((entry.perm, entry.uid, entry.gid, entry.mtime.nanos), (0o640, 1000, 100, 5));
    assert_eq!(entry.xattrs, [("user.a".into(), b"b".to_vec())]);
    assert_eq!(entry.size, plate(16)[0].1.len() as u64);
}

#[test]
fn metadata_is_that_of_a_plate() {
    let room = room_of(&plate(600), Ngff::V04);
    let root = room.json("lab/P1/P1.ome.zarr/.zattrs");
    assert_eq!(root["plate"]["wells"][0]["path"], "B/03");
    assert_eq!(root["plate"]["wells"][1]["path"], "C/10");
    assert_eq!(root["plate"]["rows"].as_array().unwrap().len(), 8);
    assert_eq!(root["plate"]["field_count"], 2);
    let well = room.json("lab/P1/P1.ome.zarr/B/03/.zattrs");
    assert_eq!(well["well"]["images"], serde_json::json!([{"path": "0"}, {"path": "1"}]));
    let field = room.json("lab/P1/P1.ome.zarr/B/03/0/.zattrs");
    assert_eq!(field["multiscales"][0]["datasets"].as_array().unwrap().len(), 2);
    assert_eq!(field["omero"]["channels"].as_array().unwrap().len(), 2);
    let array = room.json("lab/P1/P1.ome.zarr/B/03/0/1/.zarray");
    assert_eq!(array["shape"], serde_json::json!([2, 300, 300]));
}

#[test]
fn all_fields_declare_the_same_extents_when_a_channel_is_new() {
    let files = plate(16);
    let room = room_of(&files[..1], Ngff::V04);
    let shape = |room: &Room, field: &str| room.json(&format!("lab/P1/P1.ome.zarr/{field}/0/.zarray"))["shape"].clone();
    assert_eq!(shape(&room, "B/03/0"), serde_json::json!([1, 16, 16]));
    room.seal(&name("C10", 3, 4), &tiff(9, 16, 16)).unwrap();
    assert_eq!(shape(&room, "B/03/0"), serde_json::json!([4, 16, 16]));
    assert_eq!(shape(&room, "C/10/2"), serde_json::json!([4, 16, 16]));
    let field = room.json("lab/P1/P1.ome.zarr/B/03/0/.zattrs");
    assert_eq!(field["omero"]["channels"].as_array().unwrap().len(), 4);
    assert!(room.read_name(&files[0].0) == files[0].1);
}

#[test]
fn time_grows_in_doublings_and_is_trimmed_when_quiet() {
    let room = Room::new(Ngff::V04);
    fs::create_dir_all(room.dir.path().join("P")).unwrap();
    let mut shapes = Vec::new();
    for time in 1..=5 {
        room.seal(&format!("P/P_B03_s1_w1_t{time}.tif"), &tiff(time, 16, 16)).unwrap();
        shapes.push(room.json("P/P.ome.zarr/B/03/0/0/.zarray")["shape"][0].as_u64().unwrap());
    }
    assert_eq!(shapes, [1, 2, 4, 4, 8]);
    room.zarr.tidy().unwrap();
    assert_eq!(room.json("P/P.ome.zarr/B/03/0/0/.zarray")["shape"][0], 5);
    assert!(room.read_name("P/P_B03_s1_w1_t4.tif") == tiff(4, 16, 16));
}

#[test]
fn the_second_file_that_claims_a_plane_is_refused_and_the_first_is_untouched() {
    let room = room_of(&plate(16), Ngff::V04);
    let guid = "lab/P1/P1_B03_s1_w16D2C1E8A-1B2C-4D3E-8F90-123456789ABC.tif";
    let refused = room.seal(guid, &tiff(77, 16, 16)).unwrap_err();
    assert!(matches!(&refused, SealError::Claimed(other) if *other == path(&name("B03", 1, 1))), "{refused:?}");
    assert!(room.read_name(&name("B03", 1, 1)) == plate(16)[0].1);
    assert_eq!(room.staged(), 0);
}

#[test]
fn masks_and_images_of_another_size_get_plates_of_their_own() {
    let room = room_of(&plate(16), Ngff::V04);
    room.seal("lab/P1/P1_B03_s1_w1_mask.tif", &tiff(1, 16, 16)).unwrap();
    room.seal("lab/P1/P1_B03_s2_w1_mask.tif", &tiff(1, 16, 16)).unwrap();
    room.seal("lab/P1/P1_D04_s1_w1.tif", &tiff(1, 20, 20)).unwrap();
    assert!(room.has("lab/P1/P1_mask.ome.zarr/B/03/1"));
    assert_eq!(room.zarr.figures().stores, 3);
}

#[test]
fn a_changed_plane_takes_the_place_of_the_old_one() {
    let room = room_of(&plate(600), Ngff::V04);
    let first = name("B03", 1, 1);
    let old = room.zarr.listing(&path("lab/P1")).unwrap().into_iter().find(|e| e.names[0] == path(&first)).unwrap();
    let new = tiff(99, 600, 600);
    let batch = room.zarr.begin();
    let subject = Subject { replaces: Some(old.id), ..subject(&first, &new) };
    batch.add(subject, &new.as_slice()).unwrap();
    let id = batch.commit().remove(0).1.unwrap();
    assert_ne!(id, old.id);
    assert!(room.read(id).unwrap() == new);
    assert!(room.zarr.open(old.id).is_err());
    let room = room.again();
    assert_eq!(room.names("lab/P1").len(), 8);
    assert!(room.read_name(&first) == new);
    assert_eq!(room.staged(), 0);
}

#[test]
fn removing_everything_leaves_nothing() {
    for version in [Ngff::V04, Ngff::V05] {
        let room = room_of(&plate(600), version);
        let entries = room.zarr.listing(&path("lab/P1")).unwrap();
        for (left, entry) in (0..8).rev().zip(&entries) {
            room.zarr.remove(entry.id).unwrap();
            assert_eq!(room.names("lab/P1").len(), left);
        }
        let left: Vec<_> = fs::read_dir(room.dir.path().join("lab/P1")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        // The directory can be sealed into again.
        room.seal(&name("B03", 1, 1), &tiff(1, 16, 16)).unwrap();
    }
}

#[test]
fn the_last_plane_of_a_well_takes_the_well_with_it() {
    let room = room_of(&plate(16), Ngff::V04);
    for entry in room.zarr.listing(&path("lab/P1")).unwrap() {
        if entry.names[0].to_string().contains("B03") {
            room.zarr.remove(entry.id).unwrap();
        }
    }
    assert!(!room.has("lab/P1/P1.ome.zarr/B"));
    let root = room.json("lab/P1/P1.ome.zarr/.zattrs");
    assert_eq!(root["plate"]["wells"].as_array().unwrap().len(), 1);
    assert_eq!(room.names("lab/P1").len(), 4);
}

#[test]
fn what_others_put_into_a_store_survives() {
    let room = room_of(&plate(16), Ngff::V04);
    let field = room.dir.path().join("lab/P1/P1.ome.zarr/B/03/0");
    fs::create_dir(field.join("labels")).unwrap();
    fs::write(field.join("labels/.zgroup"), "{}").unwrap();
    let mut attributes = room.json("lab/P1/P1.ome.zarr/B/03/0/.zattrs");
    attributes["lab"] = "B12".into();
    fs::write(field.join(".zattrs"), attributes.to_string()).unwrap();
    room.seal(&name("B03", 1, 3), &tiff(5, 16, 16)).unwrap();
    assert_eq!(room.json("lab/P1/P1.ome.zarr/B/03/0/.zattrs")["lab"], "B12");
    let within = |text: &str| room.zarr.within(&path(&format!("lab/P1/P1.ome.zarr/{text}")));
    assert_eq!(within("B/03/0/labels/.zgroup"), Within::Foreign);
    assert_eq!(within("B/03/0/0/0/0/0"), Within::Ours);
    assert_eq!(within("B/03/.zattrs"), Within::Ours);
    assert_eq!(within("tables"), Within::Foreign);
    assert_eq!(room.zarr.within(&path("lab/P1/P1.ome.zarr")), Within::Store);
    assert_eq!(room.zarr.within(&path("lab/P1/x.ome.zarr/B")), Within::Outside);
    for entry in room.zarr.listing(&path("lab/P1")).unwrap() {
        room.zarr.remove(entry.id).unwrap();
    }
    assert!(room.has("lab/P1/P1.ome.zarr/B/03/0/labels/.zgroup"));
    assert!(!room.has("lab/P1/P1.ome.zarr/C"));
}

#[test]
fn a_file_of_a_plate_is_renamed_and_changed() {
    let room = room_of(&plate(16), Ngff::V04);
    let mut entry = room.zarr.listing(&path("lab/P1")).unwrap().remove(0);
    entry.names = vec![path("lab/P1/other.tif"), path("lab/P1/sub/link.tif")];
    entry.perm = 0o400;
    room.zarr.update(&entry).unwrap();
    let room = room.again();
    let again = room.zarr.listing(&path("lab/P1")).unwrap().into_iter().find(|e| e.id == entry.id).unwrap();
    assert_eq!(again, entry);
    assert!(!room.zarr.holds_name(entry.id, &path("lab/x.tif")));
    entry.names = vec![path("lab/x.tif")];
    assert!(room.zarr.update(&entry).is_err());
}

#[test]
fn a_directory_is_renamed_with_its_stores() {
    let files = plate(16);
    let room = room_of(&files, Ngff::V04);
    let id = room.zarr.listing(&path("lab/P1")).unwrap()[0].id;
    let source = room.zarr.open(id).unwrap();
    let renamed = || fs::rename(room.dir.path().join("lab"), room.dir.path().join("work")).is_ok();
    std::thread::scope(|threads| {
        let mut looker = None;
        room.zarr.rename_dirs(&path("lab"), &path("work"), false, &mut || {
            assert!(read_all(&source).is_ok(), "its directories are open");
            let renamed = renamed();
            // Whoever looks right now must not take it for a copy.
            looker = Some(threads.spawn(|| room.zarr.listing(&path("work/P1")).unwrap()[0].id));
            (0..1000).for_each(|_| std::thread::yield_now());
            renamed
        });
        assert_eq!(looker.unwrap().join().unwrap(), id);
    });
    assert!(read_all(&source).is_ok());
    assert_eq!(room.names("work/P1").len(), 8);
    assert_eq!(room.names("lab/P1").len(), 0);
    assert!(room.read_name(&files[3].0.replace("lab", "work")) == files[3].1);
    room.seal("work/P1/P1_B03_s1_w3.tif", &tiff(5, 16, 16)).unwrap();
    assert_eq!(room.zarr.figures().stores, 1);
}

#[test]
fn a_copied_store_is_one_of_its_own() {
    let room = room_of(&plate(16), Ngff::V04);
    let copy = std::process::Command::new("cp")
        .arg("-a")
        .arg(room.dir.path().join("lab/P1"))
        .arg(room.dir.path().join("lab/P2"))
        .status()
        .unwrap();
    assert!(copy.success());
    let first = room.zarr.listing(&path("lab/P1")).unwrap();
    let second = room.zarr.listing(&path("lab/P2")).unwrap();
    assert_eq!(second.len(), 8);
    assert!(first.iter().all(|one| second.iter().all(|two| one.id != two.id)));
    room.zarr.remove(second[0].id).unwrap();
    assert_eq!(room.names("lab/P1").len(), 8);
}

#[test]
fn planes_of_one_file_are_planes_of_one_field() {
    let room = Room::new(Ngff::V04);
    fs::create_dir_all(room.dir.path().join("P")).unwrap();
    let stack = npy(4, &[3, 16, 16]);
    room.seal("P/P_B03_s1_w2.npy", &stack).unwrap();
    assert_eq!(room.json("P/P.ome.zarr/B/03/0/0/.zarray")["shape"], serde_json::json!([2, 3, 16, 16]));
    assert!(room.read_name("P/P_B03_s1_w2.npy") == stack);
}

#[test]
fn every_well_has_the_first_field_of_the_first_well_whatever_comes_first() {
    for version in [Ngff::V04, Ngff::V05] {
        let document = if version == Ngff::V04 { ".zattrs" } else { "zarr.json" };
        let mut room = Room::new(version);
        fs::create_dir_all(room.dir.path().join("lab/P1")).unwrap();
        let fields = |room: &Room, well: &str| {
            let found = room.json(&format!("lab/P1/P1.ome.zarr/{well}/{document}"));
            let ome = found["attributes"]["ome"].as_object().map_or(&found, |_| &found["attributes"]["ome"]);
            let images = ome["well"]["images"].as_array().unwrap().clone();
            images.iter().map(|image| image["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        room.seal(&name("C10", 3, 1), &tiff(1, 16, 16)).unwrap();
        assert_eq!(fields(&room, "C/10"), ["2"]);
        room.seal(&name("B03", 2, 1), &tiff(2, 16, 16)).unwrap();
        assert_eq!(fields(&room, "C/10"), ["1", "2"]);
        room = room.again();
        room.seal(&name("B03", 4, 2), &tiff(3, 16, 16)).unwrap();
        assert_eq!(
            (fields(&room, "C/10"), fields(&room, "B/03")),
            (vec!["1".into(), "2".into()], vec!["1".into(), "3".into()])
        );
        let array = if version == Ngff::V04 { ".zarray" } else { "zarr.json" };
        let array = room.json(&format!("lab/P1/P1.ome.zarr/C/10/1/0/{array}"));
        assert_eq!(array["shape"], serde_json::json!([2, 16, 16]));
        // With its first field gone, the first well's next is its first.
        let gone = room.zarr.listing(&path("lab/P1")).unwrap();
        let gone = gone.iter().find(|entry| entry.names[0] == path(&name("B03", 2, 1))).unwrap();
        room.zarr.remove(gone.id).unwrap();
        assert_eq!((fields(&room, "C/10"), fields(&room, "B/03")), (vec!["2".into(), "3".into()], vec!["3".into()]));
        assert!(!room.has("lab/P1/P1.ome.zarr/C/10/1"));
        for entry in room.zarr.listing(&path("lab/P1")).unwrap() {
            room.zarr.remove(entry.id).unwrap();
        }
        assert_eq!(fs::read_dir(room.dir.path().join("lab/P1")).unwrap().count(), 0);
    }
}
