//! The lines that go over the control socket.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::advise::Advice;
use super::find::{Find, FoundAll, FoundFile, FoundStores};
use super::jobs::{JobStatus, JobVerb, Plan};
use super::pins::Pinned;
use super::status::{Explained, Status};
use super::wire_path::WirePath;
use crate::materialize::jobs::Busy;
use crate::model::Tier;

/// What a client asks. Paths are relative to the root of the mount; the empty path is the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Figures of the mount.
    Status,
    /// Rule, tier, state and reason of each file.
    Explain {
        /// The files.
        paths: Vec<WirePath>,
    },
    /// Brings all files at and below the paths to another tier.
    Migrate {
        /// Files and directories.
        paths: Vec<WirePath>,
        /// Where to.
        to: Tier,
        /// Only tell what would be moved.
        dry_run: bool,
        /// Files by globs over paths relative to the mount.
        #[serde(default)]
        globs: Vec<String>,
        /// What becomes of files that are open or mapped.
        #[serde(default)]
        busy: Busy,
        /// Answer when the job has begun.
        #[serde(default)]
        detach: bool,
    },
    /// The files, or the stores, that are asked for.
    Find(Box<Find>),
    /// What the daemon has seen that another configuration would have spared.
    Advise,
    /// All jobs.
    Jobs,
    /// Something about one job.
    Job {
        /// Its number.
        id: u64,
        /// What is to be done.
        verb: JobVerb,
        /// What becomes of files that are open or mapped.
        #[serde(default)]
        busy: Busy,
        /// Answer when it has begun.
        #[serde(default)]
        detach: bool,
    },
    /// Keeps files and trees in memory, or out of it.
    Pin {
        /// Files and directories.
        paths: Vec<WirePath>,
        /// They may never enter memory.
        never: bool,
    },
    /// Takes pins away, those below the paths included.
    Unpin {
        /// Files and directories.
        paths: Vec<WirePath>,
    },
    /// All pins.
    Pins,
    /// Returns when all files at and below the paths are durable.
    Sync {
        /// Files and directories; none means everything.
        paths: Vec<WirePath>,
    },
    /// Brings everything home and ends the mount.
    Unmount {
        /// Unseal what is at and below this path first.
        plain: Option<WirePath>,
        /// Do not refuse while files are open: detach, wait until they are closed, then flush.
        lazy: bool,
    },
}

/// What a daemon tells while it works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// How far it is.
    Progress(Progress),
    /// How far a job is; files that did not move are named at its end.
    Job(Box<JobStatus>),
    /// Something a person should know.
    Message(String),
    /// Some of the files that [`Request::Find`] asks for.
    Found(Vec<FoundFile>),
}

/// How far a long task is; totals may still grow.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Files finished.
    pub done_files: u64,
    /// Files in all.
    pub total_files: u64,
    /// Bytes finished.
    pub done_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// The file that is worked on, relative to the mount.
    pub current: Option<WirePath>,
}

/// The end of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// All of it is done.
    Done(Outcome),
    /// Some of it is not.
    Failed {
        /// What is not done, and why.
        errors: Vec<FileError>,
        /// What was done all the same.
        done: Option<Outcome>,
    },
    /// Nothing failed, but programs hold files of the mount open; it stays.
    Busy,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Explain`], in the order of the paths.
    Explained(Vec<Explained>),
    /// To [`Request::Find`]: the files came before.
    Found(FoundAll),
    /// To [`Request::Find`] for stores.
    Stores(FoundStores),
    /// To [`Request::Advise`].
    Advice(Advice),
    /// To [`Request::Migrate`] as a dry run.
    Plan(Box<Plan>),
    /// The job that was asked for, as it has begun, ended or been changed.
    Job(Box<JobStatus>),
    /// To [`Request::Jobs`], the oldest first.
    Jobs(Vec<JobStatus>),
    /// To [`Request::Pins`], by path.
    Pins(Vec<Pinned>),
    /// To all others: what was brought elsewhere.
    Moved(Counts),
}

/// What was moved, or made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Files moved.
    pub files: u64,
    /// Their length.
    pub bytes: u64,
    /// Files that were there already.
    pub already: u64,
}

/// Why one file could not be dealt with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FileError {
    /// The file, relative to the mount; empty if it is about no single file.
    pub path: WirePath,
    /// Where its bytes are now, and stay.
    pub tier: Option<Tier>,
    /// What went wrong.
    pub cause: String,
    /// What a person can do.
    pub remedy: Option<String>,
}

impl FileError {
    /// An error that is about no single file.
    pub fn general(cause: impl Into<String>) -> FileError {
        FileError { cause: cause.into(), ..FileError::default() }
    }

    /// The same with something that a person can do.
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> FileError {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.0.as_os_str().is_empty() {
            write!(f, "{}", self.path)?;
            if let Some(tier) = self.tier {
                write!(f, " (in {})", if tier == Tier::Disk { "the workspace" } else { tier.as_str() })?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.cause)?;
        self.remedy.iter().try_for_each(|remedy| write!(f, "; {remedy}"))
    }
}

impl Reply {
    /// Done, with nothing to count.
    pub fn done() -> Reply {
        Reply::Done(Outcome::Moved(Counts::default()))
    }

    /// Failed for a reason that is about no single file.
    pub fn failed(cause: impl Into<String>) -> Reply {
        Reply::Failed { errors: vec![FileError::general(cause)], done: None }
    }
}

/// One line from the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// More follows.
    Event(Event),
    /// The request is finished.
    Reply(Reply),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_line_whatever_the_paths_hold() {
        let requests = [
            Request::Status,
            Request::Sync { paths: vec![] },
            Request::Migrate {
                paths: vec!["a\nb".into()],
                to: Tier::Disk,
                dry_run: true,
                globs: vec!["a/*.tif".into()],
                busy: Busy::Wait(Some(std::time::Duration::from_secs(60))),
                detach: false,
            },
            Request::Job { id: 7, verb: JobVerb::Rollback, busy: Busy::Skip, detach: true },
            Request::Pin { paths: vec!["hot".into()], never: false },
            Request::Unmount { plain: None, lazy: false },
        ];
        for request in requests {
            let line = serde_json::to_string(&request).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
        }
    }

    #[test]
    fn an_error_says_which_file_which_tier_why_and_what_to_do() {
        let error = FileError {
            path: "plate/a.tif".into(),
            tier: Some(Tier::Memory),
            cause: "no space left on device".into(),
            remedy: Some("free some".into()),
        };
        assert_eq!(error.to_string(), "plate/a.tif (in memory): no space left on device; free some");
        assert_eq!(FileError::general("the mount is ending").to_string(), "the mount is ending");
    }
}
