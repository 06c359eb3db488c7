use std::fs;
use std::os::unix::fs::MetadataExt;

use super::*;

fn open(path: &Path) -> Result<Workspace, Failure> {
    Workspace::open(path, Path::new("/m"), false, &mut |note| panic!("{note}"))
}

fn mtime(path: &Path) -> (i64, i64) {
    let meta = fs::metadata(path).unwrap();
    (meta.mtime(), meta.mtime_nsec())
}

/// A workspace whose mtime is long ago.
fn old() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.tif"), "a").unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
    File::open(dir.path()).unwrap().set_modified(long_ago).unwrap();
    dir
}

#[test]
fn a_clean_end_leaves_neither_a_name_nor_another_mtime() {
    let dir = old();
    let before = mtime(dir.path());
    let workspace = open(dir.path()).unwrap();
    assert_eq!(mtime(dir.path()), before, "while it is mounted");
    workspace.note_memory(Path::new("/run/scopefs/x"), Path::new("/m")).unwrap();
    let own = dir.path().join(OWN_DIR);
    fs::write(own.join("staging/half"), "x").unwrap();
    assert!(fs::read_to_string(own.join("IN-MEMORY")).unwrap().contains("/run/scopefs/x"));
    workspace.leave().unwrap();
    assert!(!own.exists());
    assert_eq!(mtime(dir.path()), before);
}

#[test]
fn names_that_came_while_it_was_mounted_keep_their_mtime_too() {
    let dir = old();
    let workspace = open(dir.path()).unwrap();
    fs::write(dir.path().join("new.tif"), "n").unwrap();
    let changed = mtime(dir.path());
    workspace.leave().unwrap();
    assert_eq!(mtime(dir.path()), changed);
}

#[test]
fn a_second_daemon_is_refused_and_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    let failure = open(dir.path()).unwrap_err();
    assert_eq!(failure.code, 1);
    for part in [format!("process {}", std::process::id()), host_name(), "at /m".into(), "scopefs unmount".into()] {
        assert!(failure.message.contains(&part), "{part}: {}", failure.message);
    }
    let read_only = Workspace::open(dir.path(), Path::new("/m2"), true, &mut |_| {}).unwrap_err();
    assert!(read_only.message.contains("in use"), "{}", read_only.message);
    first.leave().unwrap();
    open(dir.path()).unwrap().leave().unwrap();
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}

#[test]
fn after_a_kill_the_next_daemon_takes_over() {
    let dir = tempfile::tempdir().unwrap();
    let killed = open(dir.path()).unwrap();
    killed.note_memory(Path::new("/run/x"), Path::new("/m")).unwrap();
    drop(killed);
    assert!(dir.path().join(OWN_DIR).join("IN-MEMORY").exists());
    open(dir.path()).unwrap().leave().unwrap();
    assert!(!dir.path().join(OWN_DIR).exists());
}

#[test]
fn what_is_not_ours_is_refused_and_not_touched() {
    for make in [
        (|own| fs::write(own, "mine").unwrap()) as fn(&Path),
        |own| {
            fs::create_dir(own).unwrap();
            fs::write(own.join("thesis.txt"), "mine").unwrap();
        },
        |own| {
            fs::create_dir(own).unwrap();
            fs::write(own.join("SCOPEFS.TAG"), "something else").unwrap();
        },
        |own| std::os::unix::fs::symlink("/etc", own).unwrap(),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join(OWN_DIR);
        make(&own);
        let before = fs::symlink_metadata(&own).map(|meta| (meta.ctime(), meta.ctime_nsec())).unwrap();
        let failure = open(dir.path()).unwrap_err();
        assert!(failure.message.contains("move it elsewhere"), "{}", failure.message);
        assert_eq!(fs::symlink_metadata(&own).map(|meta| (meta.ctime(), meta.ctime_nsec())).unwrap(), before);
    }
}

#[test]
fn an_empty_directory_of_that_name_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(OWN_DIR)).unwrap();
    open(dir.path()).unwrap().leave().unwrap();
}

#[test]
fn what_others_put_into_our_directory_stays_and_can_be_mounted_again() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = open(dir.path()).unwrap();
    fs::write(dir.path().join(".scopefs/notes"), "mine").unwrap();
    workspace.leave().unwrap();
    assert_eq!(fs::read_to_string(dir.path().join(".scopefs/notes")).unwrap(), "mine");
    open(dir.path()).unwrap();
}

#[test]
fn read_only_writes_nothing() {
    let dir = old();
    let ctime = |path: &Path| fs::metadata(path).map(|meta| (meta.ctime(), meta.ctime_nsec())).unwrap();
    let before = ctime(dir.path());
    let workspace = Workspace::open(dir.path(), Path::new("/m"), true, &mut |note| panic!("{note}")).unwrap();
    workspace.note_memory(Path::new("/x"), Path::new("/m")).unwrap();
    workspace.leave().unwrap();
    assert_eq!(ctime(dir.path()), before);
}

#[test]
fn a_full_disk_is_named_as_what_it_is() {
    let failure = write_failure(Path::new("/w"), Errno::NOSPC);
    assert!(failure.message.contains("no room") && failure.message.contains("-o ro"), "{}", failure.message);
}
