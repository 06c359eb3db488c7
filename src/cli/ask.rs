//! Requests about paths, mount by mount.

use std::path::{Path, PathBuf};

use super::failure::{Failure, say};
use super::locate::{self, Located};
use super::mountinfo::{self, Mount};
use crate::control::{Event, FileError, Outcome, Reply, Request, WirePath};

/// Paths of one mount.
#[derive(Debug)]
pub struct Group {
    /// The mount.
    pub mount: Mount,
    /// As the caller wrote them.
    pub written: Vec<PathBuf>,
    /// The same relative to the mount's root.
    pub inside: Vec<WirePath>,
}

/// All mounts; an unreadable table is an error.
pub fn mounts() -> Result<Vec<Mount>, Failure> {
    mountinfo::read().map_err(|error| Failure::failed(format!("cannot read /proc/self/mountinfo: {error}")))
}

/// The paths by mount, in the order of their first ones. Paths in no mount come as messages.
pub fn group(mounts: &[Mount], paths: &[PathBuf]) -> (Vec<Group>, Vec<String>) {
    let (mut groups, mut wrong): (Vec<Group>, Vec<String>) = Default::default();
    for path in paths {
        match locate::file(mounts, path) {
            Err(failure) => wrong.push(failure.message),
            Ok(Located { mount, inside }) => {
                let at = groups.iter().position(|group| group.mount.id == mount.id).unwrap_or_else(|| {
                    groups.push(Group { mount, written: Vec::new(), inside: Vec::new() });
                    groups.len() - 1
                });
                // `at` is the position of an element, found or just made.
                groups[at].written.push(path.clone());
                groups[at].inside.push(inside.into());
            }
        }
    }
    (groups, wrong)
}

/// Asks the daemon of a mount.
pub fn ask(mount: &Mount, request: &Request, events: &mut dyn FnMut(Event)) -> Result<Reply, Failure> {
    let mut client = locate::connect(mount).map_err(|unreachable| Failure::from((unreachable, mount)))?;
    client.call(request, events).map_err(|error| Failure::failed(error.to_string()))
}

/// What was done, with what was not on standard error; the number of errors.
pub fn settle(mount: &Mount, reply: Reply) -> (Option<Outcome>, usize) {
    match reply {
        Reply::Done(outcome) => (Some(outcome), 0),
        Reply::Busy => {
            say(format_args!("scopefs: {}: programs hold files open", mount.point.display()));
            (None, 1)
        }
        Reply::Failed { errors, done } => {
            for error in &errors {
                say(format_args!("scopefs: {}", shown(mount, error)));
            }
            // A failure is one even if the daemon gives no reason.
            (done, errors.len().max(1))
        }
    }
}

/// The error with the path under which a person knows the file.
pub fn shown(mount: &Mount, error: &FileError) -> String {
    let mut error = error.clone();
    if !error.path.as_path().as_os_str().is_empty() {
        error.path = WirePath(absolute(&mount.point, error.path.as_path()));
    }
    error.to_string()
}

fn absolute(point: &Path, inside: &Path) -> PathBuf {
    point.join(inside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tier;

    #[test]
    fn paths_are_asked_mount_by_mount_and_strays_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let real = std::fs::canonicalize(dir.path()).unwrap();
        let (a, b) = (real.join("a"), real.join("b"));
        std::fs::create_dir(&a).unwrap();
        std::fs::create_dir(&b).unwrap();
        let points = [a.display().to_string(), b.display().to_string()];
        let mounts = mountinfo::for_tests(&[(&points[0], "fuse.scopefs", "/x"), (&points[1], "fuse.scopefs", "/y")]);
        let (groups, wrong) = group(&mounts, &[a.join("1"), b.join("2"), "/etc".into(), a.join("3")]);
        let inside: Vec<Vec<WirePath>> = groups.into_iter().map(|group| group.inside).collect();
        assert_eq!(inside, [vec!["1".into(), "3".into()], vec![WirePath::from("2")]]);
        assert_eq!(wrong.len(), 1);
    }

    #[test]
    fn an_error_names_the_file_as_the_person_knows_it() {
        let mount = mountinfo::for_tests(&[("/m", "fuse.scopefs", "/w")]).remove(1);
        let error = FileError {
            path: "a.tif".into(),
            tier: Some(Tier::Memory),
            cause: "no space left on device".into(),
            remedy: None,
        };
        assert_eq!(shown(&mount, &error), "/m/a.tif (in memory): no space left on device");
    }
}
