//! From a path to the mount that serves it, and to its daemon.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::mountinfo::{self, Mount};
use crate::control::{Client, Status};

/// A file in a mount of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The mount, at its root.
    pub mount: Mount,
    /// The file, relative to that root.
    pub inside: PathBuf,
}

/// Absolute and without links, as mountinfo has it. What does not exist, or lies on a dead mount, keeps its last
/// component.
pub fn canonical(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path).or_else(|error| {
        let absolute = std::path::absolute(path)?;
        match (absolute.parent(), absolute.file_name()) {
            (Some(parent), Some(name)) => Ok(fs::canonicalize(parent)?.join(name)),
            _ => Err(error),
        }
    })
}

/// Where `path` is in which mount of ours.
pub fn file(mounts: &[Mount], path: &Path) -> Result<Located, Failure> {
    let absolute = canonical(path).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    let seen = mountinfo::covering(mounts, &absolute).filter(|mount| mount.is_scopefs());
    let Some(seen) = seen else { return Err(not_mounted(mounts, path, &absolute)) };
    // A bind mount shows a part; the whole is another mount of the same file system.
    let below = seen.root.strip_prefix("/").unwrap_or(Path::new(""));
    let inside = absolute.strip_prefix(&seen.point).map(|rest| below.join(rest)).unwrap_or_default();
    let whole = mounts.iter().rev().find(|mount| mount.device == seen.device && mount.root == Path::new("/"));
    Ok(Located { mount: whole.unwrap_or(seen).clone(), inside })
}

/// The mount of ours on `path`.
pub fn mount(mounts: &[Mount], path: &Path) -> Result<Mount, Failure> {
    let absolute = canonical(path).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    match mountinfo::at(mounts, &absolute) {
        Some(mount) if mount.is_scopefs() => Ok(mount.clone()),
        Some(mount) => Err(Failure::failed(format!(
            "{} is a mount of type {}, not one of scopefs{}",
            path.display(),
            mount.fstype,
            known(mounts)
        ))),
        None => Err(not_mounted(mounts, path, &absolute)),
    }
}

fn not_mounted(mounts: &[Mount], path: &Path, absolute: &Path) -> Failure {
    let shown = path.display();
    let home = mounts.iter().find(|mount| mount.is_scopefs() && absolute.starts_with(&mount.source));
    if let Some((mount, Ok(inside))) = home.map(|mount| (mount, absolute.strip_prefix(&mount.source))) {
        // `components` drops the slash that joining an empty path leaves.
        let there: PathBuf = mount.point.join(inside).components().collect();
        return Failure::failed(format!(
            "{shown} is in a workspace, not in its mount; the same file in the mount is {}",
            there.display()
        ));
    }
    Failure::failed(format!("{shown} is not in a mount of scopefs{}", known(mounts)))
}

fn known(mounts: &[Mount]) -> String {
    let points: Vec<String> =
        mounts.iter().filter(|mount| mount.is_scopefs()).map(|mount| mount.point.display().to_string()).collect();
    match points.as_slice() {
        [] => "; nothing is mounted now, see 'scopefs mount --help'".to_owned(),
        points => format!("; mounted are {}", points.join(", ")),
    }
}

/// Why a mount's daemon cannot be asked.
#[derive(Debug)]
pub enum Unreachable {
    /// There is none any more.
    Dead,
    /// Something else, in words.
    Because(Failure),
}

/// Status as the mount itself shows it; needs no more than to be allowed to read in the mount.
pub fn status(mount: &Mount) -> Result<Status, Unreachable> {
    let file = mount.point.join(".scopefs/status.json");
    let because = |why: String| Unreachable::Because(Failure::failed(format!("{}: {why}", mount.point.display())));
    let text = fs::read(&file).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOTCONN | libc::ECONNABORTED) => Unreachable::Dead,
        Some(libc::EACCES | libc::EPERM) => because(
            "it belongs to another user, who alone can see it; ask as that user, or mount it with -o allow_other"
                .to_owned(),
        ),
        _ => because(format!("cannot read {}: {error}", file.display())),
    })?;
    serde_json::from_slice(&text)
        .map_err(|error| because(format!("{} is not what this version of scopefs writes: {error}", file.display())))
}

/// Connects to the daemon of a mount.
pub fn connect(mount: &Mount) -> Result<Client, Unreachable> {
    let status = status(mount)?;
    let because = |why: String| Unreachable::Because(Failure::failed(format!("{}: {why}", mount.point.display())));
    let socket = status.control.ok_or_else(|| because("its daemon has no control socket; see its log".to_owned()))?;
    Client::connect(socket.as_path()).map_err(|error| match &error {
        crate::control::ClientError::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            because(format!("its daemon (pid {}) belongs to another user; ask as that user or as root", status.pid))
        }
        _ => because(error.to_string()),
    })
}

/// What to say of a mount whose daemon is gone.
pub fn dead(mount: &Mount) -> Failure {
    let (point, source) = (mount.point.display(), mount.source.display());
    Failure::failed(format!(
        "the daemon of {point} is gone, but nothing is lost: what was in memory stays there; mount the workspace again \
         with 'scopefs mount {source} {point}'"
    ))
}

impl From<(Unreachable, &Mount)> for Failure {
    fn from((unreachable, mount): (Unreachable, &Mount)) -> Failure {
        match unreachable {
            Unreachable::Dead => dead(mount),
            Unreachable::Because(failure) => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_located_through_links_and_bind_mounts() {
        let dir = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(real.join("m/plate")).unwrap();
        fs::create_dir_all(real.join("bind")).unwrap();
        fs::write(real.join("m/plate/a.tif"), "").unwrap();
        std::os::unix::fs::symlink(real.join("m"), real.join("link")).unwrap();
        let point = real.join("m").display().to_string();
        let mut mounts = mountinfo::for_tests(&[(&point, "fuse.scopefs", "/w")]);
        let bind = Mount { root: "/plate".into(), point: real.join("bind"), ..mounts[1].clone() };
        mounts.push(bind);

        let located = file(&mounts, &real.join("link/plate/a.tif")).unwrap();
        assert_eq!((located.mount.point.clone(), located.inside), (real.join("m"), "plate/a.tif".into()));
        let located = file(&mounts, &real.join("bind/new.tif")).unwrap();
        assert_eq!((located.mount.point, located.inside), (real.join("m"), "plate/new.tif".into()));
        assert_eq!(file(&mounts, &real.join("m")).unwrap().inside, Path::new(""));
        assert_eq!(mount(&mounts, &real.join("link")).unwrap().source, Path::new("/w"));
    }

    #[test]
    fn a_path_in_the_workspace_is_told_its_place_in_the_mount() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = fs::canonicalize(dir.path()).unwrap();
        let mounts = mountinfo::for_tests(&[("/somewhere", "fuse.scopefs", workspace.to_str().unwrap())]);
        let failure = file(&mounts, &workspace.join("a.tif")).unwrap_err();
        assert!(failure.message.ends_with("in the mount is /somewhere/a.tif"), "{}", failure.message);
        assert_eq!(failure.code, 1);
        let failure = mount(&mounts, &workspace).unwrap_err();
        assert!(failure.message.ends_with("in the mount is /somewhere"), "{}", failure.message);
    }

    #[test]
    fn a_path_in_no_mount_is_told_which_there_are() {
        let failure = file(&mountinfo::for_tests(&[("/m", "fuse.scopefs", "/w")]), Path::new("/etc")).unwrap_err();
        assert!(failure.message.contains("mounted are /m"), "{}", failure.message);
        let failure = file(&mountinfo::for_tests(&[]), Path::new("/etc")).unwrap_err();
        assert!(failure.message.contains("nothing is mounted now"), "{}", failure.message);
    }
}
