//! Files found by what they are, and what was noticed of them.

use std::time::Duration;

use scopefs::model::{RelPath, State, Tier};
use scopefs::route::NameGlob;
use scopefs::vfs::{Found, Query, RenameMode, Sort};

use crate::sealing::{WRITE, image, sealing_world, with_sealed};
use crate::support::Kernel;
use crate::world;

fn path(text: &str) -> RelPath {
    RelPath::from_bytes(text.as_bytes()).expect("relative")
}

fn all(kernel: &Kernel, query: &Query) -> Vec<Found> {
    let mut all = Vec::new();
    let told = kernel.vfs.find_files(query, &mut |found| all.extend(found)).expect("finds");
    assert_eq!(told.files, all.len() as u64);
    assert_eq!(told.bytes, all.iter().map(|file| file.size).sum::<u64>());
    all
}

fn names(kernel: &Kernel, query: &Query) -> Vec<String> {
    all(kernel, query).iter().map(|file| file.path.as_path().display().to_string()).collect()
}

fn sorted(kernel: &Kernel, query: &Query) -> Vec<String> {
    let mut names = names(kernel, query);
    names.sort();
    names
}

/// Two files in memory, of which one is clean, and one on disk.
fn three(kernel: &Kernel) {
    kernel.mkdir("d", 0o755).expect("makes");
    for (name, len) in [("d/dirty", 30), ("d/clean", 20), ("disk", 10)] {
        kernel.write(name, &vec![1; len]).expect("writes");
    }
    kernel.migrate("disk", Tier::Disk).expect("moves");
    kernel.migrate("d/clean", Tier::Disk).expect("moves");
    kernel.migrate("d/clean", Tier::Memory).expect("moves");
}

#[test]
fn each_tier_and_state_has_its_files() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    three(&kernel);
    let state = |state| Query { state: Some(state), ..Query::default() };
    let tier = |tier| Query { tier: Some(tier), ..Query::default() };
    assert_eq!(sorted(&kernel, &Query::default()), ["d/clean", "d/dirty", "disk"]);
    assert_eq!(sorted(&kernel, &state(State::Dirty)), ["d/dirty"]);
    assert_eq!(sorted(&kernel, &state(State::Clean)), ["d/clean", "disk"]);
    assert_eq!(sorted(&kernel, &tier(Tier::Memory)), ["d/clean", "d/dirty"]);
    assert_eq!(sorted(&kernel, &tier(Tier::Disk)), ["disk"]);
    assert!(names(&kernel, &tier(Tier::Zarr)).is_empty());
}

#[test]
fn sizes_names_datasets_and_directories_narrow_it_down() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    three(&kernel);
    let size = |least, most| Query { at_least: least, at_most: most, ..Query::default() };
    assert_eq!(sorted(&kernel, &size(Some(20), None)), ["d/clean", "d/dirty"]);
    assert_eq!(sorted(&kernel, &size(Some(20), Some(20))), ["d/clean"]);
    let glob = NameGlob::new("d*").expect("valid");
    assert_eq!(sorted(&kernel, &Query { name: Some(glob), ..Query::default() }), ["d/dirty", "disk"]);
    assert_eq!(sorted(&kernel, &Query { dataset: Some(path("d")), ..Query::default() }), ["d/clean", "d/dirty"]);
    let under = |paths: &[&str]| Query { under: paths.iter().map(|text| path(text)).collect(), ..Query::default() };
    assert_eq!(sorted(&kernel, &under(&["d/dirty", "disk"])), ["d/dirty", "disk"]);
    assert_eq!(sorted(&kernel, &under(&["d", "d/dirty"])), ["d/clean", "d/dirty"], "each is told once");
    assert!(kernel.vfs.find_files(&under(&["nothing"]), &mut |_| {}).is_err());
}

#[test]
fn the_order_holds_over_all_tiers_and_a_limit_keeps_the_first() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    three(&kernel);
    let by = |sort, limit| Query { sort: Some(sort), limit: Some(limit), ..Query::default() };
    assert_eq!(names(&kernel, &by(Sort::Size, 2)), ["d/dirty", "d/clean"]);
    assert_eq!(names(&kernel, &by(Sort::Path, 9)), ["d/clean", "d/dirty", "disk"]);
    assert_eq!(names(&kernel, &by(Sort::Age, 9)).len(), 3);
    assert_eq!(names(&kernel, &Query { limit: Some(1), ..Query::default() }).len(), 1);
}

#[test]
fn ages_are_those_of_the_contents() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    three(&kernel);
    let hour = Some(Duration::from_secs(3600));
    assert!(names(&kernel, &Query { older: hour, ..Query::default() }).is_empty());
    assert_eq!(names(&kernel, &Query { newer: hour, ..Query::default() }).len(), 3);
}

#[test]
fn a_renamed_directory_takes_its_files_along() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    three(&kernel);
    kernel.rename("d", "e", RenameMode::Replace).expect("renames");
    let query = Query { tier: Some(Tier::Memory), ..Query::default() };
    assert_eq!(sorted(&kernel, &query), ["e/clean", "e/dirty"]);
}

#[test]
fn a_directory_of_a_memory_full_of_files_is_looked_at_by_itself() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    kernel.mkdir("few", 0o755).expect("makes");
    kernel.mkdir("many", 0o755).expect("makes");
    kernel.write("few/a", b"a").expect("writes");
    kernel.link("few/a", "few/b").expect("links");
    for n in 0..5000 {
        kernel.write(&format!("many/{n}"), b"").expect("writes");
    }
    let under = |dir: &str| Query { under: vec![path(dir)], ..Query::default() };
    assert_eq!(names(&kernel, &under("few")), ["few/a"], "once, whatever its names");
    assert_eq!(names(&kernel, &under("few/b")), ["few/b"]);
    assert_eq!(names(&kernel, &under("many")).len(), 5000);
}

#[test]
fn what_was_changed_behind_the_mount_is_told_as_it_is_now() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    three(&kernel);
    std::fs::write(world.path("d/clean"), vec![2; 77]).expect("writes");
    let found = all(&kernel, &Query { under: vec![path("d/clean")], ..Query::default() });
    assert_eq!(found.iter().map(|file| (file.tier, file.size)).collect::<Vec<_>>(), [(Tier::Disk, 77)]);
    std::fs::remove_file(world.path("disk")).expect("removes");
    assert!(
        names(&kernel, &Query { tier: Some(Tier::Disk), name: NameGlob::new("disk").ok(), ..Query::default() })
            .is_empty()
    );
}

#[test]
fn sealed_files_are_found_before_anybody_has_looked_into_their_directory() {
    let world = sealing_world!();
    let kernel = crate::sealing::remount(&world, with_sealed(&world));
    let sealed = Query { state: Some(State::Sealed), ..Query::default() };
    let found = all(&kernel, &sealed);
    assert_eq!(
        found.iter().map(|file| (file.path.clone(), file.tier)).collect::<Vec<_>>(),
        [(path("d/a"), Tier::Zarr)]
    );
    assert_eq!(kernel.read("d/a").expect("reads"), image(3));
    assert_eq!(all(&kernel, &sealed).len(), 1, "nor is it found twice afterwards");
    let handle = kernel.open("d/a", WRITE).expect("opens");
    kernel.write_at(&handle, 0, b"new").expect("writes");
    assert!(all(&kernel, &sealed).is_empty());
    assert_eq!(names(&kernel, &Query { state: Some(State::Dirty), ..Query::default() }), ["d/a"]);
    kernel.close(handle);
}

#[test]
fn writing_home_for_nothing_is_noticed() {
    let world = world!(rules: "[[rule]]\nmatch = \"**\"\nbackend = \"memory\"\nwrite_behind = \"10s\"");
    let kernel = Kernel::new(world.mount().0);
    kernel.mkdir("tmp", 0o755).expect("makes");
    for n in 0..3 {
        kernel.write(&format!("tmp/{n}.tif"), &[1; 100]).expect("writes");
    }
    kernel.unlink("tmp/0.tif").expect("removes");
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(kernel.vfs.write_behind(Duration::from_secs(300)), 2);
    kernel.unlink("tmp/1.tif").expect("removes");
    world.clock.advance(Duration::from_secs(9));
    kernel.write("tmp/2.tif", &[2; 50]).expect("writes again");
    let seen = kernel.vfs.observed();
    assert_eq!(seen.spared, (1, 100));
    let [(group, tally)] = &seen.groups[..] else { panic!("{:?}", seen.groups) };
    assert_eq!((group.dataset.clone(), group.ending.as_str()), (path("tmp"), "tif"));
    assert_eq!((tally.brought_home.files(), tally.brought_home.bytes()), (2, 200));
    assert_eq!((tally.deleted_after.files(), tally.deleted_after.bytes()), (1, 100));
    assert_eq!(tally.written_early.files(), 1);
    assert_eq!(tally.written_early_idle.load(std::sync::atomic::Ordering::Relaxed), 20_000);
}

#[test]
fn what_left_memory_and_came_back_is_noticed() {
    let world = world!();
    let kernel = Kernel::new(world.mount().0);
    for n in 0..4 {
        kernel.write(&format!("{n}.tif"), &[1; 8192]).expect("writes");
        world.clock.advance(Duration::from_secs(1));
    }
    kernel.vfs.relieve(16384);
    assert_eq!(kernel.vfs.observed().evicted, (2, 16384));
    kernel.read("0.tif").expect("reads");
    kernel.read("3.tif").expect("reads");
    let returned = kernel.vfs.observed().returned;
    assert_eq!((returned.files, returned.bytes, returned.missing), (1, 8192, 16384));
}

#[test]
fn a_seal_that_came_too_early_is_noticed() {
    let world = sealing_world!();
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a.tif", &image(3)).expect("writes");
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(kernel.vfs.seal_rested(), 1);
    world.clock.advance(Duration::from_secs(20));
    kernel.write("a.tif", &image(4)).expect("writes again");
    let seen = kernel.vfs.observed();
    let [(_, tally)] = &seen.groups[..] else { panic!("{:?}", seen.groups) };
    assert_eq!((tally.unsealed.files(), tally.unsealed.bytes()), (1, 200));
    assert_eq!(tally.unsealed_rest.load(std::sync::atomic::Ordering::Relaxed), 31_000);
}

#[test]
fn a_large_workspace_is_listed_once_and_followed_from_then_on() {
    let world = world!(rules: "[[rule]]\nmatch = \"**\"\nbackend = \"disk\"");
    for dir in 0..26 {
        std::fs::create_dir(world.path(&format!("{dir}"))).expect("makes");
        for file in 0..2000 {
            let size = if file == 0 && dir < 5 { 5000 + dir } else { 0 };
            std::fs::write(world.path(&format!("{dir}/{file}")), vec![0; size]).expect("writes");
        }
    }
    let kernel = Kernel::new(world.mount().0);
    let open = kernel.open("9/9", WRITE).expect("opens");
    kernel.vfs.count_tree(&std::sync::atomic::AtomicBool::new(false));
    let large = Query { at_least: Some(1000), ..Query::default() };
    assert_eq!(sorted(&kernel, &large), ["0/0", "1/0", "2/0", "3/0", "4/0"]);
    let largest = Query { sort: Some(Sort::Size), limit: Some(2), ..Query::default() };
    assert_eq!(names(&kernel, &largest), ["4/0", "3/0"]);
    // Everything that a program can do to a file's name or size.
    kernel.rename("4", "moved", RenameMode::Replace).expect("renames");
    kernel.write("moved/1", &[1; 6000]).expect("grows");
    kernel.write("5/new", &[1; 7000]).expect("makes");
    kernel.unlink("0/0").expect("removes");
    kernel.truncate("1/0", 10).expect("cuts");
    kernel.rename("2/0", "2/other", RenameMode::Replace).expect("renames");
    kernel.link("3/0", "3/again").expect("links");
    kernel.write_at(&open, 0, &[1; 2000]).expect("an open file grows");
    kernel.close(open);
    let now = ["2/other", "3/0", "3/again", "5/new", "9/9", "moved/0", "moved/1"];
    assert_eq!(sorted(&kernel, &large), now);
    assert_eq!(names(&kernel, &largest), ["5/new", "moved/1"]);
    let part = Query { under: vec![path("moved")], ..large.clone() };
    assert_eq!(sorted(&kernel, &part), ["moved/0", "moved/1"]);
    // What others change is looked at before it is told; what they make is known to the next mount.
    std::fs::write(world.path("3/0"), b"short").expect("writes");
    std::fs::write(world.path("7/7"), vec![0; 9000]).expect("writes");
    assert_eq!(sorted(&kernel, &large), ["2/other", "5/new", "9/9", "moved/0", "moved/1"]);
    let every = Query { name: NameGlob::new("7/7").ok(), ..Query::default() };
    assert_eq!(names(&kernel, &every), ["7/7"], "without a bound the directories are asked");
}
