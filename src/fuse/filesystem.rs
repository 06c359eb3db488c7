//! The file system as the kernel's requests see it.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use fuser::{FopenFlags, InitFlags, KernelConfig, OpenAccMode, OpenFlags as RawFlags};

use super::backing::{Backings, Release};
use super::own_dir::{OwnDir, OwnFiles};
use crate::vfs::{self, Fh, Opened, Serve, Vfs};

/// Largest read and write that the kernel sends, in bytes.
const REQUEST_MOST: u32 = 1 << 20;

thread_local! {
    /// One buffer a thread for what is read, so that a read allocates nothing.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A mounted [`Vfs`].
pub(super) struct ScopeFs {
    pub vfs: Arc<Vfs>,
    /// How long the kernel may trust attributes.
    pub attr_ttl: Duration,
    /// How long the kernel may trust names.
    pub entry_ttl: Duration,
    pub own: OwnDir,
    pub backings: Backings,
    /// Some rule makes closes durable; otherwise the kernel need not tell us of them.
    pub strict: bool,
}

/// How a handle is opened, in the words of the protocol.
pub(super) enum Answer {
    Plain(Fh, FopenFlags),
    Passthrough(Fh, FopenFlags, Arc<fuser::BackingId>),
}

impl ScopeFs {
    pub fn new(vfs: Arc<Vfs>, ttls: (Duration, Duration), strict: bool, own: OwnFiles) -> ScopeFs {
        let (attr_ttl, entry_ttl) = ttls;
        ScopeFs { vfs, attr_ttl, entry_ttl, own: OwnDir::new(own), backings: Backings::default(), strict }
    }

    /// Asks the kernel for what we want of what it offers.
    pub fn negotiate(&self, config: &mut KernelConfig) {
        let wanted = [
            InitFlags::FUSE_POSIX_ACL,
            // Without it the kernel asks for security.capability at each write.
            InitFlags::FUSE_HANDLE_KILLPRIV_V2,
            InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_ATOMIC_O_TRUNC,
            InitFlags::FUSE_AUTO_INVAL_DATA,
            InitFlags::FUSE_DONT_MASK,
            InitFlags::FUSE_ASYNC_DIO,
            InitFlags::FUSE_PASSTHROUGH,
        ];
        for flag in wanted {
            if config.add_capabilities(flag).is_err() {
                tracing::info!("this kernel does not offer {flag:?}; served without it");
            }
        }
        // Each of these gives the nearest possible value where ours is too large.
        let _ = config.set_max_write(REQUEST_MOST);
        let _ = config.set_max_readahead(REQUEST_MOST);
        let _ = config.set_max_background(64);
        if let Err(most) = config.set_max_stack_depth(2) {
            let _ = config.set_max_stack_depth(most);
        }
    }

    /// Runs `act` with a buffer of `size` bytes.
    pub fn with_buffer<T>(&self, size: usize, act: impl FnOnce(&mut [u8]) -> T) -> T {
        BUFFER.with_borrow_mut(|buffer| {
            if buffer.len() < size {
                buffer.resize(size, 0);
            }
            act(&mut buffer[..size])
        })
    }

    /// Turns what the `vfs` decided into what the kernel is told; `register` asks it for a backing id.
    pub fn answer(
        &self,
        ino: u64,
        opened: Opened,
        register: impl FnOnce(&crate::backend::Object) -> std::io::Result<fuser::BackingId>,
    ) -> vfs::Result<Answer> {
        let fh = opened.fh;
        let (object, direct) = match opened.serve {
            Serve::Direct => return Ok(Answer::Plain(fh, direct_flags())),
            Serve::Cached => return Ok(Answer::Plain(fh, FopenFlags::FOPEN_KEEP_CACHE)),
            Serve::Kernel { object, direct } => (object, direct),
        };
        match self.backings.acquire(ino, fh.0, || register(&object)) {
            Ok(id) => {
                let flags = if direct { FopenFlags::FOPEN_DIRECT_IO } else { FopenFlags::empty() };
                Ok(Answer::Passthrough(fh, flags, id))
            }
            Err(e) => {
                let never_again = e.raw_os_error() == Some(libc::EPERM);
                tracing::debug!("the kernel does not serve files itself: {e}");
                match self.vfs.served_by_daemon(fh, never_again) {
                    Ok(Serve::Cached) => Ok(Answer::Plain(fh, FopenFlags::FOPEN_KEEP_CACHE)),
                    Ok(_) => Ok(Answer::Plain(fh, direct_flags())),
                    Err(error) => {
                        self.vfs.release(fh);
                        Err(error)
                    }
                }
            }
        }
    }

    /// The kernel has the answer to an open that it is to serve itself.
    pub fn answered(&self, ino: u64, fh: Fh, id: Arc<fuser::BackingId>) {
        self.released(self.backings.answered(ino, fh.0, id), fh);
    }

    /// Closes a handle in the `vfs`, if it is time.
    pub fn released(&self, release: Release, fh: Fh) {
        if release == Release::Now {
            self.vfs.release(fh);
        }
    }
}

fn direct_flags() -> FopenFlags {
    FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES
}

/// The flags of `open(2)` as far as we look at them.
/// The kernel opens a file to run it (`__FMODE_EXEC`, include/linux/fs.h).
const FMODE_EXEC: i32 = 0x20;

pub(super) fn open_flags(raw: RawFlags) -> vfs::OpenFlags {
    vfs::OpenFlags {
        write: raw.acc_mode() != OpenAccMode::O_RDONLY,
        truncate: raw.0 & libc::O_TRUNC != 0,
        sync: raw.0 & (libc::O_SYNC | libc::O_DSYNC) != 0,
        exclusive: raw.0 & libc::O_EXCL != 0,
        execute: raw.0 & FMODE_EXEC != 0,
    }
}
