//! Where the tmpfs of the memory tier is.
//!
//! It must outlive the daemon, be found again by the next one, and be closed to everybody else:
//!
//! * root mounts it at `/run/scopefs/ID/memory` ([`PlaceKind::HostTmpfs`]);
//! * an ordinary user has it in namespaces held by a small process ([`PlaceKind::Keeper`]);
//! * where user namespaces are closed, a private directory in `/dev/shm` has to do ([`PlaceKind::SharedMemory`]).
//!
//! One daemon at a time works on a workspace; its lock is taken before a place is asked for.

mod host;
mod id;
pub mod keeper;
mod notes;
mod runtime;
mod shared;
mod sys;
mod tmpfs;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

pub use id::WorkspaceId;

/// The tmpfs of one workspace, open.
#[derive(Debug)]
pub struct Place {
    /// Its root directory (`O_PATH | O_DIRECTORY`).
    pub root: OwnedFd,
    /// How it is held.
    pub kind: PlaceKind,
    /// A path under which a person can look at it.
    pub shown_as: PathBuf,
    /// A directory of mode 0700 for sockets and process ids; not in the tmpfs.
    pub runtime_dir: PathBuf,
    /// What a person should know: what may take the memory away, what is not as it was asked for.
    pub notes: Vec<String>,
    /// With what it may end before the machine does: a batch job, a login session, a process of the user's.
    pub may_end_with: Option<String>,
    /// Whether an earlier daemon left it; it may hold the only copy of files then.
    pub found: bool,
    /// Bytes that others hold in the same tmpfs.
    others: u64,
    /// The keeper, if it is held by one.
    process: Option<OwnedFd>,
}

/// How a place is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlaceKind {
    /// A mount of root's in the host's mount namespace: lives until the machine stops.
    HostTmpfs,
    /// A mount in the namespaces of a process: lives as long as that.
    Keeper {
        /// The process.
        pid: u32,
    },
    /// A directory in `/dev/shm`.
    SharedMemory,
}

/// Why there is no memory tier.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A tmpfs mounted here would be seen by nobody else and end with us.
    #[error(
        "scopefs runs in a mount namespace of its own, so files in memory would be lost with it; start it outside \
         (in a systemd unit, without PrivateMounts=, PrivateTmp=, ProtectSystem= and their like)"
    )]
    PrivateNamespace,
    /// Somebody else's file, link or directory stands where a private directory of ours belongs.
    #[error("{} is not a directory of this user; remove it, or set XDG_RUNTIME_DIR to a directory of your own", path.display())]
    NotOurs {
        /// What stands there.
        path: PathBuf,
    },
    /// Files lie where the tmpfs would be mounted.
    #[error("{} is not mounted but has files in it; move them elsewhere, then mount again", path.display())]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
    /// A system call failed.
    #[error("memory tier: cannot {doing} {}: {source}", path.display())]
    Io {
        /// The verb.
        doing: &'static str,
        /// Its object.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is none to be had here; the workspace can be mounted all the same, with everything written to disk.
    #[error("there is no memory for files here: {why}; everything is written to disk at once")]
    None {
        /// What was tried and why it would not do.
        why: String,
    },
}

/// What decides where a place can be.
#[derive(Debug, Clone)]
struct Surroundings {
    /// `/`, or a directory that stands for it in tests.
    root: PathBuf,
    uid: u32,
    /// XDG_RUNTIME_DIR.
    runtime_dir: Option<PathBuf>,
}

impl Surroundings {
    fn here() -> Surroundings {
        Surroundings {
            root: PathBuf::from("/"),
            uid: rustix::process::geteuid().as_raw(),
            runtime_dir: std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
        }
    }
}

/// The place of a workspace: the one that an earlier daemon left, whatever is in it, or else a new and empty one that
/// holds at most `size` bytes.
///
/// Starts this program a second time where a keeper is needed, so its `main` must hand the word [`keeper::WORD`] to
/// [`keeper::run`].
pub fn open_or_create(id: &WorkspaceId, size: u64) -> Result<Place, PlaceError> {
    open_or_create_in(&Surroundings::here(), id, size)
}

/// The private directory of a workspace for sockets and logs, also where it has no place in memory. Made if it is
/// missing; whoever asks for it removes it.
pub fn runtime_dir(id: &WorkspaceId) -> Result<PathBuf, PlaceError> {
    Ok(runtime::open_or_create(&Surroundings::here(), id)?.path)
}

fn open_or_create_in(at: &Surroundings, id: &WorkspaceId, size: u64) -> Result<Place, PlaceError> {
    // In a private namespace the host's mounts can still be seen, but those made later cannot: refuse before looking.
    let namespace = if at.uid == 0 { host::namespace(std::path::Path::new("/")) } else { host::Namespace::Host };
    if namespace == host::Namespace::Private {
        return Err(PlaceError::PrivateNamespace);
    }
    let dir = runtime::open_or_create(at, id)?;
    let mut place = match find(at, id, &dir)? {
        Some(found) => {
            let mut place = found.opened(at, &dir, true);
            if let Err(error) = place.fit(size) {
                place.notes.push(format!("its size could not be set to {} MiB: {error}", size >> 20));
            }
            place
        }
        None => create(at, id, size, &dir)?.opened(at, &dir, false),
    };
    if namespace == host::Namespace::Unknown && place.kind == PlaceKind::HostTmpfs {
        place.notes.push("whether this is the host's mount namespace cannot be told; it is taken to be".to_owned());
    }
    Ok(place)
}

/// One of the three, before it is a [`Place`].
enum Opened {
    Host(OwnedFd, PathBuf),
    Keeper(keeper::Kept),
    Shared(shared::Shared),
}

fn find(at: &Surroundings, id: &WorkspaceId, dir: &runtime::PrivateDir) -> Result<Option<Opened>, PlaceError> {
    if at.uid == 0
        && let Some((root, path)) = host::find(dir)?
    {
        return Ok(Some(Opened::Host(root, path)));
    }
    if let Some(kept) = keeper::find(&runtime::existing(at, id), id, at.uid) {
        return Ok(Some(Opened::Keeper(kept)));
    }
    Ok(shared::find(at, id)?.map(Opened::Shared))
}

fn create(at: &Surroundings, id: &WorkspaceId, size: u64, dir: &runtime::PrivateDir) -> Result<Opened, PlaceError> {
    let mut why = Vec::new();
    if at.uid == 0 {
        match host::create(dir, size)? {
            host::Mounted::At(root, path) => return Ok(Opened::Host(root, path)),
            host::Mounted::NotAllowed => why.push("this root may not mount".to_owned()),
        }
    }
    match keeper::start(dir, id, size, at.uid) {
        Ok(kept) => return Ok(Opened::Keeper(kept)),
        Err(reason) => why.push(reason),
    }
    match shared::create(at, id, size)? {
        Ok(shared) => Ok(Opened::Shared(shared)),
        Err(reason) => {
            why.push(reason);
            // Nothing of ours is in it yet; if a caller's socket were, it would stay.
            let _ = runtime::leave(&dir.path);
            Err(PlaceError::None { why: why.join("; ") })
        }
    }
}

impl Opened {
    fn opened(self, at: &Surroundings, dir: &runtime::PrivateDir, found: bool) -> Place {
        let (root, kind, shown_as, others, process) = match self {
            Opened::Host(root, path) => (root, PlaceKind::HostTmpfs, path, 0, None),
            Opened::Keeper(kept) => {
                let shown_as = kept.shown_as();
                (kept.root, PlaceKind::Keeper { pid: kept.pid }, shown_as, 0, Some(kept.process))
            }
            Opened::Shared(shared) => (shared.root, PlaceKind::SharedMemory, shared.path, shared.others, None),
        };
        let notes = notes::of(at, &kind);
        let may_end_with = notes::may_end_with(at, &kind);
        Place { root, kind, shown_as, runtime_dir: dir.path.clone(), notes, may_end_with, found, others, process }
    }
}

impl Place {
    /// Gives the tmpfs another size, in bytes; does nothing in `/dev/shm`. Fails if more than that is in it.
    pub fn resize(&self, bytes: u64) -> io::Result<()> {
        match self.kind {
            PlaceKind::HostTmpfs => Ok(tmpfs::remount(&self.shown_as, bytes)?),
            PlaceKind::Keeper { pid } => keeper::resize(pid, bytes),
            PlaceKind::SharedMemory => Ok(()),
        }
    }

    /// A found tmpfs gets the size that is wanted now, or that of its contents if that is more.
    fn fit(&self, bytes: u64) -> io::Result<()> {
        self.resize(bytes.max(self.used_bytes()?))
    }

    /// Bytes that are held in it; one system call. In `/dev/shm` what others held at the start is left out.
    pub fn used_bytes(&self) -> io::Result<u64> {
        Ok(tmpfs::used_and_free(&self.root)?.0.saturating_sub(self.others))
    }

    /// Takes the tmpfs away at a clean end. Fails, and leaves everything as it is, if anything is in it or (root's)
    /// if anything in it is still open: the caller closes his own descriptors of it first.
    pub fn remove(self) -> io::Result<()> {
        if !tmpfs::is_empty(&self.root)? {
            let what = format!("there are still files in {}", self.shown_as.display());
            return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, what));
        }
        let Place { root, kind, shown_as, runtime_dir, process, .. } = self;
        // Our own descriptor would keep the mount busy.
        drop(root);
        match (kind, process) {
            (PlaceKind::HostTmpfs, _) => host::remove(&shown_as)?,
            (PlaceKind::SharedMemory, _) => std::fs::remove_dir(&shown_as)?,
            (PlaceKind::Keeper { .. }, Some(process)) => keeper::end(&process, &runtime_dir)?,
            // A keeper's place is made with its process.
            (PlaceKind::Keeper { .. }, None) => {}
        }
        runtime::leave(&runtime_dir)
    }
}

#[cfg(test)]
mod tests;
