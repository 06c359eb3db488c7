//! What comes up into memory unasked, and what it displaces.

use std::sync::atomic::Ordering;

use scopefs::model::Tier;
use scopefs::vfs::Promoted;

use crate::sealing::READ;
use crate::support::{Kernel, World};
use crate::world;

const KIB: usize = 1 << 10;

/// A world of 1 MiB of memory with files of 64 KiB each on disk.
fn with_files(world: &World, names: &[&str]) -> Kernel {
    for (n, name) in names.iter().enumerate() {
        std::fs::write(world.path(name), vec![n as u8 + 1; 64 * KIB]).expect("writes");
    }
    Kernel::new(world.mount().0)
}

fn read(kernel: &Kernel, path: &str) -> u64 {
    let ino = kernel.stat(path).expect("stats").ino;
    let handle = kernel.open(path, READ).expect("opens");
    assert_eq!(kernel.read_at(&handle, 0, 64 * KIB).expect("reads").len(), 64 * KIB);
    kernel.close(handle);
    ino
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("f{n:02}")).collect()
}

#[test]
fn a_file_that_was_read_comes_up_as_a_copy_that_costs_nothing_to_drop() {
    let world = world!(limit: 1 << 20);
    let kernel = with_files(&world, &["a"]);
    let before = std::fs::metadata(world.path("a")).expect("is there");
    let ino = read(&kernel, "a");
    assert_eq!(kernel.vfs.promote(ino), Promoted::Yes);
    assert_eq!((kernel.tier("a"), kernel.state("a")), ("memory".to_owned(), "clean".to_owned()));
    assert_eq!(kernel.vfs.promote(ino), Promoted::Already);
    assert_eq!(read(&kernel, "a"), ino);
    let after = std::fs::metadata(world.path("a")).expect("is there");
    assert_eq!(before.modified().expect("a time"), after.modified().expect("a time"));
    world.figures.ballast.store(1 << 20, Ordering::Relaxed);
    kernel.vfs.relieve(64 << 10);
    assert_eq!(kernel.tier("a"), "disk");
    assert_eq!(read(&kernel, "a"), ino);
}

#[test]
fn who_walks_through_everything_once_displaces_nothing_that_is_read_again() {
    let world = world!(limit: 1 << 20);
    let files = names(40);
    let kernel = with_files(&world, &files.iter().map(String::as_str).collect::<Vec<_>>());
    let hot = ["f05", "f06", "f07"];
    for _ in 0..3 {
        for path in hot {
            let ino = read(&kernel, path);
            kernel.vfs.promote(ino);
        }
    }
    let mut refused = 0;
    for path in &files {
        let ino = read(&kernel, path);
        refused += usize::from(kernel.vfs.promote(ino) == Promoted::NoRoom);
    }
    assert!(refused > 10, "{refused}: the walk is larger than memory");
    assert!(hot.iter().all(|path| kernel.tier(path) == "memory"));
    assert!(!kernel.vfs.budget().is_pressed(), "copies make no pressure");
}

#[test]
fn what_is_read_more_often_takes_the_place_of_what_is_not() {
    let world = world!(limit: 1 << 20);
    let files = names(30);
    let kernel = with_files(&world, &files.iter().map(String::as_str).collect::<Vec<_>>());
    for path in &files {
        let ino = read(&kernel, path);
        kernel.vfs.promote(ino);
    }
    assert_eq!(kernel.tier("f29"), "disk", "there was no room left");
    let mut ino = 0;
    for _ in 0..3 {
        ino = read(&kernel, "f29");
    }
    assert_eq!(kernel.vfs.promote(ino), Promoted::Yes);
    assert_eq!(kernel.tier("f29"), "memory");
}

#[test]
fn a_sealed_file_comes_up_when_it_is_read_again_and_again() {
    let world = world!(sealing: true, rules: crate::sealing::RULES);
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", &vec![7; 64 * KIB]).expect("writes");
    kernel.migrate("a", Tier::Zarr).expect("seals");
    let mut seen = Vec::new();
    for _ in 0..4 {
        let ino = read(&kernel, "a");
        seen.push(kernel.vfs.promote(ino));
    }
    assert_eq!(seen.first(), Some(&Promoted::No));
    assert!(seen.contains(&Promoted::Yes), "{seen:?}");
    assert_eq!((kernel.tier("a"), kernel.state("a")), ("memory".to_owned(), "clean".to_owned()));
    world.figures.ballast.store(64 << 20, Ordering::Relaxed);
    kernel.vfs.relieve(64 << 10);
    assert_eq!((kernel.tier("a"), kernel.state("a")), ("zarr".to_owned(), "sealed".to_owned()));
}

#[test]
fn files_ahead_of_a_walk_come_up_before_anybody_reads_them() {
    let world = world!(limit: 1 << 20);
    let kernel = with_files(&world, &["a", "b"]);
    let path = scopefs::model::RelPath::from_bytes(b"b").expect("relative");
    assert_eq!(kernel.vfs.promote_ahead(&path), Promoted::Yes);
    assert_eq!(kernel.tier("b"), "memory");
    assert_eq!(kernel.read("b").expect("reads"), vec![2; 64 * KIB]);
}

#[test]
fn what_cannot_be_a_copy_stays_where_it_is() {
    let world = world!(limit: 1 << 20);
    let kernel = with_files(&world, &["a", "linked", "large"]);
    std::fs::hard_link(world.path("linked"), world.path("other")).expect("links");
    std::fs::write(world.path("large"), vec![1; 512 * KIB]).expect("writes");
    for path in ["linked", "large"] {
        let ino = read(&kernel, path);
        assert_eq!(kernel.vfs.promote(ino), Promoted::No, "{path}");
    }
    let ino = kernel.stat("a").expect("stats").ino;
    let handle = kernel.open("a", crate::sealing::WRITE).expect("opens");
    kernel.write_at(&handle, 0, b"changed").expect("writes");
    kernel.vfs.promote(ino);
    kernel.write_at(&handle, 7, b" again").expect("writes");
    kernel.close(handle);
    assert_eq!(kernel.read("a").expect("reads")[..13], *b"changed again");
}

#[test]
fn a_copy_of_a_file_that_was_there_before_is_not_sealed_after_a_kill() {
    let world = world!(sealing: true, rules: crate::sealing::RULES);
    let kernel = with_files(&world, &["a"]);
    let before = std::fs::metadata(world.path("a")).expect("is there");
    let ino = read(&kernel, "a");
    assert_eq!(kernel.vfs.promote(ino), Promoted::Yes);
    drop(kernel);
    let kernel = Kernel::new(world.mount().0);
    assert_eq!((kernel.tier("a"), kernel.state("a")), ("memory".to_owned(), "clean".to_owned()));
    world.clock.advance(std::time::Duration::from_secs(600));
    kernel.vfs.seal_rested();
    assert!(kernel.vfs.drain(&mut |_| {}, &std::sync::atomic::AtomicBool::new(false)).is_empty());
    assert!(world.shelf.names().is_empty());
    let after = std::fs::metadata(world.path("a")).expect("is there");
    use std::os::unix::fs::MetadataExt;
    assert_eq!((before.ino(), before.mtime(), before.ctime()), (after.ino(), after.mtime(), after.ctime()));
}
