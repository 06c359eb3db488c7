//! What a job is asked for, and how it stands.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{RelPath, Tier};
use crate::route::PathGlob;

/// What a job does with each file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Brings it to a tier.
    Migrate(Tier),
    /// Brings what is pinned in memory up.
    Raise,
    /// Lets what is pinned never to enter memory leave it.
    Leave,
}

/// Which files.
#[derive(Debug, Clone)]
pub enum Target {
    /// A file, or all below a directory.
    Tree(RelPath),
    /// Those that a glob matches.
    Glob(PathGlob),
}

/// What becomes of files that are open or mapped so that they cannot move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Busy {
    /// They are told, and the job has not done all it was asked for.
    #[default]
    Tell,
    /// They are passed over.
    Skip,
    /// They are waited for, at most so long where that is said.
    Wait(Option<Duration>),
}

/// An order for a job.
#[derive(Debug, Clone)]
pub struct Order {
    /// What is to be done.
    pub task: Task,
    /// With what.
    pub targets: Vec<Target>,
    /// How to deal with busy files.
    pub busy: Busy,
}

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Others are before it.
    Queued,
    /// At work.
    Running,
    /// Every file is where it was asked to be, or cannot be there.
    Done,
    /// It has ended, and some files are not where they were asked to be.
    Incomplete,
    /// Somebody ended it.
    Cancelled,
    /// The mount or its daemon ended before it did.
    Interrupted,
    /// What it moved is where it was.
    RolledBack,
}

impl State {
    /// Every state there is.
    pub const ALL: [State; 7] = [
        State::Queued,
        State::Running,
        State::Done,
        State::Incomplete,
        State::Cancelled,
        State::Interrupted,
        State::RolledBack,
    ];

    /// Its name in records, JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Running => "running",
            State::Done => "done",
            State::Incomplete => "incomplete",
            State::Cancelled => "cancelled",
            State::Interrupted => "interrupted",
            State::RolledBack => "rolled-back",
        }
    }

    /// Whether it is at work, or about to be.
    pub fn is_active(self) -> bool {
        matches!(self, State::Queued | State::Running)
    }
}

/// Why a file is not where it was asked to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// It is open or mapped.
    Held,
    /// It cannot be there.
    Stays,
    /// Something failed.
    Failed,
}

/// A file that is not where it was asked to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Where it is in the tree.
    pub path: RelPath,
    /// Where its bytes are.
    pub tier: Option<Tier>,
    /// What kind of reason it is.
    pub why: Why,
    /// The reason.
    pub cause: String,
}

/// What a job has counted so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Files dealt with, of this run.
    pub files: u64,
    /// Their length in bytes.
    pub bytes: u64,
    /// Files to deal with; may still grow.
    pub of_files: u64,
    /// Their length in bytes.
    pub of_bytes: u64,
    /// Files that were moved.
    pub moved_files: u64,
    /// Their length in bytes.
    pub moved_bytes: u64,
    /// Files that were there already.
    pub already: u64,
    /// Files that are open or mapped and will be tried again.
    pub waiting: u64,
    /// Files that were open or mapped to the end.
    pub held: u64,
    /// Files that cannot be there and stay as they are.
    pub stays: u64,
    /// Files that failed.
    pub failed: u64,
    /// Files that vanished meanwhile.
    pub gone: u64,
}

/// A job as it is at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its number.
    pub id: u64,
    /// What it does.
    pub task: Task,
    /// With what, as a person would write it.
    pub targets: Vec<String>,
    /// How it stands.
    pub state: State,
    /// It brings back what it moved.
    pub back: bool,
    /// A record of it outlives the daemon, so that it can be resumed and rolled back.
    pub recorded: bool,
    /// Files and bytes so far.
    pub counts: Counts,
    /// The file at hand.
    pub current: Option<RelPath>,
    /// How long this run has taken.
    pub elapsed: Duration,
    /// What went wrong with the job as a whole.
    pub cause: Option<String>,
    /// Files that are not where they were asked to be; at most [`Snapshot::TROUBLES`] of them.
    pub troubles: Vec<Trouble>,
}

impl Snapshot {
    /// So many files are named; the others are counted.
    pub const TROUBLES: usize = 1000;

    /// A job that has done nothing yet.
    pub fn new(id: u64, order: &Order, state: State, recorded: bool) -> Snapshot {
        Snapshot {
            id,
            task: order.task,
            targets: order.targets.iter().map(shown).collect(),
            state,
            back: false,
            recorded,
            counts: Counts::default(),
            current: None,
            elapsed: Duration::ZERO,
            cause: None,
            troubles: Vec::new(),
        }
    }

    /// Bytes a second, over this run.
    pub fn rate(&self) -> u64 {
        (self.counts.bytes as f64 / self.elapsed.as_secs_f64().max(0.001)) as u64
    }

    /// How long it will take at that rate; `None` before there is one.
    pub fn eta(&self) -> Option<Duration> {
        let rate = self.rate();
        (rate > 0).then(|| Duration::from_secs(self.counts.of_bytes.saturating_sub(self.counts.bytes) / rate))
    }
}

fn shown(target: &Target) -> String {
    match target {
        Target::Tree(path) => path.to_string(),
        Target::Glob(glob) => glob.as_str().to_owned(),
    }
}
