//! The daemon is killed between two steps of a change to sealed files: each file is there once, under one of the names that
//! it had or was to have, and no name comes back.

use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use scopefs::model::Tier;
use scopefs::vfs::RenameMode;

use crate::sealing::{WRITE, image, place, remount, sealing_world, with_sealed};
use crate::support::{Kernel, World};
use crate::world;

/// Names and bytes of all files below a directory.
fn files(kernel: &Kernel, dir: &str) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for (name, _, kind) in kernel.list(dir).expect("lists") {
        let path = format!("{dir}/{}", name.to_string_lossy());
        match kind {
            scopefs::model::FileKind::Directory => found.extend(files(kernel, &path)),
            _ => found.push((path.clone(), kernel.read(&path).expect("reads"))),
        }
    }
    found.sort();
    found
}

/// Two sealed files in `d`, one in a directory of it, all in the store in `d`; and one more such directory.
fn three_sealed(world: &World) -> Kernel {
    let kernel = with_sealed(world);
    for (name, n) in [("d/b", 5), ("d/c", 7)] {
        kernel.write(name, &image(n)).expect("writes");
        kernel.migrate(name, Tier::Zarr).expect("seals");
    }
    for dir in ["d/e", "d/f"] {
        kernel.mkdir(dir, 0o755).expect("makes");
    }
    kernel.rename("d/c", "d/e/c", RenameMode::Replace).expect("renames");
    kernel
}

#[test]
fn a_kill_within_a_rename_or_deletion_leaves_each_file_once() {
    type Change = fn(&Kernel) -> Result<(), i32>;
    let changes: [Change; 8] = [
        |kernel| kernel.rename("d/a", "d/n", RenameMode::Replace),
        |kernel| kernel.rename("d/a", "d/b", RenameMode::Replace),
        |kernel| kernel.rename("d/b", "d/a", RenameMode::Replace),
        |kernel| kernel.rename("d/a", "d/b", RenameMode::Exchange),
        |kernel| kernel.rename("d/e", "d/n", RenameMode::Replace),
        |kernel| kernel.rename("d/e", "d/f", RenameMode::Replace),
        |kernel| kernel.rename("d/e", "d/f", RenameMode::Exchange),
        |kernel| kernel.unlink("d/e/c"),
    ];
    let mut kills = 0;
    for change in changes {
        for behind in 0.. {
            let world = sealing_world!();
            let kernel = three_sealed(&world);
            let before = files(&kernel, "d");
            world.shelf.kill_behind(behind);
            let killed = catch_unwind(AssertUnwindSafe(|| change(&kernel).expect("changes"))).is_err();
            assert_eq!(world.shelf.was_killed(), killed);
            drop(kernel);
            let kernel = Kernel::new(world.mount().0);
            let after = files(&kernel, "d");
            assert_ne!(after, before, "the trees were changed before the store");
            let names: Vec<String> = after.iter().map(|(name, _)| name.clone()).collect();
            assert_eq!(world.shelf.names(), names, "the store has followed");
            let kernel = remount(&world, kernel);
            assert_eq!(files(&kernel, "d"), after, "the store alone tells the same");
            if !killed {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills >= 8, "only {kills} kills");
}

#[test]
fn a_version_that_was_sealed_while_its_file_changed_is_that_files_after_a_rename_and_a_kill() {
    let world = Arc::new(sealing_world!());
    let kernel = with_sealed(&world);
    kernel.write("d/b", &image(5)).expect("writes");
    let (vfs, shelf) = (kernel.vfs.clone(), world.clone());
    world.shelf.behind_commit(move || {
        let writer = Kernel::new(vfs);
        let handle = writer.open("d/b", WRITE).expect("opens");
        writer.write_at(&handle, 0, b"later").expect("writes");
        writer.close(handle);
        drop(shelf);
    });
    world.clock.advance(Duration::from_secs(11));
    kernel.stat("d/a").expect("stats");
    kernel.vfs.seal_rested();
    assert_eq!(world.shelf.names(), ["d/a", "d/b"]);
    kernel.rename("d/b", "d/c", RenameMode::Replace).expect("renames");
    drop(kernel);
    let kernel = Kernel::new(world.mount().0);
    let names: Vec<String> = files(&kernel, "d").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["d/a", "d/c"]);
    kernel.unlink("d/c").expect("unlinks");
    assert_eq!(world.shelf.names(), ["d/a"]);
}

#[test]
fn a_version_that_was_about_to_be_replaced_goes_and_its_name_does_not_come_back() {
    for renamed in [false, true] {
        let world = sealing_world!();
        let kernel = with_sealed(&world);
        let like = world.shelf.entry("d/a").expect("is sealed");
        kernel.write("d/a", &image(5)).expect("writes");
        let name = if renamed { "d/c" } else { "d/a" };
        if renamed {
            kernel.rename("d/a", name, RenameMode::Replace).expect("renames");
        }
        drop(kernel);
        // As another page or store would have it: the new record is there, and the old one was to go next.
        world.shelf.commit(name, &image(5), &like);
        let kernel = Kernel::new(world.mount().0);
        assert_eq!(files(&kernel, "d"), [(name.to_owned(), image(5))]);
        assert_eq!(world.shelf.names(), [name]);
        kernel.unlink(name).expect("unlinks");
        assert!(world.shelf.names().is_empty());
    }
}

#[test]
fn a_version_that_a_newer_one_hides_goes_when_its_store_is_read() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    let like = world.shelf.entry("d/a").expect("is sealed");
    drop(kernel);
    world.shelf.commit("d/a", &image(5), &like);
    let world = world.with_memory_lost();
    let kernel = Kernel::new(world.mount().0);
    assert_eq!(kernel.read("d/a").expect("reads"), image(5));
    assert_eq!(world.shelf.names(), ["d/a"]);
    kernel.unlink("d/a").expect("unlinks");
    assert!(world.shelf.names().is_empty());
}

/// A plain file, in a directory of which nothing else is in memory.
fn plain(kernel: &Kernel) {
    kernel.write("e/x", &image(5)).expect("writes");
    kernel.migrate("e/x", Tier::Disk).expect("moves");
    kernel.stat("e/x").expect("stats");
}

/// A file is made and sealed; `meanwhile` is done right behind the commit, and then the daemon is killed. What the second
/// daemon finds.
fn killed_behind_commit(
    world: World,
    made: fn(&Kernel),
    meanwhile: fn(&Kernel),
    then: fn(&Kernel),
) -> (Vec<String>, Vec<String>) {
    let world = Arc::new(world);
    let kernel = Kernel::new(world.mount().0);
    kernel.mkdir("e", 0o755).expect("makes");
    made(&kernel);
    let done = Arc::new(AtomicBool::new(false));
    let found = Arc::new(parking_lot::Mutex::new((Vec::new(), Vec::new())));
    let (vfs, again, told, report) = (kernel.vfs.clone(), world.clone(), done.clone(), found.clone());
    world.shelf.behind_commit(move || {
        meanwhile(&Kernel::new(vfs));
        let second = Kernel::new(again.mount().0);
        then(&second);
        let second = remount(&again, second);
        let names = files(&second, "e").into_iter().map(|(name, _)| name).collect();
        *report.lock() = (names, again.shelf.names());
        told.store(true, Ordering::Release);
    });
    kernel.migrate("e/x", Tier::Zarr).ok();
    assert!(done.load(Ordering::Acquire));
    std::mem::take(&mut *found.lock())
}

#[test]
fn a_file_on_disk_that_is_deleted_while_it_is_sealed_stays_deleted_where_nothing_is_in_memory() {
    let found = killed_behind_commit(sealing_world!(), plain, |kernel| kernel.unlink("e/x").expect("unlinks"), |_| {});
    assert_eq!(found, (vec![], vec![]));
}

#[test]
fn a_plain_file_that_took_the_name_of_one_that_was_being_sealed_hides_no_record() {
    let replace = |kernel: &Kernel| {
        kernel.write("e/y", &image(7)).expect("writes");
        kernel.migrate("e/y", Tier::Disk).expect("moves");
        kernel.rename("e/y", "e/x", RenameMode::Replace).expect("renames");
    };
    let unlink = |kernel: &Kernel| kernel.unlink("e/x").expect("unlinks");
    let found = killed_behind_commit(sealing_world!(), plain, replace, unlink);
    assert_eq!(found, (vec![], vec![]));
}

#[test]
fn a_name_of_several_that_is_lost_while_the_file_is_sealed_does_not_come_back() {
    let linked = |kernel: &Kernel| {
        kernel.write("e/x", &image(5)).expect("writes");
        kernel.mkdir("e/s", 0o755).expect("makes");
        kernel.link("e/x", "e/s/y").expect("links");
    };
    let moved = |kernel: &Kernel| {
        kernel.unlink("e/s/y").expect("unlinks");
        kernel.rename("e/x", "e/z", RenameMode::Replace).expect("renames");
    };
    let unlink = |kernel: &Kernel| {
        assert_eq!(kernel.read("e/z").expect("reads"), image(5));
        kernel.unlink("e/z").expect("unlinks");
    };
    let found = killed_behind_commit(sealing_world!(), linked, moved, unlink);
    assert_eq!(found, (vec![], vec![]));
}

#[test]
fn a_file_of_several_names_stays_one_if_the_daemon_dies_while_its_plain_names_go() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    kernel.write("d/x", &image(5)).expect("writes");
    kernel.mkdir("d/s", 0o755).expect("makes");
    kernel.link("d/x", "d/s/y").expect("links");
    let handle = kernel.open("d/x", WRITE).expect("opens");
    kernel.fsync(&handle).expect("syncs");
    kernel.close(handle);
    assert_eq!(std::fs::metadata(world.path("d/x")).expect("is there").nlink(), 2);
    assert_eq!(place(&kernel, "d/x"), ("memory".to_owned(), "clean".to_owned()));
    let dir = std::fs::File::open(world.path("d/s")).expect("opens");
    let flags = rustix::fs::ioctl_getflags(&dir).and_then(|flags| {
        rustix::fs::ioctl_setflags(&dir, flags | rustix::fs::IFlags::IMMUTABLE)?;
        Ok(flags)
    });
    let Ok(flags) = flags else { return eprintln!("skipped: no directory can be made immutable here") };
    let sealed = kernel.migrate("d/x", Tier::Zarr);
    rustix::fs::ioctl_setflags(&dir, flags).expect("can be changed again");
    assert!(sealed.is_err(), "one of its plain names cannot be removed");
    assert!(!world.path("d/x").exists() && world.path("d/s/y").exists());
    drop(kernel);
    let kernel = Kernel::new(world.mount().0);
    assert_eq!(kernel.stat("d/x").expect("stats").ino, kernel.stat("d/s/y").expect("stats").ino, "one file");
    assert_eq!(kernel.read("d/s/y").expect("reads"), image(5));
    assert!(!world.path("d/s/y").exists());
    assert!(kernel.vfs.drain(&mut |_| {}, &AtomicBool::new(false)).is_empty());
    let kernel = remount(&world, kernel);
    assert_eq!(kernel.stat("d/x").expect("stats").ino, kernel.stat("d/s/y").expect("stats").ino);
}

#[test]
fn a_file_that_is_renamed_out_of_the_reach_of_its_store_while_it_is_sealed_is_not_lost_with_a_kill() {
    for on_disk in [false, true] {
        let world = sealing_world!();
        let kernel = with_sealed(&world);
        kernel.mkdir("e", 0o755).expect("makes");
        kernel.write("d/x", &image(5)).expect("writes");
        if on_disk {
            kernel.migrate("d/x", Tier::Disk).expect("moves");
        }
        let vfs = kernel.vfs.clone();
        world.shelf.behind_commit(move || {
            Kernel::new(vfs).rename("d/x", "e/x", RenameMode::Replace).expect("renames");
        });
        assert!(kernel.migrate("d/x", Tier::Zarr).is_err(), "it is called otherwise now");
        assert_eq!(world.shelf.names(), ["d/a"], "nobody would look for it there");
        assert_eq!(kernel.read("e/x").expect("reads"), image(5));
        drop(kernel);
        let kernel = Kernel::new(world.mount().0);
        assert_eq!(kernel.read("e/x").expect("reads"), image(5));
        kernel.migrate("e/x", Tier::Zarr).expect("seals");
        assert_eq!(world.shelf.names(), ["d/a", "e/x"]);
    }
}

#[test]
fn what_is_sealed_again_and_again_can_be_renamed_out_of_the_reach_of_its_store() {
    let world = sealing_world!();
    let kernel = with_sealed(&world);
    kernel.mkdir("d/s", 0o755).expect("makes");
    let over = AtomicBool::new(false);
    let vfs = kernel.vfs.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for name in ["d/a", "d/s/a", "a", "s/a"] {
                    let name = scopefs::model::RelPath::from_bytes(name.as_bytes()).expect("relative");
                    let _ = vfs.migrate_path(&name, Tier::Zarr);
                }
            }
        });
        let mut failed = Vec::new();
        for n in 0..200 {
            for (from, to) in [("d/a", "d/s/a"), ("d/s", "s"), ("s/a", "a"), ("s", "d/s"), ("a", "d/a")] {
                failed.extend(kernel.rename(from, to, RenameMode::Replace).err().map(|e| (n, from, to, e)));
            }
        }
        over.store(true, Ordering::Relaxed);
        assert_eq!(failed, []);
    });
    assert_eq!(kernel.read("d/a").expect("reads"), image(3));
}
