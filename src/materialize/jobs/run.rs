//! One run of a job: the tree is counted, then walked again and moved in batches; what was held is tried once more.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use super::order::{Busy, Order, State, Target, Task, Trouble, Why};
use super::record::{self, Record};
use super::{Job, Stop};
use crate::model::{RelPath, Tier};
use crate::vfs::{self, Error, MoveError, Outlook, Vfs};

/// Files that are moved together, and their bytes: one commit of the disk serves them all.
const BATCH: usize = 64;
const BATCH_BYTES: u64 = 64 << 20;
/// Held files are tried again so many at a time: of fewer, less is written while they are read.
const AGAIN: usize = 8;
/// After so many failures in a row the job gives up: the rest would fail too.
const IN_A_ROW: u64 = 200;
/// So many held files are remembered, to be tried again.
const HELD_MOST: usize = 200_000;
/// Pauses between two tries at files that are held: most are let go within the first.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(1000)];

/// A file to move.
struct Item {
    path: RelPath,
    size: u64,
    from: Tier,
    to: Tier,
}

/// What a run works with.
pub(super) struct Run<'r> {
    pub vfs: &'r Vfs,
    pub job: &'r Job,
    pub order: &'r Order,
    /// What a file is about to be moved from is noted here.
    pub record: Option<&'r mut Record>,
    batch: Vec<Item>,
    batch_bytes: u64,
    held: VecDeque<Item>,
    /// Failures since the last success.
    row: u64,
    since: u64,
    /// What ends the run before its time.
    ended: Option<String>,
}

impl<'r> Run<'r> {
    pub fn new(vfs: &'r Vfs, job: &'r Job, order: &'r Order, record: Option<&'r mut Record>) -> Run<'r> {
        let since = vfs.moment();
        let (batch, held) = (Vec::new(), VecDeque::new());
        Run { vfs, job, order, record, batch, batch_bytes: 0, held, row: 0, since, ended: None }
    }

    /// Does what was ordered.
    pub fn forward(mut self) -> State {
        self.each(&mut |run, path, found| {
            if run.target_of(&path, found).is_some() {
                run.job.update(|now| {
                    now.counts.of_files += 1;
                    now.counts.of_bytes += found.size;
                });
            }
        });
        self.each(&mut |run, path, found| match run.target_of(&path, found) {
            Some(to) => run.push(Item { path, size: found.size, from: found.tier, to }),
            None => run.job.update(|now| now.counts.already += 1),
        });
        self.finish(State::Done)
    }

    /// Brings back what the record of the job says that it moved.
    pub fn back(mut self, dir: BorrowedFd<'_>, id: u64) -> State {
        let Task::Migrate(to) = self.order.task else { return State::Incomplete };
        for counting in [true, false] {
            let read = record::moved(dir, id, &mut |path, from| {
                self.take_back(path, from, to, counting);
                self.goes_on()
            });
            if let Err(e) = read {
                self.ended = Some(format!("its record cannot be read: {e}"));
            }
        }
        self.finish(State::RolledBack)
    }

    fn take_back(&mut self, path: RelPath, from: Tier, to: Tier, counting: bool) {
        let found = match self.vfs.examine(&path) {
            Ok(found) => found,
            // Deleted or renamed since.
            Err(_) if counting => return,
            Err(_) => return self.job.update(|now| now.counts.gone += 1),
        };
        match (found.tier == to && from != to, counting) {
            (true, true) => self.job.update(|now| {
                now.counts.of_files += 1;
                now.counts.of_bytes += found.size;
            }),
            (true, false) => self.push(Item { path, size: found.size, from: found.tier, to: from }),
            // It was never moved, or somebody has moved it since.
            (false, true) => {}
            (false, false) => self.job.update(|now| now.counts.already += 1),
        }
    }

    fn goes_on(&self) -> bool {
        self.ended.is_none() && self.job.stop().is_none()
    }

    /// Where a file must go; `None` if it is right where it is.
    fn target_of(&self, path: &RelPath, found: vfs::Placed) -> Option<Tier> {
        let to = match self.order.task {
            Task::Migrate(to) => to,
            Task::Raise if self.vfs.is_pinned(path, vfs::Pin::Memory) => Tier::Memory,
            Task::Leave if found.tier == Tier::Memory && self.vfs.is_pinned(path, vfs::Pin::Never) => Tier::Disk,
            Task::Raise | Task::Leave => return None,
        };
        (found.tier != to).then_some(to)
    }

    /// Calls `act` with every file that is asked for.
    fn each(&mut self, act: &mut dyn FnMut(&mut Self, RelPath, vfs::Placed)) {
        let (vfs, order) = (self.vfs, self.order);
        for target in &order.targets {
            let under = match target {
                Target::Tree(path) => path,
                Target::Glob(glob) => glob.base(),
            };
            let walked = vfs.visit_files(under, &mut |path| {
                let wanted = match target {
                    Target::Tree(_) => true,
                    Target::Glob(glob) => glob.matches(&path),
                };
                if wanted && let Ok(found) = vfs.examine(&path) {
                    act(self, path, found);
                }
                self.goes_on()
            });
            if let Err(e) = walked {
                self.trouble(under.clone(), None, Why::Failed, e.to_string());
            }
        }
    }

    fn push(&mut self, item: Item) {
        if self.batch.first().is_some_and(|first| first.to != item.to) {
            self.flush();
        }
        self.batch_bytes += item.size;
        self.batch.push(item);
        if self.batch.len() >= BATCH || self.batch_bytes >= BATCH_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        if !self.goes_on() {
            return;
        }
        for item in self.move_all(batch) {
            if self.held.len() < HELD_MOST {
                self.held.push_back(item);
            } else {
                self.tell_held(item);
            }
        }
    }

    /// Moves files; those that are held come back.
    fn move_all(&mut self, batch: Vec<Item>) -> Vec<Item> {
        let Some(first) = batch.first() else { return Vec::new() };
        let (to, current) = (first.to, first.path.clone());
        self.job.update(|now| now.current = Some(current));
        if let Some(record) = &mut self.record
            && let Err(e) = record.moving(batch.iter().map(|item| (&item.path, item.from)))
        {
            self.ended = Some(format!("what it moves cannot be noted, so it has stopped: {e}"));
            return Vec::new();
        }
        let paths: Vec<RelPath> = batch.iter().map(|item| item.path.clone()).collect();
        let results = match self.order.task {
            Task::Leave => self.vfs.leave_batch(&paths),
            _ => self.vfs.migrate_batch(&paths, to, self.since, false),
        };
        let mut held = Vec::new();
        for (item, result) in batch.into_iter().zip(results) {
            match result {
                Ok(()) => self.moved(&item),
                // Changed, renamed or moved meanwhile: the next look tells.
                Err(MoveError::Held | MoveError::NotThere) => held.push(item),
                Err(MoveError::Failed(Error::NotFound | Error::Stale)) => self.gone(&item),
                Err(MoveError::Failed(e)) => self.refused(item, e),
            }
        }
        held
    }

    fn moved(&mut self, item: &Item) {
        self.row = 0;
        self.job.update(|now| {
            now.counts.files += 1;
            now.counts.bytes += item.size;
            now.counts.moved_files += 1;
            now.counts.moved_bytes += item.size;
        });
    }

    fn gone(&mut self, item: &Item) {
        self.job.update(|now| {
            now.counts.files += 1;
            now.counts.bytes += item.size;
            now.counts.gone += 1;
        });
    }

    fn refused(&mut self, item: Item, error: Error) {
        let why = match error {
            Error::Refused(_) | Error::Unsupported(_) | Error::Busy(_) | Error::ReadOnly | Error::Invalid(_) => {
                Why::Stays
            }
            _ => Why::Failed,
        };
        if why == Why::Failed {
            self.row += 1;
            if self.row >= IN_A_ROW {
                self.ended =
                    Some(format!("{IN_A_ROW} files in a row failed, so it has stopped; the last one: {error}"));
            }
        }
        self.dealt_with(&item);
        self.trouble(item.path, Some(item.from), why, error.to_string());
    }

    fn tell_held(&mut self, item: Item) {
        self.dealt_with(&item);
        let tier = self.vfs.examine(&item.path).map_or(item.from, |found| found.tier);
        self.trouble(item.path, Some(tier), Why::Held, MoveError::Held.to_string());
    }

    fn dealt_with(&self, item: &Item) {
        self.job.update(|now| {
            now.counts.files += 1;
            now.counts.bytes += item.size;
        });
    }

    fn trouble(&mut self, path: RelPath, tier: Option<Tier>, why: Why, cause: String) {
        self.job.update(|now| {
            *match why {
                Why::Held => &mut now.counts.held,
                Why::Stays => &mut now.counts.stays,
                Why::Failed => &mut now.counts.failed,
            } += 1;
            if now.troubles.len() < super::Snapshot::TROUBLES {
                now.troubles.push(Trouble { path, tier, why, cause });
            }
        });
    }

    /// The last batch, the files that were held, and how it all ended.
    fn finish(mut self, done: State) -> State {
        self.flush();
        self.try_held();
        self.job.update(|now| {
            now.current = None;
            now.counts.waiting = 0;
            now.cause = self.ended.clone();
        });
        let (held, failed) = self.job.look(|now| (now.counts.held, now.counts.failed));
        let held = if self.order.busy == Busy::Skip { 0 } else { held };
        match self.job.stop() {
            Some(Stop::Cancel) => State::Cancelled,
            Some(Stop::Interrupt) => State::Interrupted,
            None if self.ended.is_some() || held + failed > 0 => State::Incomplete,
            None => done,
        }
    }

    fn try_held(&mut self) {
        let began = Instant::now();
        let patience = match self.order.busy {
            Busy::Wait(None) => Duration::MAX,
            Busy::Wait(Some(most)) => most,
            Busy::Tell | Busy::Skip => PAUSES.iter().sum(),
        };
        let mut pauses = PAUSES.iter();
        let mut pause = Duration::ZERO;
        while !self.held.is_empty() && self.goes_on() && began.elapsed() < patience {
            pause = pauses.next().copied().unwrap_or(pause);
            self.job.update(|now| now.counts.waiting = self.held.len() as u64);
            self.job.wait_to_stop(pause.min(patience.saturating_sub(began.elapsed())));
            for _ in 0..self.held.len().div_ceil(AGAIN) {
                let most = self.held.len().min(AGAIN);
                let again: Vec<Item> = self.held.drain(..most).collect();
                let again = again.into_iter().filter_map(|item| self.look_again(item)).collect();
                let still = self.move_in_turn(again);
                self.held.extend(still);
            }
        }
        while let Some(item) = self.held.pop_front() {
            self.tell_held(item);
        }
    }

    /// Held files may have different ways to go.
    fn move_in_turn(&mut self, items: Vec<Item>) -> Vec<Item> {
        let mut still = Vec::new();
        let mut rest = items;
        while let Some(to) = rest.first().map(|item| item.to) {
            let (together, others) = rest.into_iter().partition(|item| item.to == to);
            still.extend(self.move_all(together));
            rest = others;
        }
        still
    }

    /// What has happened to a file that was held.
    fn look_again(&mut self, item: Item) -> Option<Item> {
        match self.vfs.examine(&item.path) {
            Ok(found) if found.tier == item.to => {
                self.moved(&item);
                None
            }
            Ok(found) => Some(Item { from: found.tier, ..item }),
            Err(_) => {
                self.gone(&item);
                None
            }
        }
    }
}

/// What a job would do, with nothing moved.
pub fn plan(
    vfs: &Vfs,
    order: &Order,
    look: &mut dyn FnMut(RelPath, vfs::Placed, Outlook),
) -> Vec<(RelPath, io::Error)> {
    let Task::Migrate(to) = order.task else { return Vec::new() };
    let mut failed = Vec::new();
    for target in &order.targets {
        let (under, glob) = match target {
            Target::Tree(path) => (path, None),
            Target::Glob(glob) => (glob.base(), Some(glob)),
        };
        let walked = vfs.visit_files(under, &mut |path| {
            if glob.is_none_or(|glob| glob.matches(&path))
                && let (Ok(found), Ok(outlook)) = (vfs.examine(&path), vfs.outlook(&path, to))
            {
                look(path, found, outlook);
            }
            true
        });
        if let Err(e) = walked {
            failed.push((under.clone(), io::Error::other(e.to_string())));
        }
    }
    failed
}
