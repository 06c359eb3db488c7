//! What a daemon answers on its control socket: the file system's figures and moves in the words of the protocol.

use std::sync::Arc;

use super::status::{self, Amount, Explained, Status, Stored, Tiers};
use super::{Counts, Event, FileError, Outcome, Progress, Reply, Request, WirePath};
use super::{advise, find};
use crate::materialize::jobs::Jobs;
use crate::model::{RelPath, Tier};
use crate::pressure::{MemoryProbe, pressure};
use crate::vfs::{self, MoveError, Vfs};

/// The daemon's side of every request but the one that ends it.
pub struct Answers {
    pub(super) vfs: Arc<Vfs>,
    pub(super) jobs: Arc<Jobs>,
    probe: Arc<dyn MemoryProbe>,
    /// Everything that does not change while the mount lasts.
    facts: Status,
}

impl Answers {
    /// Answers about `vfs`.
    pub fn new(vfs: Arc<Vfs>, jobs: Arc<Jobs>, probe: Arc<dyn MemoryProbe>, facts: Status) -> Answers {
        Answers { vfs, jobs, probe, facts }
    }

    /// Answers one request. Unmounting is not among them: it needs more than the file system.
    pub fn answer(&self, request: Request, events: &mut dyn FnMut(Event)) -> Reply {
        match request {
            Request::Status => Reply::Done(Outcome::Status(Box::new(self.status()))),
            Request::Explain { paths } => self.explain(&paths),
            Request::Find(query) => find::answer(&self.vfs, &self.facts, &query, events),
            Request::Advise => Reply::Done(Outcome::Advice(advise::advice(&self.vfs))),
            Request::Migrate { paths, to, dry_run, globs, busy, detach } => {
                self.migrate(&paths, &globs, to, (dry_run, busy, detach), events)
            }
            Request::Jobs => self.list_jobs(),
            Request::Job { id, verb, busy, detach } => self.job(id, verb, busy, detach, events),
            Request::Pin { paths, never } => self.pin(&paths, never, events),
            Request::Unpin { paths } => self.unpin(&paths),
            Request::Pins => self.list_pins(),
            Request::Sync { paths } => self.sync(&paths, events),
            Request::Unmount { .. } => Reply::failed("this mount cannot be ended from here"),
        }
    }

    /// The whole mount in figures.
    pub fn status(&self) -> Status {
        status_of(&self.vfs, &*self.probe, &self.facts)
    }

    fn explain(&self, paths: &[WirePath]) -> Reply {
        let mut explained = Vec::new();
        let mut errors = Vec::new();
        for path in paths {
            match relative(path).and_then(|rel| self.vfs.explain(&rel).map_err(|e| error(path, None, &e.to_string()))) {
                Ok(found) => explained.push(self.explained(path, found)),
                Err(e) => errors.push(e),
            }
        }
        reply(Outcome::Explained(explained), errors)
    }

    fn explained(&self, path: &WirePath, found: vfs::Explained) -> Explained {
        let top = match (found.tier, &self.facts.tmpfs) {
            (Tier::Memory, Some(tmpfs)) => tmpfs.as_path().join("tree"),
            _ => self.facts.workspace.as_path().to_owned(),
        };
        Explained {
            path: path.clone(),
            tier: found.tier,
            state: found.state,
            rule: found.rule,
            reason: found.reason,
            stored_at: top.join(found.stored_at.as_path()).into(),
            size: found.attr.size,
            stored_size: found.stored_size,
            store: found.store.map(|at| status::InStore {
                path: self.facts.workspace.as_path().join(at.store.as_path()).into(),
                array: at.array,
                stored_bytes: at.stored_bytes,
            }),
            dataset: found.dataset.map(|(view, consequence)| status::DatasetOf {
                dataset: dataset(&view),
                consequence: consequence.to_owned(),
            }),
        }
    }

    fn sync(&self, paths: &[WirePath], events: &mut dyn FnMut(Event)) -> Reply {
        let known = self.vfs.figures().conflicts.len();
        let root = [WirePath::from("")];
        let paths = if paths.is_empty() { &root[..] } else { paths };
        let mut counts = Counts::default();
        let mut errors = Vec::new();
        for path in paths {
            let synced = relative(path).and_then(|rel| {
                self.vfs.explain(&rel).map_err(|e| error(path, None, &e.to_string()))?;
                let mut last = vfs::Progress::default();
                let failed = self
                    .vfs
                    .sync_below(&rel, &mut |progress| {
                        last = progress.clone();
                        events(Event::Progress(progress_of(progress)));
                    })
                    .map_err(|e| error(path, None, &e.to_string()))?;
                counts.files += last.files;
                counts.bytes += last.bytes;
                Ok(failed)
            });
            match synced {
                Ok(failed) => errors.extend(failures(&failed)),
                Err(e) => errors.push(e),
            }
        }
        errors.extend(conflicts(&self.vfs).into_iter().skip(known));
        reply(Outcome::Moved(counts), errors)
    }
}

/// Files that stand beside what somebody else wrote meanwhile, as a person should be told.
pub fn conflicts(vfs: &Vfs) -> Vec<FileError> {
    let told = |path: &RelPath| {
        error(
            &wire(path),
            Some(Tier::Disk),
            "the workspace was changed behind the mount; both versions are kept, ours here",
        )
        .with_remedy("compare it with the file of the name without the suffix, and delete one")
    };
    vfs.figures().conflicts.iter().map(told).collect()
}

fn dataset(view: &vfs::DatasetView) -> status::Dataset {
    status::Dataset {
        name: wire(&view.name),
        bytes: view.bytes,
        files: view.files,
        row: view.row.as_str().to_owned(),
        next_at_bytes: view.next_at,
        back_below_bytes: view.back_below,
    }
}

fn adoptable(vfs: &Vfs) -> status::Adoptable {
    let (files, bytes, saves_bytes_estimate) = vfs.adoptable();
    status::Adoptable { files, bytes, saves_bytes_estimate }
}

/// The figures of a mount in the words of the fixed surface.
pub fn status_of(vfs: &Vfs, probe: &dyn MemoryProbe, facts: &Status) -> Status {
    let figures = vfs.figures();
    let budget = vfs.budget();
    let (high, low) = budget.marks();
    let bound = vfs.write_bound();
    let session = facts.session.clone().map(|session| status::Session { bound_bytes: bound.bound, ..session });
    let (limit_bytes, used_bytes) = (budget.limit(), budget.held());
    let amount = |files, bytes| Amount { files, bytes };
    Status {
        memory: status::Memory {
            limit_bytes,
            limit_because: facts.memory.limit_because.clone(),
            used_bytes,
            pressure: pressure(used_bytes, limit_bytes, &probe.sample()),
            high,
            low,
        },
        tiers: Tiers {
            memory: amount(figures.memory_files, figures.memory_bytes),
            disk: amount(figures.disk_files, figures.disk_bytes),
            zarr: Stored {
                files: figures.stores.files,
                bytes: figures.stores.bytes,
                stored_bytes: figures.stores.stored_bytes,
            },
            complete: figures.disk_complete,
        },
        dirty: amount(figures.dirty_files, figures.dirty_bytes),
        pinned: amount(figures.pinned_files, figures.pinned_bytes),
        oldest_dirty_seconds: figures.oldest_dirty.map(|age| age.as_secs_f64()),
        open_handles: figures.open_handles,
        materialized: status::Materialized {
            files: figures.materialized_files,
            bytes: figures.materialized_bytes,
            failed: figures.failed,
            bytes_per_second: bound.rate,
        },
        datasets: vfs.datasets().iter().map(dataset).collect(),
        adoptable: adoptable(vfs),
        session,
        sealed: status::Sealed { files: figures.sealed_files, bytes: figures.sealed_bytes, refused: figures.refused },
        failed_files: figures.failures.iter().map(|f| error(&wire(&f.path), Some(Tier::Memory), &f.cause)).collect(),
        conflicts: figures.conflicts.iter().map(wire).collect(),
        home_full: figures.home_full,
        ..facts.clone()
    }
}

/// How far the file system says it is, in the words of the protocol.
pub fn progress_of(progress: &vfs::Progress) -> Progress {
    Progress {
        done_files: progress.files,
        total_files: progress.of_files,
        done_bytes: progress.bytes,
        total_bytes: progress.of_bytes,
        current: progress.current.as_ref().map(wire),
    }
}

/// Files that could not be brought home, with what to do about it.
pub fn failures(failed: &[(RelPath, MoveError)]) -> Vec<FileError> {
    failed.iter().map(|(path, e)| move_error(&wire(path), Tier::Memory, e)).collect()
}

pub(super) fn wire(path: &RelPath) -> WirePath {
    path.as_path().to_owned().into()
}

pub(super) fn relative(path: &WirePath) -> Result<RelPath, FileError> {
    RelPath::from_path(path.as_path()).ok_or_else(|| error(path, None, "not a path inside the mount"))
}

pub(super) fn error(path: &WirePath, tier: Option<Tier>, cause: &str) -> FileError {
    FileError { path: path.clone(), tier, cause: cause.to_owned(), remedy: None }
}

fn move_error(path: &WirePath, tier: Tier, cause: &MoveError) -> FileError {
    let remedy = match cause {
        MoveError::Held => "close the programs that have it open, and try again",
        MoveError::NotThere => "look again with scopefs explain",
        MoveError::Failed(_) => "mend the cause and try again; the file stays readable where it is",
    };
    error(path, Some(tier), &cause.to_string()).with_remedy(remedy)
}

pub(super) fn reply(outcome: Outcome, errors: Vec<FileError>) -> Reply {
    if errors.is_empty() { Reply::Done(outcome) } else { Reply::Failed { errors, done: Some(outcome) } }
}
