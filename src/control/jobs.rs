//! Jobs over the control socket: moves of trees, what they would do, how they stand.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::answers::{Answers, error, relative, wire};
use super::status::Amount;
use super::{Event, FileError, Outcome, Progress, Reply, WirePath};
use crate::materialize::jobs::{self, Busy, Counts, Job, JobError, Order, Snapshot, State, Target, Task, Why};
use crate::model::{RelPath, Tier};
use crate::route::PathGlob;
use crate::vfs::Outlook;

/// What is to be done about a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobVerb {
    /// Tell how it is until it has ended.
    Follow,
    /// End it.
    Cancel,
    /// Go on with it.
    Resume,
    /// Bring back what it has moved.
    Rollback,
}

/// A job: the JSON of `scopefs jobs --json` and, line by line, of `scopefs migrate --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Its number.
    pub id: u64,
    /// `migrate`, or for pins `raise` and `leave`.
    pub task: String,
    /// Where a migration goes.
    pub to: Option<Tier>,
    /// Files, directories and globs that it is about, relative to the mount.
    pub paths: Vec<String>,
    /// How it stands.
    pub state: State,
    /// It brings back what it had moved.
    pub back: bool,
    /// It can be resumed and rolled back, by a later daemon too.
    pub recorded: bool,
    /// Files and bytes so far.
    #[serde(flatten)]
    pub counts: Counts,
    /// Bytes a second of this run.
    pub bytes_per_second: u64,
    /// Seconds that are left at that rate.
    pub eta_seconds: Option<u64>,
    /// Seconds that this run has taken.
    pub elapsed_seconds: u64,
    /// The file at hand.
    pub current: Option<WirePath>,
    /// What went wrong with the job as a whole.
    pub cause: Option<String>,
    /// The first thousand files that are not where they were asked to be.
    #[serde(default)]
    pub troubles: Vec<JobTrouble>,
}

/// A file that is not where it was asked to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobTrouble {
    /// The file, relative to the mount.
    pub path: WirePath,
    /// Where its bytes are.
    pub tier: Option<Tier>,
    /// What kind of reason it is.
    pub why: Why,
    /// The reason.
    pub cause: String,
}

impl JobStatus {
    /// How far it is.
    pub fn progress(&self) -> Progress {
        Progress {
            done_files: self.counts.files,
            total_files: self.counts.of_files,
            done_bytes: self.counts.bytes,
            total_bytes: self.counts.of_bytes,
            current: self.current.clone(),
        }
    }
}

impl From<Snapshot> for JobStatus {
    fn from(now: Snapshot) -> JobStatus {
        let (task, to) = match now.task {
            Task::Migrate(to) => ("migrate", Some(to)),
            Task::Raise => ("raise", None),
            Task::Leave => ("leave", None),
        };
        let active = now.state.is_active();
        JobStatus {
            id: now.id,
            task: task.to_owned(),
            to,
            state: now.state,
            back: now.back,
            recorded: now.recorded,
            counts: now.counts,
            bytes_per_second: now.rate(),
            eta_seconds: now.eta().filter(|_| active).map(|left| left.as_secs()),
            elapsed_seconds: now.elapsed.as_secs(),
            current: now.current.as_ref().map(wire),
            cause: now.cause,
            paths: now.targets,
            troubles: now.troubles.into_iter().map(JobTrouble::from).collect(),
        }
    }
}

impl From<jobs::Trouble> for JobTrouble {
    fn from(trouble: jobs::Trouble) -> JobTrouble {
        JobTrouble { path: wire(&trouble.path), tier: trouble.tier, why: trouble.why, cause: trouble.cause }
    }
}

/// What a migration would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Where it would go.
    pub to: Tier,
    /// What would move now.
    pub moves: Amount,
    /// What is there already.
    pub already: Amount,
    /// What is open or mapped, and would have to wait.
    pub waits: Amount,
    /// What cannot be there and stays.
    pub stays: Amount,
    /// Bytes of memory that are free for it, where it goes there; others that are not pinned may make way for more.
    pub room: Option<u64>,
    /// The first thousand files that would wait or stay.
    pub troubles: Vec<JobTrouble>,
}

impl Plan {
    fn new(to: Tier, room: Option<u64>) -> Plan {
        let none = Amount::default();
        Plan { to, moves: none, already: none, waits: none, stays: none, room, troubles: Vec::new() }
    }

    fn take(&mut self, path: &RelPath, found: crate::vfs::Placed, outlook: Outlook) {
        let (amount, trouble) = match outlook {
            Outlook::There => (&mut self.already, None),
            Outlook::Moves => (&mut self.moves, None),
            Outlook::Held => (&mut self.waits, Some((Why::Held, "it is open or mapped".to_owned()))),
            Outlook::Stays(cause) => (&mut self.stays, Some((Why::Stays, cause))),
        };
        amount.files += 1;
        amount.bytes += found.size;
        if let Some((why, cause)) = trouble
            && self.troubles.len() < Snapshot::TROUBLES
        {
            self.troubles.push(JobTrouble { path: wire(path), tier: Some(found.tier), why, cause });
        }
    }
}

impl Answers {
    pub(super) fn migrate(
        &self,
        paths: &[WirePath],
        globs: &[String],
        to: Tier,
        (dry_run, busy, detach): (bool, Busy, bool),
        events: &mut dyn FnMut(Event),
    ) -> Reply {
        let targets = match targets(paths, globs) {
            Ok(targets) => targets,
            Err(errors) => return Reply::Failed { errors, done: None },
        };
        let order = Order { task: Task::Migrate(to), targets, busy };
        if dry_run { self.plan(&order, to) } else { self.begin(self.jobs.start(order), detach, events) }
    }

    fn plan(&self, order: &Order, to: Tier) -> Reply {
        let budget = self.vfs.budget();
        let free = ((budget.limit() as f64 * budget.marks().0) as u64).saturating_sub(budget.held());
        let mut plan = Plan::new(to, (to == Tier::Memory).then_some(free));
        let failed = jobs::plan(&self.vfs, order, &mut |path, found, outlook| plan.take(&path, found, outlook));
        let errors = failed.iter().map(|(path, e)| error(&wire(path), None, &e.to_string())).collect();
        super::answers::reply(Outcome::Plan(Box::new(plan)), errors)
    }

    pub(super) fn list_jobs(&self) -> Reply {
        Reply::Done(Outcome::Jobs(self.jobs.list().into_iter().map(JobStatus::from).collect()))
    }

    pub(super) fn job(&self, id: u64, verb: JobVerb, busy: Busy, detach: bool, events: &mut dyn FnMut(Event)) -> Reply {
        let job = match verb {
            JobVerb::Follow => self.jobs.get(id),
            JobVerb::Cancel => self.jobs.cancel(id),
            JobVerb::Resume => self.jobs.resume(id, busy),
            JobVerb::Rollback => self.jobs.rollback(id, busy),
        };
        self.begin(job, detach, events)
    }

    /// Follows a job to its end, unless nobody wants to wait for that.
    pub(super) fn begin(
        &self,
        job: Result<std::sync::Arc<Job>, JobError>,
        detach: bool,
        events: &mut dyn FnMut(Event),
    ) -> Reply {
        let job = match job {
            Ok(job) => job,
            Err(e) => return Reply::failed(e.to_string()),
        };
        let tell = |now: &Snapshot| Event::Job(Box::new(Snapshot { troubles: Vec::new(), ..now.clone() }.into()));
        // At once, so that whoever asked knows its number.
        events(tell(&job.snapshot()));
        let ended = if detach { job.snapshot() } else { job.follow(&mut |now| events(tell(now))) };
        Reply::Done(Outcome::Job(Box::new(ended.into())))
    }
}

fn targets(paths: &[WirePath], globs: &[String]) -> Result<Vec<Target>, Vec<FileError>> {
    let (mut trees, mut errors) = (Vec::new(), Vec::new());
    for path in paths {
        match relative(path) {
            Ok(path) => trees.push(path),
            Err(e) => errors.push(e),
        }
    }
    let mut targets: Vec<Target> = outermost(trees).into_iter().map(Target::Tree).collect();
    for glob in globs {
        match PathGlob::new(glob) {
            Ok(glob) => targets.push(Target::Glob(glob)),
            Err(cause) => errors.push(FileError::general(cause)),
        }
    }
    if errors.is_empty() { Ok(targets) } else { Err(errors) }
}

/// A file is dealt with once, however often it was named.
fn outermost(paths: Vec<RelPath>) -> Vec<RelPath> {
    let all: BTreeSet<RelPath> = paths.into_iter().collect();
    let above = |path: &RelPath| path.split().map(|(dir, _)| dir);
    let is_below = |path: &RelPath| std::iter::successors(above(path), above).any(|dir| all.contains(&dir));
    all.iter().filter(|path| !is_below(path)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_below_another_is_asked_for_once() {
        let paths = ["a/b", "a", "a-b", "ab", "a"].map(WirePath::from);
        let found = targets(&paths, &["c/*".to_owned()]).expect("all are right");
        let shown: Vec<String> = found
            .iter()
            .map(|target| match target {
                Target::Tree(path) => path.to_string(),
                Target::Glob(glob) => glob.as_str().to_owned(),
            })
            .collect();
        assert_eq!(shown, ["a", "a-b", "ab", "c/*"]);
        let errors = targets(&["../x".into()], &["[".to_owned()]).expect_err("both are wrong");
        assert_eq!(errors.len(), 2);
    }

    #[test]
    fn a_plan_counts_and_names_what_would_not_move() {
        let mut plan = Plan::new(Tier::Zarr, None);
        let found = crate::vfs::Placed { tier: Tier::Disk, size: 10 };
        let path = RelPath::from_bytes(b"a.csv").expect("relative");
        for outlook in [Outlook::There, Outlook::Moves, Outlook::Held, Outlook::Stays("no image".into())] {
            plan.take(&path, found, outlook);
        }
        assert_eq!((plan.moves.files, plan.already.bytes, plan.waits.files, plan.stays.files), (1, 10, 1, 1));
        assert_eq!(plan.troubles.len(), 2);
        assert_eq!(plan.troubles.last().map(|trouble| trouble.cause.as_str()), Some("no image"));
    }
}
