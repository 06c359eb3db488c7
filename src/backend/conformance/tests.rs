//! The backends that exist pass; backends with one fault each do not.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use super::broken::{Broken, WRONGS, Wrong};
use super::*;
use crate::backend::{Disk, Memory};

fn open(path: &Path) -> OwnedFd {
    File::open(path).expect("directory opens").into()
}

fn count(dir: &Path) -> io::Result<usize> {
    Ok(fs::read_dir(dir)?.count())
}

fn listing(dir: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// `names` and `staging` below `dir` with `backend` over them; `tree` makes what the suite asks for.
fn harness(dir: tempfile::TempDir, backend: Box<dyn Backend>, names: &str) -> Harness {
    let (names, staging) = (dir.path().join(names), dir.path().join("staging"));
    let helper = Arc::new(Disk::new(open(&names), open(&staging)));
    let linker = helper.clone();
    Harness {
        backend,
        make_dir: Box::new(move |path| helper.tree().mkdir(path, 0o755)),
        plant_link: Some(Box::new(move |target, path| linker.tree().symlink(target, path))),
        listing: Box::new(move || listing(&names)),
        temporary: Box::new(move || count(&staging)),
        keep: Box::new(dir),
    }
}

fn empty(names: &str) -> tempfile::TempDir {
    empty_in(&std::env::temp_dir(), names)
}

fn empty_in(above: &Path, names: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir_in(above).expect("temporary directory");
    fs::create_dir(dir.path().join(names)).expect("directory");
    fs::create_dir(dir.path().join("staging")).expect("directory");
    dir
}

fn disk() -> Harness {
    let dir = empty("workspace");
    let backend = Disk::new(open(&dir.path().join("workspace")), open(&dir.path().join("staging")));
    harness(dir, Box::new(backend), "workspace")
}

fn memory() -> Harness {
    // A tmpfs, as in a mount, where the machine has one for everybody.
    let dir = if Path::new("/dev/shm").is_dir() { empty_in(Path::new("/dev/shm"), "tree") } else { empty("tree") };
    let backend = Memory::new(open(dir.path())).expect("memory tier");
    harness(dir, Box::new(backend), "tree")
}

#[test]
fn the_disk_backend_passes() {
    assert_eq!(failures(&disk), Vec::<String>::new());
}

#[test]
fn the_memory_backend_passes() {
    assert_eq!(failures(&memory), Vec::<String>::new());
}

fn broken(wrong: Wrong) -> Harness {
    let dir = empty("workspace");
    let root = dir.path().join("workspace");
    let inner = Disk::new(open(&root), open(&dir.path().join("staging")));
    harness(dir, Box::new(Broken::new(inner, wrong, root.clone())), "workspace")
}

#[test]
fn every_fault_is_found_and_every_check_can_fail() {
    let mut found: Vec<String> = Vec::new();
    for &wrong in WRONGS {
        let failures = failures(&|| broken(wrong));
        assert!(!failures.is_empty(), "a backend that {wrong:?} is accepted");
        found.extend(failures);
    }
    let checks = CHECKS.iter().copied().flatten();
    let idle: Vec<&str> =
        checks.map(|check| check.name).filter(|name| !found.iter().any(|f| f.starts_with(name))).collect();
    assert!(idle.is_empty(), "no fault is found by: {idle:#?}");
}

#[test]
fn backends_are_found_by_name_and_an_unknown_one_lists_those_that_exist() {
    for name in ["memory", "disk"] {
        assert_eq!(crate::backend::find(name).expect("registered").name, name);
    }
    let error = crate::backend::find("dsk").expect_err("unknown");
    assert_eq!(error, "there is no backend 'dsk'; the registered ones are memory, disk");
}

#[test]
fn no_two_backends_have_one_name() {
    let mut names: Vec<&str> = crate::backend::KINDS.iter().map(|kind| kind.name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}
