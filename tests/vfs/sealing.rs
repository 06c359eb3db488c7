//! Sealed files: there under their names, whatever becomes of their bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::XattrFlags;
use scopefs::model::{RelPath, Tier};
use scopefs::vfs::{Changes, OpenFlags, RenameMode, Times};

use crate::support::{Kernel, NOT_AN_IMAGE, World};
use crate::world;

pub(crate) const READ: OpenFlags =
    OpenFlags { write: false, truncate: false, sync: false, exclusive: false, execute: false };
pub(crate) const WRITE: OpenFlags = OpenFlags { write: true, ..READ };
pub(crate) const RULES: &str = "[zarr]\nsettle = \"10s\"\n[[rule]]\nmatch = \"**\"\nbackend = \"zarr\"";

macro_rules! sealing_world {
    () => {
        world!(sealing: true, rules: crate::sealing::RULES)
    };
}
pub(crate) use sealing_world;

pub(crate) fn image(n: u8) -> Vec<u8> {
    (0..200u32).map(|at| (at as u8).wrapping_mul(n)).collect()
}

/// A file in a directory, sealed.
pub(crate) fn with_sealed(world: &World) -> Kernel {
    let kernel = Kernel::new(world.mount().0);
    kernel.mkdir("d", 0o755).expect("makes");
    kernel.write("d/a", &image(3)).expect("writes");
    kernel.migrate("d/a", Tier::Zarr).expect("seals");
    assert_eq!(place(&kernel, "d/a"), ("zarr".to_owned(), "sealed".to_owned()));
    kernel
}

pub(crate) fn place(kernel: &Kernel, path: &str) -> (String, String) {
    (kernel.tier(path), kernel.state(path))
}

pub(crate) fn remount(world: &World, kernel: Kernel) -> Kernel {
    kernel.vfs.forget_stubs();
    drop(kernel);
    assert!(world.in_memory().is_empty(), "{:?}", world.in_memory());
    Kernel::new(world.mount().0)
}

#[test]
fn a_sealed_file_is_what_it_was_and_holds_no_memory() {
    let world = sealing_world!();
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", &image(3)).expect("writes");
    kernel.set_xattr("a", "user.note", b"kept", XattrFlags::empty()).expect("sets");
    let before = kernel.stat("a").expect("stats");
    kernel.migrate("a", Tier::Zarr).expect("seals");
    let after = kernel.stat("a").expect("stats");
    assert_eq!(
        (after.ino, after.size, after.mtime, after.ctime),
        (before.ino, before.size, before.mtime, before.ctime)
    );
    assert_eq!(after.blocks, before.size.div_ceil(512), "du counts all of it");
    assert_eq!(kernel.read("a").expect("reads"), image(3));
    assert!(!world.path("a").exists());
    assert_eq!(kernel.vfs.figures().memory_files, 0);
    assert_eq!(kernel.vfs.figures().memory_bytes, 0);
    let kernel = remount(&world, kernel);
    assert_eq!(kernel.list("").expect("lists").len(), 1);
    assert_eq!(kernel.read("a").expect("reads"), image(3));
    assert_eq!(kernel.stat("a").expect("stats").mtime, before.mtime);
    assert_eq!(kernel.xattrs(kernel.stat("a").expect("stats").ino).expect("lists").len(), 1);
}

#[test]
fn an_explanation_names_the_store_as_long_as_it_has_this_version() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    let explain = || kernel.vfs.explain(&RelPath::from_bytes(b"d/a").expect("relative")).expect("explains");
    let sealed = explain();
    let store = sealed.store.expect("a store has it");
    assert_eq!((store.store.to_string(), sealed.stored_at), ("d/shelf.ome.zarr".to_owned(), store.store));
    kernel.migrate("d/a", Tier::Memory).expect("reads it back");
    let copied = explain();
    assert!(copied.store.is_some(), "memory has a copy");
    assert_eq!(copied.stored_at.to_string(), "d/a");
    kernel.write("d/a", &image(5)).expect("writes");
    assert_eq!(explain().store, None, "what the store has is older");
}

#[test]
fn a_write_unseals_and_rest_seals_again() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    let handle = kernel.open("d/a", WRITE).expect("opens");
    assert_eq!(place(&kernel, "d/a"), ("memory".to_owned(), "clean".to_owned()));
    kernel.write_at(&handle, 10, b"changed").expect("writes");
    kernel.close(handle);
    assert_eq!(place(&kernel, "d/a"), ("memory".to_owned(), "dirty".to_owned()));
    let mut wanted = image(3);
    wanted[10..17].copy_from_slice(b"changed");
    assert_eq!(kernel.read("d/a").expect("reads"), wanted);
    assert_eq!(kernel.vfs.seal_rested(), 0, "it has not rested yet");
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(kernel.vfs.seal_rested(), 1);
    kernel.vfs.relieve(u64::MAX);
    assert_eq!(place(&kernel, "d/a"), ("zarr".to_owned(), "sealed".to_owned()));
    assert_eq!(kernel.read("d/a").expect("reads"), wanted);
    assert_eq!(world.shelf.names(), ["d/a"]);
}

#[test]
fn a_writer_that_comes_back_makes_the_next_rest_longer() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    for _ in 0..2 {
        world.clock.advance(Duration::from_secs(20));
        let handle = kernel.open("d/a", WRITE).expect("opens");
        kernel.write_at(&handle, 0, b"more").expect("writes");
        kernel.close(handle);
    }
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(kernel.vfs.seal_rested(), 0, "four times twenty seconds");
    world.clock.advance(Duration::from_secs(25));
    assert_eq!(kernel.vfs.seal_rested(), 1);
}

#[test]
fn readers_keep_reading_while_a_file_is_sealed_and_unsealed_under_them() {
    let world = sealing_world!();
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", &image(3)).expect("writes");
    let reader = kernel.open("a", READ).expect("opens");
    kernel.migrate("a", Tier::Zarr).expect("seals");
    assert_eq!(kernel.read_at(&reader, 0, 9999).expect("reads"), image(3));
    kernel.migrate("a", Tier::Memory).expect("unseals");
    assert_eq!(kernel.read_at(&reader, 0, 9999).expect("reads"), image(3));
    kernel.migrate("a", Tier::Zarr).expect("drops the copy");
    kernel.migrate("a", Tier::Disk).expect("unseals to disk");
    assert_eq!(kernel.read_at(&reader, 0, 9999).expect("reads"), image(3));
    assert_eq!(std::fs::read(world.path("a")).expect("a plain file"), image(3));
    assert!(world.shelf.names().is_empty());
    kernel.close(reader);
    kernel.migrate("a", Tier::Zarr).expect("seals from disk");
    assert!(!world.path("a").exists());
    assert_eq!(kernel.read("a").expect("reads"), image(3));
}

#[test]
fn what_is_not_an_image_stays_plain_with_the_reason() {
    let world = sealing_world!();
    let kernel = Kernel::new(world.mount().0);
    kernel.write("notes.tif", NOT_AN_IMAGE).expect("writes");
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(kernel.vfs.seal_rested(), 0);
    assert!(kernel.vfs.drain(&mut |_| {}, &AtomicBool::new(false)).is_empty());
    assert_eq!(std::fs::read(world.path("notes.tif")).expect("plain"), NOT_AN_IMAGE);
    let path = RelPath::from_path("notes.tif".as_ref()).expect("relative");
    let explained = kernel.vfs.explain(&path).expect("explains");
    assert!(explained.reason.contains("neither a TIFF nor an npy"), "{}", explained.reason);
    assert_eq!(kernel.vfs.figures().refused, 1);
    assert!(kernel.migrate("notes.tif", Tier::Zarr).is_err());
}

#[test]
fn a_deleted_file_leaves_its_store_with_the_last_handle() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    let reader = kernel.open("d/a", READ).expect("opens");
    kernel.unlink("d/a").expect("unlinks");
    assert_eq!(kernel.stat("d/a").err(), Some(libc::ENOENT));
    assert_eq!(kernel.read_at(&reader, 0, 9999).expect("reads"), image(3));
    kernel.close(reader);
    assert!(world.shelf.names().is_empty());
    kernel.rmdir("d").expect("it is empty");
}

#[test]
fn a_directory_with_sealed_files_is_not_empty() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    let kernel = remount(&world, kernel);
    assert_eq!(kernel.rmdir("d").err(), Some(libc::ENOTEMPTY));
    assert_eq!(kernel.list("d").expect("lists").len(), 1);
}

#[test]
fn names_and_links_of_sealed_files_follow_into_the_store() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    kernel.rename("d/a", "d/b", RenameMode::Replace).expect("renames");
    kernel.link("d/b", "d/c").expect("links");
    assert_eq!(place(&kernel, "d/b").0, "zarr");
    assert_eq!(world.shelf.names(), ["d/b", "d/c"]);
    kernel.rename("d", "e", RenameMode::Replace).expect("renames");
    assert_eq!(world.shelf.names(), ["e/b", "e/c"]);
    let kernel = remount(&world, kernel);
    assert_eq!(kernel.read("e/c").expect("reads"), image(3));
    assert_eq!(kernel.stat("e/b").expect("stats").nlink, 2);
    kernel.unlink("e/b").expect("unlinks");
    assert_eq!(world.shelf.names(), ["e/c"]);
}

#[test]
fn a_file_that_leaves_its_stores_reach_is_a_plain_one_again() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    kernel.mkdir("elsewhere", 0o755).expect("makes");
    kernel.rename("d/a", "elsewhere/a", RenameMode::Replace).expect("renames");
    assert_eq!(kernel.read("elsewhere/a").expect("reads"), image(3));
    assert!(world.shelf.names().is_empty());
    assert_eq!(std::fs::read(world.path("elsewhere/a")).expect("plain"), image(3));
}

#[test]
fn a_file_that_is_renamed_over_a_sealed_one_takes_its_place_for_good() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    kernel.write("d/new", &image(5)).expect("writes");
    kernel.rename("d/new", "d/a", RenameMode::Replace).expect("renames");
    assert!(world.shelf.names().is_empty());
    assert!(kernel.vfs.drain(&mut |_| {}, &AtomicBool::new(false)).is_empty());
    assert_eq!(world.shelf.names(), ["d/a"]);
    let kernel = remount(&world, kernel);
    assert_eq!(kernel.read("d/a").expect("reads"), image(5));
}

#[test]
fn a_sealed_file_that_is_renamed_over_a_plain_one_takes_its_place_for_good() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    std::fs::write(world.path("d/plain"), b"text").expect("writes");
    kernel.rename("d/a", "d/plain", RenameMode::Replace).expect("renames");
    assert_eq!(kernel.read("d/plain").expect("reads"), image(3));
    let kernel = remount(&world, kernel);
    assert_eq!(kernel.read("d/plain").expect("reads"), image(3));
    assert_eq!(kernel.list("d").expect("lists").len(), 1);
}

#[test]
fn attributes_of_a_sealed_file_change_without_unsealing_it_and_last() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    let ino = kernel.stat("d/a").expect("stats").ino;
    kernel.setattr(ino, &Changes { perm: Some(0o600), ..Changes::default() }).expect("changes");
    let at = scopefs::model::Timestamp { secs: 1_000_000, nanos: 5 };
    let times = Times { mtime: scopefs::backend::Time::At(at), ..Times::default() };
    kernel.setattr(ino, &Changes { times, ..Changes::default() }).expect("changes");
    kernel.set_xattr("d/a", "user.note", b"kept", XattrFlags::empty()).expect("sets");
    assert_eq!(place(&kernel, "d/a"), ("zarr".to_owned(), "sealed".to_owned()));
    let kernel = remount(&world, kernel);
    let attr = kernel.stat("d/a").expect("stats");
    assert_eq!((attr.perm, attr.mtime), (0o600, at));
    assert_eq!(kernel.xattr(attr.ino, "user.note".as_ref()).expect("gets"), b"kept");
}

#[test]
fn cutting_and_emptying_a_sealed_file_do_what_they_do_to_any_other() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    kernel.truncate("d/a", 100).expect("truncates");
    assert_eq!(kernel.read("d/a").expect("reads"), image(3)[..100]);
    kernel.migrate("d/a", Tier::Zarr).expect("seals");
    let handle = kernel.open("d/a", OpenFlags { truncate: true, ..WRITE }).expect("opens");
    kernel.write_at(&handle, 0, b"fresh").expect("writes");
    kernel.close(handle);
    assert_eq!(kernel.read("d/a").expect("reads"), b"fresh");
    assert!(kernel.vfs.drain(&mut |_| {}, &AtomicBool::new(false)).is_empty());
    let kernel = remount(&world, kernel);
    assert_eq!(kernel.read("d/a").expect("reads"), b"fresh");
}

#[test]
fn a_found_file_that_was_renamed_over_another_and_sealed_is_that_file() {
    let world = world!(sealing: true, rules: RULES, passthrough: true);
    std::fs::write(world.path("g"), image(3)).expect("writes");
    let kernel = Kernel::new(world.mount().0);
    kernel.mkdir("d", 0o755).expect("makes");
    kernel.write("d/f", b"").expect("writes");
    let handle = kernel.open("g", WRITE).expect("opens");
    kernel.close(handle);
    assert!(kernel.vfs.flush_all(&mut |_| {}).is_empty());
    kernel.rename("g", "d/f", RenameMode::Replace).expect("renames");
    assert_eq!(kernel.read("d/f").expect("reads"), image(3));
    assert!(kernel.vfs.drain(&mut |_| {}, &AtomicBool::new(false)).is_empty());
    let kernel = remount(&world, kernel);
    assert_eq!(kernel.read("d/f").expect("reads"), image(3));
}

#[test]
fn names_vanish_with_their_store_and_appear_with_it() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    world.clock.advance(Duration::from_secs(2));
    kernel.list("d").expect("lists");
    world.shelf.clear();
    world.clock.advance(Duration::from_secs(2));
    assert!(kernel.list("d").expect("lists").is_empty());
    assert_eq!(kernel.stat("d/a").err(), Some(libc::ENOENT));
    kernel.write("d/a", &image(5)).expect("the name is free");
    assert_eq!(kernel.read("d/a").expect("reads"), image(5));
}

#[test]
fn a_file_that_goes_on_as_a_plain_one_leaves_no_record_behind() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    let handle = kernel.open("d/a", OpenFlags { truncate: true, ..WRITE }).expect("opens");
    kernel.write_at(&handle, 0, NOT_AN_IMAGE).expect("writes");
    kernel.fsync(&handle).expect("syncs");
    kernel.close(handle);
    kernel.vfs.relieve(u64::MAX);
    assert_eq!(place(&kernel, "d/a").0, "disk");
    assert!(world.shelf.names().is_empty(), "{:?}", world.shelf.names());
    let kernel = remount(&world, kernel);
    kernel.unlink("d/a").expect("unlinks");
    let kernel = remount(&world, kernel);
    assert_eq!(kernel.stat("d/a").err(), Some(libc::ENOENT), "and it does not come back");
}

#[test]
fn where_originals_are_kept_the_store_has_a_copy_that_goes_with_them() {
    let keep = "[zarr]\nsettle = \"1s\"\n[[rule]]\nmatch = \"**\"\nbackend = \"zarr\"\noriginals = \"keep\"";
    let world = world!(sealing: true, rules: keep);
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", &image(3)).expect("writes");
    assert!(kernel.vfs.flush_all(&mut |_| {}).is_empty());
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(kernel.vfs.seal_rested(), 1);
    assert_eq!(kernel.vfs.seal_rested(), 0, "once is enough");
    assert_eq!(std::fs::read(world.path("a")).expect("the original"), image(3));
    assert_eq!(world.shelf.names(), ["a"]);
    assert!(kernel.vfs.drain(&mut |_| {}, &AtomicBool::new(false)).is_empty());
    let kernel = remount(&world, kernel);
    assert_eq!(kernel.list("").expect("lists").len(), 1);
    assert_eq!(kernel.tier("a"), "disk");
    kernel.unlink("a").expect("unlinks");
    assert!(world.shelf.names().is_empty());
}

#[test]
fn a_directory_is_not_renamed_under_a_commit() {
    let world = Arc::new(sealing_world!());
    let kernel = with_sealed(&world);
    kernel.write("d/b", &image(5)).expect("writes");
    let renaming = Arc::new(parking_lot::Mutex::new(None));
    let (vfs, told) = (kernel.vfs.clone(), renaming.clone());
    world.shelf.behind_commit(move || {
        let thread = std::thread::spawn(move || {
            Kernel::new(vfs).rename("d", "e", RenameMode::Replace).expect("renames");
        });
        // Long enough for a rename that does not wait.
        std::thread::sleep(Duration::from_millis(200));
        assert!(!thread.is_finished(), "the commit writes to the directory still");
        *told.lock() = Some(thread);
    });
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(kernel.vfs.seal_rested(), 1);
    renaming.lock().take().expect("a commit was made").join().expect("renames in the end");
    assert_eq!(world.shelf.names(), ["e/a", "e/b"]);
}

#[test]
fn a_copy_that_the_kernel_serves_can_leave_its_stores_reach_all_the_same() {
    let world = world!(sealing: true, rules: RULES, passthrough: true);
    let kernel = with_sealed(&world);
    kernel.migrate("d/a", Tier::Memory).expect("unseals");
    let reader = kernel.open("d/a", READ).expect("opens");
    kernel.rename("d/a", "b", RenameMode::Replace).expect("renames");
    assert_eq!(std::fs::read(world.path("b")).expect("it is on disk"), image(3));
    assert!(world.shelf.names().is_empty());
    assert_eq!(kernel.read_at(&reader, 0, 200).expect("reads"), image(3));
    kernel.close(reader);
    assert_eq!(kernel.read("b").expect("reads"), image(3));
    drop(kernel);
    let kernel = Kernel::new(world.mount().0);
    assert_eq!(kernel.read("b").expect("reads"), image(3));
}

#[test]
fn a_directory_goes_although_somebody_reads_a_deleted_file_in_its_store() {
    let world = world!(rules: RULES);
    let kernel = Kernel::new(world.mount_over(Some(Box::new(world.zarr()))).0);
    kernel.mkdir("d", 0o755).expect("makes");
    let bytes = crate::labels::npy(5);
    kernel.write("d/a.npy", &bytes).expect("writes");
    kernel.write("d/b.npy", &bytes).expect("writes");
    for name in ["d/a.npy", "d/b.npy"] {
        kernel.migrate(name, Tier::Zarr).expect("seals");
    }
    let open = kernel.open("d/a.npy", READ).expect("opens");
    assert_eq!(kernel.rmdir("d"), Err(libc::ENOTEMPTY), "there are files in it");
    kernel.unlink("d/a.npy").expect("unlinks");
    kernel.unlink("d/b.npy").expect("unlinks");
    kernel.rmdir("d").expect("removes the directory");
    assert!(!world.workspace.path().join("d").exists());
    assert_eq!(kernel.read_at(&open, 0, bytes.len()).expect("reads"), bytes);
    kernel.close(open);
    kernel.forget(&[]);
    let figures = kernel.vfs.figures();
    assert_eq!((figures.memory_files, figures.dirty_bytes, kernel.vfs.budget().clean()), (0, 0, 0));
    assert!(world.in_memory().is_empty(), "{:?}", world.in_memory());
}

#[test]
fn whoever_writes_to_a_file_that_is_sealed_again_and_again_is_never_told_so() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    let over = AtomicBool::new(false);
    let vfs = kernel.vfs.clone();
    let path = RelPath::from_bytes(b"d/a").expect("relative");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // Held by a writer, mostly.
                    let _ = vfs.migrate_path(&path, Tier::Zarr);
                }
            });
        }
        let mut failed = Vec::new();
        for n in 0..1500 {
            match kernel.open("d/a", WRITE) {
                Ok(handle) => kernel.close(handle),
                Err(e) => failed.push((n, e)),
            }
            failed.extend(kernel.truncate("d/a", 200 + n % 2).err().map(|e| (n, e)));
        }
        over.store(true, Ordering::Relaxed);
        assert_eq!(failed, []);
    });
}
