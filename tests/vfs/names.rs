//! Shadowing, publishing, links and renames.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::AtomicBool;

use scopefs::model::Tier;
use scopefs::vfs::{OpenFlags, RenameMode};

use crate::support::Kernel;
use crate::world;

const WRITE: OpenFlags = OpenFlags { write: true, truncate: false, sync: false, exclusive: false, execute: false };

#[test]
fn a_new_file_is_in_memory_only_until_it_is_brought_home() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", b"bytes").expect("writes");
    assert!(!world.path("a").exists());
    assert_eq!((kernel.tier("a"), kernel.state("a")), ("memory".into(), "dirty".into()));
    assert!(kernel.vfs.flush_all(&mut |_| {}).is_empty());
    assert_eq!(std::fs::read(world.path("a")).expect("published"), b"bytes");
    assert_eq!((kernel.tier("a"), kernel.state("a")), ("memory".into(), "clean".into()));
}

#[test]
fn the_old_version_stays_on_disk_until_the_rewritten_one_is_published() {
    let world = world!();
    std::fs::write(world.path("a"), b"old").expect("writes");
    let before = std::fs::metadata(world.path("a")).expect("stats");
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", b"the new version").expect("rewrites");
    assert_eq!(kernel.tier("a"), "memory");
    assert_eq!(kernel.read("a").expect("reads"), b"the new version");
    assert_eq!(std::fs::read(world.path("a")).expect("reads"), b"old");
    let now = std::fs::metadata(world.path("a")).expect("stats");
    assert_eq!((now.ctime(), now.ctime_nsec()), (before.ctime(), before.ctime_nsec()));
    kernel.migrate("a", Tier::Disk).expect("moves");
    assert_eq!(std::fs::read(world.path("a")).expect("reads"), b"the new version");
}

#[test]
fn a_conflict_keeps_both_versions() {
    let world = world!();
    std::fs::write(world.path("a"), b"old").expect("writes");
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", b"ours").expect("rewrites");
    std::fs::write(world.path("a"), b"theirs, behind the mount").expect("writes");
    assert!(kernel.vfs.drain(&mut |_| {}, &AtomicBool::new(false)).is_empty());
    assert_eq!(std::fs::read(world.path("a")).expect("reads"), b"theirs, behind the mount");
    assert_eq!(std::fs::read(world.path("a.scopefs-conflict-1")).expect("reads"), b"ours");
    assert_eq!(kernel.vfs.figures().conflicts.len(), 1);
}

#[test]
fn a_name_made_behind_a_new_memory_file_is_a_conflict_too() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", b"ours").expect("writes");
    std::fs::write(world.path("a"), b"theirs").expect("writes");
    assert!(kernel.vfs.drain(&mut |_| {}, &AtomicBool::new(false)).is_empty());
    assert_eq!(std::fs::read(world.path("a")).expect("reads"), b"theirs");
    assert_eq!(std::fs::read(world.path("a.scopefs-conflict-1")).expect("reads"), b"ours");
}

#[test]
fn hard_links_are_published_once() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    kernel.mkdir("d", 0o755).expect("makes");
    kernel.write("a", b"shared").expect("writes");
    kernel.link("a", "d/b").expect("links");
    assert!(kernel.vfs.drain(&mut |_| {}, &AtomicBool::new(false)).is_empty());
    let (a, b) = (std::fs::metadata(world.path("a")), std::fs::metadata(world.path("d/b")));
    let (a, b) = (a.expect("published"), b.expect("published"));
    assert_eq!((a.ino(), a.nlink()), (b.ino(), 2));
}

#[test]
fn links_rewritten_after_they_were_published_are_no_conflict() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", b"first").expect("writes");
    kernel.link("a", "b").expect("links");
    assert!(kernel.vfs.flush_all(&mut |_| {}).is_empty());
    let handle = kernel.open("b", WRITE).expect("opens");
    kernel.write_at(&handle, 0, b"second").expect("writes");
    kernel.close(handle);
    assert!(kernel.vfs.flush_all(&mut |_| {}).is_empty());
    kernel.unlink("a").expect("unlinks");
    let handle = kernel.open("b", WRITE).expect("opens");
    kernel.write_at(&handle, 0, b"third!").expect("writes");
    kernel.close(handle);
    assert!(kernel.vfs.drain(&mut |_| {}, &AtomicBool::new(false)).is_empty());
    assert_eq!(std::fs::read(world.path("b")).expect("reads"), b"third!");
    assert!(kernel.vfs.figures().conflicts.is_empty());
    assert!(!world.path("a").exists() && !world.path("b.scopefs-conflict-1").exists());
}

#[test]
fn a_rename_over_a_found_file_keeps_it_on_disk_until_the_new_one_is_durable() {
    let world = world!();
    std::fs::write(world.path("a"), b"old").expect("writes");
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a.partial", b"new").expect("writes");
    kernel.rename("a.partial", "a", RenameMode::Replace).expect("renames");
    assert_eq!(kernel.read("a").expect("reads"), b"new");
    assert_eq!(std::fs::read(world.path("a")).expect("reads"), b"old");
    assert!(kernel.vfs.drain(&mut |_| {}, &AtomicBool::new(false)).is_empty());
    assert_eq!(std::fs::read(world.path("a")).expect("reads"), b"new");
    assert!(kernel.vfs.figures().conflicts.is_empty());
}

#[test]
fn writing_on_to_a_file_whose_name_was_taken_is_no_conflict() {
    for passthrough in [false, true] {
        let world = world!(passthrough: passthrough);
        std::fs::write(world.path("log"), b"old").expect("writes");
        let kernel = Kernel::new(world.mount().0);
        let old = kernel.open("log", WRITE).expect("opens");
        kernel.write("log.new", b"new").expect("writes");
        kernel.rename("log.new", "log", RenameMode::Replace).expect("renames");
        assert_eq!(kernel.fstat(&old).expect("stats").nlink, 0);
        kernel.write_at(&old, 0, b"last words").expect("writes");
        assert_eq!(kernel.read_at(&old, 0, 99).expect("reads"), b"last words");
        kernel.close(old);
        assert!(kernel.vfs.drain(&mut |_| {}, &AtomicBool::new(false)).is_empty());
        assert_eq!(std::fs::read(world.path("log")).expect("reads"), b"new");
        assert!(kernel.vfs.figures().conflicts.is_empty());
    }
}

#[test]
fn replacing_one_of_several_links_is_counted_at_the_others() {
    let world = world!(passthrough: true);
    std::fs::write(world.path("a"), b"old").expect("writes");
    std::fs::hard_link(world.path("a"), world.path("b")).expect("links");
    let kernel = Kernel::new(world.mount().0);
    let handle = kernel.create("new", 0o644, OpenFlags::default()).expect("creates");
    kernel.rename("new", "a", RenameMode::Replace).expect("renames");
    assert_eq!(kernel.stat("b").expect("stats").nlink, 1);
    assert_eq!(kernel.read("b").expect("reads"), b"old");
    kernel.close(handle);
}

#[test]
fn rename_without_replacing_refuses_a_taken_name_in_either_tier() {
    let world = world!();
    std::fs::write(world.path("found"), b"f").expect("writes");
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", b"a").expect("writes");
    kernel.write("b", b"b").expect("writes");
    assert_eq!(kernel.rename("a", "found", RenameMode::NoReplace), Err(libc::EEXIST));
    assert_eq!(kernel.rename("a", "b", RenameMode::NoReplace), Err(libc::EEXIST));
    assert_eq!(kernel.rename("found", "b", RenameMode::NoReplace), Err(libc::EEXIST));
}

#[test]
fn an_unlinked_shadowing_name_does_not_bring_the_old_version_back() {
    let world = world!();
    std::fs::write(world.path("a"), b"old").expect("writes");
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", b"new").expect("rewrites");
    kernel.unlink("a").expect("unlinks");
    assert_eq!(kernel.stat("a").err(), Some(libc::ENOENT));
    assert!(!world.path("a").exists());
}

#[test]
fn a_directory_with_files_in_memory_alone_is_not_empty() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    kernel.mkdir("d", 0o755).expect("makes");
    kernel.write("d/a", b"a").expect("writes");
    assert_eq!(kernel.rmdir("d"), Err(libc::ENOTEMPTY));
    kernel.unlink("d/a").expect("unlinks");
    assert_eq!(kernel.rmdir("d"), Ok(()));
    assert!(!world.path("d").exists());
}

#[test]
fn a_file_that_shadows_a_link_is_listed_as_a_file() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    kernel.symlink("nowhere", "a").expect("links");
    kernel.write("new", b"new").expect("writes");
    kernel.rename("new", "a", RenameMode::Replace).expect("renames");
    let listed = kernel.list("").expect("lists");
    assert_eq!(listed[0].2, scopefs::model::FileKind::Regular);
    assert!(kernel.vfs.drain(&mut |_| {}, &AtomicBool::new(false)).is_empty());
    assert_eq!(std::fs::read(world.path("a")).expect("reads"), b"new");
}

#[test]
fn a_rename_refused_by_a_directory_that_is_not_empty_leaves_it_usable() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    kernel.mkdir("from", 0o755).expect("makes");
    kernel.mkdir("d", 0o755).expect("makes");
    kernel.write("d/a", b"a").expect("writes");
    kernel.migrate("d/a", scopefs::model::Tier::Disk).expect("moves");
    assert_eq!(kernel.rename("from", "d", RenameMode::Replace), Err(libc::ENOTEMPTY));
    kernel.write("b", b"b").expect("writes");
    kernel.rename("b", "d/b", RenameMode::Replace).expect("renames");
    assert_eq!(kernel.read("d/b").expect("reads"), b"b");
}

#[test]
fn a_program_that_runs_is_not_emptied() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    kernel.write("program", b"#!").expect("writes");
    let run = OpenFlags { write: false, execute: true, ..WRITE };
    let empty = OpenFlags { write: false, truncate: true, ..WRITE };
    let running = kernel.open("program", run).expect("runs");
    assert_eq!(kernel.open("program", empty).err(), Some(libc::ETXTBSY));
    assert_eq!(kernel.read("program").expect("reads"), b"#!");
    kernel.close(running);
    let emptied = kernel.open("program", empty).expect("opens");
    kernel.close(emptied);
    assert_eq!(kernel.read("program").expect("reads"), b"");
}
