//! The tests and the machine that they run on.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::mount::UnmountFlags;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::daemon::{Daemon, MIB, Opened};

pub const TESTS: &[(&str, fn())] = &[
    ("roots_tmpfs_is_in_run_and_survives_the_daemon", roots_tmpfs_is_in_run_and_survives_the_daemon),
    ("a_private_mount_namespace_is_refused", a_private_mount_namespace_is_refused),
    ("a_users_tmpfs_survives_the_daemon_and_ends_with_remove", a_users_tmpfs_survives_the_daemon_and_ends_with_remove),
    ("a_users_tmpfs_follows_a_new_size", a_users_tmpfs_follows_a_new_size),
    ("a_keeper_is_found_when_its_record_is_gone", a_keeper_is_found_when_its_record_is_gone),
    ("a_record_of_another_process_is_not_believed", a_record_of_another_process_is_not_believed),
    ("a_keeper_stays_at_sigterm_while_it_holds_bytes", a_keeper_stays_at_sigterm_while_it_holds_bytes),
    ("a_keeper_holds_nothing_of_the_machine", a_keeper_holds_nothing_of_the_machine),
    ("where_user_namespaces_are_closed_shared_memory_has_to_do", where_user_namespaces_are_closed),
    ("a_strangers_directory_in_tmp_is_refused", a_strangers_directory_in_tmp_is_refused),
];

/// An ordinary user: nobody, when the tests run as root.
const NOBODY: u32 = 65534;

/// One workspace, one user, a session directory of his.
struct Case {
    dir: tempfile::TempDir,
    binary: PathBuf,
    uid: u32,
    seen: RefCell<Vec<Opened>>,
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn case(uid: u32) -> Case {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["workspace", "session"] {
        let path = dir.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        chown(&path, Some(uid), None).unwrap();
    }
    // The build directory may be closed to the user.
    let (ours, binary) = (std::env::current_exe().unwrap(), dir.path().join("place"));
    fs::hard_link(&ours, &binary).or_else(|_| fs::copy(&ours, &binary).map(|_| ())).unwrap();
    Case { dir, binary, uid, seen: RefCell::default() }
}

/// An ordinary user's case.
fn user() -> Case {
    case(if is_root() { NOBODY } else { rustix::process::geteuid().as_raw() })
}

impl Case {
    /// The daemon, started through `wrapper` (a command that ends in executing its arguments).
    fn daemon_through(&self, wrapper: &[&str]) -> Daemon {
        let mut words: Vec<_> = wrapper.iter().map(PathBuf::from).collect();
        words.extend([self.binary.clone(), "act".into(), self.dir.path().join("workspace")]);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir("/").env("XDG_RUNTIME_DIR", self.dir.path().join("session"));
        if is_root() && self.uid != 0 {
            command.uid(self.uid).gid(self.uid);
        }
        Daemon::start(command)
    }

    fn daemon(&self) -> Daemon {
        self.daemon_through(&[])
    }

    fn open(&self, daemon: &mut Daemon, mib: u64) -> Opened {
        let opened = daemon.open(mib).unwrap();
        self.seen.borrow_mut().push(opened.clone());
        opened
    }

    /// A daemon with an open place that a keeper holds; `None`, said aloud, where user namespaces are closed.
    fn kept(&self, mib: u64) -> Option<(Daemon, Opened)> {
        let mut daemon = self.daemon();
        let opened = match daemon.open(mib) {
            Ok(opened) => opened,
            Err(error) => {
                eprintln!("skipped: {error}");
                return None;
            }
        };
        self.seen.borrow_mut().push(opened.clone());
        if opened.keeper().is_none() {
            eprintln!("skipped: user namespaces are closed here, so there is no keeper");
            daemon.ask("remove");
            return None;
        }
        Some((daemon, opened))
    }
}

impl Drop for Case {
    /// What a failed test leaves behind; a good one has removed its places.
    fn drop(&mut self) {
        for opened in self.seen.borrow().iter() {
            if let Some(pid) = opened.keeper() {
                let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                if words.contains(opened.runtime_dir.to_str().unwrap_or("?")) {
                    let _ = rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
                }
            } else if opened.kind == "host" {
                let _ = rustix::mount::unmount(&opened.shown_as, UnmountFlags::DETACH);
                let _ = fs::remove_dir_all(&opened.runtime_dir);
            } else {
                let _ = fs::remove_dir_all(&opened.shown_as);
            }
        }
    }
}

/// Whether the process is gone within `millis`.
fn ends_within(process: &rustix::fd::OwnedFd, millis: i64) -> bool {
    let wait = Timespec { tv_sec: millis / 1000, tv_nsec: (millis % 1000) * 1_000_000 };
    rustix::event::poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&wait)).unwrap() == 1
}

fn process(opened: &Opened) -> rustix::fd::OwnedFd {
    let pid = Pid::from_raw(opened.keeper().unwrap()).unwrap();
    rustix::process::pidfd_open(pid, PidfdFlags::empty()).unwrap()
}

fn roots_tmpfs_is_in_run_and_survives_the_daemon() {
    if !is_root() {
        return eprintln!("skipped: only root mounts");
    }
    let case = case(0);
    let mut daemon = case.daemon();
    let opened = case.open(&mut daemon, 8);
    if opened.kind != "host" {
        daemon.ask("remove");
        return eprintln!("skipped: this root may not mount");
    }
    assert!(!opened.found && opened.shown_as.starts_with("/run/scopefs"), "{opened:?}");
    assert_eq!(fs::metadata(&opened.runtime_dir).unwrap().permissions().mode() & 0o7777, 0o700);
    assert_eq!(daemon.ask("write a"), "ok");
    daemon.kill();

    // Another process sees the mount: it is not only the daemon's.
    assert_eq!(fs::read(opened.shown_as.join("a")).unwrap().len() as u64, MIB);
    let mut daemon = case.daemon();
    assert!(case.open(&mut daemon, 8).found);
    assert_eq!(daemon.ask("used"), MIB.to_string());
    assert_eq!(daemon.ask("unlink a"), "ok");
    assert_eq!(daemon.ask("remove"), "ok");
    assert!(!opened.runtime_dir.exists());
}

fn a_private_mount_namespace_is_refused() {
    if !is_root() || !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|s| s.success()) {
        return eprintln!("skipped: needs root and unshare(1)");
    }
    let case = case(0);
    match case.daemon_through(&["unshare", "-m"]).open(8) {
        Err(error) => assert!(error.contains("mount namespace of its own"), "{error}"),
        Ok(opened) => {
            // Its mount went with its namespace.
            let _ = fs::remove_dir_all(&opened.runtime_dir);
            let telling = fs::read_link("/proc/1/ns/mnt").is_ok() || fs::read_link("/proc/2/ns/mnt").is_ok();
            assert!(!telling, "{opened:?}");
            eprintln!("skipped: process 1 is closed to us, so the host's namespace is not known");
        }
    }
}

fn a_users_tmpfs_survives_the_daemon_and_ends_with_remove() {
    let case = user();
    let Some((mut daemon, opened)) = case.kept(8) else { return };
    assert!(opened.runtime_dir.starts_with(case.dir.path().join("session")), "{opened:?}");
    assert_eq!(daemon.ask("write a"), "ok");
    daemon.kill();

    let keeper = process(&opened);
    let mut daemon = case.daemon();
    let again = case.open(&mut daemon, 8);
    assert!(again.found && again.keeper() == opened.keeper(), "{again:?}");
    assert_eq!(daemon.ask("used"), MIB.to_string());
    assert!(daemon.ask("remove").contains("still files"), "a place with files in it is not removed");
    assert!(!ends_within(&keeper, 100));
    case.open(&mut daemon, 8);
    assert_eq!(daemon.ask("unlink a"), "ok");
    assert_eq!(daemon.ask("remove"), "ok");
    assert!(ends_within(&keeper, 0), "remove returns when the keeper is gone");
    assert!(!opened.runtime_dir.exists());
}

fn a_users_tmpfs_follows_a_new_size() {
    let case = user();
    let Some((mut daemon, _)) = case.kept(2) else { return };
    assert_eq!((daemon.ask("write a"), daemon.ask("write b")), ("ok".to_owned(), "ok".to_owned()));
    assert!(daemon.ask("write c").contains("No space left"));
    assert_eq!(daemon.ask("resize 4"), "ok");
    assert_eq!(daemon.ask("write c"), "ok");
    assert!(daemon.ask("resize 1").starts_with("error: "), "more than that is in it");
    for name in ["a", "b", "c"] {
        daemon.ask(&format!("unlink {name}"));
    }
    assert_eq!(daemon.ask("remove"), "ok");
}

fn a_keeper_is_found_when_its_record_is_gone() {
    let case = user();
    let Some((daemon, opened)) = case.kept(8) else { return };
    daemon.kill();
    fs::remove_dir_all(case.dir.path().join("session/scopefs")).unwrap();
    let mut daemon = case.daemon();
    let again = case.open(&mut daemon, 8);
    assert!(again.found && again.keeper() == opened.keeper(), "{again:?}");
    assert_eq!(daemon.ask("remove"), "ok");
}

fn a_record_of_another_process_is_not_believed() {
    let case = user();
    let Some((mut daemon, opened)) = case.kept(8) else { return };
    assert_eq!(daemon.ask("remove"), "ok");
    // The number of a living process of the same user, and a start time that is not its own.
    fs::create_dir_all(&opened.runtime_dir).unwrap();
    fs::set_permissions(&opened.runtime_dir, fs::Permissions::from_mode(0o700)).unwrap();
    chown(&opened.runtime_dir, Some(case.uid), None).unwrap();
    fs::write(opened.runtime_dir.join("keeper"), format!("{} 1\n", std::process::id())).unwrap();
    let again = case.open(&mut daemon, 8);
    assert!(!again.found && again.keeper() != i32::try_from(std::process::id()).ok(), "{again:?}");
    assert_eq!(daemon.ask("remove"), "ok");
}

fn a_keeper_stays_at_sigterm_while_it_holds_bytes() {
    let case = user();
    let Some((mut daemon, opened)) = case.kept(8) else { return };
    let keeper = process(&opened);
    assert_eq!(daemon.ask("write a"), "ok");
    daemon.kill();
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        rustix::process::pidfd_send_signal(&keeper, signal).unwrap();
    }
    assert!(!ends_within(&keeper, 300));
    let mut daemon = case.daemon();
    assert!(case.open(&mut daemon, 8).found);
    assert_eq!(daemon.ask("unlink a"), "ok");
    daemon.kill();
    rustix::process::pidfd_send_signal(&keeper, Signal::TERM).unwrap();
    assert!(ends_within(&keeper, 5000), "an empty one ends when it is asked to");
    let mut daemon = case.daemon();
    assert!(!case.open(&mut daemon, 8).found, "the record of a dead keeper is none");
    assert_eq!(daemon.ask("remove"), "ok");
}

fn a_keeper_holds_nothing_of_the_machine() {
    let case = user();
    let Some((mut daemon, opened)) = case.kept(8) else { return };
    let proc = PathBuf::from(format!("/proc/{}", opened.kind));
    let mounts = fs::read_to_string(proc.join("mountinfo")).unwrap();
    assert_eq!(mounts.lines().count(), 1, "{mounts}");
    assert!(mounts.contains(" / / ") && mounts.contains("tmpfs"), "{mounts}");
    // It says that it is ready before it closes what it said that with.
    let open = || -> Vec<PathBuf> {
        let entries = fs::read_dir(proc.join("fd")).unwrap();
        entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok()).collect()
    };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while open().iter().any(|target| target != Path::new("/dev/null")) {
        assert!(std::time::Instant::now() < until, "{:?}", open());
        std::thread::yield_now();
    }
    assert_eq!(fs::read_link(proc.join("cwd")).unwrap(), PathBuf::from("/"));
    assert_eq!(fs::read_to_string(proc.join("comm")).unwrap(), "tmpfs-keeper\n");
    assert_eq!(daemon.ask("remove"), "ok");
}

/// A user namespace in which no further one may be made.
const CLOSED: &[&str] = &[
    "unshare",
    "--user",
    "--map-current-user",
    "--keep-caps",
    "sh",
    "-c",
    "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"",
    "sh",
];

fn where_user_namespaces_are_closed() {
    // A system user where that is possible: logind leaves his shared memory alone.
    let case = if is_root() { case(979) } else { user() };
    let mut closed = Command::new(CLOSED[0]);
    closed.args(&CLOSED[1..]).args(["unshare", "--user", "true"]);
    let mut possible = Command::new(CLOSED[0]);
    possible.args(&CLOSED[1..]).arg("true");
    if is_root() {
        closed.uid(case.uid).gid(case.uid);
        possible.uid(case.uid).gid(case.uid);
    }
    let works = |mut c: Command| c.stderr(std::process::Stdio::null()).status().is_ok_and(|s| s.success());
    if !works(possible) || works(closed) {
        return eprintln!("skipped: unshare(1) cannot close user namespaces here");
    }
    let mut daemon = case.daemon_through(CLOSED);
    let error = daemon.open(1 << 40).unwrap_err();
    assert!(error.contains("make a user namespace") && error.contains("MiB free where"), "{error}");
    assert!(error.contains("everything is written to disk at once"), "{error}");
    let opened = match daemon.open(4) {
        Ok(opened) => opened,
        Err(error) => return eprintln!("skipped: no shared memory either: {error}"),
    };
    case.seen.borrow_mut().push(opened.clone());
    assert_eq!(opened.kind, "shared");
    assert_eq!(fs::metadata(&opened.shown_as).unwrap().permissions().mode() & 0o7777, 0o700);
    assert_eq!(daemon.ask("write a"), "ok");
    daemon.kill();
    let mut daemon = case.daemon_through(CLOSED);
    assert!(case.open(&mut daemon, 4).found);
    assert_eq!(daemon.ask("unlink a"), "ok");
    assert_eq!(daemon.ask("remove"), "ok");
    assert!(!opened.shown_as.exists());
}

fn a_strangers_directory_in_tmp_is_refused() {
    if !is_root() {
        return eprintln!("skipped: only root can make a directory of somebody else");
    }
    // A user whose number nobody has, so that the name in /tmp is free.
    let case = case(3_999_999_998);
    let squatted = PathBuf::from(format!("/tmp/scopefs-{}", case.uid));
    fs::create_dir(&squatted).unwrap();
    fs::set_permissions(&squatted, fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(case.dir.path().join("session"), fs::Permissions::from_mode(0o755)).unwrap();
    let told = case.daemon().open(4);
    let left = fs::read_dir(&squatted).unwrap().count();
    fs::remove_dir(&squatted).unwrap();
    let error = told.unwrap_err();
    assert!(error.contains("is not a directory of this user") && left == 0, "{error}");
}
