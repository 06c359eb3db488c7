//! `backend = "auto"`: where files are by the size of their dataset, as it grows and shrinks.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::fs::FallocateFlags;
use scopefs::model::{RelPath, Tier};
use scopefs::route::Row;
use scopefs::vfs::{OpenFlags, RenameMode};

use crate::sealing::{READ, WRITE, place};
use crate::support::{Kernel, World};
use crate::world;

const KIB: usize = 1024;
/// Small under 100 KiB, large over 1000 KiB.
const RULES: &str = "[auto]\nmemory_below = \"100KiB\"\nzarr_above = \"1000KiB\"\n[zarr]\nsettle = \"10s\"\n\
                     [[rule]]\nmatch = \"**\"\nbackend = \"auto\"";
const ADOPTS: &str = "[auto]\nmemory_below = \"100KiB\"\nzarr_above = \"1000KiB\"\n[zarr]\nsettle = \"10s\"\n\
                      [[rule]]\nmatch = \"**\"\nbackend = \"auto\"\nadopt = true";
const LATEST: Duration = Duration::from_secs(300);

fn go() -> AtomicBool {
    AtomicBool::new(false)
}

fn counted(world: &World) -> Kernel {
    let kernel = Kernel::new(world.mount().0);
    kernel.vfs.count_tree(&go());
    kernel.vfs.adopt(&go());
    kernel
}

fn rel(path: &str) -> RelPath {
    RelPath::from_path(path.as_ref()).expect("relative")
}

/// Row, bytes and files of a dataset; nothing if it is not known.
fn sums(kernel: &Kernel, name: &str) -> Option<(Row, u64, u64)> {
    let all = kernel.vfs.datasets();
    all.iter().find(|view| view.name == rel(name)).map(|view| (view.row, view.bytes, view.files))
}

fn image(kib: usize) -> Vec<u8> {
    (0..kib * KIB).map(|at| (at * 31 % 251) as u8).collect()
}

/// What a count from nothing says: the sums kept so far must not differ.
fn recounted(world: &World, kernel: &Kernel, name: &str) -> Option<(Row, u64, u64)> {
    kernel.vfs.count_tree(&go());
    world.clock.advance(Duration::from_secs(1));
    sums(kernel, name)
}

#[test]
fn a_dataset_that_grows_goes_through_the_rows_and_its_files_follow() {
    let world = world!(sealing: true, rules: RULES);
    let kernel = counted(&world);
    kernel.mkdir("d", 0o755).expect("makes");
    kernel.write("d/1.tif", &image(90)).expect("writes");
    kernel.write("d/table.csv", &image(5)).expect("writes");
    assert_eq!(sums(&kernel, "d"), Some((Row::Small, 95 * 1024, 2)));
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(kernel.vfs.write_behind(LATEST), 0, "small datasets wait half a minute");
    kernel.write("d/2.tif", &image(200)).expect("writes");
    assert_eq!(sums(&kernel, "d"), Some((Row::Middle, 295 * 1024, 3)));
    world.clock.advance(Duration::from_millis(600));
    assert_eq!(kernel.vfs.write_behind(LATEST), 3, "those written before too");
    assert_eq!(place(&kernel, "d/1.tif"), ("memory".to_owned(), "clean".to_owned()));
    let before = kernel.vfs.figures().materialized_files;
    assert_eq!(kernel.vfs.relieve(u64::MAX).files, 3);
    assert_eq!(kernel.vfs.figures().materialized_files, before, "nothing had to be written for that");
    assert_eq!(place(&kernel, "d/1.tif").0, "disk");
    kernel.write("d/3.tif", &image(800)).expect("writes");
    assert_eq!(sums(&kernel, "d"), Some((Row::Large, 1095 * 1024, 4)));
    kernel.write("d/late.csv", b"1,2").expect("writes");
    assert_eq!(place(&kernel, "d/late.csv").0, "disk", "other files are on disk");
    kernel.vfs.follow_datasets(&go());
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(kernel.vfs.seal_rested(), 3, "what was written to disk before too");
    for name in ["d/1.tif", "d/2.tif", "d/3.tif"] {
        assert_eq!(place(&kernel, name), ("zarr".to_owned(), "sealed".to_owned()), "{name}");
    }
    assert_eq!(place(&kernel, "d/table.csv").0, "disk");
    assert_eq!(kernel.read("d/2.tif").expect("reads"), image(200));
    assert_eq!(sums(&kernel, "d"), recounted(&world, &kernel, "d"), "sealed files count as they are read");
}

#[test]
fn memory_that_is_needed_is_not_waited_for_where_the_disk_has_the_bytes() {
    let world = world!(sealing: true, rules: RULES);
    let kernel = counted(&world);
    kernel.mkdir("d", 0o755).expect("makes");
    (0..9).for_each(|n| kernel.write(&format!("d/{n}.tif"), &image(100)).expect("writes"));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(kernel.vfs.write_behind(LATEST), 9);
    kernel.write("d/last.tif", &image(200)).expect("now it is large");
    let before = kernel.vfs.figures();
    assert_eq!(kernel.vfs.relieve(900 << 10).files, 9);
    let after = kernel.vfs.figures();
    assert_eq!((after.sealed_files, after.materialized_files), (before.sealed_files, before.materialized_files));
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(kernel.vfs.seal_rested(), 10, "they are sealed all the same, later");
}

#[test]
fn a_writer_that_finds_memory_short_takes_it_from_clean_copies() {
    let world = world!(limit: 16 << 20, rules: "[[rule]]\nmatch = \"**\"\nbackend = \"memory\"");
    let kernel = counted(&world);
    (0..12).for_each(|n| kernel.write(&format!("{n}"), &image(1024)).expect("writes"));
    assert!(kernel.vfs.flush_all(&mut |_| {}).is_empty());
    let before = kernel.vfs.figures().materialized_files;
    kernel.vfs.budget().set_pressed(false);
    let handle = kernel.create("new", 0o644, WRITE).expect("creates");
    (0..8).for_each(|n| kernel.write_at(&handle, n << 20, &image(1024)).expect("writes"));
    assert_eq!(kernel.tier("new"), "memory", "it stays where it is");
    assert_eq!(kernel.vfs.figures().materialized_files, before);
    kernel.close(handle);
}

#[test]
fn a_dataset_that_shrinks_does_not_thrash_and_what_is_sealed_stays_so_until_it_is_rewritten() {
    let world = world!(sealing: true, rules: RULES);
    let kernel = counted(&world);
    kernel.mkdir("d", 0o755).expect("makes");
    for (name, kib) in [("d/a.tif", 600), ("d/b.tif", 300), ("d/c.tif", 200)] {
        kernel.write(name, &image(kib)).expect("writes");
    }
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(kernel.vfs.seal_rested(), 3);
    kernel.unlink("d/c.tif").expect("unlinks");
    assert_eq!(sums(&kernel, "d"), Some((Row::Large, 900 * 1024, 2)), "less than a fifth below the line");
    kernel.write("d/c.tif", &image(10)).expect("writes");
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(kernel.vfs.seal_rested(), 1);
    kernel.unlink("d/b.tif").expect("unlinks");
    assert_eq!(sums(&kernel, "d"), Some((Row::Middle, 610 * 1024, 2)));
    world.clock.advance(Duration::from_secs(11));
    kernel.vfs.write_behind(LATEST);
    assert_eq!(place(&kernel, "d/a.tif").0, "zarr", "nothing is unsealed for that");
    kernel.write("d/a.tif", &image(500)).expect("rewrites");
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(kernel.vfs.seal_rested(), 0);
    assert_eq!(kernel.vfs.write_behind(LATEST), 1);
    assert_eq!(std::fs::read(world.path("d/a.tif")).expect("a plain file"), image(500));
}

#[test]
fn every_way_to_change_a_length_is_counted() {
    let world = world!(rules: RULES);
    std::fs::create_dir(world.path("d")).expect("makes");
    std::fs::write(world.path("d/found"), image(7)).expect("writes");
    let kernel = counted(&world);
    let bytes = |kernel: &Kernel| sums(kernel, "d").expect("known").1;
    assert_eq!(sums(&kernel, "d"), Some((Row::Small, 7 * 1024, 1)));
    kernel.write("d/new", &image(3)).expect("writes");
    assert_eq!(bytes(&kernel), 10 * 1024);
    kernel.truncate("d/new", 1024).expect("cuts");
    assert_eq!(bytes(&kernel), 8 * 1024);
    let handle = kernel.open("d/new", WRITE).expect("opens");
    kernel.write_at(&handle, 0, &image(1)).expect("overwrites");
    assert_eq!(bytes(&kernel), 8 * 1024, "nothing grew");
    kernel.write_at(&handle, 4096, b"x").expect("leaves a hole");
    assert_eq!(bytes(&kernel), 7 * 1024 + 4097);
    kernel.vfs.fallocate(handle.fh, FallocateFlags::empty(), 0, 9000).expect("extends");
    assert_eq!(bytes(&kernel), 7 * 1024 + 9000);
    kernel.vfs.fallocate(handle.fh, FallocateFlags::KEEP_SIZE, 0, 99_000).expect("reserves");
    assert_eq!(bytes(&kernel), 7 * 1024 + 9000);
    kernel.close(handle);
    let handle = kernel.open("d/found", OpenFlags { truncate: true, ..WRITE }).expect("empties");
    assert_eq!(bytes(&kernel), 9000);
    kernel.close(handle);
    kernel.unlink("d/new").expect("unlinks");
    assert_eq!(sums(&kernel, "d"), Some((Row::Small, 0, 1)));
    kernel.unlink("d/found").expect("unlinks");
    assert_eq!(sums(&kernel, "d"), None);
}

#[test]
fn what_the_kernel_writes_by_itself_counts_when_it_is_closed() {
    let rules = "[auto]\nmemory_below = \"100KiB\"\n[[rule]]\nmatch = \"**\"\nbackend = \"disk\"";
    let world = world!(rules: rules, passthrough: true);
    let kernel = counted(&world);
    kernel.mkdir("d", 0o755).expect("makes");
    kernel.write("d/a", &image(200)).expect("writes");
    assert_eq!(sums(&kernel, "d"), Some((Row::Middle, 200 * 1024, 1)));
}

#[test]
fn files_and_directories_that_move_take_their_size_with_them() {
    let world = world!(sealing: true, rules: RULES);
    let kernel = counted(&world);
    for dir in ["a", "b", "a/sub"] {
        kernel.mkdir(dir, 0o755).expect("makes");
    }
    kernel.write("a/1", &image(10)).expect("writes");
    kernel.write("a/sub/2", &image(20)).expect("writes");
    kernel.write("top", &image(1)).expect("writes");
    assert_eq!(sums(&kernel, ""), Some((Row::Small, 1024, 1)), "files at the top are one dataset");
    kernel.rename("a/1", "b/1", RenameMode::Replace).expect("renames");
    assert_eq!((sums(&kernel, "a"), sums(&kernel, "b")), (Some((Row::Small, 20480, 1)), Some((Row::Small, 10240, 1))));
    kernel.rename("top", "b/1", RenameMode::Replace).expect("replaces");
    assert_eq!((sums(&kernel, ""), sums(&kernel, "b")), (None, Some((Row::Small, 1024, 1))));
    let open = kernel.open("a/sub/2", WRITE).expect("opens");
    kernel.rename("a/sub", "b/sub", RenameMode::Replace).expect("renames a directory");
    kernel.vfs.follow_datasets(&go());
    assert_eq!((sums(&kernel, "a"), sums(&kernel, "b")), (None, Some((Row::Small, 21504, 2))));
    kernel.write_at(&open, 20480, &image(1)).expect("grows where it is now");
    kernel.close(open);
    assert_eq!(sums(&kernel, "b"), Some((Row::Small, 22528, 2)));
    kernel.rename("b", "c", RenameMode::Replace).expect("renames a dataset");
    assert_eq!((sums(&kernel, "b"), sums(&kernel, "c")), (None, Some((Row::Small, 22528, 2))));
    kernel.vfs.follow_datasets(&go());
    assert_eq!(sums(&kernel, "c"), Some((Row::Small, 22528, 2)));
    kernel.link("c/1", "c/one").expect("links");
    assert_eq!(recounted(&world, &kernel, "c"), Some((Row::Small, 22528, 2)), "a file of two names is one");
    kernel.unlink("c/1").expect("unlinks");
    kernel.vfs.follow_datasets(&go());
    assert_eq!(sums(&kernel, "c"), Some((Row::Small, 22528, 2)));
}

#[test]
fn directories_that_exchange_their_names_exchange_what_they_add_up_to() {
    let world = world!(sealing: true, rules: RULES);
    let kernel = counted(&world);
    for dir in ["a", "b"] {
        kernel.mkdir(dir, 0o755).expect("makes");
    }
    kernel.write("a/1", &image(10)).expect("writes");
    kernel.rename("a", "b", RenameMode::Exchange).expect("exchanges");
    kernel.vfs.follow_datasets(&go());
    assert_eq!((sums(&kernel, "a"), sums(&kernel, "b")), (None, Some((Row::Small, 10240, 1))));
    kernel.unlink("b/1").expect("a file that knows where it counts goes");
    assert_eq!((sums(&kernel, "a"), sums(&kernel, "b")), (None, None));
    assert_eq!(recounted(&world, &kernel, "b"), None);
}

#[test]
fn a_rule_may_name_datasets_of_its_own() {
    let rules = "[auto]\nmemory_below = \"100KiB\"\n[[rule]]\nmatch = \"**\"\nbackend = \"auto\"\ndataset = \"r/*\"";
    let world = world!(rules: rules);
    let kernel = counted(&world);
    for dir in ["r", "r/p1", "r/p2"] {
        kernel.mkdir(dir, 0o755).expect("makes");
    }
    kernel.write("r/p1/a.tif", &image(150)).expect("writes");
    kernel.write("r/p2/a.tif", &image(50)).expect("writes");
    assert_eq!(sums(&kernel, "r/p1"), Some((Row::Middle, 150 * 1024, 1)));
    assert_eq!(sums(&kernel, "r/p2"), Some((Row::Small, 50 * 1024, 1)));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(kernel.vfs.write_behind(LATEST), 1, "of the larger one alone");
    kernel.rename("r/p2", "r/p3", RenameMode::Replace).expect("renames");
    kernel.vfs.follow_datasets(&go());
    assert_eq!((sums(&kernel, "r/p2"), sums(&kernel, "r/p3")), (None, Some((Row::Small, 50 * 1024, 1))));
}

#[test]
fn found_files_count_but_are_left_alone_whoever_reads_them() {
    let world = world!(sealing: true, rules: RULES, passthrough: true);
    std::fs::create_dir(world.path("p")).expect("makes");
    let names: Vec<String> = (0..12).map(|n| format!("p/{n}.tif")).collect();
    names.iter().for_each(|name| std::fs::write(world.path(name), image(100)).expect("writes"));
    let kernel = counted(&world);
    assert_eq!(sums(&kernel, "p"), Some((Row::Large, 1200 * 1024, 12)));
    for name in &names {
        assert_eq!(kernel.read(name).expect("reads"), image(100));
    }
    kernel.migrate("p/3.tif", Tier::Memory).expect("brings it up");
    kernel.vfs.follow_datasets(&go());
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(kernel.vfs.seal_rested(), 0);
    assert!(kernel.vfs.drain(&mut |_| {}, &go()).is_empty());
    names.iter().for_each(|name| assert_eq!(std::fs::read(world.path(name)).expect("is there"), image(100), "{name}"));
    assert!(world.shelf.names().is_empty());
    let (files, bytes, saves) = kernel.vfs.adoptable();
    assert_eq!((files, bytes), (12, 1200 * 1024));
    assert!(saves.is_some_and(|saves| saves > 0 && saves < bytes), "{saves:?}");
    let reason = kernel.vfs.explain(&rel("p/0.tif")).expect("explains").reason;
    assert!(reason.starts_with("not sealed: it was there before"), "{reason}");
}

#[test]
fn what_is_new_in_a_large_dataset_of_found_files_follows_its_row() {
    let world = world!(sealing: true, rules: RULES);
    std::fs::create_dir(world.path("p")).expect("makes");
    std::fs::write(world.path("p/raw.tif"), image(1100)).expect("writes");
    std::fs::write(world.path("p/again.tif"), image(10)).expect("writes");
    let kernel = counted(&world);
    kernel.write("p/new.tif", &image(1)).expect("writes");
    kernel.write("p/again.tif", &image(2)).expect("rewrites");
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(kernel.vfs.seal_rested(), 2);
    assert_eq!(place(&kernel, "p/new.tif").0, "zarr");
    assert_eq!(place(&kernel, "p/again.tif").0, "zarr", "it was rewritten through the mount");
    assert_eq!(place(&kernel, "p/raw.tif").0, "disk");
}

#[test]
fn found_files_are_sealed_where_their_rule_adopts_them() {
    let world = world!(sealing: true, rules: ADOPTS);
    std::fs::create_dir(world.path("p")).expect("makes");
    std::fs::create_dir(world.path("q")).expect("makes");
    for n in 0..12 {
        std::fs::write(world.path(&format!("p/{n}.tif")), image(100)).expect("writes");
    }
    std::fs::write(world.path("q/small.tif"), image(100)).expect("writes");
    let kernel = counted(&world);
    assert_eq!(kernel.vfs.adoptable(), (0, 0, None), "they are");
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(kernel.vfs.seal_rested(), 12);
    assert_eq!(kernel.read("p/7.tif").expect("reads"), image(100));
    assert_eq!(place(&kernel, "p/7.tif").0, "zarr");
    assert_eq!(place(&kernel, "q/small.tif").0, "disk", "its dataset is not large");
}

#[test]
fn sizes_are_known_again_after_a_kill_with_what_was_only_in_memory_or_in_stores() {
    let world = world!(sealing: true, rules: RULES);
    let kernel = counted(&world);
    kernel.mkdir("d", 0o755).expect("makes");
    for (name, kib) in [("d/a.tif", 900), ("d/b.tif", 300), ("d/c.csv", 7)] {
        kernel.write(name, &image(kib)).expect("writes");
    }
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(kernel.vfs.seal_rested(), 2);
    kernel.write("d/d.tif", &image(50)).expect("writes");
    let before = sums(&kernel, "d");
    drop(kernel);
    let kernel = counted(&world);
    assert_eq!(sums(&kernel, "d"), before);
    assert!(kernel.vfs.drain(&mut |_| {}, &go()).is_empty());
    kernel.vfs.forget_stubs();
    drop(kernel);
    std::fs::create_dir(world.path("d/shelf.ome.zarr")).expect("where the store would be");
    let kernel = counted(&world);
    assert_eq!(sums(&kernel, "d"), before, "from the stores alone");
}

#[test]
fn without_a_configuration_nothing_is_sealed_however_large() {
    let world = world!(sealing: true);
    let kernel = Kernel::new(world.mount().0);
    kernel.mkdir("d", 0o755).expect("makes");
    let handle = kernel.create("d/huge.tif", 0o644, WRITE).expect("creates");
    kernel.write_at(&handle, 11 << 30, b"x").expect("a hole costs nothing");
    kernel.close(handle);
    kernel.write("d/a.tif", &image(10)).expect("writes");
    assert_eq!(sums(&kernel, "d").map(|sums| sums.0), Some(Row::Large));
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(kernel.vfs.seal_rested(), 0);
    let explained = kernel.vfs.explain(&rel("d/a.tif")).expect("explains");
    assert!(explained.reason.contains("sealing is off"), "{}", explained.reason);
    assert_eq!(
        explained.dataset.map(|(_, consequence)| consequence),
        Some("in memory, and written behind to disk at once")
    );
}

#[test]
fn a_file_that_is_being_written_is_not_copied_again_and_again() {
    let world = world!(rules: RULES);
    let kernel = counted(&world);
    kernel.mkdir("d", 0o755).expect("makes");
    let handle = kernel.create("d/log", 0o644, WRITE).expect("creates");
    kernel.write_at(&handle, 0, &image(200)).expect("writes");
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(kernel.vfs.write_behind(LATEST), 0, "it is still open for writing");
    kernel.close(handle);
    assert_eq!(kernel.vfs.write_behind(LATEST), 1);
    kernel.write("d/gone", &image(50)).expect("writes");
    kernel.unlink("d/gone").expect("unlinks");
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(kernel.vfs.write_behind(LATEST), 0, "what was deleted costs nothing");
}

#[test]
fn in_a_job_no_more_is_dirty_than_the_disk_takes_in_time() {
    let rules = "[[rule]]\nmatch = \"s/**\"\nbackend = \"memory\"\ndurability = \"scratch\"\n\
                 [[rule]]\nmatch = \"**\"\nbackend = \"memory\"";
    let world = world!(rules: rules, short_lived: true);
    let kernel = counted(&world);
    kernel.mkdir("s", 0o755).expect("makes");
    for n in 0..10 {
        kernel.write(&format!("{n}"), &image(1024)).expect("writes");
        world.clock.advance(Duration::from_millis(10));
    }
    kernel.write("s/scratch", &image(8192)).expect("writes");
    assert_eq!(kernel.vfs.write_behind(LATEST), 0, "how fast the disk is, nobody knows yet");
    // 20 s at this rate are 5 MiB.
    kernel.vfs.note_rate(8 << 20, Duration::from_secs(32));
    assert_eq!(kernel.vfs.write_bound().bound, Some(5 << 20));
    assert_eq!(kernel.vfs.write_behind(LATEST), 6, "down to four fifths of the bound, the oldest first");
    assert_eq!(kernel.state("5"), "clean");
    assert_eq!(kernel.state("6"), "dirty");
    assert_eq!(kernel.state("s/scratch"), "dirty", "scratch is nobody's loss");
    assert_eq!(kernel.tier("0"), "memory");
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(kernel.vfs.write_behind(LATEST), 4, "and soon in any case");
}

#[test]
fn in_a_job_a_file_that_outgrows_the_bound_goes_on_on_disk() {
    let world = world!(rules: "[[rule]]\nmatch = \"**\"\nbackend = \"memory\"", short_lived: true);
    let kernel = counted(&world);
    kernel.vfs.note_rate(8 << 20, Duration::from_secs(32));
    let handle = kernel.create("a", 0o644, WRITE).expect("creates");
    kernel.write_at(&handle, 0, &image(6 * 1024)).expect("writes");
    assert_eq!(kernel.vfs.write_behind(LATEST), 1);
    assert_eq!(kernel.tier("a"), "disk");
    kernel.write_at(&handle, 6 << 20, b"more").expect("writes on");
    kernel.close(handle);
    assert_eq!(std::fs::metadata(world.path("a")).expect("is there").len(), (6 << 20) + 4);
}

#[test]
fn a_count_that_is_disturbed_is_made_again() {
    let world = world!(rules: RULES);
    std::fs::create_dir(world.path("d")).expect("makes");
    for n in 0..300 {
        std::fs::write(world.path(&format!("d/{n}")), b"0123456789").expect("writes");
    }
    let kernel = Kernel::new(world.mount().0);
    let counting: Arc<_> = kernel.vfs.clone();
    let counter = std::thread::spawn(move || counting.count_tree(&go()));
    for n in 0..200 {
        match n % 3 {
            0 => kernel.write(&format!("d/new{n}"), &image(1)).expect("writes"),
            1 => kernel.unlink(&format!("d/{n}")).expect("unlinks"),
            _ => kernel.write(&format!("d/{n}"), &image(2)).expect("rewrites"),
        }
    }
    counter.join().expect("counts");
    world.clock.advance(Duration::from_secs(120));
    kernel.vfs.follow_datasets(&go());
    let (mut bytes, mut files) = (0, 0);
    for entry in kernel.list("d").expect("lists") {
        bytes += kernel.stat(&format!("d/{}", entry.0.to_string_lossy())).expect("stats").size;
        files += 1;
    }
    assert_eq!(sums(&kernel, "d").map(|(_, bytes, files)| (bytes, files)), Some((bytes, files)));
    let reader = kernel.open("d/2", READ).expect("opens");
    kernel.close(reader);
}

#[test]
fn what_another_size_would_have_spared_is_noticed() {
    let world = world!(sealing: true, rules: RULES);
    let kernel = counted(&world);
    kernel.mkdir("d", 0o755).expect("makes");
    for n in 0..3 {
        kernel.write(&format!("d/{n}.tif"), &image(60)).expect("writes");
    }
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(kernel.vfs.write_behind(LATEST), 3, "beyond memory_below");
    kernel.unlink("d/0.tif").expect("removes");
    kernel.write("d/1.tif", &image(60)).expect("writes again");
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(kernel.vfs.write_behind(LATEST), 1);
    let seen = kernel.vfs.observed();
    let [(_, tally)] = &seen.groups[..] else { panic!("{:?}", seen.groups) };
    let past = &tally.past_memory_below;
    assert_eq!((past.amount.files(), past.amount.bytes()), (2, 2 * 60 * KIB as u64), "one replaced, one deleted");
    assert_eq!(past.most.load(std::sync::atomic::Ordering::Relaxed), 3 * 60 * KIB as u64);
    assert_eq!(tally.past_zarr_above.amount.files(), 0);
}
