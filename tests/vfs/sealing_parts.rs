//! Sealed files that are written to in part: the rest stays in the store, and nobody can tell.

use rustix::fs::FallocateFlags;
use scopefs::model::Tier;
use scopefs::vfs::RenameMode;

use crate::sealing::{WRITE, image, place, remount};
use crate::support::{Kernel, World};
use crate::world;

macro_rules! parts_world {
    () => {
        world!(sealing: true, rules: crate::sealing::RULES, unseal_in_part_from: 1)
    };
}

fn large(seed: u8) -> Vec<u8> {
    image(seed).repeat(500)
}

/// A file of 100,000 bytes, sealed.
fn with_sealed(world: &World) -> Kernel {
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", &large(3)).expect("writes");
    kernel.migrate("a", Tier::Zarr).expect("seals");
    assert_eq!(place(&kernel, "a"), ("zarr".to_owned(), "sealed".to_owned()));
    kernel
}

/// Writes through a handle; returns what the file is then.
fn write_at(kernel: &Kernel, path: &str, writes: &[(u64, &[u8])]) -> Vec<u8> {
    let mut wanted = kernel.read(path).expect("reads");
    let handle = kernel.open(path, WRITE).expect("opens");
    for (at, data) in writes {
        kernel.write_at(&handle, *at, data).expect("writes");
        let end = *at as usize + data.len();
        wanted.resize(wanted.len().max(end), 0);
        wanted[*at as usize..end].copy_from_slice(data);
    }
    kernel.close(handle);
    wanted
}

fn killed(world: &World, kernel: Kernel) -> Kernel {
    drop(kernel);
    Kernel::new(world.mount().0)
}

fn dirty() -> (String, String) {
    ("memory".to_owned(), "dirty".to_owned())
}

#[test]
fn a_file_that_is_appended_to_holds_little_more_than_its_tail() {
    let world = parts_world!();
    let kernel = with_sealed(&world);
    let before = kernel.vfs.budget().tmpfs();
    let wanted = write_at(&kernel, "a", &[(4, b"next"), (100_000, &large(7)[..5000])]);
    assert_eq!(place(&kernel, "a"), dirty());
    let held = kernel.vfs.budget().tmpfs();
    assert!(held <= before + (24 << 10), "{held} bytes are held, {before} before");
    assert_eq!(kernel.stat("a").expect("stats").blocks, 105_000u64.div_ceil(512), "du counts all of it");
    assert_eq!(kernel.read("a").expect("reads"), wanted);
    kernel.migrate("a", Tier::Zarr).expect("seals");
    assert_eq!(kernel.read("a").expect("reads"), wanted);
    let kernel = remount(&world, kernel);
    assert_eq!(kernel.read("a").expect("reads"), wanted);
}

#[test]
fn one_that_nobody_wrote_to_is_sealed_again_for_nothing() {
    let world = parts_world!();
    let kernel = with_sealed(&world);
    let before = world.shelf.entry("a").expect("is there").id;
    let handle = kernel.open("a", WRITE).expect("opens");
    kernel.close(handle);
    assert_eq!(kernel.read("a").expect("reads"), large(3));
    kernel.migrate("a", Tier::Zarr).expect("seals");
    assert_eq!(place(&kernel, "a"), ("zarr".to_owned(), "sealed".to_owned()));
    assert_eq!(world.shelf.entry("a").expect("is there").id, before);
}

#[test]
fn a_killed_daemon_leaves_it_as_it_was_read() {
    let world = parts_world!();
    let kernel = with_sealed(&world);
    let wanted = write_at(&kernel, "a", &[(70_000, b"one"), (10, b"two"), (99_999, b"three")]);
    let kernel = killed(&world, kernel);
    assert_eq!(kernel.read("a").expect("reads"), wanted);
    assert_eq!(place(&kernel, "a"), dirty());
    let wanted = write_at(&kernel, "a", &[(5, b"four")]);
    let kernel = killed(&world, kernel);
    assert_eq!(kernel.read("a").expect("reads"), wanted);
    kernel.migrate("a", Tier::Zarr).expect("seals");
    assert_eq!(kernel.read("a").expect("reads"), wanted);
}

#[test]
fn one_that_was_opened_to_write_and_then_killed_is_sealed() {
    let world = parts_world!();
    let kernel = with_sealed(&world);
    let handle = kernel.open("a", WRITE).expect("opens");
    std::mem::forget(handle);
    let kernel = killed(&world, kernel);
    assert_eq!(place(&kernel, "a"), ("zarr".to_owned(), "sealed".to_owned()));
    assert_eq!(kernel.read("a").expect("reads"), large(3));
}

#[test]
fn cut_and_extended_it_has_zeros_where_it_was_cut() {
    let world = parts_world!();
    let kernel = with_sealed(&world);
    kernel.truncate("a", 40_000).expect("cuts");
    kernel.truncate("a", 60_000).expect("extends");
    let mut wanted = large(3);
    wanted.truncate(40_000);
    wanted.resize(60_000, 0);
    assert_eq!(kernel.read("a").expect("reads"), wanted);
    let kernel = killed(&world, kernel);
    assert_eq!(kernel.read("a").expect("reads"), wanted);
    kernel.migrate("a", Tier::Disk).expect("comes to disk");
    assert_eq!(std::fs::read(world.path("a")).expect("reads"), wanted);
    assert!(world.shelf.names().is_empty());
}

#[test]
fn renamed_linked_or_punched_it_is_whole() {
    let world = parts_world!();
    let kernel = with_sealed(&world);
    let wanted = write_at(&kernel, "a", &[(10, b"ten")]);
    kernel.rename("a", "b", RenameMode::Replace).expect("renames");
    assert_eq!(kernel.read("b").expect("reads"), wanted);
    kernel.write("a", &large(9)).expect("another file takes its name");
    kernel.migrate("a", Tier::Zarr).expect("seals");
    assert_eq!(kernel.read("b").expect("reads"), wanted);
    kernel.migrate("b", Tier::Zarr).expect("seals");
    let mut wanted = write_at(&kernel, "b", &[(20, b"twenty")]);
    kernel.link("b", "c").expect("links");
    assert_eq!(kernel.read("c").expect("reads"), wanted);
    kernel.migrate("b", Tier::Zarr).expect("seals");
    kernel.unlink("c").expect("removes");
    kernel.migrate("b", Tier::Zarr).expect("seals");
    let handle = kernel.open("b", WRITE).expect("opens");
    kernel.fallocate(&handle, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 50, 100).expect("punches");
    kernel.close(handle);
    wanted[50..150].fill(0);
    assert_eq!(kernel.read("b").expect("reads"), wanted);
    let kernel = killed(&world, kernel);
    assert_eq!((kernel.read("a").expect("reads"), kernel.read("b").expect("reads")), (large(9), wanted));
}

#[test]
fn very_many_scattered_writes_fetch_the_rest() {
    let world = parts_world!();
    let kernel = with_sealed(&world);
    let mut wanted = large(3);
    let handle = kernel.open("a", WRITE).expect("opens");
    for at in (0..100_000usize).step_by(40) {
        kernel.write_at(&handle, at as u64, &[0xee]).expect("writes");
        wanted[at] = 0xee;
    }
    kernel.close(handle);
    assert_eq!(kernel.read("a").expect("reads"), wanted);
    let kernel = killed(&world, kernel);
    assert_eq!(kernel.read("a").expect("reads"), wanted);
}

#[test]
fn deleted_while_it_is_open_it_can_still_be_read_and_written() {
    let world = parts_world!();
    let kernel = with_sealed(&world);
    let handle = kernel.open("a", WRITE).expect("opens");
    kernel.write_at(&handle, 10, b"ten").expect("writes");
    kernel.unlink("a").expect("removes");
    kernel.write_at(&handle, 60_000, b"sixty").expect("writes");
    let mut wanted = large(3);
    wanted[10..13].copy_from_slice(b"ten");
    wanted[60_000..60_005].copy_from_slice(b"sixty");
    assert_eq!(kernel.read_at(&handle, 0, 200_000).expect("reads"), wanted);
    kernel.close(handle);
    assert!(world.shelf.names().is_empty());
}

#[test]
fn written_while_it_is_sealed_anew_nothing_is_lost() {
    let world = parts_world!();
    let kernel = with_sealed(&world);
    write_at(&kernel, "a", &[(10, b"ten")]);
    let vfs = kernel.vfs.clone();
    world.shelf.behind_commit(move || {
        let other = Kernel::new(vfs);
        let handle = other.open("a", WRITE).expect("opens");
        other.write_at(&handle, 500, b"five hundred").expect("writes");
        other.close(handle);
    });
    // Whether that is told or not: what counts is the file.
    let _ = kernel.migrate("a", Tier::Zarr);
    let mut wanted = large(3);
    wanted[10..13].copy_from_slice(b"ten");
    wanted[500..512].copy_from_slice(b"five hundred");
    assert_eq!(kernel.read("a").expect("reads"), wanted);
    let kernel = killed(&world, kernel);
    assert_eq!(kernel.read("a").expect("reads"), wanted);
    kernel.migrate("a", Tier::Zarr).expect("seals");
    assert_eq!(kernel.read("a").expect("reads"), wanted);
}

#[test]
fn a_commit_that_no_journal_tells_of_is_found_by_its_name() {
    let world = parts_world!();
    let kernel = with_sealed(&world);
    let wanted = write_at(&kernel, "a", &[(10, b"ten")]);
    let like = world.shelf.entry("a").expect("is there");
    world.shelf.clear();
    world.shelf.commit("a", &wanted, &like);
    let kernel = killed(&world, kernel);
    assert_eq!(kernel.read("a").expect("reads"), wanted);
}

#[test]
fn without_its_store_what_was_written_is_there_and_the_rest_is_an_error() {
    let world = parts_world!();
    let kernel = with_sealed(&world);
    write_at(&kernel, "a", &[(10, b"ten")]);
    world.shelf.clear();
    let kernel = killed(&world, kernel);
    let handle = kernel.open("a", crate::sealing::READ).expect("opens");
    assert_eq!(kernel.read_at(&handle, 10, 3).expect("reads"), b"ten");
    kernel.read_at(&handle, 500, 3).expect_err("nothing has these bytes");
    kernel.close(handle);
}
