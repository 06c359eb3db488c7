//! Many sealed files that are deleted in a row leave their store together, and nobody sees that it takes a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use scopefs::model::{RelPath, Tier};
use scopefs::vfs::{Query, RenameMode};

use crate::sealing::{READ, image, remount, sealing_world};
use crate::support::{Kernel, World};
use crate::world;

/// Four sealed files in `d`, of which three were deleted in a row; how often the worker was called.
fn three_deleted(world: &World) -> (Kernel, Arc<AtomicUsize>) {
    let kernel = Kernel::new(world.mount().0);
    let called = Arc::new(AtomicUsize::new(0));
    let calls = called.clone();
    kernel.vfs.listen_to_leaving(Box::new(move || {
        calls.fetch_add(1, Ordering::Relaxed);
    }));
    kernel.mkdir("d", 0o755).expect("makes");
    for (n, name) in ["d/a", "d/b", "d/c", "d/e"].iter().enumerate() {
        kernel.write(name, &image(n as u8 + 3)).expect("writes");
        kernel.migrate(name, Tier::Zarr).expect("seals");
    }
    world.clock.advance(Duration::from_secs(1));
    for name in ["d/a", "d/b", "d/c"] {
        kernel.unlink(name).expect("unlinks");
    }
    (kernel, called)
}

fn shown(kernel: &Kernel) -> Vec<String> {
    let mut names: Vec<String> =
        kernel.list("d").expect("lists").into_iter().map(|(name, ..)| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn one_is_gone_at_once_and_those_behind_it_together() {
    let world = sealing_world!();
    let (kernel, called) = three_deleted(&world);
    assert_eq!(world.shelf.names(), ["d/b", "d/c", "d/e"], "the first left its store before unlink returned");
    assert_eq!(called.load(Ordering::Relaxed), 2);
    assert_eq!(shown(&kernel), ["e"]);
    assert_eq!(kernel.read("d/b"), Err(libc::ENOENT));
    let mut found = Vec::new();
    let mut tell = |files: Vec<scopefs::vfs::Found>| found.extend(files.iter().map(|file| file.path.to_string()));
    kernel.vfs.find_files(&Query::default(), &mut tell).expect("finds");
    assert_eq!(found, ["d/e"]);
    kernel.vfs.remove_leaving();
    assert_eq!(world.shelf.names(), ["d/e"]);
    world.clock.advance(Duration::from_secs(1));
    kernel.unlink("d/e").expect("unlinks");
    assert!(world.shelf.names().is_empty(), "alone again");
}

#[test]
fn what_waits_to_leave_does_not_come_back_after_a_kill() {
    let world = sealing_world!();
    let (kernel, _) = three_deleted(&world);
    drop(kernel);
    let kernel = Kernel::new(world.mount().0);
    assert_eq!(shown(&kernel), ["e"]);
    assert_eq!(world.shelf.names(), ["d/e"]);
    let kernel = remount(&world, kernel);
    assert_eq!(shown(&kernel), ["e"]);
}

#[test]
fn the_names_are_free_meanwhile() {
    let world = sealing_world!();
    let (kernel, _) = three_deleted(&world);
    kernel.write("d/b", &image(9)).expect("writes another");
    kernel.rename("d/e", "d/c", RenameMode::Replace).expect("renames");
    kernel.migrate("d/b", Tier::Zarr).expect("seals");
    kernel.vfs.remove_leaving();
    assert_eq!(world.shelf.names(), ["d/b", "d/c"]);
    assert_eq!(kernel.read("d/b").expect("reads"), image(9));
    assert_eq!(kernel.read("d/c").expect("reads"), image(6));
    let kernel = remount(&world, kernel);
    assert_eq!((shown(&kernel), kernel.read("d/b").expect("reads")), (vec!["b".to_owned(), "c".to_owned()], image(9)));
}

#[test]
fn whoever_asks_for_durable_names_waits() {
    type Ask = fn(&Kernel);
    let asks: [Ask; 3] = [
        |kernel| {
            let dir = kernel.vfs.opendir(kernel.stat("d").expect("stats").ino).expect("opens");
            kernel.vfs.fsyncdir(dir).expect("syncs");
            kernel.vfs.releasedir(dir);
        },
        |kernel| assert!(kernel.vfs.sync_below(&RelPath::root(), &mut |_| {}).expect("syncs").is_empty()),
        |kernel| assert!(kernel.vfs.flush_all(&mut |_| {}).is_empty()),
    ];
    for ask in asks {
        let world = sealing_world!();
        let (kernel, _) = three_deleted(&world);
        ask(&kernel);
        assert_eq!(world.shelf.names(), ["d/e"]);
    }
}

#[test]
fn what_is_read_to_its_end_leaves_like_the_others() {
    let world = sealing_world!();
    let (kernel, called) = three_deleted(&world);
    let open = kernel.open("d/e", READ).expect("opens");
    kernel.unlink("d/e").expect("unlinks");
    assert_eq!(called.load(Ordering::Relaxed), 2, "somebody has it open");
    kernel.vfs.remove_leaving();
    assert_eq!(world.shelf.names(), ["d/e"]);
    assert_eq!(kernel.read_at(&open, 0, 500).expect("reads"), image(6));
    kernel.close(open);
    kernel.vfs.remove_leaving();
    assert!(world.shelf.names().is_empty());
}

#[test]
fn a_directory_goes_while_its_files_wait_to_leave() {
    let world = world!(rules: crate::sealing::RULES);
    let kernel = Kernel::new(world.mount_over(Some(Box::new(world.zarr()))).0);
    kernel.vfs.listen_to_leaving(Box::new(|| {}));
    kernel.mkdir("d", 0o755).expect("makes");
    let names: Vec<String> = (0..5).map(|n| format!("d/{n}.npy")).collect();
    for (name, n) in names.iter().zip(1..) {
        kernel.write(name, &crate::labels::npy(n)).expect("writes");
        kernel.migrate(name, Tier::Zarr).expect("seals");
    }
    names.iter().for_each(|name| kernel.unlink(name).expect("unlinks"));
    kernel.rmdir("d").expect("removes the directory");
    assert!(!world.workspace.path().join("d").exists());
    kernel.vfs.remove_leaving();
    assert_eq!(kernel.list("").expect("lists").len(), 0);
}
