//! Jobs: moves of whole trees that somebody asked for, with progress, an end that can be asked for, and a way back.
//!
//! Each job has a thread of its own; at most two work at a time, the others are queued. What a job is about to
//! move is noted in a record on the workspace's disk (`record`), so that a successor of a killed daemon knows it as
//! interrupted: it goes on when somebody resumes it, or brings back what it had moved. Nothing starts again by itself.

mod order;
mod record;
mod run;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use thiserror::Error;

pub use order::{Busy, Counts, Order, Snapshot, State, Target, Task, Trouble, Why};
pub use run::plan;

use crate::vfs::{Pin, Vfs};
use record::Record;
use run::Run;

/// Jobs at work at a time: a second one while the first waits for a busy file.
const RUNNING: usize = 2;
/// Jobs that are remembered; of more, the oldest that have ended are forgotten.
const REMEMBERED: usize = 100;
/// Who follows a job is told at most so often.
const TELL: Duration = Duration::from_millis(200);

/// Why a request about a job was refused.
#[derive(Debug, Error)]
pub enum JobError {
    /// There is no such job.
    #[error("there is no job {0}; 'scopefs jobs' lists them")]
    Unknown(u64),
    /// It is at work.
    #[error("job {0} is at work; cancel it first")]
    Active(u64),
    /// It is not at work.
    #[error("job {0} is not at work")]
    Idle(u64),
    /// There is nothing to do for it any more.
    #[error("job {id} is {}, so there is nothing to {what}", state.as_str())]
    Over {
        /// Its number.
        id: u64,
        /// How it stands.
        state: State,
        /// What was asked for.
        what: &'static str,
    },
    /// It has no way back.
    #[error("job {0} belongs to a pin and has no way back; 'scopefs unpin' ends the pin")]
    NoWayBack(u64),
    /// The mount is not for moving.
    #[error("{0}")]
    NotNow(&'static str),
    /// The system refused.
    #[error("the record of the job cannot be written: {0}")]
    Io(#[from] std::io::Error),
}

/// Why a run ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Somebody asked for it.
    Cancel,
    /// The mount ends.
    Interrupt,
}

/// One job.
#[derive(Debug)]
pub struct Job {
    order: Mutex<Order>,
    now: Mutex<Now>,
    changed: Condvar,
}

#[derive(Debug)]
struct Now {
    snapshot: Snapshot,
    stop: Option<Stop>,
    began: Instant,
}

impl Job {
    fn new(id: u64, order: Order, state: State, recorded: bool) -> Job {
        let snapshot = Snapshot::new(id, &order, state, recorded);
        let now = Now { snapshot, stop: None, began: Instant::now() };
        Job { order: Mutex::new(order), now: Mutex::new(now), changed: Condvar::new() }
    }

    /// How it stands.
    pub fn snapshot(&self) -> Snapshot {
        self.now.lock().shown()
    }

    /// Tells `follow` how it stands, again and again until it has ended; how it ended.
    pub fn follow(&self, follow: &mut dyn FnMut(&Snapshot)) -> Snapshot {
        loop {
            let (shown, active) = {
                let mut now = self.now.lock();
                if now.snapshot.state.is_active() {
                    let _ = self.changed.wait_for(&mut now, TELL);
                }
                (now.shown(), now.snapshot.state.is_active())
            };
            if !active {
                return shown;
            }
            follow(&shown);
        }
    }

    fn update(&self, act: impl FnOnce(&mut Snapshot)) {
        act(&mut self.now.lock().snapshot);
    }

    fn look<T>(&self, look: impl FnOnce(&Snapshot) -> T) -> T {
        look(&self.now.lock().snapshot)
    }

    fn stop(&self) -> Option<Stop> {
        self.now.lock().stop
    }

    fn ask_to_stop(&self, stop: Stop) {
        self.now.lock().stop.get_or_insert(stop);
        self.changed.notify_all();
    }

    /// Waits so long, or until it is asked to stop.
    fn wait_to_stop(&self, most: Duration) {
        let deadline = Instant::now() + most;
        let mut now = self.now.lock();
        while now.stop.is_none() && !self.changed.wait_until(&mut now, deadline).timed_out() {}
    }

    fn begin(&self, state: State, back: bool) {
        let mut now = self.now.lock();
        let order = self.order.lock();
        let (id, recorded) = (now.snapshot.id, now.snapshot.recorded);
        now.snapshot = Snapshot { back, ..Snapshot::new(id, &order, state, recorded) };
        (now.stop, now.began) = (None, Instant::now());
    }

    fn end(&self, state: State) {
        let mut now = self.now.lock();
        now.snapshot.elapsed = now.began.elapsed();
        now.snapshot.state = state;
        drop(now);
        self.changed.notify_all();
    }
}

impl Now {
    fn shown(&self) -> Snapshot {
        let mut shown = self.snapshot.clone();
        if shown.state.is_active() {
            shown.elapsed = self.began.elapsed();
        }
        shown
    }
}

/// The jobs of a mount.
pub struct Jobs {
    shared: Arc<Shared>,
}

struct Shared {
    vfs: Arc<Vfs>,
    /// Where records are; `None` in a mount that writes nothing.
    dir: Option<OwnedFd>,
    table: Mutex<Table>,
    /// A job has ended, or is to.
    turn: Condvar,
}

#[derive(Default)]
struct Table {
    last: u64,
    running: usize,
    jobs: BTreeMap<u64, Arc<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Jobs {
    /// The jobs of a file system, those of earlier daemons included; their records are in `dir`.
    pub fn new(vfs: Arc<Vfs>, dir: Option<OwnedFd>) -> Jobs {
        let mut table = Table::default();
        if let Some(dir) = &dir {
            for id in record::list(dir.as_fd()).unwrap_or_default() {
                table.last = table.last.max(id);
                match record::read(dir.as_fd(), id) {
                    Ok(Some(read)) => {
                        let state = read.state.unwrap_or(State::Interrupted);
                        table.jobs.insert(id, Arc::new(Job::new(id, read.order, state, true)));
                    }
                    Ok(None) => {}
                    Err(e) => tracing::warn!("the record of job {id} cannot be read: {e}"),
                }
            }
        }
        Jobs { shared: Arc::new(Shared { vfs, dir, table: Mutex::new(table), turn: Condvar::new() }) }
    }

    /// Begins a job.
    pub fn start(&self, order: Order) -> Result<Arc<Job>, JobError> {
        self.check()?;
        let mut table = self.shared.table.lock();
        self.forget_oldest(&mut table);
        table.last += 1;
        let id = table.last;
        // What belongs to a pin begins by itself at the next mount.
        let record = match (&self.shared.dir, order.task) {
            (Some(dir), Task::Migrate(_)) => Some(Record::create(dir, id, &order)?),
            _ => None,
        };
        let job = Arc::new(Job::new(id, order, State::Queued, record.is_some()));
        table.jobs.insert(id, job.clone());
        self.spawn(&mut table, job.clone(), record, false)?;
        Ok(job)
    }

    /// Brings up what is pinned in memory and is not there, in the background.
    pub fn raise_pins(&self) {
        let pins = self.shared.vfs.pins().into_iter().filter(|(_, pin)| *pin == Pin::Memory);
        let targets: Vec<Target> = pins.map(|(path, _)| Target::Tree(path)).collect();
        if targets.is_empty() {
            return;
        }
        if let Err(e) = self.start(Order { task: Task::Raise, targets, busy: Busy::Tell }) {
            tracing::error!("what is pinned is not brought into memory: {e}");
        }
    }

    /// All jobs, the oldest first.
    pub fn list(&self) -> Vec<Snapshot> {
        self.shared.table.lock().jobs.values().map(|job| job.snapshot()).collect()
    }

    /// A job by its number.
    pub fn get(&self, id: u64) -> Result<Arc<Job>, JobError> {
        self.shared.table.lock().jobs.get(&id).cloned().ok_or(JobError::Unknown(id))
    }

    /// Ends a job after the files in hand, which it moves to their end. What it has moved stays moved.
    pub fn cancel(&self, id: u64) -> Result<Arc<Job>, JobError> {
        let job = self.get(id)?;
        let state = job.snapshot().state;
        if state == State::Interrupted {
            // Nobody wants it resumed.
            self.note_end(id, &job, State::Cancelled)?;
            return Ok(job);
        }
        if !state.is_active() {
            return Err(JobError::Idle(id));
        }
        job.ask_to_stop(Stop::Cancel);
        self.shared.wake_queued();
        Ok(job)
    }

    fn note_end(&self, id: u64, job: &Job, state: State) -> Result<(), JobError> {
        if let Some(dir) = &self.shared.dir {
            Record::resume(dir, id)?.ended(state)?;
        }
        job.end(state);
        Ok(())
    }

    /// Goes on with a job that did not come to its end.
    pub fn resume(&self, id: u64, busy: Busy) -> Result<Arc<Job>, JobError> {
        self.again(id, "resume", false, &[State::Done, State::RolledBack], Some(busy))
    }

    /// Brings back what a job has moved to where it was.
    pub fn rollback(&self, id: u64, busy: Busy) -> Result<Arc<Job>, JobError> {
        self.again(id, "roll back", true, &[State::RolledBack], Some(busy))
    }

    fn again(
        &self,
        id: u64,
        what: &'static str,
        back: bool,
        over: &[State],
        busy: Option<Busy>,
    ) -> Result<Arc<Job>, JobError> {
        self.check()?;
        let job = self.get(id)?;
        let mut table = self.shared.table.lock();
        let state = job.snapshot().state;
        if state.is_active() {
            return Err(JobError::Active(id));
        }
        if over.contains(&state) {
            return Err(JobError::Over { id, state, what });
        }
        if back && !matches!(job.order.lock().task, Task::Migrate(_)) {
            return Err(JobError::NoWayBack(id));
        }
        let record = match &self.shared.dir {
            Some(dir) if job.look(|now| now.recorded) => Some(Record::resume(dir, id)?),
            _ => None,
        };
        if let Some(busy) = busy {
            job.order.lock().busy = busy;
        }
        job.begin(State::Queued, back);
        self.spawn(&mut table, job.clone(), record, back)?;
        Ok(job)
    }

    fn check(&self) -> Result<(), JobError> {
        match &self.shared.vfs {
            vfs if vfs.is_read_only() => Err(JobError::NotNow("the workspace is mounted read-only: nothing moves")),
            vfs if vfs.is_draining() => Err(JobError::NotNow("the mount is ending")),
            _ => Ok(()),
        }
    }

    fn spawn(&self, table: &mut Table, job: Arc<Job>, record: Option<Record>, back: bool) -> Result<(), JobError> {
        table.threads.retain(|thread| !thread.is_finished());
        let shared = self.shared.clone();
        let id = job.look(|now| now.id);
        let failed = job.clone();
        let spawned = Builder::new().name(format!("scopefs-job-{id}")).spawn(move || shared.work(&job, record, back));
        match spawned {
            Ok(thread) => {
                table.threads.push(thread);
                Ok(())
            }
            Err(e) => {
                failed.end(State::Interrupted);
                Err(e.into())
            }
        }
    }

    /// Interrupts every job and waits for their threads: the mount ends, or tries to.
    pub fn suspend(&self) {
        let (jobs, threads) = {
            let mut table = self.shared.table.lock();
            (table.jobs.values().cloned().collect::<Vec<_>>(), std::mem::take(&mut table.threads))
        };
        jobs.iter().filter(|job| job.snapshot().state.is_active()).for_each(|job| job.ask_to_stop(Stop::Interrupt));
        self.shared.wake_queued();
        for thread in threads {
            // A panic was caught and told within it.
            let _ = thread.join();
        }
    }

    /// Nothing is in memory any more and the mount has ended: jobs that came to their end are of no use to the next
    /// one.
    pub fn forget_ended(&self) {
        let mut table = self.shared.table.lock();
        let over = |job: &Arc<Job>| matches!(job.snapshot().state, State::Done | State::RolledBack);
        let ended: Vec<u64> = table.jobs.iter().filter(|(_, job)| over(job)).map(|(id, _)| *id).collect();
        ended.into_iter().for_each(|id| self.forget(&mut table, id));
    }

    fn forget_oldest(&self, table: &mut Table) {
        while table.jobs.len() >= REMEMBERED {
            let ended = table.jobs.iter().find(|(_, job)| !job.snapshot().state.is_active());
            let Some(id) = ended.map(|(id, _)| *id) else { return };
            self.forget(table, id);
        }
    }

    fn forget(&self, table: &mut Table, id: u64) {
        let recorded = table.jobs.remove(&id).is_some_and(|job| job.look(|now| now.recorded));
        if let Some(dir) = self.shared.dir.as_ref().filter(|_| recorded)
            && let Err(e) = record::remove(dir.as_fd(), id)
        {
            tracing::warn!("the record of job {id} stays behind: {e}");
        }
    }
}

impl Shared {
    /// Whoever waits for its turn looks again whether it is to stop.
    fn wake_queued(&self) {
        // Under the lock: a thread that has just looked waits already, and hears.
        let _table = self.table.lock();
        self.turn.notify_all();
    }

    /// The life of a job's thread.
    fn work(&self, job: &Job, mut record: Option<Record>, back: bool) {
        let queued = self.wait_for_turn(job);
        let state = match queued {
            Some(stop) => {
                if stop == Stop::Cancel {
                    State::Cancelled
                } else {
                    State::Interrupted
                }
            }
            None => {
                let state = catch_unwind(AssertUnwindSafe(|| self.run(job, record.as_mut(), back)));
                self.table.lock().running -= 1;
                self.turn.notify_all();
                state.unwrap_or_else(|_| {
                    tracing::error!("a job has panicked");
                    job.update(|now| now.cause = Some("the daemon met an error in its own program".to_owned()));
                    State::Incomplete
                })
            }
        };
        if let Some(record) = &mut record
            && let Err(e) = record.ended(state)
        {
            tracing::error!("the end of a job cannot be noted; after a restart it seems interrupted: {e}");
        }
        job.end(state);
    }

    fn run(&self, job: &Job, record: Option<&mut Record>, back: bool) -> State {
        let order = job.order.lock().clone();
        let id = job.look(|now| now.id);
        match (&self.dir, back) {
            // What is brought back is not noted: it is where it was.
            (Some(dir), true) => Run::new(&self.vfs, job, &order, None).back(dir.as_fd(), id),
            (None, true) => State::Incomplete,
            (_, false) => Run::new(&self.vfs, job, &order, record).forward(),
        }
    }

    /// `None` when it is its turn; else it was asked to stop before.
    fn wait_for_turn(&self, job: &Job) -> Option<Stop> {
        let mut table = self.table.lock();
        loop {
            if let Some(stop) = job.stop() {
                return Some(stop);
            }
            if table.running < RUNNING {
                table.running += 1;
                job.update(|now| now.state = State::Running);
                job.now.lock().began = Instant::now();
                return None;
            }
            self.turn.wait(&mut table);
        }
    }
}
