//! Writing behind: what is only in memory comes home when it has rested, and memory keeps it as a clean copy.
//!
//! Nobody waits for that, and a file that was rewritten or deleted meanwhile has cost nothing. Where the memory tier may
//! end with a job or a session, what is dirty is kept so small that the disk can take it in time: past that bound the
//! oldest goes home before it has rested, and new files begin on disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::inode::{Inode, Reason};
use super::rate::Rate;
use super::{Goal, Result, Vfs};
use crate::model::{Durability, Tier};
use crate::route::{AT_ONCE, Decision};

/// Idle time before writing behind where the memory tier may end with a session or a job.
const SOON: Duration = Duration::from_secs(5);
/// Bytes that are written to learn how fast the disk is.
const PROBE: usize = 8 << 20;

/// What write-behind goes by.
#[derive(Debug)]
pub(super) struct Behind {
    /// Where the memory tier may end: the time that everything dirty may take to come home.
    stop_within: Option<Duration>,
    pub(super) rate: Rate,
    /// More is dirty than may be.
    over: AtomicBool,
}

impl Behind {
    pub(super) fn new(stop_within: Option<Duration>) -> Behind {
        Behind { stop_within, rate: Rate::default(), over: AtomicBool::new(false) }
    }

    /// Whether more is dirty than can come home in time.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Bytes that may be dirty, once the disk's rate is known.
    fn bound(&self) -> Option<u64> {
        let rate = self.rate.per_second()?;
        self.stop_within.map(|within| (rate as f64 * within.as_secs_f64()) as u64)
    }
}

/// How what is dirty is bounded, and by what; for `status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteBound {
    /// Bytes per second that come home, as measured; `None` before anything did.
    pub rate: Option<u64>,
    /// Where the memory tier may end with a job or a session: the time in which all of it must come home.
    pub stop_within: Option<Duration>,
    /// Bytes that may be dirty for that.
    pub bound: Option<u64>,
}

/// A file that only memory has in full.
struct Dirty {
    inode: Arc<Inode>,
    bytes: u64,
    since: u64,
    due: bool,
}

impl Vfs {
    /// How what is dirty is bounded.
    pub fn write_bound(&self) -> WriteBound {
        let rate = self.behind.rate.per_second();
        WriteBound { rate, stop_within: self.behind.stop_within, bound: self.behind.bound() }
    }

    /// Whether the memory tier may end with a job or a session.
    pub fn may_end(&self) -> bool {
        self.behind.stop_within.is_some()
    }

    /// Learns how fast the disk is, by writing a little that is removed again.
    pub fn probe_disk(&self) -> Result<()> {
        let began = self.clock.now();
        let staged = self.disk.tree().stage_empty()?;
        staged.object().write_all_at(&vec![0xa5; PROBE], 0)?;
        staged.object().sync(false)?;
        self.note_rate(PROBE as u64, self.clock.now().saturating_sub(began));
        Ok(())
    }

    /// So many bytes came home in this time.
    pub fn note_rate(&self, bytes: u64, took: Duration) {
        self.behind.rate.note(bytes, took);
    }

    /// Brings home what has been idle or dirty for too long, and as much more as must be for the rest to be able to
    /// follow in time; returns how many files. `latest` bounds the age whatever happens to the file.
    pub fn write_behind(&self, latest: Duration) -> usize {
        let mut dirty = self.dirty_files(self.now(), latest);
        let mut left: u64 = dirty.iter().map(|file| file.bytes).sum();
        let bound = self.behind.bound().unwrap_or(u64::MAX);
        let is_over = left > bound;
        self.behind.over.store(is_over, Ordering::Relaxed);
        if !is_over {
            dirty.retain(|file| file.due);
        }
        dirty.sort_by_key(|file| file.since);
        self.images_first(&mut dirty, |file| &file.inode);
        dirty.sort_by_key(|file| !file.due);
        let mut done = 0;
        let mut files = dirty.into_iter().peekable();
        while files.peek().is_some() {
            let mut batch = Vec::new();
            let mut bytes = 0;
            while batch.len() < super::evict::BATCH
                && bytes < super::evict::BATCH_BYTES
                && let Some(file) = files.next_if(|file| file.due || (is_over && left - bytes > bound - bound / 5))
            {
                bytes += file.bytes;
                batch.push(file);
            }
            if batch.is_empty() {
                break;
            }
            let (files, bytes) = self.write_batch(&batch);
            (done, left) = (done + files, left - bytes);
            self.behind.over.store(left > bound, Ordering::Relaxed);
        }
        done
    }

    /// Files and bytes that came home.
    fn write_batch(&self, batch: &[Dirty]) -> (usize, u64) {
        // A copy of what is still being written would be out of date at once: it goes on where there is room.
        let moves = |file: &&Dirty| !file.due && file.inode.opens.lock().writers > 0;
        let (moving, staying): (Vec<&Dirty>, Vec<&Dirty>) = batch.iter().partition(moves);
        let mut done = (0, 0);
        for (files, goal, reason) in [(moving, Goal::Home, Reason::SessionBound), (staying, Goal::Clean, Reason::Rule)]
        {
            let inodes: Vec<Arc<Inode>> = files.iter().map(|file| file.inode.clone()).collect();
            let results = self.send_home(&inodes, goal, reason, false);
            for (file, _) in files.iter().zip(results).filter(|(_, result)| result.is_ok()) {
                done = (done.0 + 1, done.1 + file.bytes);
            }
        }
        done
    }

    /// What only memory has, but for scratch files.
    fn dirty_files(&self, now: u64, latest: Duration) -> Vec<Dirty> {
        let ago = |at: &AtomicU64| Duration::from_millis(now.saturating_sub(at.load(Ordering::Relaxed)));
        let least = self.router.least_rest();
        // All of them count only where a bound holds for their sum.
        let may_be_due = |inode: &Arc<Inode>| {
            self.may_end() || ago(&inode.changed) >= least || ago(&inode.dirty_since) >= latest / 2
        };
        let dirty = self.inodes.residents().into_iter().filter(|inode| inode.is_dirty() && may_be_due(inode));
        dirty.filter_map(|inode| self.dirty_file(inode, now, latest)).collect()
    }

    fn dirty_file(&self, inode: Arc<Inode>, now: u64, latest: Duration) -> Option<Dirty> {
        let _names = self.namespace.read();
        let decision = self.decide(&inode.path()?);
        if decision.durability == Durability::Scratch {
            return None;
        }
        let due = self.is_due(&inode, &decision, now, latest);
        let known = inode.content.read().dataset.is_some();
        let bytes = if known { inode.length.load(Ordering::Relaxed) } else { self.attr(&inode).ok()?.size };
        let since = inode.dirty_since.load(Ordering::Relaxed);
        Some(Dirty { inode, bytes, since, due })
    }

    fn is_due(&self, inode: &Inode, decision: &Decision, now: u64, latest: Duration) -> bool {
        let Some(idle) = decision.write_behind else { return false };
        let idle = if self.may_end() { idle.min(SOON) } else { idle };
        let ago = |at: u64| Duration::from_millis(now.saturating_sub(at));
        let age = ago(inode.dirty_since.load(Ordering::Relaxed));
        if decision.home == Tier::Zarr && !self.is_refused(inode) && self.stores.is_some() {
            // It is sealed when it has rested. One that is written again and again is sealed at a moment at which nobody
            // has it open, and goes home as a plain file only if there was none for too long.
            return age >= latest || (age >= latest / 2 && inode.opens.lock().writers == 0);
        }
        let rest = ago(inode.changed.load(Ordering::Relaxed));
        let at_once = decision.at_once && rest >= AT_ONCE && inode.opens.lock().writers == 0;
        at_once || rest >= idle || age >= latest
    }
}
