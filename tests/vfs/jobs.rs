//! Jobs and pins over the file system: what moves, what is held, what is brought back, what stays.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use scopefs::materialize::jobs::{Busy, Job, JobError, Jobs, Order, Snapshot, State, Target, Task, Why};
use scopefs::model::{RelPath, Tier};
use scopefs::route::PathGlob;
use scopefs::vfs::{OpenFlags, Outlook, Pin, PinError, RenameMode};

use crate::sealing::{READ, RULES, WRITE, image};
use crate::support::{Kernel, NOT_AN_IMAGE, World};
use crate::world;

fn rel(path: &str) -> RelPath {
    RelPath::from_bytes(path.as_bytes()).expect("relative")
}

fn own_dir(world: &World) -> OwnedFd {
    std::fs::create_dir_all(world.path(".scopefs")).expect("makes");
    std::fs::File::open(world.path(".scopefs")).expect("opens").into()
}

fn jobs(world: &World, kernel: &Kernel) -> Jobs {
    Jobs::new(kernel.vfs.clone(), Some(own_dir(world)))
}

fn migrate(path: &str, to: Tier, busy: Busy) -> Order {
    Order { task: Task::Migrate(to), targets: vec![Target::Tree(rel(path))], busy }
}

fn ended(job: Result<Arc<Job>, JobError>) -> Snapshot {
    job.expect("begins").follow(&mut |_| {})
}

/// Twelve files in two directories, in memory.
fn with_tree(world: &World) -> Kernel {
    let kernel = Kernel::new(world.mount().0);
    for dir in ["t", "t/a", "t/b", "elsewhere"] {
        kernel.mkdir(dir, 0o755).expect("makes");
    }
    for path in paths() {
        kernel.write(&path, &image(path.len() as u8)).expect("writes");
    }
    kernel.write("elsewhere/x", b"x").expect("writes");
    kernel
}

fn paths() -> Vec<String> {
    (0..12).map(|n| format!("t/{}/{n}", if n % 2 == 0 { "a" } else { "b" })).collect()
}

fn tiers(kernel: &Kernel) -> Vec<String> {
    paths().iter().map(|path| kernel.tier(path)).collect()
}

fn all_in(kernel: &Kernel, tier: &str) -> bool {
    tiers(kernel).iter().all(|found| found == tier)
        && paths().iter().all(|path| kernel.read(path) == Ok(image(path.len() as u8)))
}

#[test]
fn a_tree_moves_to_each_tier_and_nothing_else_does() {
    let world = world!(sealing: true);
    let kernel = with_tree(&world);
    let jobs = jobs(&world, &kernel);
    for tier in [Tier::Disk, Tier::Memory, Tier::Zarr, Tier::Disk, Tier::Zarr, Tier::Memory] {
        let end = ended(jobs.start(migrate("t", tier, Busy::Tell)));
        assert_eq!(
            (end.state, end.counts.moved_files, end.counts.of_files, end.counts.bytes),
            (State::Done, 12, 12, 2400),
            "{end:?}"
        );
        assert!(all_in(&kernel, tier.as_str()), "{tier}: {:?}", tiers(&kernel));
        assert_eq!(kernel.tier("elsewhere/x"), "memory");
    }
    let end = ended(jobs.start(migrate("t", Tier::Memory, Busy::Tell)));
    assert_eq!((end.state, end.counts.moved_files, end.counts.already), (State::Done, 0, 12));
    assert!(world.leftovers().is_empty());
}

#[test]
fn a_job_brings_back_what_it_moved_to_where_it_was() {
    let world = world!(sealing: true);
    let kernel = with_tree(&world);
    let jobs = jobs(&world, &kernel);
    for (n, path) in paths().iter().enumerate() {
        kernel.migrate(path, [Tier::Memory, Tier::Disk, Tier::Zarr][n % 3]).expect("moves");
    }
    let before = tiers(&kernel);
    let end = ended(jobs.start(migrate("t", Tier::Disk, Busy::Tell)));
    assert_eq!((end.state, end.counts.moved_files, end.counts.already), (State::Done, 8, 4));
    kernel.unlink(&paths()[2]).expect("unlinks");
    let back = ended(jobs.rollback(end.id, Busy::Tell));
    assert_eq!((back.state, back.counts.moved_files, back.counts.gone), (State::RolledBack, 7, 1), "{back:?}");
    kernel.write(&paths()[2], &image(5)).expect("writes");
    kernel.migrate(&paths()[2], Tier::Zarr).expect("seals");
    assert_eq!(tiers(&kernel), before);
    assert!(matches!(jobs.rollback(end.id, Busy::Tell), Err(JobError::Over { .. })));
    assert!(matches!(jobs.resume(99, Busy::Tell), Err(JobError::Unknown(99))));
}

#[test]
fn a_file_that_the_kernel_serves_is_told_passed_over_or_waited_for() {
    let world = world!(passthrough: true);
    let kernel = with_tree(&world);
    let jobs = jobs(&world, &kernel);
    let held = paths().remove(0);
    let open = kernel.open(&held, READ).expect("opens");
    assert_eq!(kernel.vfs.outlook(&rel(&held), Tier::Disk).expect("looks"), Outlook::Held);
    let end = ended(jobs.start(migrate("t", Tier::Disk, Busy::Tell)));
    assert_eq!((end.state, end.counts.moved_files, end.counts.held), (State::Incomplete, 11, 1), "{end:?}");
    let trouble = end.troubles.first().expect("it is named");
    assert_eq!((trouble.path.clone(), trouble.why, trouble.tier), (rel(&held), Why::Held, Some(Tier::Memory)));
    let skipped = ended(jobs.resume(end.id, Busy::Skip));
    assert_eq!((skipped.state, skipped.counts.held), (State::Done, 1));
    let waiting = jobs.start(migrate("t", Tier::Disk, Busy::Wait(None))).expect("begins");
    let mut open = Some(open);
    let end = waiting.follow(&mut |now| {
        if now.counts.waiting > 0
            && let Some(open) = open.take()
        {
            kernel.close(open);
        }
    });
    assert_eq!((end.state, end.counts.moved_files), (State::Done, 1), "{end:?}");
    assert!(open.is_none() && all_in(&kernel, "disk"));
}

#[test]
fn a_job_waits_for_a_file_no_longer_than_it_was_told() {
    let world = world!(passthrough: true);
    let kernel = with_tree(&world);
    let open = kernel.open(&paths()[0], READ).expect("opens");
    let job = jobs(&world, &kernel).start(migrate("t", Tier::Disk, Busy::Wait(Some(Duration::from_millis(30)))));
    let end = ended(job);
    assert_eq!((end.state, end.counts.held), (State::Incomplete, 1));
    kernel.close(open);
}

#[test]
fn what_is_no_image_stays_and_is_named_with_the_reason() {
    let world = world!(sealing: true);
    let kernel = with_tree(&world);
    kernel.write("t/notes", NOT_AN_IMAGE).expect("writes");
    let end = ended(jobs(&world, &kernel).start(migrate("t", Tier::Zarr, Busy::Tell)));
    assert_eq!((end.state, end.counts.moved_files, end.counts.stays), (State::Done, 12, 1), "{end:?}");
    let trouble = end.troubles.first().expect("it is named");
    assert!(trouble.path == rel("t/notes") && trouble.why == Why::Stays && trouble.cause.contains("plain"));
    assert_eq!(kernel.read("t/notes").expect("reads"), NOT_AN_IMAGE);
}

#[test]
fn a_glob_moves_what_it_matches() {
    let world = world!();
    let kernel = with_tree(&world);
    let glob = Target::Glob(PathGlob::new("t/*/[02468]").expect("a glob"));
    let order = Order { task: Task::Migrate(Tier::Disk), targets: vec![glob], busy: Busy::Tell };
    let end = ended(jobs(&world, &kernel).start(order));
    assert_eq!((end.state, end.counts.moved_files), (State::Done, 5));
    let on_disk: Vec<String> = paths().into_iter().filter(|path| kernel.tier(path) == "disk").collect();
    assert_eq!(on_disk, ["t/a/0", "t/a/2", "t/a/4", "t/a/6", "t/a/8"]);
}

#[test]
fn a_job_of_a_daemon_that_died_is_interrupted_and_goes_on_or_back() {
    for back in [false, true] {
        let world = world!(passthrough: true);
        let kernel = with_tree(&world);
        let held = paths().remove(3);
        let open = kernel.open(&held, READ).expect("opens");
        let order = migrate("t", Tier::Disk, Busy::Wait(None));
        let first = jobs(&world, &kernel);
        let job = first.start(order).expect("begins");
        let mut moved = 0;
        // All but one have moved, and the job waits; then there is nobody to note its end.
        while job.snapshot().counts.waiting == 0 {
            std::thread::yield_now();
            moved = job.snapshot().counts.moved_files;
        }
        assert!(moved <= 11);
        let record = std::fs::read(world.path(".scopefs/job-1")).expect("reads");
        first.suspend();
        assert_eq!(job.snapshot().state, State::Interrupted);
        drop((first, job, open));
        std::fs::write(world.path(".scopefs/job-1"), record).expect("as a killed daemon leaves it");
        drop(kernel);

        let kernel = Kernel::new(world.mount().0);
        let jobs = jobs(&world, &kernel);
        let found = jobs.list().pop().expect("it is known");
        assert_eq!((found.id, found.state, found.targets), (1, State::Interrupted, vec!["t".to_owned()]));
        assert!(paths().iter().all(|path| kernel.read(path) == Ok(image(path.len() as u8))));
        let end = ended(if back { jobs.rollback(1, Busy::Wait(None)) } else { jobs.resume(1, Busy::Wait(None)) });
        assert_eq!(end.state, if back { State::RolledBack } else { State::Done }, "{end:?}");
        assert!(all_in(&kernel, if back { "memory" } else { "disk" }), "{:?}", tiers(&kernel));
        jobs.forget_ended();
        assert!(jobs.list().is_empty() && !world.path(".scopefs/job-1").exists());
    }
}

#[test]
fn a_cancelled_job_leaves_each_file_whole_and_can_go_on() {
    let world = world!(passthrough: true);
    let kernel = with_tree(&world);
    let jobs = jobs(&world, &kernel);
    let open = kernel.open(&paths()[0], READ).expect("opens");
    let job = jobs.start(migrate("t", Tier::Disk, Busy::Wait(None))).expect("begins");
    let id = job.snapshot().id;
    while job.snapshot().counts.waiting == 0 {
        std::thread::yield_now();
    }
    assert!(matches!(jobs.resume(id, Busy::Tell), Err(JobError::Active(_))));
    let end = ended(jobs.cancel(id));
    assert_eq!(end.state, State::Cancelled);
    assert!(matches!(jobs.cancel(id), Err(JobError::Idle(_))));
    kernel.close(open);
    assert_eq!(ended(jobs.resume(id, Busy::Tell)).state, State::Done);
    assert!(all_in(&kernel, "disk"));
}

#[test]
fn a_third_job_waits_until_another_has_ended() {
    let world = world!(passthrough: true);
    let kernel = with_tree(&world);
    let jobs = jobs(&world, &kernel);
    let open = kernel.open(&paths()[0], READ).expect("opens");
    let order = || migrate("t", Tier::Disk, Busy::Wait(None));
    let running: Vec<_> = (0..2).map(|_| jobs.start(order()).expect("begins")).collect();
    while running.iter().any(|job| job.snapshot().counts.waiting == 0) {
        std::thread::yield_now();
    }
    let third = jobs.start(order()).expect("is queued");
    assert_eq!(third.snapshot().state, State::Queued);
    assert_eq!(ended(jobs.cancel(third.snapshot().id)).state, State::Cancelled);
    kernel.close(open);
    assert!(running.into_iter().all(|job| job.follow(&mut |_| {}).state == State::Done));
}

#[test]
fn nothing_moves_while_the_mount_ends() {
    let world = world!();
    let kernel = with_tree(&world);
    let jobs = jobs(&world, &kernel);
    kernel.vfs.set_draining(true);
    assert!(matches!(jobs.start(migrate("t", Tier::Disk, Busy::Tell)), Err(JobError::NotNow(_))));
}

#[test]
fn what_has_no_room_in_memory_stays_on_disk() {
    let world = world!(limit: 1 << 20);
    let kernel = with_tree(&world);
    std::fs::write(world.path("t/big"), vec![1; 2 << 20]).expect("writes");
    let end = ended(jobs(&world, &kernel).start(migrate("t", Tier::Memory, Busy::Tell)));
    assert_eq!((end.state, end.counts.failed, end.counts.already), (State::Incomplete, 1, 12), "{end:?}");
    assert!(end.troubles.first().is_some_and(|trouble| trouble.cause.contains("no room")));
    assert_eq!(kernel.tier("t/big"), "disk");
}

// ---- pins

const LIMIT: u64 = 16 << 20;

fn big(kernel: &Kernel, path: &str) {
    kernel.write(path, &vec![7; 1 << 20]).expect("writes");
}

#[test]
fn a_pinned_tree_is_not_evicted_and_takes_in_later_files() {
    let world = world!(limit: LIMIT);
    let kernel = Kernel::new(world.mount().0);
    kernel.mkdir("hot", 0o755).expect("makes");
    big(&kernel, "hot/a");
    kernel.vfs.pin(&[rel("hot")], Pin::Memory).expect("fits");
    big(&kernel, "hot/b");
    big(&kernel, "cold");
    kernel.vfs.relieve(u64::MAX);
    assert_eq!([kernel.tier("hot/a"), kernel.tier("hot/b"), kernel.tier("cold")], ["memory", "memory", "disk"]);
    assert!(kernel.vfs.explain(&rel("hot/a")).expect("explains").reason.starts_with("pinned in memory with hot"));
    let figures = kernel.vfs.figures();
    assert_eq!((figures.pinned_files, figures.pinned_bytes), (2, 2 << 20));
    kernel.vfs.unpin(&rel("hot")).expect("unpins");
    kernel.vfs.relieve(u64::MAX);
    assert_eq!(kernel.tier("hot/a"), "disk");
}

#[test]
fn pinned_files_are_written_behind_and_stay_in_memory() {
    let world = world!(limit: LIMIT, sealing: true, rules: RULES);
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", &image(3)).expect("writes");
    kernel.vfs.pin(&[rel("a")], Pin::Memory).expect("fits");
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(kernel.vfs.seal_rested(), 1);
    assert_eq!((kernel.tier("a"), kernel.state("a")), ("memory".into(), "clean".into()));
    assert_eq!(kernel.read("a").expect("reads"), image(3));
    kernel.vfs.relieve(u64::MAX);
    assert_eq!(kernel.tier("a"), "memory");
    kernel.write("b", b"text").expect("writes");
    kernel.vfs.pin(&[rel("b")], Pin::Memory).expect("fits");
    let open = kernel.open("b", WRITE).expect("opens");
    for _ in 0..3 {
        kernel.write_at(&open, 0, b"more").expect("writes");
        kernel.fsync(&open).expect("syncs");
    }
    kernel.close(open);
    assert_eq!(kernel.tier("b"), "memory", "what is synced again and again stays all the same");
    assert_eq!(std::fs::read(world.path("b")).expect("it is on disk too"), b"more");
}

#[test]
fn what_is_pinned_out_of_memory_leaves_it_and_stays_out() {
    let world = world!(limit: LIMIT);
    let kernel = Kernel::new(world.mount().0);
    kernel.mkdir("cold", 0o755).expect("makes");
    big(&kernel, "cold/a");
    kernel.vfs.pin(&[rel("cold")], Pin::Never).expect("pins");
    let order = Order { task: Task::Leave, targets: vec![Target::Tree(rel("cold"))], busy: Busy::Tell };
    let end = ended(jobs(&world, &kernel).start(order));
    assert_eq!((end.state, end.counts.moved_files), (State::Done, 1), "{end:?}");
    big(&kernel, "cold/b");
    let rewrite = OpenFlags { truncate: true, ..WRITE };
    kernel.close(kernel.open("cold/a", rewrite).expect("opens"));
    assert_eq!([kernel.tier("cold/a"), kernel.tier("cold/b")], ["disk", "disk"]);
    let error = kernel.migrate("cold/a", Tier::Memory).expect_err("it may not");
    assert!(error.to_string().contains("pinned never"), "{error}");
    assert_eq!(kernel.vfs.outlook(&rel("cold/a"), Tier::Disk).expect("looks"), Outlook::There);
}

#[test]
fn a_pinned_file_does_not_move_on_request() {
    let world = world!(limit: LIMIT);
    let kernel = with_tree(&world);
    kernel.vfs.pin(&[rel("t/a")], Pin::Memory).expect("fits");
    let end = ended(jobs(&world, &kernel).start(migrate("t", Tier::Disk, Busy::Tell)));
    assert_eq!((end.counts.moved_files, end.counts.stays), (6, 6), "{end:?}");
    assert!(end.troubles.iter().all(|trouble| trouble.cause.contains("unpin it first")));
    assert!(matches!(kernel.vfs.outlook(&rel("t/a/0"), Tier::Disk).expect("looks"), Outlook::Stays(_)));
}

#[test]
fn a_pin_that_does_not_fit_is_refused_with_figures() {
    let world = world!(limit: LIMIT);
    let kernel = Kernel::new(world.mount().0);
    std::fs::write(world.path("big"), vec![0; 12 << 20]).expect("writes");
    big(&kernel, "small");
    kernel.vfs.pin(&[rel("small")], Pin::Memory).expect("fits");
    let refused = kernel.vfs.pin(&[rel("big"), rel("small")], Pin::Memory).expect_err("does not fit");
    let PinError::TooLarge { need, most, pinned, limit, .. } = refused else { panic!("{refused}") };
    assert_eq!((need, pinned, limit), (12 << 20, 1 << 20, LIMIT));
    assert!(most < 12 << 20 && refused.to_string().contains("need 12.0 MiB"), "{refused}");
    assert_eq!(kernel.vfs.pins(), [(rel("small"), Pin::Memory)], "nothing of it was pinned");
    assert!(matches!(kernel.vfs.unpin(&rel("big")), Err(PinError::NotPinned)));
    assert!(kernel.vfs.pin(&[rel("missing")], Pin::Memory).is_err());
}

#[test]
fn a_pinned_tree_may_take_less_than_one_that_is_nested_in_it_needs() {
    let world = world!(limit: LIMIT);
    let kernel = with_tree(&world);
    std::fs::write(world.path("t/a/huge"), vec![0; 64 << 20]).expect("writes");
    assert!(kernel.vfs.pin(&[rel("t")], Pin::Memory).is_err());
    kernel.vfs.pin(&[rel("t/a/huge")], Pin::Never).expect("pins");
    kernel.vfs.pin(&[rel("t")], Pin::Memory).expect("what may not enter does not count");
    assert!(matches!(kernel.vfs.unpin(&rel("t/b")), Err(PinError::Above(above)) if above == rel("t")));
    assert_eq!(kernel.vfs.unpin(&rel("t")).expect("unpins"), 2);
}

#[test]
fn pins_follow_names_and_hold_again_at_the_next_mount() {
    let world = world!(limit: LIMIT);
    let kernel = with_tree(&world);
    kernel.vfs.pin(&[rel("t/a"), rel("elsewhere/x")], Pin::Memory).expect("fits");
    kernel.rename("t/a", "moved", RenameMode::Replace).expect("renames");
    kernel.write("new", b"new").expect("writes");
    kernel.rename("new", "elsewhere/x", RenameMode::Replace).expect("replaces");
    drop(kernel);
    let kernel = Kernel::new(world.mount().0);
    assert_eq!(kernel.vfs.pins(), [(rel("elsewhere/x"), Pin::Memory), (rel("moved"), Pin::Memory)]);
    for path in ["moved/0", "elsewhere/x"] {
        kernel.vfs.relieve(u64::MAX);
        assert_eq!(kernel.tier(path), "memory", "{path}");
    }
    kernel.unlink("elsewhere/x").expect("unlinks");
    kernel.write("elsewhere/x", b"another").expect("writes");
    assert_eq!(kernel.vfs.pins(), [(rel("moved"), Pin::Memory)]);
    kernel.vfs.unpin(&rel("moved")).expect("unpins");
    assert!(!world.path(".scopefs/pins").exists(), "no list is left where nothing is pinned");
}

#[test]
fn what_is_pinned_comes_up_after_a_mount() {
    let world = world!(limit: LIMIT);
    let kernel = with_tree(&world);
    kernel.vfs.pin(&[rel("t")], Pin::Memory).expect("fits");
    assert!(kernel.vfs.drain(&mut |_| {}, &std::sync::atomic::AtomicBool::new(false)).is_empty());
    drop(kernel);
    let kernel = Kernel::new(world.mount().0);
    assert!(all_in(&kernel, "disk"), "the end of a mount empties memory, pins or not");
    let jobs = jobs(&world, &kernel);
    jobs.raise_pins();
    let job = jobs.get(jobs.list().pop().expect("it has begun").id);
    assert_eq!(ended(job).state, State::Done);
    assert!(all_in(&kernel, "memory"));
}
