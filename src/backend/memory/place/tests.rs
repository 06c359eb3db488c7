//! Root's mount and the directory in shared memory, below a root directory of the test's own. Keepers need a binary
//! of their own: `tests/place.rs`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;

struct Machine {
    root: tempfile::TempDir,
    at: Surroundings,
    id: WorkspaceId,
}

fn machine() -> Machine {
    let root = tempfile::tempdir().unwrap();
    for dir in ["run", "tmp", "dev"] {
        fs::create_dir(root.path().join(dir)).unwrap();
    }
    symlink("/dev/shm", root.path().join("dev/shm")).unwrap();
    let uid = rustix::process::geteuid().as_raw();
    let at = Surroundings { root: root.path().to_owned(), uid, runtime_dir: None };
    let id = WorkspaceId::of(fs::File::open(root.path()).unwrap()).unwrap();
    Machine { root, at, id }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // What a failed test leaves behind; a good one has nothing mounted any more.
        let path = self.root.path().join("run/scopefs").join(self.id.as_str()).join("memory");
        let _ = rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH);
        let _ = fs::remove_dir_all(format!("/dev/shm/scopefs-{}-{}", self.at.uid, self.id));
    }
}

impl Machine {
    /// `None`, said aloud, where this user may not mount.
    fn mounted(&self, size: u64) -> Option<Place> {
        if self.at.uid != 0 {
            eprintln!("skipped: only root mounts");
            return None;
        }
        let dir = runtime::open_or_create(&self.at, &self.id).unwrap();
        if let Some(found) = find(&self.at, &self.id, &dir).unwrap() {
            return Some(found.opened(&self.at, &dir, true));
        }
        match host::create(&dir, size).unwrap() {
            host::Mounted::At(root, path) => Some(Opened::Host(root, path).opened(&self.at, &dir, false)),
            host::Mounted::NotAllowed => {
                eprintln!("skipped: this root may not mount");
                None
            }
        }
    }
}

fn write(place: &Place, name: &str, bytes: usize) {
    fs::write(place.shown_as.join(name), vec![7u8; bytes]).unwrap();
}

#[test]
fn roots_tmpfs_is_found_again_resized_and_removed() {
    let machine = machine();
    let Some(place) = machine.mounted(8 << 20) else { return };
    assert!(!place.found && place.kind == PlaceKind::HostTmpfs);
    assert_eq!(fs::metadata(&place.shown_as).unwrap().permissions().mode() & 0o7777, 0o700);
    write(&place, "a", 1 << 20);
    assert_eq!(place.used_bytes().unwrap(), 1 << 20);
    drop(place);

    let place = machine.mounted(8 << 20).unwrap();
    assert!(place.found);
    assert_eq!(fs::read(place.shown_as.join("a")).unwrap().len(), 1 << 20);
    place.fit(1 << 16).unwrap();
    assert!(fs::write(place.shown_as.join("b"), [1]).is_err(), "the size follows, but never below the contents");
    place.resize(16 << 20).unwrap();
    write(&place, "b", 12 << 20);
    let options = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let options = options.lines().find(|line| line.contains(machine.id.as_str())).unwrap();
    assert!(options.contains("nosuid,nodev"), "{options}");

    let runtime_dir = place.runtime_dir.clone();
    for name in ["a", "b"] {
        fs::remove_file(place.shown_as.join(name)).unwrap();
    }
    place.remove().unwrap();
    assert!(!runtime_dir.exists());
}

#[test]
fn a_place_with_files_in_it_or_in_use_is_not_removed() {
    let machine = machine();
    let Some(place) = machine.mounted(8 << 20) else { return };
    write(&place, "only-copy", 1);
    let path = place.shown_as.join("only-copy");
    assert_eq!(place.remove().unwrap_err().kind(), io::ErrorKind::DirectoryNotEmpty);
    let open = fs::File::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let place = machine.mounted(8 << 20).unwrap();
    assert_eq!(place.remove().unwrap_err().kind(), io::ErrorKind::ResourceBusy);
    drop(open);
    machine.mounted(8 << 20).unwrap().remove().unwrap();
}

#[test]
fn a_tmpfs_is_not_mounted_over_files() {
    let machine = machine();
    let Some(place) = machine.mounted(8 << 20) else { return };
    let path = place.shown_as.clone();
    place.remove().unwrap();
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("left"), "over").unwrap();
    let dir = runtime::open_or_create(&machine.at, &machine.id).unwrap();
    assert!(find(&machine.at, &machine.id, &dir).unwrap().is_none(), "a bare directory is no tmpfs");
    let refused = host::create(&dir, 8 << 20).map(|_| ()).unwrap_err();
    assert!(matches!(refused, PlaceError::Occupied { .. }), "{refused}");
}

fn shared_memory_there() -> bool {
    let there = fs::metadata("/dev/shm").is_ok_and(|m| m.is_dir());
    if !there {
        eprintln!("skipped: there is no /dev/shm");
    }
    there
}

#[test]
fn shared_memory_is_found_again_counts_only_its_own_bytes_and_is_removed() {
    let machine = machine();
    if !shared_memory_there() {
        return;
    }
    let Ok(shared) = shared::create(&machine.at, &machine.id, 4 << 20).unwrap() else {
        eprintln!("skipped: /dev/shm has no 4 MiB free");
        return;
    };
    fs::create_dir(shared.path.join("sub")).unwrap();
    fs::write(shared.path.join("sub/a"), vec![1u8; 1 << 20]).unwrap();
    let path = shared.path.clone();
    drop(shared);
    let dir = runtime::open_or_create(&machine.at, &machine.id).unwrap();
    let found = Opened::Shared(shared::find(&machine.at, &machine.id).unwrap().unwrap());
    let place = found.opened(&machine.at, &dir, true);
    assert_eq!(place.kind, PlaceKind::SharedMemory);
    // Others may write to /dev/shm meanwhile, but not that much.
    assert!(place.used_bytes().unwrap() >= 1 << 20);
    fs::remove_dir_all(path.join("sub")).unwrap();
    place.remove().unwrap();
    assert!(!path.exists());
}

#[test]
fn shared_memory_that_is_too_small_or_not_in_memory_is_refused_in_words() {
    let machine = machine();
    if !shared_memory_there() {
        return;
    }
    let reason = shared::create(&machine.at, &machine.id, 1 << 60).unwrap().err().unwrap();
    assert!(reason.contains("MiB free where"), "{reason}");
    let shm = machine.root.path().join("dev/shm");
    fs::remove_file(&shm).unwrap();
    let reason = shared::create(&machine.at, &machine.id, 4096).unwrap().err().unwrap();
    assert!(reason.contains("there is no"), "{reason}");
    fs::create_dir(&shm).unwrap();
    if !is_tmpfs(&shm) {
        let reason = shared::create(&machine.at, &machine.id, 4096).unwrap().err().unwrap();
        assert!(reason.contains("is not in memory"), "{reason}");
    }
}

fn is_tmpfs(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|s| s.f_type == libc::TMPFS_MAGIC)
}
