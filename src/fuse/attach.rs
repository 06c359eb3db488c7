//! Attaching the file system to the kernel.
//!
//! Root mounts by itself, so that the mount is known as `fuse.scopefs`, with the workspace as its source; an ordinary
//! user goes through `fusermount3`.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fuser::{Config, Filesystem, MountOption, Session, SessionACL};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;

use super::Options;

const TYPE: &str = "scopefs";

/// A session on `mountpoint`.
pub(super) fn attach<F: Filesystem>(filesystem: F, mountpoint: &Path, options: &Options) -> io::Result<Session<F>> {
    let mut config = Config::default();
    config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(options.threads.max(2));
    config.clone_fd = true;
    if !rustix::process::geteuid().is_root() {
        config.mount_options = words(options);
        return Session::new(filesystem, mountpoint, &config);
    }
    let device = mount(mountpoint, options)?;
    Session::from_fd(filesystem, device, config.acl, config).inspect_err(|_| {
        // The kernel has a mount that nobody will ever answer for.
        let _ = rustix::mount::unmount(mountpoint, rustix::mount::UnmountFlags::DETACH);
    })
}

fn mount(mountpoint: &Path, options: &Options) -> io::Result<OwnedFd> {
    let device = rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let mode = std::fs::symlink_metadata(mountpoint)?.mode() & libc::S_IFMT;
    let allow_other = if options.allow_other { ",allow_other" } else { "" };
    let data =
        format!("fd={},rootmode={mode:o},user_id=0,group_id=0,default_permissions{allow_other}", device.as_raw_fd());
    let source = CString::new(options.source.as_os_str().as_bytes())?;
    let data = CString::new(data)?;
    rustix::mount::mount(&*source, mountpoint, format!("fuse.{TYPE}"), flags(options), Some(&*data))?;
    Ok(device)
}

fn flags(options: &Options) -> MountFlags {
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::RDONLY, options.read_only);
    flags.set(MountFlags::NOSUID, !options.suid);
    flags.set(MountFlags::NODEV, !options.dev);
    flags.set(MountFlags::NOEXEC, !options.exec);
    flags.set(MountFlags::NOATIME, !options.atime);
    flags
}

fn words(options: &Options) -> Vec<MountOption> {
    let either = |yes, on, off| if yes { on } else { off };
    vec![
        MountOption::FSName(options.source.display().to_string().replace(',', "\\,")),
        MountOption::Subtype(TYPE.to_owned()),
        MountOption::DefaultPermissions,
        either(options.read_only, MountOption::RO, MountOption::RW),
        either(options.suid, MountOption::Suid, MountOption::NoSuid),
        either(options.dev, MountOption::Dev, MountOption::NoDev),
        either(options.exec, MountOption::Exec, MountOption::NoExec),
        either(options.atime, MountOption::Atime, MountOption::NoAtime),
    ]
}
