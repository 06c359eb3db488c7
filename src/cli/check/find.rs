//! Which stores there are to check, and that nobody is at work on them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::backend::zarr::offline::{Marked, marked};
use crate::cli::failure::{Failure, say};
use crate::cli::mount::workspace::{CHUNKS, Still, Workspace, keep_still};
use crate::cli::mountinfo::Mount;
use crate::vfs::OWN_DIR;

/// What is part of the name of every store.
const ENDING: &[u8] = b".ome.zarr";

/// What is to be looked at.
#[derive(Debug)]
pub struct Scope {
    /// The workspace in which it is, absolute and without links.
    pub workspace: PathBuf,
    /// The stores.
    pub stores: Vec<Candidate>,
    /// What could not be looked into, and why.
    pub unread: Vec<String>,
}

/// A store.
#[derive(Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its directory.
    pub path: PathBuf,
    /// Whether its marker is there.
    pub marked: bool,
}

/// Finds the stores at and below `path`, which must be in no mounted workspace.
pub fn stores(mounts: &[Mount], path: &Path) -> Result<Scope, Failure> {
    let shown = path.display();
    let at = fs::canonicalize(path).map_err(|error| Failure::usage(format!("{shown}: {error}")))?;
    if !at.is_dir() {
        return Err(Failure::usage(format!("{shown} is no directory; name a workspace or a store")));
    }
    not_mounted(mounts, &at)?;
    let candidate = |error: io::Error| Failure::failed(format!("cannot read {shown}: {error}"));
    if let Some(store) = candidate_at(&at).map_err(candidate)? {
        let beside = at.parent().unwrap_or(&at);
        let workspace = workspace_of(&at).unwrap_or_else(|| beside.to_owned());
        return Ok(Scope { workspace, stores: vec![store], unread: Vec::new() });
    }
    let workspace = workspace_of(&at).unwrap_or_else(|| at.clone());
    let mut scope = Scope { workspace, stores: Vec::new(), unread: Vec::new() };
    walk(&at, &mut scope);
    scope.stores.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(scope)
}

/// A store that a daemon serves changes while it is looked at.
fn not_mounted(mounts: &[Mount], at: &Path) -> Result<(), Failure> {
    let touches = |mount: &&Mount| {
        mount.is_scopefs()
            && (at.starts_with(&mount.point) || at.starts_with(&mount.source) || mount.source.starts_with(at))
    };
    let Some(mount) = mounts.iter().find(touches) else { return Ok(()) };
    let (at, source, point) = (at.display(), mount.source.display(), mount.point.display());
    Err(Failure::failed(format!(
        "{at} cannot be checked: the workspace {source} is mounted at {point}, and its stores change while it is; \
         'scopefs unmount {point}' first"
    )))
}

/// The nearest directory, at or above `at`, that was left as a workspace.
fn workspace_of(at: &Path) -> Option<PathBuf> {
    at.ancestors().find(|dir| is_workspace(dir)).map(Path::to_owned)
}

fn is_workspace(dir: &Path) -> bool {
    ["SCOPEFS.TAG", "lock"].iter().any(|name| dir.join(OWN_DIR).join(name).is_file())
}

fn candidate_at(dir: &Path) -> io::Result<Option<Candidate>> {
    let named = dir.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(ENDING));
    let marked = if named { marked(dir)? } else { Marked::No };
    Ok((marked != Marked::No).then(|| Candidate { path: dir.to_owned(), marked: marked == Marked::Ours }))
}

/// Links are not followed: what they lead to is checked where it is.
fn walk(top: &Path, scope: &mut Scope) {
    let mut dirs = vec![top.to_owned()];
    while let Some(dir) = dirs.pop() {
        let entries = fs::read_dir(&dir).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let entries = entries.unwrap_or_else(|error| {
            scope.unread.push(format!("{}: {error}", dir.display()));
            Vec::new()
        });
        for entry in entries {
            if entry.file_name() == OWN_DIR || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let path = entry.path();
            match candidate_at(&path) {
                Ok(Some(store)) => scope.stores.push(store),
                Ok(None) if is_workspace(&path) => {
                    scope.unread.push(format!("{} is a workspace of its own; check it by itself", path.display()));
                }
                Ok(None) => dirs.push(path),
                Err(error) => scope.unread.push(format!("{}: {error}", path.display())),
            }
        }
    }
}

/// The workspace while it is worked on: no daemon begins to serve it.
#[derive(Debug)]
pub enum Hold {
    /// Nothing is written.
    Still {
        /// The lock.
        _lock: Still,
        /// Where chunks wait for their names, if there are any.
        staging: Option<PathBuf>,
    },
    /// It is ours alone.
    Ours(Workspace, PathBuf),
}

impl Hold {
    /// Locks `workspace`, for `changes` or only to look.
    pub fn take(workspace: &Path, changes: bool) -> Result<Hold, Failure> {
        let staging = workspace.join(OWN_DIR).join(CHUNKS);
        if !changes {
            let there = staging.is_dir().then_some(staging);
            return Ok(Hold::Still { _lock: keep_still(workspace)?, staging: there });
        }
        let ours = Workspace::open_offline(workspace, &mut |note| say(format_args!("note: {note}")))?;
        if ours.is_noted() {
            let text = "files of an earlier mount may still be in memory; a mount brings them back";
            say(format_args!("note: {text}: {}", workspace.join(OWN_DIR).join("IN-MEMORY").display()));
        }
        Ok(Hold::Ours(ours, staging))
    }

    /// Where chunks wait for their names.
    pub fn staging(&self) -> Option<&Path> {
        match self {
            Hold::Still { staging, .. } => staging.as_deref(),
            Hold::Ours(_, staging) => Some(staging),
        }
    }

    /// Lets go; what we have made beside the files goes too.
    pub fn leave(self) -> Result<(), Failure> {
        match self {
            Hold::Still { .. } => Ok(()),
            Hold::Ours(workspace, _) => {
                let shown = workspace.path().join(OWN_DIR);
                workspace
                    .leave_as_found()
                    .map_err(|error| Failure::failed(format!("cannot remove {}: {error}", shown.display())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::zarr::array::Version;
    use crate::backend::zarr::offline::made;
    use crate::cli::mountinfo::for_tests;

    #[test]
    fn stores_are_found_below_a_directory_and_by_themselves() {
        let made = made(Version::V2, false);
        let top = made.dir.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("a/theirs.ome.zarr/0")).unwrap();
        fs::create_dir_all(top.join(".scopefs")).unwrap();
        fs::rename(top.join("P1.ome.zarr"), top.join("a/P1.ome.zarr")).unwrap();
        std::os::unix::fs::symlink("a", top.join("b")).unwrap();
        let expected = vec![Candidate { path: top.join("a/P1.ome.zarr"), marked: true }];
        let below = stores(&[], &top).unwrap();
        assert_eq!((below.stores, below.workspace, below.unread), (expected, top.clone(), vec![]));
        let itself = stores(&[], &top.join("a/P1.ome.zarr")).unwrap();
        assert_eq!((itself.stores.len(), itself.workspace), (1, top.join("a")));
        fs::write(top.join(".scopefs/lock"), "").unwrap();
        assert_eq!(stores(&[], &top.join("a/P1.ome.zarr")).unwrap().workspace, top);
        fs::remove_file(top.join("a/P1.ome.zarr/scopefs/.zattrs")).unwrap();
        assert!(!stores(&[], &top).unwrap().stores[0].marked);
    }

    #[test]
    fn a_workspace_within_is_not_looked_into_and_that_is_said() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("inner/.scopefs")).unwrap();
        fs::write(dir.path().join("inner/.scopefs/lock"), "").unwrap();
        let scope = stores(&[], dir.path()).unwrap();
        assert!(scope.unread.len() == 1 && scope.unread[0].contains("inner is a workspace of its own"), "{scope:?}");
    }

    #[test]
    fn what_is_mounted_is_refused_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().canonicalize().unwrap();
        fs::create_dir_all(at.join("w/p")).unwrap();
        let mounts = for_tests(&[("/m", "fuse.scopefs", at.join("w").to_str().unwrap())]);
        for path in [at.join("w"), at.join("w/p"), at.clone()] {
            let failure = stores(&mounts, &path).unwrap_err();
            assert_eq!(failure.code, 1);
            assert!(failure.message.contains("'scopefs unmount /m' first"), "{}", failure.message);
        }
        let over = for_tests(&[(at.join("w").to_str().unwrap(), "fuse.scopefs", "/elsewhere")]);
        assert!(stores(&over, &at.join("w/p")).is_err());
        fs::create_dir(at.join("other")).unwrap();
        assert!(stores(&mounts, &at.join("other")).is_ok());
    }

    #[test]
    fn who_looks_keeps_daemons_off_and_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mount = || Workspace::open(dir.path(), Path::new("/m"), false, &mut |_| {});
        let look = Hold::take(dir.path(), false).unwrap();
        let other = Hold::take(dir.path(), false).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(mount().unwrap_err().message.contains("in use"));
        look.leave().unwrap();
        other.leave().unwrap();
        let daemon = mount().unwrap();
        for changes in [false, true] {
            let failure = Hold::take(dir.path(), changes).unwrap_err();
            assert!(failure.message.contains("scopefs unmount /m"), "{}", failure.message);
        }
        daemon.leave().unwrap();
    }

    #[test]
    fn who_changes_leaves_the_workspace_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let hold = Hold::take(dir.path(), true).unwrap();
        assert!(hold.staging().unwrap().is_dir());
        assert!(Hold::take(dir.path(), false).unwrap_err().message.contains("in use"));
        hold.leave().unwrap();
        assert!(!dir.path().join(OWN_DIR).exists());
        // What a killed daemon has left is the next one's.
        drop(Workspace::open(dir.path(), Path::new("/m"), false, &mut |_| {}).unwrap());
        fs::write(dir.path().join(OWN_DIR).join("chunks/1-0"), "x").unwrap();
        Hold::take(dir.path(), true).unwrap().leave().unwrap();
        assert!(dir.path().join(OWN_DIR).join("chunks/1-0").exists());
    }
}
