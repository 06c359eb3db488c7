//! Sealed files after a killed daemon or a loss of power: all there, each once, and nothing deleted comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use scopefs::backend::zarr::{Stores, Subject};
use scopefs::config::Originals;
use scopefs::model::{Attr, RelPath, Tier};
use scopefs::vfs::RenameMode;

use crate::sealing::{RULES, WRITE, image, place, remount, sealing_world, with_sealed};
use crate::support::{Kernel, World};
use crate::world;

#[test]
fn a_killed_daemons_successor_finds_sealed_files_as_they_were() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    kernel.write("d/promoted", &image(7)).expect("writes");
    kernel.migrate("d/promoted", Tier::Zarr).expect("seals");
    kernel.migrate("d/promoted", Tier::Memory).expect("unseals");
    kernel.write("d/changed", &image(9)).expect("writes");
    kernel.migrate("d/changed", Tier::Zarr).expect("seals");
    let handle = kernel.open("d/changed", WRITE).expect("opens");
    kernel.write_at(&handle, 0, b"later").expect("writes");
    kernel.rename("d/a", "d/renamed", RenameMode::Replace).expect("renames");
    let times = kernel.stat("d/renamed").expect("stats").mtime;
    drop(kernel);
    let kernel = Kernel::new(world.mount().0);
    assert_eq!(place(&kernel, "d/renamed"), ("zarr".to_owned(), "sealed".to_owned()));
    assert_eq!(kernel.read("d/renamed").expect("reads"), image(3));
    assert_eq!(kernel.stat("d/renamed").expect("stats").mtime, times);
    assert_eq!(place(&kernel, "d/promoted"), ("memory".to_owned(), "clean".to_owned()));
    assert_eq!(kernel.read("d/promoted").expect("reads"), image(7));
    assert_eq!(place(&kernel, "d/changed"), ("memory".to_owned(), "dirty".to_owned()));
    assert_eq!(kernel.read("d/changed").expect("reads")[..5], *b"later");
    assert_eq!(kernel.list("d").expect("lists").len(), 3);
    assert!(kernel.vfs.drain(&mut |_| {}, &AtomicBool::new(false)).is_empty());
    assert_eq!(world.shelf.names(), ["d/changed", "d/promoted", "d/renamed"]);
}

#[test]
fn when_the_memory_tier_is_lost_too_what_is_sealed_is_still_there() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    drop(kernel);
    let world = world.with_memory_lost();
    let kernel = Kernel::new(world.mount().0);
    assert_eq!(kernel.read("d/a").expect("reads"), image(3));
}

#[test]
fn after_a_kill_a_sealed_file_can_leave_its_stores_reach() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    drop(kernel);
    let kernel = Kernel::new(world.mount().0);
    assert_eq!(kernel.rename("nothing", "d/a", RenameMode::Exchange).err(), Some(libc::ENOENT));
    assert_eq!(place(&kernel, "d/a").0, "zarr", "a rename that cannot be does nothing");
    kernel.rename("d/a", "a", RenameMode::Replace).expect("renames");
    assert_eq!(kernel.read("a").expect("reads"), image(3));
}

#[test]
fn a_record_that_a_kill_left_unknown_goes_with_its_file() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    kernel.write("d/b", &image(5)).expect("writes");
    drop(kernel);
    let like = world.shelf.entry("d/a").expect("is sealed");
    world.shelf.commit("d/b", &image(5), &like);
    let kernel = Kernel::new(world.mount().0);
    kernel.unlink("d/b").expect("unlinks");
    assert_eq!(world.shelf.names(), ["d/a"]);
    let kernel = remount(&world, kernel);
    assert_eq!(kernel.stat("d/b").err(), Some(libc::ENOENT));
}

#[test]
fn a_record_that_a_kill_left_unknown_is_replaced_by_what_is_sealed_next() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    kernel.write("d/b", &image(5)).expect("writes");
    drop(kernel);
    let like = world.shelf.entry("d/a").expect("is sealed");
    world.shelf.commit("d/b", &image(5), &like);
    let kernel = Kernel::new(world.mount().0);
    kernel.rename("d/b", "d/c", RenameMode::Replace).expect("renames");
    kernel.migrate("d/c", Tier::Zarr).expect("seals");
    assert_eq!(world.shelf.names(), ["d/a", "d/c"]);
}

/// What stat says of a plain file in the workspace.
fn attr_of(world: &World, path: &str) -> Attr {
    let file = std::fs::File::open(world.path(path)).expect("opens");
    scopefs::backend::Object::new(file.into(), false).stat().expect("stats")
}

#[test]
fn a_plain_file_goes_only_if_what_was_sealed_of_it_reads_back() {
    let mut short = image(3);
    short.pop();
    for (sealed, is_same) in [(image(3), true), (image(5), false), (short, false)] {
        let world = sealing_world!();
        drop(with_sealed(&world));
        let world = world.with_memory_lost();
        std::fs::create_dir_all(world.path("d")).expect("makes");
        std::fs::write(world.path("d/a"), image(3)).expect("writes");
        world.shelf.cut_short("d/a", attr_of(&world, "d/a").identity(), sealed);
        let kernel = Kernel::new(world.mount().0);
        assert_eq!(kernel.list("d").expect("lists").len(), 1);
        assert_eq!(kernel.read("d/a").expect("reads"), image(3));
        assert_eq!(world.path("d/a").exists(), !is_same);
        assert_eq!(place(&kernel, "d/a").0, if is_same { "zarr" } else { "disk" });
    }
}

/// An npy file of 16-bit integers, 64 lines of 64.
fn npy() -> Vec<u8> {
    let mut header = "{'descr': '<u2', 'fortran_order': False, 'shape': (64, 64), }".to_owned();
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend((0..4096_u32).flat_map(|at| ((at.wrapping_mul(at) >> 3) as u16).to_le_bytes()));
    bytes
}

#[test]
fn a_plain_file_stays_beside_a_store_whose_chunk_was_lost_with_the_power() {
    for damage in [None, Some(0), Some(40)] {
        let world = world!(rules: RULES);
        std::fs::create_dir_all(world.path("d")).expect("makes");
        std::fs::write(world.path("d/a.npy"), npy()).expect("writes");
        {
            let zarr = world.zarr();
            let attr = attr_of(&world, "d/a.npy");
            let batch = zarr.begin();
            let subject = Subject {
                names: vec![RelPath::from_bytes(b"d/a.npy").expect("relative")],
                attr,
                xattrs: Vec::new(),
                replaces: None,
                originals: Originals::Replace,
                found: Some(attr.identity()),
                labels: None,
            };
            batch.add(subject, &npy().as_slice()).expect("is planned");
            batch.commit().remove(0).1.expect("is sealed");
        }
        let chunk = world.path("d/d.images.ome.zarr/0/0/0/0/0");
        if let Some(kept) = damage {
            let stored = std::fs::read(&chunk).expect("is there");
            std::fs::write(&chunk, &stored[..kept]).expect("writes");
        }
        let kernel = Kernel::new(world.mount_over(Some(Box::new(world.zarr()))).0);
        assert_eq!(kernel.read("d/a.npy").expect("reads"), npy());
        assert_eq!(world.path("d/a.npy").exists(), damage.is_some());
        // Sealed anew it is sound, whatever was there.
        kernel.migrate("d/a.npy", Tier::Zarr).expect("seals");
        assert!(!world.path("d/a.npy").exists());
        assert_eq!(place(&kernel, "d/a.npy"), ("zarr".to_owned(), "sealed".to_owned()));
        assert_eq!(kernel.read("d/a.npy").expect("reads"), npy());
    }
}

#[test]
fn a_file_that_is_deleted_or_renamed_while_it_is_sealed_does_not_come_back_after_a_kill() {
    let world = Arc::new(sealing_world!());
    let kernel = with_sealed(&world);
    kernel.write("d/b", &image(5)).expect("writes");
    kernel.write("d/c", &image(7)).expect("writes");
    let seen = Arc::new(AtomicBool::new(false));
    let (vfs, again, told) = (kernel.vfs.clone(), world.clone(), seen.clone());
    world.shelf.behind_commit(move || {
        assert_eq!(again.shelf.names(), ["d/a", "d/b", "d/c"]);
        let first = Kernel::new(vfs);
        first.unlink("d/b").expect("unlinks");
        first.rename("d/c", "d/e", RenameMode::Replace).expect("renames");
        // The first daemon never comes to know what it has committed.
        let second = Kernel::new(again.mount().0);
        let mut names: Vec<_> = second.list("d").expect("lists").into_iter().map(|entry| entry.0).collect();
        names.sort();
        assert_eq!(names, ["a", "e"]);
        assert_eq!(again.shelf.names(), ["d/a"]);
        assert_eq!(second.read("d/e").expect("reads"), image(7));
        told.store(true, Ordering::Release);
    });
    world.clock.advance(Duration::from_secs(11));
    // A first look at the new store would wait for the commit.
    kernel.stat("d/a").expect("stats");
    kernel.vfs.seal_rested();
    assert!(seen.load(Ordering::Acquire));
}

#[test]
fn a_name_that_a_directory_gave_up_can_be_that_of_a_sealed_file_in_the_next_mount() {
    let world = sealing_world!();
    let kernel = Kernel::new(world.mount().0);
    kernel.mkdir("d", 0o755).expect("makes");
    kernel.write("f", &image(3)).expect("writes");
    kernel.rename("d", "f", RenameMode::Exchange).expect("swaps");
    assert!(kernel.vfs.drain(&mut |_| {}, &AtomicBool::new(false)).is_empty());
    let kernel = remount(&world, kernel);
    assert_eq!(kernel.read("d").expect("reads"), image(3));
}
