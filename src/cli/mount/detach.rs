//! Taking a mount away, and finding out that it is dead.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use super::process;
use crate::cli::failure::Failure;
use crate::cli::mountinfo;

/// Dead mounts taken from one place; more than so many on top of each other are somebody's mistake.
const STACKED: usize = 8;

/// Unmounts. Fails with EBUSY while anything in it is in use; `lazy`: takes it out of sight at once in any case.
pub fn detach(mountpoint: &Path, lazy: bool) -> io::Result<()> {
    if !process::may_mount() {
        return fusermount(mountpoint, lazy);
    }
    let how = if lazy { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    Ok(rustix::mount::unmount(mountpoint, how | UnmountFlags::NOFOLLOW)?)
}

/// The program that mounts and unmounts for ordinary users, found as the FUSE library finds it: named by
/// `FUSERMOUNT_PATH`, or in `PATH`.
pub fn find_fusermount() -> Option<PathBuf> {
    let named = std::env::var_os("FUSERMOUNT_PATH").map(PathBuf::from).into_iter();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found: Vec<PathBuf> = std::env::split_paths(&path).map(|dir| dir.join("fusermount3")).collect();
    named.chain(found).find(|file| file.is_file())
}

fn fusermount(mountpoint: &Path, lazy: bool) -> io::Result<()> {
    let program = find_fusermount().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, NO_FUSERMOUNT))?;
    let how = if lazy { "-uz" } else { "-u" };
    let ran = Command::new(program)
        .args([how, "--"])
        .arg(mountpoint)
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&ran.stderr);
    match () {
        () if ran.status.success() => Ok(()),
        () if said.contains("busy") => Err(io::Error::from_raw_os_error(libc::EBUSY)),
        () => Err(io::Error::other(said.trim().to_owned())),
    }
}

/// What is missing, and how to get it.
pub const NO_FUSERMOUNT: &str = "fusermount3 is missing, without which an ordinary user can neither mount nor unmount; \
                                 install it, as with 'apt-get install fuse3', or run as root";

/// Whether `path` is on a FUSE mount whose daemon is gone. Asked with statfs(2), which always goes to the daemon:
/// attributes may be in the kernel's cache for a second after its death. A request that is under way while the daemon
/// dies is aborted.
fn is_dead(path: &Path) -> bool {
    matches!(rustix::fs::statfs(path), Err(Errno::NOTCONN | Errno::CONNABORTED))
}

/// Takes away what a dead daemon has left on `path`; a message if there was anything.
pub fn clean_stale(path: &Path) -> Result<Option<String>, Failure> {
    let mut cleaned = None;
    for _ in 0..STACKED {
        if !is_dead(path) {
            break;
        }
        let place = crate::cli::locate::canonical(path).unwrap_or_else(|_| path.to_path_buf());
        let on_it =
            mountinfo::read().ok().and_then(|mounts| mountinfo::at(&mounts, &place).map(|mount| mount.is_fuse()));
        if on_it != Some(true) {
            return Err(Failure::failed(format!(
                "{} cannot be reached: it is inside a FUSE mount whose daemon is gone; unmount that first",
                path.display()
            )));
        }
        detach(&place, true).map_err(|error| {
            Failure::failed(format!(
                "{} is a mount whose daemon is gone, and it cannot be unmounted: {error}; as root, 'umount -l {}' does it",
                path.display(),
                path.display()
            ))
        })?;
        cleaned = Some(format!("{} was a mount whose daemon is gone; it is taken away", path.display()));
    }
    Ok(cleaned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_directory_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(clean_stale(dir.path()), Ok(None));
        assert_eq!(clean_stale(&dir.path().join("missing")), Ok(None));
    }
}
