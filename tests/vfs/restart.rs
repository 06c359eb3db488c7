//! What the next daemon finds after one was killed.

use scopefs::model::Tier;
use scopefs::vfs::{OpenFlags, RenameMode};

use crate::support::Kernel;
use crate::world;

const WRITE: OpenFlags = OpenFlags { write: true, truncate: false, sync: false, exclusive: false, execute: false };

#[test]
fn after_a_kill_dirty_files_are_dirty_and_clean_ones_clean() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    kernel.mkdir("d", 0o755).expect("makes");
    kernel.write("d/clean", b"clean").expect("writes");
    assert!(kernel.vfs.flush_all(&mut |_| {}).is_empty());
    kernel.write("d/dirty", b"dirty").expect("writes");
    drop(kernel);
    let (vfs, recovered) = world.mount();
    assert_eq!((recovered.files, recovered.bytes), (2, 10));
    let kernel = Kernel::new(vfs);
    assert_eq!((kernel.tier("d/clean"), kernel.state("d/clean")), ("memory".into(), "clean".into()));
    assert_eq!((kernel.tier("d/dirty"), kernel.state("d/dirty")), ("memory".into(), "dirty".into()));
    assert_eq!(kernel.read("d/dirty").expect("reads"), b"dirty");
}

#[test]
fn a_clean_copy_of_a_file_that_changed_while_no_daemon_ran_is_dropped() {
    let world = world!();
    std::fs::write(world.path("a"), b"old").expect("writes");
    let kernel = Kernel::new(world.mount().0);
    kernel.migrate("a", Tier::Memory).expect("moves");
    drop(kernel);
    std::fs::write(world.path("a"), b"changed").expect("writes");
    let kernel = Kernel::new(world.mount().0);
    assert_eq!(kernel.read("a").expect("reads"), b"changed");
    assert!(world.in_memory().is_empty());
}

#[test]
fn what_was_deleted_stays_deleted_after_a_kill() {
    let world = world!();
    std::fs::write(world.path("a"), b"old").expect("writes");
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", b"new").expect("rewrites");
    kernel.write("b", b"b").expect("writes");
    kernel.unlink("a").expect("unlinks");
    kernel.unlink("b").expect("unlinks");
    drop(kernel);
    let kernel = Kernel::new(world.mount().0);
    assert!(kernel.list("").expect("lists").is_empty());
}

#[test]
fn renames_in_both_trees_are_found_as_they_were_after_a_kill() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    kernel.mkdir("d", 0o755).expect("makes");
    kernel.write("d/a", b"a").expect("writes");
    assert!(kernel.vfs.flush_all(&mut |_| {}).is_empty());
    kernel.write("d/b", b"b").expect("writes");
    kernel.rename("d", "e", RenameMode::Replace).expect("renames");
    kernel.rename("e/a", "e/b", RenameMode::Exchange).expect("renames");
    drop(kernel);
    let kernel = Kernel::new(world.mount().0);
    assert_eq!(kernel.read("e/a").expect("reads"), b"b");
    assert_eq!(kernel.read("e/b").expect("reads"), b"a");
    assert_eq!(kernel.stat("d").err(), Some(libc::ENOENT));
}

#[test]
fn stores_through_a_mapping_that_outlived_the_daemon_are_not_lost() {
    let world = world!(passthrough: true);
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", b"bytes").expect("writes");
    let reader = kernel.open("a", OpenFlags::default()).expect("opens");
    let writer = kernel.open("a", WRITE).expect("opens");
    let mapping = writer.mapped().expect("it joins the family");
    kernel.close(writer);
    kernel.close(reader);
    assert!(kernel.vfs.flush_all(&mut |_| {}).is_empty());
    drop(kernel);
    let kernel = Kernel::new(world.mount().0);
    mapping.write_all_at(b"STORE", 0).expect("stores");
    drop(mapping);
    kernel.vfs.relieve(u64::MAX);
    assert_eq!(kernel.read("a").expect("reads"), b"STORE");
}
