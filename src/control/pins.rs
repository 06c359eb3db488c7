//! Pins over the control socket.

use serde::{Deserialize, Serialize};

use super::answers::{Answers, error, relative, reply, wire};
use super::{Counts, Event, FileError, Outcome, Reply, WirePath};
use crate::materialize::jobs::{Busy, Order, Target, Task};
use crate::model::RelPath;
use crate::vfs::{Pin, PinError};

/// A pin: the JSON of `scopefs pin --list --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// The file or directory, relative to the mount as the daemon tells it.
    pub path: WirePath,
    /// It may never enter memory; else it stays there.
    pub never: bool,
}

impl Answers {
    pub(super) fn pin(&self, paths: &[WirePath], never: bool, events: &mut dyn FnMut(Event)) -> Reply {
        let paths = match all(paths) {
            Ok(paths) => paths,
            Err(errors) => return Reply::Failed { errors, done: None },
        };
        let (pin, task) = if never { (Pin::Never, Task::Leave) } else { (Pin::Memory, Task::Raise) };
        if let Err(e) = self.vfs.pin(&paths, pin) {
            return Reply::Failed { errors: vec![refusal(&paths, &e)], done: None };
        }
        let targets = paths.into_iter().map(Target::Tree).collect();
        self.begin(self.jobs.start(Order { task, targets, busy: Busy::Tell }), false, events)
    }

    pub(super) fn unpin(&self, paths: &[WirePath]) -> Reply {
        let paths = match all(paths) {
            Ok(paths) => paths,
            Err(errors) => return Reply::Failed { errors, done: None },
        };
        let (mut counts, mut errors) = (Counts::default(), Vec::new());
        for path in &paths {
            match self.vfs.unpin(path) {
                Ok(taken) => counts.files += taken as u64,
                Err(e) => errors.push(refusal(std::slice::from_ref(path), &e)),
            }
        }
        reply(Outcome::Moved(counts), errors)
    }

    pub(super) fn list_pins(&self) -> Reply {
        let pinned = |(path, pin)| Pinned { path: wire(&path), never: pin == Pin::Never };
        Reply::Done(Outcome::Pins(self.vfs.pins().into_iter().map(pinned).collect()))
    }
}

fn all(paths: &[WirePath]) -> Result<Vec<RelPath>, Vec<FileError>> {
    let (good, wrong): (Vec<_>, Vec<_>) = paths.iter().map(relative).partition(Result::is_ok);
    let wrong: Vec<FileError> = wrong.into_iter().filter_map(Result::err).collect();
    if wrong.is_empty() { Ok(good.into_iter().flatten().collect()) } else { Err(wrong) }
}

fn refusal(paths: &[RelPath], cause: &PinError) -> FileError {
    let told = match paths {
        [one] => error(&wire(one), None, &cause.to_string()),
        _ => FileError::general(cause.to_string()),
    };
    match cause {
        PinError::TooLarge { .. } => {
            told.with_remedy("pin less, unpin something ('scopefs pin --list'), or mount with a higher --memory-limit")
        }
        PinError::NotPinned => told.with_remedy("'scopefs pin --list' shows what is"),
        PinError::Above(above) => told.with_remedy(format!("unpin {above}, or pin what of it is to stay")),
        PinError::Failed(_) => told,
    }
}
