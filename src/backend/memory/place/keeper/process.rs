//! The keeper's own side: it is started, mounts, records itself, says "ready" and waits.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::process::{Pid, PidfdFlags};
use rustix::thread::ThreadNameSpaceType;

use super::record::Record;
use crate::backend::memory::place::{WorkspaceId, sys, tmpfs};

/// What the keeper says on its standard output once the tmpfs can be used.
pub(super) const READY: &str = "ready\n";

/// Runs the hidden subcommand with the arguments after [`super::WORD`]:
///
/// * `--id ID --size BYTES --runtime DIR` is the keeper itself; returns only if it could not begin, or when it was
///   told to end and nothing is in its tmpfs;
/// * `--resize BYTES --pid PID` gives a living keeper's tmpfs another size.
///
/// Must be called before the process has a second thread. Errors go to standard output, for whoever started it.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let done = match parse(args) {
        Some(Task::Keep { size, runtime }) => keep(size, &runtime),
        Some(Task::Resize { size, pid }) => resize(size, pid),
        None => {
            Err(Failed { doing: "start by hand: scopefs starts it itself", source: io::ErrorKind::InvalidInput.into() })
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed { doing, source }) => {
            // Nobody may be listening any more.
            let _ = write!(io::stdout(), "the keeper could not {doing}: {source}");
            ExitCode::FAILURE
        }
    }
}

enum Task {
    Keep { size: u64, runtime: PathBuf },
    Resize { size: u64, pid: Pid },
}

struct Failed {
    doing: &'static str,
    source: io::Error,
}

/// Says what was being done when it failed.
fn to<E: Into<io::Error>>(doing: &'static str) -> impl FnOnce(E) -> Failed {
    move |source| Failed { doing, source: source.into() }
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Option<Task> {
    let args: Vec<OsString> = args.into_iter().collect();
    let value = |name: &str| {
        let at = args.iter().position(|a| a == name)?;
        args.get(at + 1)
    };
    let number = |name: &str| value(name)?.to_str()?.parse::<u64>().ok();
    if let Some(size) = number("--resize") {
        let pid = Pid::from_raw(i32::try_from(number("--pid")?).ok()?)?;
        return Some(Task::Resize { size, pid });
    }
    // The id is there to be read in the list of processes.
    WorkspaceId::parse(value("--id")?.to_str()?)?;
    Some(Task::Keep { size: number("--size")?, runtime: value("--runtime")?.into() })
}

fn keep(size: u64, runtime: &Path) -> Result<(), Failed> {
    // It fails only for the leader of a process group, who is out of reach of a terminal's signals anyway.
    let _ = rustix::process::setsid();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(CWD, runtime, flags, Mode::empty()).map_err(to("open its directory"))?;
    let record = Record::of_self().map_err(to("read its own start time"))?;
    sys::hold_all_signals().map_err(to("hold back signals"))?;
    enter_namespaces()?;
    mount_as_root(size, runtime)?;
    // Not the daemon's name: who ends all processes of that name does not mean the bytes that are in memory.
    let _ = rustix::thread::set_name(c"tmpfs-keeper");
    record.write(&dir).map_err(to("write its record"))?;
    announce(&dir)?;
    drop(dir);
    sys::close_all_but_stdio().map_err(to("close what it does not need"))?;
    wait();
    Ok(())
}

/// New user and mount namespaces, in which our user and group are the same as outside and no others exist.
fn enter_namespaces() -> Result<(), Failed> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    sys::leave_user_and_mount_namespace().map_err(to("make a user namespace"))?;
    let map = |path: &str, text: String| fs::write(path, text).map_err(to("name its user in the user namespace"));
    // user_namespaces(7): without this no group map may be written.
    map("/proc/self/setgroups", "deny".to_owned())?;
    map("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    map("/proc/self/gid_map", format!("{gid} {gid} 1"))
}

/// Mounts the tmpfs over `runtime`, which only we see, and makes it all there is in this mount namespace.
fn mount_as_root(size: u64, runtime: &Path) -> Result<(), Failed> {
    let all = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", all).map_err(to("set its mounts apart"))?;
    tmpfs::mount(runtime, size).map_err(to("mount a tmpfs"))?;
    rustix::process::chdir(runtime).map_err(to("enter the tmpfs"))?;
    // pivot_root(2), "pivot_root(".", ".")": the old root ends up on top of the new one and is taken away from there.
    // On a machine that runs from its initial RAM disk this is refused. Then the machine's mounts stay in here, as
    // followers of the real ones: who unmounts there unmounts here too.
    match rustix::process::pivot_root(".", ".") {
        Ok(()) => rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(to("let go of the old root"))?,
        Err(_) => rustix::process::chroot(".").map_err(to("make the tmpfs its root"))?,
    }
    rustix::process::chdir("/").map_err(to("enter its root"))
}

/// Says "ready" and lets go of standard output; whoever started us reads to its end.
fn announce(dir: &OwnedFd) -> Result<(), Failed> {
    let said = io::stdout().write_all(READY.as_bytes()).and_then(|()| io::stdout().flush());
    if let Err(error) = said {
        // The daemon died meanwhile and nothing is in the tmpfs yet.
        let _ = rustix::fs::unlinkat(dir, super::RECORD, rustix::fs::AtFlags::empty());
        return Err(Failed { doing: "report to the daemon", source: error });
    }
    // Standard input is /dev/null; by now nothing else could be opened.
    rustix::stdio::dup2_stdout(rustix::stdio::stdin()).map_err(to("close standard output"))
}

/// Until killed, or asked to end (SIGTERM: a shutdown, or a person) with nothing in the tmpfs. With bytes in it that
/// exist nowhere else it stays: only SIGKILL takes those away.
fn wait() {
    loop {
        match sys::next_signal() {
            Ok(libc::SIGTERM) if fs::read_dir("/").is_ok_and(|mut entries| entries.next().is_none()) => return,
            _ => {}
        }
    }
}

/// Enters the keeper's namespaces, in which the tmpfs may be mounted anew with another size.
fn resize(size: u64, pid: Pid) -> Result<(), Failed> {
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(to("find the process"))?;
    let root = format!("/proc/{}/root", pid.as_raw_nonzero());
    let root = tmpfs::open_root(Path::new(&root), OFlags::empty()).map_err(to("open the tmpfs"))?;
    let namespaces = ThreadNameSpaceType::USER | ThreadNameSpaceType::MOUNT;
    rustix::thread::move_into_thread_name_spaces(std::os::fd::AsFd::as_fd(&pidfd), namespaces)
        .map_err(to("enter the namespaces"))?;
    rustix::process::fchdir(&root).map_err(to("enter the tmpfs"))?;
    tmpfs::remount(Path::new("."), size).map_err(to("resize the tmpfs"))
}
