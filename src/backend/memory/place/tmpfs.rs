//! What all tmpfs of ours have in common: how they are mounted, and how one is told from anything else.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Dir, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;

/// No device files and no suid of ours means anything in the mirror itself; the mount above decides that.
const FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// tmpfs(5). Large pages make large files twice as fast, within the size of a file so that a small one costs no
/// 2 MiB. No limit on inodes: they count in memory, not in blocks. 64-bit inode numbers, so that none comes twice.
/// A kernel without one of them refuses the whole list; then the next list is tried.
const WISHES: [&str; 4] = [",huge=within_size,inode64", ",huge=within_size", ",inode64", ""];

/// Mounts an empty tmpfs of at most `size` bytes, mode 0700, over `target`.
pub(super) fn mount(target: &Path, size: u64) -> Result<(), Errno> {
    let mut refused = Errno::INVAL;
    for wishes in WISHES {
        let options = format!("mode=0700,nr_inodes=0,size={}{wishes}", whole_pages(size));
        // Digits and words only: no NUL.
        let options = CString::new(options).map_err(|_| Errno::INVAL)?;
        match rustix::mount::mount("scopefs", target, "tmpfs", FLAGS, options.as_c_str()) {
            Err(Errno::INVAL) => refused = Errno::INVAL,
            Err(other) => return Err(other),
            Ok(()) => return Ok(()),
        }
    }
    Err(refused)
}

/// Gives the tmpfs at `target` another size. EINVAL if more than that is in it.
pub(super) fn remount(target: &Path, size: u64) -> Result<(), Errno> {
    rustix::mount::mount_remount(target, FLAGS, format!("size={}", whole_pages(size)))
}

/// tmpfs takes a size of 0 as "no limit".
fn whole_pages(size: u64) -> u64 {
    size.max(rustix::param::page_size() as u64)
}

/// Opens a directory as a place that one only walks from.
pub(super) fn open_root(path: &Path, follow: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | follow, Mode::empty())
}

/// Whether this is a directory of `uid` on a tmpfs.
pub(super) fn is_ours(root: impl AsFd, uid: u32) -> Result<bool, Errno> {
    let stat = rustix::fs::fstat(&root)?;
    Ok(rustix::fs::fstatfs(&root)?.f_type == libc::TMPFS_MAGIC && stat.st_uid == uid)
}

/// Bytes that the whole tmpfs holds, and bytes that still fit in.
pub(super) fn used_and_free(root: impl AsFd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstatfs(root)?;
    let block = stat.f_bsize as u64;
    Ok((stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(block), stat.f_bavail.saturating_mul(block)))
}

/// Whether nothing is in it.
pub(super) fn is_empty(root: impl AsFd) -> io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    for entry in Dir::new(rustix::fs::openat(root, ".", flags, Mode::empty())?)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}
