//! The daemon's side: find a keeper, start one, end it.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

use super::process::READY;
use super::record::{Record, started};
use super::{RECORD, WORD};
use crate::backend::memory::place::runtime::PrivateDir;
use crate::backend::memory::place::{WorkspaceId, tmpfs};

/// How long a killed process may take to be gone; it has nothing to do but that.
const END: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// A living keeper and its tmpfs.
#[derive(Debug)]
pub(in crate::backend::memory::place) struct Kept {
    pub(in crate::backend::memory::place) root: OwnedFd,
    pub(in crate::backend::memory::place) pid: u32,
    /// The process, whatever becomes of its number.
    pub(in crate::backend::memory::place) process: OwnedFd,
}

impl Kept {
    /// Where a person can look at the tmpfs.
    pub(in crate::backend::memory::place) fn shown_as(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.pid))
    }

    fn of(record: Record, uid: u32) -> Option<Kept> {
        let pid = Pid::from_raw(i32::try_from(record.pid).ok()?)?;
        // First the process, then its start time: if the number had changed hands in between, the start time of the
        // new owner would not be the recorded one.
        let process = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?;
        let proc = record.alive()?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(proc, "root", flags, Mode::empty()).ok()?;
        // One that has not come as far as its own root yet still has ours.
        let apart = rustix::fs::fstat(&root).ok()?.st_dev != rustix::fs::stat("/").ok()?.st_dev;
        (apart && tmpfs::is_ours(&root, uid).ok()?).then_some(Kept { root, pid: record.pid, process })
    }
}

/// The living keeper of a workspace: by the record in one of `dirs`, or else, should all records be gone (a session's
/// directory ends with the session), by the list of processes.
pub(in crate::backend::memory::place) fn find(dirs: &[PrivateDir], id: &WorkspaceId, uid: u32) -> Option<Kept> {
    let recorded = dirs.iter().filter_map(|dir| Record::read(&dir.fd)).find_map(|record| Kept::of(record, uid));
    recorded.or_else(|| listed(id, uid).into_iter().find_map(|record| Kept::of(record, uid)))
}

/// Our processes that were started as the keeper of this workspace.
fn listed(id: &WorkspaceId, uid: u32) -> Vec<Record> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let keeper = |path: PathBuf| {
        let pid = path.file_name()?.to_str()?.parse().ok()?;
        // All is asked of one open directory: it goes on meaning the same process.
        let process = fs::File::open(&path).ok()?;
        let ours = process.metadata().ok()?.uid() == uid;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let command = rustix::fs::openat(&process, "cmdline", flags, Mode::empty()).ok()?;
        let mut text = Vec::new();
        fs::File::from(command).take(4096).read_to_end(&mut text).ok()?;
        let words: Vec<&[u8]> = text.split(|&b| b == 0).skip(1).take(3).collect();
        let wanted: [&[u8]; 3] = [WORD.as_bytes(), b"--id", id.as_str().as_bytes()];
        (ours && words == wanted).then_some(())?;
        Some(Record { pid, started: started(&process).ok()? })
    };
    processes.filter_map(|entry| keeper(entry.path())).collect()
}

/// Starts a keeper. The inner error says in words why there is none, most often that user namespaces are closed.
pub(in crate::backend::memory::place) fn start(
    dir: &PrivateDir,
    id: &WorkspaceId,
    size: u64,
    uid: u32,
) -> Result<Kept, String> {
    let args = ["--id".into(), id.as_str().into(), "--size".into(), size.to_string().into(), "--runtime".into()];
    let answer = ask(args.into_iter().chain([dir.path.clone().into_os_string()]))
        .map_err(|e| format!("the keeper could not be started: {e}"))?;
    if answer != READY {
        return Err(if answer.is_empty() { "the keeper ended without a word".to_owned() } else { answer });
    }
    let record = Record::read(&dir.fd).ok_or("the keeper left no record")?;
    Kept::of(record, uid).ok_or_else(|| format!("the keeper's tmpfs, /proc/{}/root, cannot be opened", record.pid))
}

/// Gives a keeper's tmpfs another size.
pub(in crate::backend::memory::place) fn resize(pid: u32, size: u64) -> io::Result<()> {
    let args = ["--resize".into(), size.to_string().into(), "--pid".into(), pid.to_string().into()];
    match ask(args.into_iter())? {
        answer if answer.is_empty() => Ok(()),
        answer => Err(io::Error::other(answer)),
    }
}

/// Starts our own binary with the keeper's word and reads what it says. A keeper lives on; it is collected when it
/// is ended, or by init when we are gone before it.
fn ask(args: impl Iterator<Item = std::ffi::OsString>) -> io::Result<String> {
    // The link and not the path that it shows: the binary may have been replaced since we were started.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("scopefs").arg(WORD).args(args).env_clear().current_dir("/");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut answer = String::new();
    if let Some(output) = child.stdout.take() {
        output.take(4096).read_to_string(&mut answer)?;
    }
    if answer != READY {
        child.wait()?;
    }
    Ok(answer)
}

/// Ends the keeper and returns when it, and with it the tmpfs, is gone.
pub(in crate::backend::memory::place) fn end(process: &OwnedFd, runtime: &Path) -> io::Result<()> {
    match rustix::process::pidfd_send_signal(process, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(error.into()),
    }
    let mut gone = [PollFd::new(process, PollFlags::IN)];
    let ready = loop {
        match rustix::event::poll(&mut gone, Some(&END)) {
            Err(rustix::io::Errno::INTR) => {}
            ready => break ready?,
        }
    };
    if ready == 0 {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "the keeper does not end although it was killed"));
    }
    // Only if it is a child of ours; otherwise somebody else collects it.
    let _ = rustix::process::waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED);
    match fs::remove_file(runtime.join(RECORD)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
