//! The private directory for what belongs to a mount while it lives: sockets, the keeper's record.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};

use super::{PlaceError, Surroundings, WorkspaceId};

/// A directory that only we can enter, held open.
#[derive(Debug)]
pub(super) struct PrivateDir {
    pub(super) fd: OwnedFd,
    pub(super) path: PathBuf,
}

/// The workspace's own directory below the first base that can be used; made if it is missing.
pub(super) fn open_or_create(at: &Surroundings, id: &WorkspaceId) -> Result<PrivateDir, PlaceError> {
    let mut failed = None;
    for (parent, name) in bases(at) {
        match private(&parent, &name, at.uid, true).and_then(|base| private(&base.path, id.as_str(), at.uid, true)) {
            Ok(dir) => return Ok(dir),
            Err(error) => failed = Some(error),
        }
    }
    // `bases` names at least one.
    Err(failed.unwrap_or_else(|| PlaceError::None { why: "no directory for sockets".to_owned() }))
}

/// Every directory in which an earlier daemon may have left its record. The base depends on the environment (a login
/// session has one, ssh or cron may have none), so all of them are looked at.
pub(super) fn existing(at: &Surroundings, id: &WorkspaceId) -> Vec<PrivateDir> {
    let open = |(parent, name): (PathBuf, String)| {
        let base = private(&parent, &name, at.uid, false).ok()?;
        private(&base.path, id.as_str(), at.uid, false).ok()
    };
    bases(at).into_iter().filter_map(open).collect()
}

/// Parent and name of the bases, best first.
fn bases(at: &Surroundings) -> Vec<(PathBuf, String)> {
    let word = || "scopefs".to_owned();
    if at.uid == 0 {
        return vec![(at.root.join("run"), word())];
    }
    let session = [at.runtime_dir.clone(), Some(at.root.join(format!("run/user/{}", at.uid)))];
    let ours = |dir: &PathBuf| dir.is_absolute() && is_private(dir, at.uid);
    let mut bases: Vec<_> = session.into_iter().flatten().filter(ours).map(|dir| (dir, word())).collect();
    bases.dedup();
    bases.push((at.root.join("tmp"), format!("scopefs-{}", at.uid)));
    bases
}

/// Whether a directory is ours and closed to others (`su` leaves the environment of another user behind).
fn is_private(dir: &Path, uid: u32) -> bool {
    let stat = rustix::fs::statat(CWD, dir, AtFlags::empty());
    stat.is_ok_and(|s| FileType::from_raw_mode(s.st_mode).is_dir() && s.st_uid == uid && s.st_mode & 0o077 == 0)
}

/// Opens `parent/name`, which must be a directory of ours with mode 0700, after making it if that is wanted.
///
/// In a parent that others may write (`/tmp`), somebody can have put a link or a directory of his own there first:
/// a link is not followed, and the owner is checked on the open directory, not on the name.
pub(super) fn private(parent: &Path, name: &str, uid: u32, make: bool) -> Result<PrivateDir, PlaceError> {
    let path = parent.join(name);
    let fail = |doing: &'static str, source: rustix::io::Errno| PlaceError::Io {
        doing,
        path: path.clone(),
        source: io::Error::from(source),
    };
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::open(parent, flags | OFlags::PATH, Mode::empty()).map_err(|e| fail("open", e))?;
    if make {
        match rustix::fs::mkdirat(&parent, name, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(fail("make", error)),
        }
    }
    let fd = match rustix::fs::openat(&parent, name, flags | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(fd) => fd,
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR | rustix::io::Errno::ACCESS) => {
            return Err(PlaceError::NotOurs { path });
        }
        Err(error) => return Err(fail("open", error)),
    };
    let stat = rustix::fs::fstat(&fd).map_err(|e| fail("look at", e))?;
    if stat.st_uid != uid {
        return Err(PlaceError::NotOurs { path });
    }
    if stat.st_mode & 0o777 != 0o700 {
        rustix::fs::fchmod(&fd, Mode::RWXU).map_err(|e| fail("close to others", e))?;
    }
    Ok(PrivateDir { fd, path })
}

/// Removes the workspace's directory if nothing of the caller's (a socket) is left in it.
pub(super) fn leave(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir(path) {
        Err(e) if !matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn me() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_link_in_the_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let target = tempfile::tempdir().unwrap();
        symlink(target.path(), dir.path().join("scopefs-7")).unwrap();
        let error = private(dir.path(), "scopefs-7", me(), true).unwrap_err();
        assert!(matches!(error, PlaceError::NotOurs { .. }), "{error}");
        assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_of_somebody_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        let error = private(dir.path(), "d", me() + 1, true).unwrap_err();
        assert!(matches!(error, PlaceError::NotOurs { .. }), "{error}");
    }

    #[test]
    fn a_directory_of_ours_is_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        private(dir.path(), "d", me(), false).unwrap();
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn the_session_directory_is_used_only_if_it_is_ours_and_private() {
        let root = tempfile::tempdir().unwrap();
        let session = root.path().join("session");
        fs::create_dir(&session).unwrap();
        let uid = me().max(1);
        let at = Surroundings { root: root.path().to_owned(), uid, runtime_dir: Some(session.clone()) };
        let names = |at: &Surroundings| bases(at).into_iter().map(|(dir, name)| dir.join(name)).collect::<Vec<_>>();
        assert_eq!(names(&at), [root.path().join(format!("tmp/scopefs-{uid}"))], "mode 0755 is not private");
        fs::set_permissions(&session, fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(&session, Some(uid), None).unwrap();
        assert_eq!(names(&at)[0], session.join("scopefs"));
    }
}
