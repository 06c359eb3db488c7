//! The file system of one mount, put together from its rooms.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use super::life::Served;
use super::serve::Parts;
use super::served::MountedVfs;
use crate::backend::memory::place::Place;
use crate::backend::zarr::Zarr;
use crate::backend::{Disk, Memory};
use crate::cli::failure::Failure;
use crate::control::Answers;
use crate::control::metrics;
use crate::fuse::{Options, OwnFiles};
use crate::materialize::jobs::Jobs;
use crate::materialize::{AlarmBell, Reads, Workers};
use crate::model::SystemClock;
use crate::pressure::{MemoryProbe, SystemProbe};
use crate::vfs::{self, Budget, SystemGauge, Vfs};

/// Threads that answer the kernel: some wait for the disk while others go on.
const THREADS: usize = 8;

/// Smaller sealed files are brought back whole when somebody writes to them: that takes milliseconds.
const UNSEAL_IN_PART_FROM: u64 = 8 << 20;

/// Mounts, and returns when the mount can be used.
pub(super) fn start(parts: Parts<'_>) -> Result<Arc<dyn Served>, Failure> {
    super::heap::give_back_large_buffers();
    let failed = |error: &dyn std::fmt::Display| {
        Failure::failed(format!("cannot mount {}: {error}", parts.checked.workspace.display()))
    };
    let probe: Arc<dyn MemoryProbe> = Arc::new(SystemProbe::new());
    let bell = AlarmBell::default();
    let alarm = bell.alarm();
    let on_short = Box::new(move || alarm.ring());
    let reads = Reads::default();
    let vfs = open_vfs(&parts, probe.clone(), on_short, reads.on_read()).map_err(|error| failed(&error))?;
    let counted = parts.workspace.counted().map_err(|error| failed(&error))?;
    if let Some(totals) = counted.as_ref().and_then(|counted| counted.read()) {
        vfs.start_from(totals);
    }
    let records = parts.workspace.own_dir().map_err(|error| failed(&error))?;
    let jobs = Arc::new(Jobs::new(vfs.clone(), records));
    let answers = Arc::new(Answers::new(vfs.clone(), jobs.clone(), probe.clone(), parts.facts.clone()));
    let workers = Workers::start(vfs.clone(), probe, bell, (reads, parts.config.memory.promote))
        .map_err(|error| failed(&error))?;
    let options = Options {
        source: parts.checked.workspace.clone(),
        allow_other: parts.options.allow_other,
        read_only: parts.options.read_only,
        suid: parts.options.suid,
        dev: parts.options.dev,
        exec: parts.options.exec,
        atime: parts.options.atime,
        attr_ttl: parts.options.attr_timeout,
        entry_ttl: parts.options.entry_timeout,
        threads: THREADS,
    };
    let own = own_files(&answers);
    match MountedVfs::start(vfs, answers, (workers, jobs, counted), &parts.checked.mountpoint, &options, own) {
        Ok(mounted) => Ok(Arc::new(mounted)),
        Err(error) => Err(mount_failure(&parts, &error)),
    }
}

fn mount_failure(parts: &Parts<'_>, error: &io::Error) -> Failure {
    let (workspace, mountpoint) = (parts.checked.workspace.display(), parts.checked.mountpoint.display());
    let remedy = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => "; /dev/fuse and the mount point must be yours to use",
        Some(libc::ENODEV | libc::ENOENT) => "; load the fuse module (modprobe fuse)",
        _ => "",
    };
    Failure::failed(format!("cannot mount {workspace} on {mountpoint}: {error}{remedy}"))
}

fn open_vfs(
    parts: &Parts<'_>,
    probe: Arc<dyn MemoryProbe>,
    on_short: Box<dyn Fn() + Send + Sync>,
    on_read: vfs::OnRead,
) -> vfs::Result<Arc<Vfs>> {
    let root = parts.workspace.root();
    // A read-only mount stages nothing; any directory will do.
    let staging = match parts.workspace.staging()? {
        Some(staging) => staging,
        None => directory(root, ".")?,
    };
    let memory = match parts.place {
        Some(place) => Some(Memory::new(directory(place.root.as_fd(), ".")?)?),
        None => None,
    };
    let tmpfs = parts.place.map(|place| directory(place.root.as_fd(), ".")).transpose()?;
    let gauge = SystemGauge::new(tmpfs, directory(root, ".")?, Box::new(move || probe.resident()));
    let budget = Budget::new(Box::new(gauge), parts.limit.bytes, parts.config.memory.high, parts.config.memory.low);
    let stores = Zarr::new(
        directory(root, ".")?,
        parts.workspace.chunks()?,
        &parts.config.zarr,
        &parts.config.zarr.plate_patterns(),
    )?;
    let (vfs, recovered) = Vfs::new(vfs::Parts {
        disk: Disk::new(directory(root, ".")?, staging),
        memory,
        stores: Some(Box::new(stores)),
        show_stores: parts.options.show_stores,
        router: parts.router.clone(),
        budget,
        clock: Arc::new(SystemClock::default()),
        passthrough: rustix::process::geteuid().is_root(),
        read_only: parts.options.read_only,
        short_lived: parts.place.is_some_and(|place| place.may_end_with.is_some()),
        stop_within: parts.config.memory.stop_within,
        unseal_in_part_from: UNSEAL_IN_PART_FROM,
        on_read,
        on_short,
    })?;
    if recovered.files > 0 || recovered.swept > 0 {
        tracing::info!("took over {} files ({} bytes) in memory", recovered.files, recovered.bytes);
    }
    Ok(vfs)
}

/// Takes away what made a tmpfs a memory tier; fails if there is a file in it.
pub(super) fn clear(place: &Place) -> io::Result<()> {
    Memory::new(directory(place.root.as_fd(), ".")?)?.clear()
}

fn directory(below: impl AsFd, path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(below, path, flags, Mode::empty())?)
}

/// What the virtual directory `.scopefs` in the mount says.
fn own_files(answers: &Arc<Answers>) -> OwnFiles {
    let (status, figures) = (answers.clone(), answers.clone());
    OwnFiles(vec![
        (
            "status.json",
            Box::new(move || {
                // Plain data of ours: it always serializes.
                let mut text = serde_json::to_vec_pretty(&status.status()).unwrap_or_default();
                text.push(b'\n');
                text
            }),
        ),
        ("metrics", Box::new(move || metrics(&figures.status()).into_bytes())),
    ])
}
