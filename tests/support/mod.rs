//! A `Vfs` without FUSE: a workspace on disk, a memory tier on a tmpfs of its own, and something that calls the file
//! system as the kernel does.

#![allow(dead_code, unused_imports, reason = "each test binary uses its own part of it")]

mod kernel;
mod stores;

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{self as sys, Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen};
use scopefs::backend::zarr::{Stores, Zarr};
use scopefs::backend::{Disk, Memory};
use scopefs::model::ManualClock;
use scopefs::route;
use scopefs::vfs::{Budget, Gauge, Parts, Recovered, Vfs};

pub use kernel::{Handle, Kernel, errno};
pub use stores::{NOT_AN_IMAGE, Shelf, ShelfStores};

/// What a file system is made of.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What the budget may hold, in bytes.
    pub limit: u64,
    /// Whether the kernel may serve files itself.
    pub passthrough: bool,
    /// Rules, as TOML.
    pub rules: &'static str,
    /// Whether there are stores.
    pub sealing: bool,
    /// Whether the memory tier may end with a job.
    pub short_lived: bool,
    /// Sealed files of this size are unsealed in part, in bytes.
    pub unseal_in_part_from: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            limit: 64 << 20,
            passthrough: false,
            rules: "",
            sealing: false,
            short_lived: false,
            unseal_in_part_from: u64::MAX,
        }
    }
}

/// Figures of the tmpfs as they are, and others as a test wants them.
#[derive(Debug)]
pub struct Figures {
    tmpfs: OwnedFd,
    /// Bytes held besides the tmpfs.
    pub ballast: AtomicU64,
    /// Bytes free at home.
    pub home_free: AtomicU64,
}

struct FigureGauge(Arc<Figures>);

impl Gauge for FigureGauge {
    fn held(&self) -> u64 {
        self.tmpfs() + self.0.ballast.load(Ordering::Relaxed)
    }

    fn tmpfs(&self) -> u64 {
        let stat = sys::fstatvfs(&self.0.tmpfs).expect("the tmpfs can be asked");
        (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    }

    fn home_free(&self) -> (u64, u64) {
        (self.0.home_free.load(Ordering::Relaxed), 1 << 20)
    }
}

/// Workspace and memory tier, which outlive any one `Vfs`.
pub struct World {
    /// The workspace's directory.
    pub workspace: tempfile::TempDir,
    tmpfs: OwnedFd,
    pub figures: Arc<Figures>,
    pub clock: Arc<ManualClock>,
    /// What is sealed, as it lies on disk.
    pub shelf: Arc<Shelf>,
    pub setup: Setup,
}

impl World {
    /// `None`, said aloud, where a tmpfs cannot be had.
    pub fn new(setup: Setup) -> Option<World> {
        // The file system sets modes itself, as the daemon does after it cleared its umask.
        rustix::process::umask(Mode::empty());
        let tmpfs = match private_tmpfs() {
            Ok(tmpfs) => tmpfs,
            Err(e) => {
                eprintln!("SKIPPED: a tmpfs of its own cannot be mounted here ({e}); run as root");
                return None;
            }
        };
        let figures = Arc::new(Figures {
            tmpfs: open_dir(&tmpfs, "."),
            ballast: AtomicU64::new(0),
            home_free: AtomicU64::new(1 << 40),
        });
        let workspace = tempfile::tempdir().expect("a temporary directory");
        Some(World { workspace, tmpfs, figures, clock: Arc::new(ManualClock::default()), shelf: Arc::default(), setup })
    }

    /// The same workspace after the machine lost power: what was in memory is gone.
    pub fn with_memory_lost(self) -> World {
        let tmpfs = private_tmpfs().expect("there was one before");
        World { tmpfs, ..self }
    }

    /// A file system over the workspace and whatever the memory tier holds.
    pub fn mount(&self) -> (Arc<Vfs>, Recovered) {
        self.mount_over(self.setup.sealing.then(|| ShelfStores::boxed(&self.shelf)))
    }

    /// The stores as they lie in the workspace.
    pub fn zarr(&self) -> Zarr {
        std::fs::create_dir_all(self.path(".scopefs/chunks")).expect("the staging directory");
        let open = |path: &str| std::fs::File::open(self.path(path)).expect("the workspace opens").into();
        let config = scopefs::config::Zarr::default();
        Zarr::new(open("."), Some(open(".scopefs/chunks")), &config, &[]).expect("the stores open")
    }

    /// The same as [`World::mount`], with these stores.
    pub fn mount_over(&self, stores: Option<Box<dyn Stores>>) -> (Arc<Vfs>, Recovered) {
        let staging = self.path(".scopefs/staging");
        std::fs::create_dir_all(&staging).expect("the staging directory");
        let (_, router) = route::from_toml(self.setup.rules, Path::new("test.toml"), &["memory", "disk"])
            .expect("the test's rules are right");
        let root = sys::open(self.workspace.path(), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let root = root.expect("the workspace opens");
        let staging = open_dir(&root, ".scopefs/staging");
        Vfs::new(Parts {
            disk: Disk::new(root, staging),
            memory: Some(Memory::new(open_dir(&self.tmpfs, ".")).expect("the memory tier")),
            stores,
            show_stores: false,
            router,
            budget: Budget::new(Box::new(FigureGauge(self.figures.clone())), self.setup.limit, 0.8, 0.7),
            clock: self.clock.clone(),
            passthrough: self.setup.passthrough,
            read_only: false,
            short_lived: self.setup.short_lived,
            stop_within: std::time::Duration::from_secs(20),
            unseal_in_part_from: self.setup.unseal_in_part_from,
            on_read: Box::new(|_| {}),
            on_short: Box::new(|| {}),
        })
        .expect("the file system is built")
    }

    /// A path in the workspace, past the file system.
    pub fn path(&self, path: &str) -> PathBuf {
        self.workspace.path().join(path)
    }

    /// Names below the mirror tree of the memory tier, sorted.
    pub fn in_memory(&self) -> Vec<String> {
        let top = format!("/proc/self/fd/{}/tree", std::os::fd::AsRawFd::as_raw_fd(&self.tmpfs));
        let mut found = Vec::new();
        files_below(Path::new(&top), "", &mut found);
        found.sort();
        found
    }

    /// Temporary files that lie about in either tier.
    pub fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        files_below(&self.path(".scopefs/staging"), "", &mut found);
        let staging = format!("/proc/self/fd/{}/staging", std::os::fd::AsRawFd::as_raw_fd(&self.tmpfs));
        files_below(Path::new(&staging), "", &mut found);
        found
    }
}

fn files_below(dir: &Path, prefix: &str, found: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files_below(&entry.path(), &format!("{name}/"), found);
        } else {
            found.push(name);
        }
    }
}

/// A tmpfs that is mounted nowhere: it lives as long as a descriptor of it, so that no test leaves a mount behind.
fn private_tmpfs() -> rustix::io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "size", "512M")?;
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

fn open_dir(at: impl AsFd, path: &str) -> OwnedFd {
    sys::openat(at, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).expect("a directory")
}
