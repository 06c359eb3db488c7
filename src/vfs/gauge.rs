//! The real figures behind the budget.

use std::os::fd::{AsFd, OwnedFd};

use super::Gauge;

/// Measures the tmpfs, this process and the workspace's disk.
pub struct SystemGauge {
    tmpfs: Option<OwnedFd>,
    workspace: OwnedFd,
    resident: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl SystemGauge {
    /// A gauge over open descriptors; `resident` tells the resident size of this process in bytes.
    pub fn new(
        tmpfs: Option<OwnedFd>,
        workspace: OwnedFd,
        resident: Box<dyn Fn() -> u64 + Send + Sync>,
    ) -> SystemGauge {
        SystemGauge { tmpfs, workspace, resident }
    }
}

impl Gauge for SystemGauge {
    fn held(&self) -> u64 {
        self.tmpfs() + (self.resident)()
    }

    fn tmpfs(&self) -> u64 {
        let used = |fd: &OwnedFd| {
            let stat = rustix::fs::fstatvfs(fd.as_fd()).ok()?;
            Some((stat.f_blocks - stat.f_bfree) * stat.f_frsize)
        };
        self.tmpfs.as_ref().and_then(used).unwrap_or(0)
    }

    fn home_free(&self) -> (u64, u64) {
        match rustix::fs::fstatvfs(self.workspace.as_fd()) {
            // Some file systems have no fixed number of inodes, and say 0.
            Ok(stat) if stat.f_files == 0 => (stat.f_bavail * stat.f_frsize, u64::MAX),
            Ok(stat) => (stat.f_bavail * stat.f_frsize, stat.f_favail),
            Err(_) => (0, 0),
        }
    }
}
