//! Labels, below the images that they belong to.

use serde_json::json;

use super::*;

const STORE: &str = "P/P.ome.zarr";

/// A file of labels: 16-bit integers, few of them.
fn mask(seed: u64, side: u32) -> Vec<u8> {
    mask_of_size(seed, side, side)
}

fn mask_of_size(seed: u64, width: u32, height: u32) -> Vec<u8> {
    let mut bytes = tiff(seed, width, height);
    let pixels = (width * height * 2) as usize;
    for (at, value) in bytes[8..8 + pixels].chunks_exact_mut(2).enumerate() {
        value.copy_from_slice(&((at as u64 / 97 % (3 + seed)) as u16).to_le_bytes());
    }
    bytes
}

fn labels_of(images: &'static str) -> Option<LabelsOf> {
    let may_be = Arc::new(move |image: &RelPath| images.is_empty() || image.to_string().contains(images));
    Some(LabelsOf { named: !images.is_empty(), may_be })
}

impl Room {
    /// Seals a file of labels; `images` is part of the names of those that its rule names.
    fn seal_labels_of(&self, name: &str, bytes: &[u8], images: &'static str) -> Result<SealedId, SealError> {
        self.place(name);
        let batch = self.zarr.begin();
        let replaces = self.listed(name).map(|entry| entry.id);
        let subject = Subject { labels: labels_of(images), replaces, ..subject(name, bytes) };
        batch.add(subject, &bytes)?;
        batch.commit().remove(0).1
    }

    fn seal_labels(&self, name: &str, bytes: &[u8]) -> SealedId {
        self.seal_labels_of(name, bytes, "").unwrap()
    }

    fn listed(&self, name: &str) -> Option<SealedEntry> {
        let mut dirs = vec![path(name).split().unwrap().0];
        dirs.extend(dirs[0].clone().split().map(|(above, _)| above));
        dirs.iter().flat_map(|dir| self.zarr.listing(dir).unwrap()).find(|entry| entry.names.contains(&path(name)))
    }

    fn remove_name(&self, name: &str) {
        self.zarr.remove(self.listed(name).expect(name).id).unwrap();
    }

    /// What a group's attributes say, whatever the version.
    fn ome(&self, group: &str) -> serde_json::Value {
        match self.zarr.ground.version {
            Ngff::V04 => self.json(&format!("{group}/.zattrs")),
            Ngff::V05 => self.json(&format!("{group}/zarr.json"))["attributes"]["ome"].clone(),
        }
    }

    fn shape(&self, array: &str) -> serde_json::Value {
        let document = if self.zarr.ground.version == Ngff::V04 { ".zarray" } else { "zarr.json" };
        self.json(&format!("{array}/{document}"))["shape"].clone()
    }

    fn array_of(&self, name: &str) -> String {
        let at = self.zarr.stored_at(self.listed(name).expect(name).id).unwrap();
        format!("{}/{}", at.store, at.array)
    }
}

fn rooms() -> Vec<Room> {
    vec![Room::new(Ngff::V04), Room::new(Ngff::V05), Room::sharded(None)]
}

fn image(well: &str, channel: u32) -> String {
    format!("P/P_{well}_s1_w{channel}.tif")
}

fn mask_of(well: &str) -> String {
    format!("P/P_{well}_s1_w1_mask.tif")
}

/// Two wells of two channels, and a mask each.
fn fill(room: &Room, side: u32) {
    for well in ["B03", "C04"] {
        for channel in 1..=2 {
            room.seal(&image(well, channel), &tiff(u64::from(channel), side, side)).unwrap();
        }
        room.seal_labels(&mask_of(well), &mask(7, side));
    }
}

#[test]
fn masks_of_a_plate_are_labels_of_its_fields_and_come_back_byte_for_byte() {
    for mut room in rooms() {
        fill(&room, 600);
        for _ in 0..2 {
            assert!(room.read_name(&mask_of("B03")) == mask(7, 600));
            assert!(room.read_name(&image("C04", 2)) == tiff(2, 600, 600));
            assert_eq!(room.zarr.figures().stores, 1);
            room = room.again();
            assert_eq!(room.names("P").len(), 6);
        }
        let field = format!("{STORE}/B/03/0");
        assert_eq!(room.ome(&format!("{field}/labels"))["labels"], json!(["mask"]));
        let labels = room.ome(&format!("{field}/labels/mask"));
        assert_eq!(labels["image-label"]["source"], json!({"image": "../../"}));
        assert_eq!(labels["multiscales"][0]["type"], "nearest");
        let axes = room.ome(&field)["multiscales"][0]["axes"].clone();
        assert_eq!(labels["multiscales"][0]["axes"], json!([axes[1], axes[2]]), "no channels");
        let levels = |group: &serde_json::Value| group["multiscales"][0]["datasets"].as_array().unwrap().len();
        assert_eq!(levels(&labels), levels(&room.ome(&field)));
        assert_eq!(room.shape(&format!("{field}/labels/mask/1")), json!([300, 300]));
        assert_eq!(room.shape(&format!("{field}/0")), json!([2, 600, 600]));
        assert_eq!(room.staged(), 0);
    }
}

#[test]
fn labels_grow_with_their_plate() {
    for room in rooms() {
        room.seal("P/P_B03_s1_w1_t1.tif", &tiff(1, 16, 16)).unwrap();
        room.seal_labels("P/P_B03_s1_w1_t1_mask.tif", &mask(1, 16));
        room.seal("P/P_C03_s1_w1_t3.tif", &tiff(3, 16, 16)).unwrap();
        let shape = |group: &str| room.shape(&format!("{STORE}/{group}/0"));
        assert_eq!(shape("B/03/0/labels/mask"), json!([3, 16, 16]));
        room.seal_labels("P/P_B03_s1_w1_t6_mask.tif", &mask(6, 16));
        assert_eq!((shape("C/03/0"), shape("B/03/0/labels/mask")), (json!([6, 1, 16, 16]), json!([6, 16, 16])));
        room.zarr.tidy().unwrap();
        assert_eq!(shape("B/03/0"), json!([6, 1, 16, 16]));
        assert_eq!(shape("B/03/0/labels/mask"), json!([6, 16, 16]));
        for time in [1, 6] {
            assert!(room.read_name(&format!("P/P_B03_s1_w1_t{time}_mask.tif")) == mask(time, 16));
        }
    }
}

#[test]
fn each_channel_has_labels_of_its_own() {
    let room = Room::new(Ngff::V04);
    fill(&room, 16);
    room.seal_labels("P/P_B03_s1_w2_mask.tif", &mask(2, 16));
    assert_eq!(room.ome(&format!("{STORE}/B/03/0/labels"))["labels"], json!(["mask", "mask_w2"]));
    assert_eq!(room.shape(&format!("{STORE}/B/03/0/0")), json!([2, 16, 16]));
    assert_eq!(room.array_of("P/P_B03_s1_w2_mask.tif"), format!("{STORE}/B/03/0/labels/mask_w2/0"));
}

#[test]
fn a_field_that_has_only_labels_left_stays_until_they_go() {
    for mut room in rooms() {
        fill(&room, 16);
        (1..=2).for_each(|channel| room.remove_name(&image("B03", channel)));
        room = room.again();
        let wells = room.ome(STORE)["plate"]["wells"].as_array().unwrap().len();
        assert_eq!(wells, 2);
        assert!(room.read_name(&mask_of("B03")) == mask(7, 16));
        assert_eq!(room.shape(&format!("{STORE}/B/03/0/0")), json!([2, 16, 16]));
        room.remove_name(&mask_of("B03"));
        assert!(!room.has(&format!("{STORE}/B")));
        assert_eq!(room.ome(STORE)["plate"]["wells"].as_array().unwrap().len(), 1);
        room.remove_name(&mask_of("C04"));
        assert!(!room.has(&format!("{STORE}/C/04/0/labels")));
        (1..=2).for_each(|channel| room.remove_name(&image("C04", channel)));
        assert_eq!(fs::read_dir(room.dir.path().join("P")).unwrap().count(), 0);
    }
}

#[test]
fn a_mask_whose_image_comes_later_makes_its_field() {
    for room in rooms() {
        room.seal(&image("B03", 1), &tiff(1, 16, 16)).unwrap();
        room.seal_labels(&mask_of("D05"), &mask(5, 16));
        assert_eq!(room.ome(STORE)["plate"]["wells"][1]["path"], "D/05");
        assert_eq!(room.ome(&format!("{STORE}/D/05"))["well"]["images"], json!([{"path": "0"}]));
        room.seal(&image("D05", 1), &tiff(2, 16, 16)).unwrap();
        assert!(room.read_name(&mask_of("D05")) == mask(5, 16));
        assert!(room.read_name(&image("D05", 1)) == tiff(2, 16, 16));
    }
}

#[test]
fn a_mask_that_is_there_before_any_image_has_a_store_of_its_own_until_it_is_written_again() {
    let room = Room::new(Ngff::V04);
    room.seal_labels(&mask_of("B03"), &mask(1, 16));
    room.seal(&image("B03", 1), &tiff(1, 16, 16)).unwrap();
    assert_eq!(room.zarr.figures().stores, 2);
    room.seal_labels(&mask_of("B03"), &mask(2, 16));
    assert_eq!(room.array_of(&mask_of("B03")), format!("{STORE}/B/03/0/labels/mask/0"));
    assert!(room.read_name(&mask_of("B03")) == mask(2, 16));
    assert_eq!(room.zarr.figures().stores, 1);
}

#[test]
fn a_mask_that_is_written_again_takes_its_own_place() {
    for mut room in rooms() {
        fill(&room, 600);
        room.seal_labels(&mask_of("B03"), &mask(9, 600));
        assert!(room.read_name(&mask_of("B03")) == mask(9, 600));
        room = room.again();
        assert!(room.read_name(&mask_of("B03")) == mask(9, 600));
        assert_eq!(room.names("P").len(), 6);
        assert_eq!(room.ome(&format!("{STORE}/B/03/0/labels"))["labels"], json!(["mask"]));
        assert_eq!(room.staged(), 0);
    }
}

#[test]
fn labels_of_others_stay_and_ours_step_aside() {
    for room in rooms() {
        room.seal(&image("B03", 1), &tiff(1, 16, 16)).unwrap();
        let labels = room.dir.path().join(STORE).join("B/03/0/labels");
        fs::create_dir_all(labels.join("mask/0")).unwrap();
        fs::write(labels.join("mask/0/theirs"), "1").unwrap();
        let (file, said) = match room.zarr.ground.version {
            Ngff::V04 => (".zattrs", json!({"labels": ["mask"]})),
            Ngff::V05 => {
                let ome = json!({"version": "0.5", "labels": ["mask"]});
                ("zarr.json", json!({"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}))
            }
        };
        fs::write(labels.join(file), said.to_string()).unwrap();
        room.seal_labels(&mask_of("B03"), &mask(1, 16));
        let list = |room: &Room| room.ome(&format!("{STORE}/B/03/0/labels"))["labels"].clone();
        assert_eq!(list(&room), json!(["mask", "mask-2"]));
        let within = |rest: &str| room.zarr.within(&path(&format!("{STORE}/B/03/0/labels{rest}")));
        assert_eq!(
            (within(""), within("/mask"), within("/mask/0/theirs")),
            (Within::Ours, Within::Foreign, Within::Foreign)
        );
        assert_eq!((within("/mask-2"), within("/mask-2/0/0")), (Within::Ours, Within::Ours));
        assert_eq!((within("/.zattrs"), within("/mask-2/notes")), (Within::Foreign, Within::Foreign));
        room.remove_name(&mask_of("B03"));
        assert_eq!(list(&room), json!(["mask"]));
        room.remove_name(&image("B03", 1));
        assert!(labels.join("mask/0/theirs").exists());
        assert_eq!(room.zarr.figures().files, 0);
    }
}

#[test]
fn what_is_no_label_image_is_sealed_as_an_image() {
    let room = Room::new(Ngff::V04);
    room.seal(&image("B03", 1), &tiff(1, 16, 16)).unwrap();
    room.seal_labels("P/P_B03_s1_w1_small.tif", &mask(1, 8));
    assert_eq!(room.zarr.figures().stores, 2);
    // Another image is meant.
    room.seal_labels_of(&mask_of("B03"), &mask(1, 16), "raw/").unwrap();
    assert_eq!(room.zarr.figures().stores, 3);
    room.seal_labels("P/P_B03_s1_w1_probability.npy", &floats(16));
    assert_eq!(room.zarr.figures().stores, 4);
    assert!(room.read_name("P/P_B03_s1_w1_probability.npy") == floats(16));
    assert!(!room.has(&format!("{STORE}/B/03/0/labels")));
}

/// An npy file of 32-bit floats.
fn floats(side: usize) -> Vec<u8> {
    let bytes = npy(1, &[side, side * 2]);
    let text = String::from_utf8_lossy(&bytes[10..128]).into_owned();
    let header =
        text.replace("<u2", "<f4").replace(&format!("({side}, {}, )", side * 2), &format!("({side}, {side}, )"));
    [&bytes[..10], header.as_bytes(), &bytes[128..]].concat()
}

#[test]
fn masks_in_a_folder_of_their_own_are_labels_where_the_rule_names_the_images() {
    let room = Room::new(Ngff::V04);
    room.seal(&image("B03", 1), &tiff(1, 16, 16)).unwrap();
    let name = "P/masks/P_B03_s1_w1.tif";
    room.seal_labels_of(name, &mask(1, 16), "P/P_B03").unwrap();
    assert_eq!(room.array_of(name), format!("{STORE}/B/03/0/labels/masks/0"));
    room.seal_labels_of("P/out/cells/P_B03_s1_w1.tif", &mask(2, 16), "P/P_B03").unwrap();
    assert_eq!(room.ome(&format!("{STORE}/B/03/0/labels"))["labels"], json!(["masks", "cells"]));
    let room = room.again();
    assert!(room.read_name(name) == mask(1, 16));
    assert_eq!(room.names("P").len(), 3);
}

#[test]
fn masks_of_other_images_are_labels_of_those() {
    for version in [Ngff::V04, Ngff::V05] {
        let mut room = Room::new(version);
        room.seal("d/a.tif", &tiff(1, 64, 64)).unwrap();
        room.seal("d/b.tif", &tiff(2, 2100, 20)).unwrap();
        for (name, width, height) in
            [("d/a_mask.tif", 64, 64), ("d/b_mask.tif", 2100, 20), ("d/a_cp_nuclei.tif", 64, 64)]
        {
            room.seal_labels(name, &mask_of_size(1, width, height));
        }
        room = room.again();
        let store = "d/d.images.ome.zarr";
        assert_eq!(room.array_of("d/a_mask.tif"), format!("{store}/0/labels/mask/0"));
        assert_eq!(room.array_of("d/b_mask.tif"), format!("{store}/1/labels/mask/0"));
        assert_eq!(room.ome(&format!("{store}/0/labels"))["labels"], json!(["mask", "cp_nuclei"]));
        assert_eq!(room.ome(&format!("{store}/OME"))["series"], json!(["0", "1"]));
        let levels = |group: &str| room.ome(&format!("{store}/{group}"))["multiscales"][0]["datasets"].clone();
        assert_eq!(levels("1/labels/mask").as_array().unwrap().len(), levels("1").as_array().unwrap().len());
        room.seal_labels("d/b_mask.tif", &mask_of_size(3, 2100, 20));
        assert_eq!(room.array_of("d/b_mask.tif"), format!("{store}/1/labels/mask/0"));
        assert!(room.read_name("d/b_mask.tif") == mask_of_size(3, 2100, 20));
        room.remove_name("d/a.tif");
        assert!(room.read_name("d/a_mask.tif") == mask(1, 64));
        for name in ["d/a_mask.tif", "d/b_mask.tif", "d/a_cp_nuclei.tif"] {
            room.remove_name(name);
        }
        assert!(!room.has(&format!("{store}/0")) && !room.has(&format!("{store}/1/labels")));
        assert_eq!(room.names("d"), ["d/b.tif"]);
    }
}

#[test]
fn a_mask_that_becomes_another_type_gets_labels_of_its_own() {
    let room = Room::new(Ngff::V04);
    room.seal("a.npy", &npy(1, &[40, 40])).unwrap();
    room.seal_labels("a_mask.npy", &npy(2, &[40, 40]));
    let mut bytes = npy(3, &[40, 40]);
    let at = bytes.windows(3).position(|part| part == b"<u2").unwrap();
    bytes[at..at + 3].copy_from_slice(b"<i2");
    room.seal_labels("a_mask.npy", &bytes);
    assert!(room.read_name("a_mask.npy") == bytes);
    assert_eq!(room.ome("workspace.images.ome.zarr/0/labels")["labels"], json!(["mask-2"]));
    assert_eq!(room.json("workspace.images.ome.zarr/0/labels/mask-2/0/.zarray")["dtype"], "<i2");
}

#[test]
fn a_kill_at_any_step_leaves_all_or_nothing_of_a_mask() {
    for sharded in [false, true] {
        for step in ["prepare", "prepared", "page", "renames"] {
            let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
            let stopping = stop.clone();
            let hook: Hook = Box::new(move |reached| {
                let ended = stopping.load(std::sync::atomic::Ordering::Relaxed) && reached == step;
                if ended { Err(io::Error::other("killed")) } else { Ok(()) }
            });
            let room = match sharded {
                true => Room::sharded(Some(hook)),
                false => Room::over(TempDir::new().unwrap(), Ngff::V04, Some(hook)),
            };
            room.seal(&image("B03", 1), &tiff(1, 16, 16)).unwrap();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            room.seal_labels_of(&mask_of("C04"), &mask(1, 16), "").unwrap_err();
            let room = room.again();
            let sealed = step == "renames";
            assert_eq!(room.listed(&mask_of("C04")).is_some(), sealed, "{step}");
            assert_eq!(room.has(&format!("{STORE}/C")), sealed, "{step}");
            assert!(room.read_name(&image("B03", 1)) == tiff(1, 16, 16));
            if sealed {
                assert!(room.read_name(&mask_of("C04")) == mask(1, 16));
                assert_eq!(room.ome(&format!("{STORE}/C/04/0/labels"))["labels"], json!(["mask"]));
            }
            assert_eq!(room.staged(), 0, "{step}");
        }
    }
}
