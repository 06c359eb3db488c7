//! Kernel requests to file system calls, and errno back. The only room that knows fuser.
//!
//! Nothing is decided here but how to say it: names, numbers and flags are translated, and the answer of the `vfs`
//! room says who serves a handle.

mod attach;
mod backing;
mod errno;
mod filesystem;
mod forget;
mod own_dir;
mod reply;
mod requests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fuser::BackgroundSession;

pub use own_dir::OwnFiles;

use crate::vfs::Vfs;
use filesystem::ScopeFs;
use forget::Forgetter;

/// How the file system is to be mounted.
#[derive(Debug, Clone)]
pub struct Options {
    /// What `/proc/mounts` shows as the source: the workspace.
    pub source: PathBuf,
    /// Others than the mounting user may look in.
    pub allow_other: bool,
    /// Nothing can be written.
    pub read_only: bool,
    /// Honour set-id bits.
    pub suid: bool,
    /// Honour device files.
    pub dev: bool,
    /// Allow execution.
    pub exec: bool,
    /// Keep access times.
    pub atime: bool,
    /// How long the kernel may trust attributes.
    pub attr_ttl: Duration,
    /// How long the kernel may trust names, present or absent.
    pub entry_ttl: Duration,
    /// Threads that answer requests.
    pub threads: usize,
}

/// A mounted file system with its threads.
#[derive(Debug)]
pub struct Mounted {
    session: BackgroundSession,
    forgetter: Forgetter,
}

impl Mounted {
    /// Mounts `vfs` on `mountpoint`; the mount is ready when this returns.
    ///
    /// # Errors
    /// Whatever the kernel, or `fusermount3` for an ordinary user, answers.
    pub fn start(vfs: Arc<Vfs>, mountpoint: &Path, options: &Options, own: OwnFiles) -> io::Result<Mounted> {
        let strict = vfs.router().any_strict();
        let filesystem = ScopeFs::new(vfs.clone(), (options.attr_ttl, options.entry_ttl), strict, own);
        let session = attach::attach(filesystem, mountpoint, options)?.spawn()?;
        raise_readahead(mountpoint);
        let forgetter = Forgetter::start(vfs, session.notifier())?;
        Ok(Mounted { session, forgetter })
    }

    /// Returns when the file system is unmounted and every request is answered.
    pub fn wait(self) -> io::Result<()> {
        let ended = self.session.join();
        self.forgetter.stop();
        ended
    }
}

/// The kernel cuts what FUSE asks for to 128 KiB; root may set more for the mount afterwards, which makes cold
/// sequential reads through the page cache half as fast again.
fn raise_readahead(mountpoint: &Path) {
    use std::os::unix::fs::MetadataExt;
    let Ok(root) = std::fs::symlink_metadata(mountpoint) else { return };
    let (major, minor) = (rustix::fs::major(root.dev()), rustix::fs::minor(root.dev()));
    let knob = format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb");
    if let Err(e) = std::fs::write(&knob, "1024") {
        tracing::debug!("read-ahead stays at the kernel's choice ({knob}: {e})");
    }
}
