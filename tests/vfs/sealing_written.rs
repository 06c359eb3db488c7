//! Files that are sealed while somebody writes to them: a store gets the version of one moment, and nobody waits.

use std::time::Duration;

use crate::sealing::{WRITE, image, place, remount, sealing_world};
use crate::support::{Handle, Kernel, World};
use crate::world;

const LATEST: Duration = Duration::from_secs(300);

fn large(seed: u8) -> Vec<u8> {
    image(seed).repeat(100)
}

/// A file that was never written home, and that somebody has had open for writing for too long.
fn held(world: &World) -> (Kernel, Handle) {
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", &large(3)).expect("writes");
    let handle = kernel.open("a", WRITE).expect("opens");
    world.clock.advance(Duration::from_secs(301));
    (kernel, handle)
}

#[test]
fn what_somebody_writes_to_all_the_time_is_sealed_as_it_was_at_one_moment() {
    let world = sealing_world!();
    let (kernel, handle) = held(&world);
    assert_eq!(kernel.vfs.write_behind(LATEST), 1);
    assert!(!world.path("a").exists(), "no plain copy beside");
    assert_eq!(world.shelf.bytes("a"), Some(large(3)));
    assert_eq!(place(&kernel, "a"), ("memory".to_owned(), "dirty".to_owned()), "its writer goes on");
    assert_eq!(kernel.vfs.write_behind(LATEST), 0, "what was written until then is safe");
    kernel.write_at(&handle, 20_000, b"more").expect("writes on");
    let mut wanted = large(3);
    wanted.extend_from_slice(b"more");
    drop(kernel);
    let kernel = Kernel::new(world.mount().0);
    assert_eq!(kernel.read("a").expect("reads"), wanted, "the daemon was killed");
    world.clock.advance(Duration::from_secs(301));
    kernel.vfs.write_behind(LATEST);
    assert_eq!(world.shelf.bytes("a"), Some(wanted.clone()));
    let kernel = remount(&world, kernel);
    assert_eq!(kernel.read("a").expect("reads"), wanted);
}

#[test]
fn what_is_written_while_it_is_read_is_not_in_that_version() {
    type Change = fn(&Kernel, &Handle);
    let changes: [Change; 6] = [
        |kernel, handle| kernel.write_at(handle, 15_000, &[9; 100]).expect("writes over what is still to be read"),
        |kernel, handle| kernel.write_at(handle, 100, &[9; 100]).expect("writes over what was read"),
        |kernel, handle| kernel.write_at(handle, 19_990, &[9; 100]).expect("writes across the end"),
        |kernel, handle| kernel.write_at(handle, 30_000, &[9; 100]).expect("leaves a hole"),
        |kernel, _| kernel.truncate("a", 12_000).expect("cuts"),
        |kernel, handle| {
            kernel.truncate("a", 0).expect("empties");
            kernel.write_at(handle, 3, &[9; 15_000]).expect("writes anew");
        },
    ];
    for change in changes {
        let world = sealing_world!();
        let (kernel, handle) = held(&world);
        let vfs = kernel.vfs.clone();
        world.shelf.while_reading(move || change(&Kernel::new(vfs), &handle));
        assert_eq!(kernel.vfs.write_behind(LATEST), 1);
        assert_eq!(world.shelf.bytes("a"), Some(large(3)), "the version of the moment");
        let now = kernel.read("a").expect("reads");
        assert_ne!(now, large(3));
        world.clock.advance(Duration::from_secs(301));
        assert_eq!(kernel.vfs.write_behind(LATEST), 1);
        assert_eq!(world.shelf.bytes("a"), Some(now));
    }
}

#[test]
fn a_file_that_is_written_over_wholly_while_it_is_read_goes_to_disk() {
    let world = sealing_world!();
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", &large(3).repeat(200)).expect("writes");
    let handle = kernel.open("a", WRITE).expect("opens");
    world.clock.advance(Duration::from_secs(301));
    let (vfs, anew) = (kernel.vfs.clone(), large(5).repeat(200));
    let again = anew.clone();
    world.shelf.while_reading(move || Kernel::new(vfs).write_at(&handle, 0, &again).expect("writes"));
    assert_eq!(kernel.vfs.write_behind(LATEST), 1);
    assert_eq!(world.shelf.bytes("a"), None);
    assert_eq!(std::fs::read(world.path("a")).expect("reads"), anew);
    assert_eq!(kernel.read("a").expect("reads"), anew);
}

#[test]
fn what_the_kernel_may_write_unseen_goes_to_disk() {
    let world = world!(sealing: true, passthrough: true, rules: crate::sealing::RULES);
    let kernel = Kernel::new(world.mount().0);
    kernel.write("a", &large(3)).expect("writes");
    let reader = kernel.open("a", crate::sealing::READ).expect("opens");
    let writer = kernel.open("a", WRITE).expect("opens beside it");
    world.clock.advance(Duration::from_secs(301));
    kernel.vfs.write_behind(LATEST);
    assert_eq!(world.shelf.bytes("a"), None);
    assert_eq!(std::fs::read(world.path("a")).expect("reads"), large(3));
    kernel.close(writer);
    kernel.close(reader);
}
