//! The tmpfs of root: a mount of its own below `/run/scopefs/ID`, in the host's mount namespace.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};

use super::runtime::PrivateDir;
use super::{PlaceError, tmpfs};

const NAME: &str = "memory";

/// What came of the attempt to mount.
pub(super) enum Mounted {
    At(OwnedFd, PathBuf),
    /// This root may not mount (a container without CAP_SYS_ADMIN).
    NotAllowed,
}

/// The tmpfs that an earlier daemon mounted, if it is there.
pub(super) fn find(runtime: &PrivateDir) -> Result<Option<(OwnedFd, PathBuf)>, PlaceError> {
    let path = runtime.path.join(NAME);
    match tmpfs::open_root(&path, OFlags::NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(PlaceError::Io { doing: "open", path, source: error.into() }),
        Ok(root) => {
            let look = |e: Errno| PlaceError::Io { doing: "look at", path: path.clone(), source: e.into() };
            let mounted = rustix::fs::fstat(&root).map_err(look)?.st_dev
                != rustix::fs::fstat(&runtime.fd).map_err(look)?.st_dev
                && tmpfs::is_ours(&root, 0).map_err(look)?;
            Ok(mounted.then_some((root, path)))
        }
    }
}

/// Mounts an empty tmpfs.
pub(super) fn create(runtime: &PrivateDir, size: u64) -> Result<Mounted, PlaceError> {
    let path = runtime.path.join(NAME);
    let fail = |doing: &'static str, e: io::Error| PlaceError::Io { doing, path: path.clone(), source: e };
    match rustix::fs::mkdirat(&runtime.fd, NAME, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(fail("make", error.into())),
    }
    let bare = tmpfs::open_root(&path, OFlags::NOFOLLOW).map_err(|e| fail("open", e.into()))?;
    if !tmpfs::is_empty(&bare).map_err(|e| fail("read", e))? {
        // Mounted over, they would be out of sight for ever.
        return Err(PlaceError::Occupied { path });
    }
    drop(bare);
    match tmpfs::mount(&path, size) {
        Ok(()) => {}
        Err(Errno::PERM | Errno::ACCESS) => {
            // Left behind it would only puzzle people.
            let _ = rustix::fs::unlinkat(&runtime.fd, NAME, AtFlags::REMOVEDIR);
            return Ok(Mounted::NotAllowed);
        }
        Err(error) => return Err(fail("mount a tmpfs on", error.into())),
    }
    // Mounts below it, should there ever be any, concern nobody else.
    rustix::mount::mount_change(&path, MountPropagationFlags::PRIVATE)
        .and_then(|()| tmpfs::open_root(&path, OFlags::NOFOLLOW))
        .map(|root| Mounted::At(root, path.clone()))
        .map_err(|e| fail("open the tmpfs on", e.into()))
}

/// Unmounts it. Fails with EBUSY while anything in it is open.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    rustix::mount::unmount(path, UnmountFlags::NOFOLLOW)?;
    fs::remove_dir(path)
}

/// Whose mounts we see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Namespace {
    /// Those of the machine (or of the container as a whole).
    Host,
    /// Our own: what we mount, nobody else sees, and it ends with us.
    Private,
    /// It cannot be told.
    Unknown,
}

/// Compares our mount namespace with that of process 1. Where that one is closed even to root, with that of the
/// kernel's own process 2, which never leaves the machine's first namespace. Where neither can be read, we say so
/// and go on as on a host: containers that hide process 1 are more common than private namespaces that do.
pub(super) fn namespace(root: &Path) -> Namespace {
    let of = |process: &str| fs::read_link(root.join(format!("proc/{process}/ns/mnt"))).ok();
    let Some(ours) = of("self") else { return Namespace::Unknown };
    let kernel = || {
        let name = fs::read_to_string(root.join("proc/2/comm")).ok()?;
        (name.trim_end() == "kthreadd").then(|| of("2"))?
    };
    match of("1").or_else(kernel) {
        Some(host) if host == ours => Namespace::Host,
        Some(_) => Namespace::Private,
        None => Namespace::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn machine(links: &[(&str, &str)], comm: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (process, link) in links {
            let ns = root.path().join("proc").join(process).join("ns");
            fs::create_dir_all(&ns).unwrap();
            symlink(link, ns.join("mnt")).unwrap();
        }
        fs::create_dir_all(root.path().join("proc/2")).unwrap();
        fs::write(root.path().join("proc/2/comm"), comm).unwrap();
        root
    }

    #[test]
    fn the_namespace_is_compared_with_process_1_or_else_with_the_kernels_own() {
        let told = |links: &[(&str, &str)], comm| namespace(machine(links, comm).path());
        assert_eq!(told(&[("self", "mnt:[1]"), ("1", "mnt:[1]")], "x\n"), Namespace::Host);
        assert_eq!(told(&[("self", "mnt:[2]"), ("1", "mnt:[1]")], "x\n"), Namespace::Private);
        assert_eq!(told(&[("self", "mnt:[1]"), ("2", "mnt:[1]")], "kthreadd\n"), Namespace::Host);
        assert_eq!(told(&[("self", "mnt:[2]"), ("2", "mnt:[1]")], "kthreadd\n"), Namespace::Private);
        assert_eq!(told(&[("self", "mnt:[2]"), ("2", "mnt:[1]")], "bash\n"), Namespace::Unknown);
        assert_eq!(told(&[("self", "mnt:[2]")], "kthreadd\n"), Namespace::Unknown);
    }
}
