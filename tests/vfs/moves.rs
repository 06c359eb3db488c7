//! Moves between the tiers, pressure, and what must hold while they happen.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::XattrFlags;
use scopefs::backend::ByteSource;
use scopefs::model::Tier;
use scopefs::vfs::{MoveError, OpenFlags};

use crate::support::Kernel;
use crate::world;

const WRITE: OpenFlags = OpenFlags { write: true, truncate: false, sync: false, exclusive: false, execute: false };

#[test]
fn a_deleted_file_that_is_open_survives_moves() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    let handle = kernel.create("a", 0o644, WRITE).expect("creates");
    kernel.write_at(&handle, 0, b"before").expect("writes");
    kernel.unlink("a").expect("unlinks");
    kernel.vfs.relieve(u64::MAX);
    assert!(kernel.vfs.drain(&mut |_| {}, &AtomicBool::new(false)).is_empty());
    kernel.write_at(&handle, 6, b" and after").expect("writes");
    assert_eq!(kernel.read_at(&handle, 0, 99).expect("reads"), b"before and after");
    assert_eq!(kernel.fstat(&handle).expect("stats").nlink, 0);
    kernel.close(handle);
    assert!(world.in_memory().is_empty() && world.leftovers().is_empty());
}

#[test]
fn a_file_that_two_threads_write_past_the_limit_has_every_byte() {
    let world = world!(limit: 2 << 20);
    let kernel = Kernel::new(world.mount().0);
    let handle = kernel.create("big", 0o644, WRITE).expect("creates");
    let (fh, vfs) = (handle.fh, kernel.vfs.clone());
    const STEP: u64 = 10_000;
    const STEPS: u64 = 400;
    std::thread::scope(|scope| {
        for half in 0..2u64 {
            let vfs = &vfs;
            scope.spawn(move || {
                for step in 0..STEPS {
                    let at = (step * 2 + half) * STEP;
                    let data = vec![(at / STEP % 251) as u8; STEP as usize];
                    vfs.write(fh, at, &data, false, false).expect("no write fails for memory");
                }
            });
        }
    });
    assert_eq!(kernel.tier("big"), "disk");
    let all = kernel.read_at(&handle, 0, (2 * STEPS * STEP) as usize + 1).expect("reads");
    assert_eq!(all.len() as u64, 2 * STEPS * STEP);
    let wrong = all.chunks(STEP as usize).enumerate().find(|(n, chunk)| chunk.iter().any(|&b| b != (n % 251) as u8));
    assert!(wrong.is_none(), "block {:?} is wrong", wrong.map(|(n, _)| n));
    kernel.close(handle);
}

#[test]
fn a_file_that_is_cut_short_while_it_is_copied_stays_short() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    let handle = kernel.create("a", 0o644, WRITE).expect("creates");
    let (ino, vfs) = (kernel.stat("a").expect("stats").ino, kernel.vfs.clone());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for tier in ["disk", "memory"] {
                    // Refused when the two meet; what counts is what a move that went through left behind.
                    let _ = vfs.setxattr(ino, "user.scopefs.tier".as_ref(), tier.as_bytes(), XattrFlags::empty(), 0);
                }
            }
        });
        for round in 0..200u64 {
            let size = round * 7919 % 300_000;
            kernel.write_at(&handle, 0, &vec![7; 6 << 20]).expect("writes");
            kernel.truncate("a", size).expect("truncates");
            for _ in 0..3 {
                assert_eq!(kernel.fstat(&handle).expect("stats").size, size, "round {round}");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    kernel.close(handle);
}

#[test]
fn a_move_to_disk_and_back_shows_nothing() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", b"bytes").expect("writes");
    kernel.set_xattr("a", "user.k", b"v", XattrFlags::empty()).expect("sets");
    let before = kernel.stat("a").expect("stats");
    for tier in [Tier::Disk, Tier::Memory, Tier::Disk] {
        kernel.migrate("a", tier).expect("moves");
        let now = kernel.stat("a").expect("stats");
        assert_eq!((now.ino, now.ctime, now.mtime, now.perm), (before.ino, before.ctime, before.mtime, before.perm));
        assert_eq!(kernel.xattrs(now.ino).expect("lists"), [("user.k".into(), b"v".to_vec())]);
        assert_eq!(kernel.tier("a"), tier.as_str());
    }
}

#[test]
fn a_full_home_refuses_bytes_before_they_are_taken() {
    let world = world!();
    world.figures.home_free.store(4 << 20, Ordering::Relaxed);
    let kernel = Kernel::new(world.mount().0);
    let handle = kernel.create("a", 0o644, WRITE).expect("creates");
    let step = vec![1; 256 << 10];
    let mut at = 0;
    while kernel.write_at(&handle, at, &step).is_ok() {
        at += step.len() as u64;
        assert!(at < 16 << 20, "more was taken than the home can hold");
    }
    assert_eq!(kernel.write_at(&handle, at, &step), Err(libc::ENOSPC));
    assert_eq!(kernel.fstat(&handle).expect("stats").size, at, "what was refused left no trace");
    assert!(kernel.vfs.figures().home_full);
    kernel.close(handle);
    assert_eq!(kernel.read("a").expect("reads").len() as u64, at);
}

#[test]
fn more_attributes_than_the_home_may_hold_send_a_file_to_disk() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", b"bytes").expect("writes");
    kernel.set_xattr("a", "user.small", &[1; 100], XattrFlags::empty()).expect("sets");
    assert_eq!(kernel.tier("a"), "memory");
    kernel.set_xattr("a", "user.large", &[2; 2500], XattrFlags::empty()).expect("sets");
    assert_eq!(kernel.tier("a"), "disk");
    assert_eq!(kernel.xattrs(kernel.stat("a").expect("stats").ino).expect("lists").len(), 2);
    assert!(kernel.set_xattr("a", "user.huge", &[3; 60_000], XattrFlags::empty()).is_err(), "the home's own answer");
}

#[test]
fn a_file_that_the_kernel_maps_is_not_moved() {
    let world = world!(passthrough: true);
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", b"bytes").expect("writes");
    let handle = kernel.open("a", OpenFlags::default()).expect("opens");
    let mapping = handle.mapped().expect("a reader in calm memory is served by the kernel");
    assert!(matches!(kernel.migrate("a", Tier::Disk), Err(MoveError::Held)));
    kernel.close(handle);
    assert!(matches!(kernel.migrate("a", Tier::Disk), Err(MoveError::Held)), "the mapping outlives the handle");
    drop(mapping);
    kernel.migrate("a", Tier::Disk).expect("nothing holds it now");
    assert_eq!(kernel.read("a").expect("reads"), b"bytes");
}

#[test]
fn a_clean_copy_that_is_mapped_is_not_dropped_for_a_link() {
    let world = world!(passthrough: true);
    std::fs::write(world.path("a"), b"bytes").expect("writes");
    let kernel = Kernel::new(world.mount().0);
    kernel.migrate("a", Tier::Memory).expect("moves");
    let handle = kernel.open("a", OpenFlags::default()).expect("opens");
    let mapping = handle.mapped().expect("a reader in calm memory is served by the kernel");
    kernel.close(handle);
    kernel.link("a", "b").expect("links");
    let writer = kernel.open("b", WRITE).expect("opens");
    kernel.write_at(&writer, 0, b"BY").expect("writes");
    kernel.close(writer);
    let mut seen = [0; 5];
    mapping.read_at(&mut seen, 0).expect("reads");
    assert_eq!(&seen, b"BYtes", "the mapping shows what was written after it");
}

#[test]
fn a_move_waits_for_handles_that_are_being_closed() {
    for tier in [Tier::Disk, Tier::Memory] {
        let world = world!(passthrough: true);
        std::fs::write(world.path("a"), b"bytes").expect("writes");
        let kernel = Kernel::new(world.mount().0);
        for _ in 0..100 {
            kernel.migrate("a", if tier == Tier::Disk { Tier::Memory } else { Tier::Disk }).expect("moves back");
            let handle = kernel.open("a", OpenFlags::default()).expect("opens");
            let (fh, vfs) = (handle.fh, kernel.vfs.clone());
            // The program has closed it, and only its end has yet to be told.
            drop(handle);
            let both = std::sync::Barrier::new(2);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    both.wait();
                    vfs.release(fh);
                });
                both.wait();
                kernel.migrate("a", tier).expect("nobody holds the file");
            });
        }
    }
}

#[test]
fn a_file_that_moved_keeps_its_number_when_another_takes_its_old_disk_inode() {
    let world = world!();
    std::fs::write(world.path("a"), b"older").expect("writes");
    let kernel = Kernel::new(world.mount().0);
    let ino = kernel.stat("a").expect("stats").ino;
    kernel.migrate("a", Tier::Memory).expect("moves");
    kernel.write("a", b"newer").expect("writes");
    kernel.migrate("a", Tier::Disk).expect("moves");
    kernel.forget(&[]);
    // Where the file system gives a freed inode to the next file, one of these has it.
    for n in 0..20 {
        std::fs::write(world.path(&n.to_string()), b"another").expect("writes");
        assert_ne!(kernel.stat(&n.to_string()).expect("stats").ino, ino);
    }
    assert_eq!(kernel.stat("a").expect("stats").ino, ino);
}

#[test]
fn under_pressure_clean_copies_leave_before_dirty_files() {
    let world = world!();
    std::fs::write(world.path("clean"), vec![1; 9000]).expect("writes");
    let kernel = Kernel::new(world.mount().0);
    kernel.write("dirty", &[2; 9000]).expect("writes");
    kernel.migrate("clean", Tier::Memory).expect("moves");
    let relief = kernel.vfs.relieve(4096);
    assert_eq!(relief.files, 1);
    assert_eq!((kernel.tier("clean"), kernel.tier("dirty")), ("disk".into(), "memory".into()));
}

#[test]
fn new_files_go_to_disk_while_memory_is_pressed() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    kernel.vfs.budget().set_pressed(true);
    kernel.write("a", b"bytes").expect("writes");
    assert_eq!(kernel.tier("a"), "disk");
}

#[test]
fn fsync_brings_a_file_home_and_a_second_soon_after_leaves_it_there() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    let handle = kernel.create("a", 0o644, WRITE).expect("creates");
    kernel.write_at(&handle, 0, b"one").expect("writes");
    kernel.fsync(&handle).expect("syncs");
    assert_eq!(std::fs::read(world.path("a")).expect("published"), b"one");
    assert_eq!((kernel.tier("a"), kernel.state("a")), ("memory".into(), "clean".into()));
    kernel.write_at(&handle, 3, b" two").expect("writes");
    kernel.fsync(&handle).expect("syncs");
    assert_eq!(kernel.tier("a"), "disk");
    kernel.write_at(&handle, 7, b" three").expect("writes");
    assert_eq!(std::fs::read(world.path("a")).expect("reads"), b"one two three");
    kernel.close(handle);
}

#[test]
fn a_scratch_file_that_is_to_be_discarded_never_reaches_the_disk() {
    let rules =
        "[[rule]]\nmatch = \"tmp/**\"\nbackend = \"memory\"\ndurability = \"scratch\"\non_unmount = \"discard\"\n";
    let world = world!(rules: rules);
    let kernel = Kernel::new(world.mount().0);
    kernel.mkdir("tmp", 0o755).expect("makes");
    let handle = kernel.create("tmp/a", 0o644, WRITE).expect("creates");
    kernel.write_at(&handle, 0, b"scratch").expect("writes");
    kernel.fsync(&handle).expect("returns at once");
    kernel.close(handle);
    kernel.write("kept", b"kept").expect("writes");
    assert!(kernel.vfs.drain(&mut |_| {}, &AtomicBool::new(false)).is_empty());
    assert!(!world.path("tmp/a").exists());
    assert!(world.in_memory().is_empty());
    assert_eq!(std::fs::read(world.path("kept")).expect("reads"), b"kept");
}
