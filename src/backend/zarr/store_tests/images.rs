//! Collections, and images with stores of their own.

use super::*;

#[test]
fn images_of_a_directory_share_a_collection() {
    for version in [Ngff::V04, Ngff::V05] {
        let room = Room::new(version);
        fs::create_dir_all(room.dir.path().join("d")).unwrap();
        let (a, b) = (tiff(1, 30, 20), npy(2, &[2, 40, 50]));
        room.seal("d/a.tif", &a).unwrap();
        room.seal("d/b.npy", &b).unwrap();
        let room = room.again();
        assert_eq!(room.names("d"), ["d/a.tif", "d/b.npy"]);
        assert!(room.read_name("d/a.tif") == a && room.read_name("d/b.npy") == b);
        if version == Ngff::V04 {
            assert_eq!(room.json("d/d.images.ome.zarr/OME/.zattrs")["series"], serde_json::json!(["0", "1"]));
            assert_eq!(room.json("d/d.images.ome.zarr/.zattrs")["bioformats2raw.layout"], 3);
            assert_eq!(room.json("d/d.images.ome.zarr/1/0/.zarray")["shape"], serde_json::json!([1, 2, 40, 50]));
        }
        let entries = room.zarr.listing(&path("d")).unwrap();
        let a = entries.iter().find(|entry| entry.names[0] == path("d/a.tif")).unwrap();
        room.zarr.remove(a.id).unwrap();
        assert!(!room.has("d/d.images.ome.zarr/0"));
        assert!(room.read_name("d/b.npy") == b);
        room.seal("d/c.npy", &b).unwrap();
        assert!(room.has("d/d.images.ome.zarr/2"));
        for entry in room.zarr.listing(&path("d")).unwrap() {
            room.zarr.remove(entry.id).unwrap();
        }
        assert!(fs::read_dir(room.dir.path().join("d")).unwrap().next().is_none());
    }
}

#[test]
fn files_in_the_root_of_the_workspace_have_a_collection_too() {
    let room = Room::new(Ngff::V04);
    let bytes = tiff(3, 64, 64);
    room.seal("a.tif", &bytes).unwrap();
    assert!(room.read(room.zarr.listing(&RelPath::root()).unwrap()[0].id).unwrap() == bytes);
}

#[test]
fn a_large_image_has_a_pyramid_of_means() {
    let room = Room::new(Ngff::V04);
    let bytes = tiff(1, 2500, 2100);
    room.seal("big.tif", &bytes).unwrap();
    let shape = |level: u32| room.json(&format!("workspace.images.ome.zarr/0/{level}/.zarray"))["shape"].clone();
    assert_eq!(shape(1), serde_json::json!([1, 1050, 1250]));
    assert_eq!(shape(3), serde_json::json!([1, 263, 313]));
    assert!(!room.has("workspace.images.ome.zarr/0/4"));
    assert!(room.has("workspace.images.ome.zarr/0/1/0/1/1"));
    let entries = room.zarr.listing(&RelPath::root()).unwrap();
    assert!(room.read(entries[0].id).unwrap() == bytes);
}

#[test]
fn what_is_no_image_is_refused_and_leaves_nothing() {
    let room = Room::new(Ngff::V04);
    assert!(matches!(room.seal("a.tif", b"not a TIFF").unwrap_err(), SealError::Refused(_)));
    assert_eq!(room.staged(), 0);
    assert_eq!(fs::read_dir(room.dir.path()).unwrap().count(), 1);
}

#[test]
fn an_abandoned_batch_leaves_nothing() {
    let room = Room::new(Ngff::V04);
    let bytes = tiff(3, 64, 64);
    let batch = room.zarr.begin();
    let ticket = batch.add(subject("a.tif", &bytes), &bytes.as_slice()).unwrap();
    let kept = batch.add(subject("b.tif", &bytes), &bytes.as_slice()).unwrap();
    batch.abandon(ticket);
    assert_eq!(batch.commit().into_iter().map(|(t, a)| (t, a.is_ok())).collect::<Vec<_>>(), [(kept, true)]);
    assert_eq!(room.names(""), ["b.tif"]);
    room.zarr.begin().add(subject("x/a.tif", &bytes), &bytes.as_slice()).unwrap();
    assert_eq!((room.staged(), room.has("x")), (0, false));
}

#[test]
fn levels_of_labels_hold_values_that_exist() {
    let room = Room::new(Ngff::V04);
    room.seal("cells_mask.tif", &tiff(1, 2100, 20)).unwrap();
    let image = room.json("workspace.images.ome.zarr/0/.zattrs");
    assert_eq!(image["multiscales"][0]["type"], "nearest");
    let plain = room.seal("cells.tif", &tiff(1, 2100, 20)).unwrap();
    assert_eq!(room.json("workspace.images.ome.zarr/1/.zattrs")["multiscales"][0]["type"], "mean");
    assert_eq!(room.zarr.stored_at(plain).unwrap().array, "1/0");
}

#[test]
fn a_file_with_many_literal_bytes_keeps_them_in_chunks_of_their_own() {
    let room = Room::new(Ngff::V04);
    let mut bytes = tiff(3, 64, 64);
    bytes.extend((0..2_500_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8));
    let id = room.seal("a.tif", &bytes).unwrap();
    assert!(room.read(id).unwrap() == bytes);
    assert_eq!(room.json("workspace.images.ome.zarr/scopefs/literals/.zarray")["shape"][0], 4 << 20);
    let room = room.again();
    let id = room.zarr.listing(&RelPath::root()).unwrap()[0].id;
    assert!(room.read(id).unwrap() == bytes);
    room.zarr.remove(id).unwrap();
    assert!(!room.has("workspace.images.ome.zarr"));
}

#[test]
fn files_that_leave_together_leave_nothing_and_the_others_whole() {
    let rooms = [Room::new(Ngff::V04), Room::new(Ngff::V05), Room::sharded(None)];
    for (n, room) in rooms.into_iter().enumerate() {
        let images: Vec<Vec<u8>> = (0..6).map(|seed| tiff(seed, 64, 48)).collect();
        let names = ["d/a.tif", "d/b.tif", "d/c.tif", "e/P_A01_s1_w1.tif", "e/P_A01_s1_w2.tif", "e/P_A02_s1_w1.tif"];
        let files: Vec<(&str, &[u8])> = names.iter().copied().zip(images.iter().map(Vec::as_slice)).collect();
        let ids: Vec<SealedId> = room.seal_all(&files).into_iter().map(|id| id.expect("seals")).collect();
        let unknown = SealedId { record: 99, ..ids[0] };
        let failed = room.zarr.remove_all(&[ids[0], ids[1], unknown, ids[3], ids[4]]);
        assert!(matches!(failed.as_slice(), [(id, _)] if *id == unknown), "{n}: {failed:?}");
        assert_eq!((room.names("d"), room.names("e")), (vec!["d/c.tif".into()], vec!["e/P_A02_s1_w1.tif".into()]));
        let room = room.again();
        assert!(room.read_name("d/c.tif") == images[2] && room.read_name("e/P_A02_s1_w1.tif") == images[5]);
        let left: Vec<SealedId> =
            ["d", "e"].iter().flat_map(|dir| room.zarr.listing(&path(dir)).unwrap()).map(|entry| entry.id).collect();
        assert!(room.zarr.remove_all(&left).is_empty());
        for dir in ["d", "e"] {
            let entries: Vec<_> = fs::read_dir(room.dir.path().join(dir)).unwrap().flatten().collect();
            assert!(entries.is_empty(), "{n}: {entries:?}");
        }
    }
}
