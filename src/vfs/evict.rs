//! Making room in memory: clean copies first, then the coldest.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::depart::Departure;
use super::inode::{Inode, Reason};
use super::{Goal, MoveError, Vfs};

/// Files that go home together: one journal commit of the disk's file system serves them all.
pub(super) const BATCH: usize = 64;
/// Bytes that go home together.
pub(super) const BATCH_BYTES: u64 = 64 << 20;

/// Files that were opened as often as this lately are all hot: the one that was used longest ago leaves first.
const HOT: u8 = 4;

/// What a round of eviction achieved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Relief {
    /// Files that left memory.
    pub files: u64,
    /// Bytes that they held.
    pub bytes: u64,
    /// Files that could not leave.
    pub refused: u64,
}

/// A file that has begun to leave, or need not.
type Begun = std::result::Result<Option<Departure>, MoveError>;

struct Candidate {
    inode: Arc<Inode>,
    bytes: u64,
    rank: (bool, bool, u8, u64),
}

impl Vfs {
    /// Frees about `wanted` bytes of memory: clean copies first, then closed files from the coldest, then files that
    /// are open and can move all the same. What is pinned stays.
    pub fn relieve(&self, wanted: u64) -> Relief {
        self.relieve_older(wanted, u64::MAX)
    }

    /// The same, of files that were last used before `since`, in milliseconds of the mount's clock.
    pub(super) fn relieve_older(&self, wanted: u64, since: u64) -> Relief {
        let mut relief = Relief::default();
        let mut batch: Vec<Candidate> = Vec::new();
        let mut gathered = 0;
        for candidate in self.candidates(since) {
            if relief.bytes + gathered >= wanted {
                break;
            }
            gathered += candidate.bytes;
            batch.push(candidate);
            if batch.len() >= BATCH || gathered >= BATCH_BYTES {
                self.evict_batch(&mut batch, &mut relief);
                gathered = 0;
            }
        }
        self.evict_batch(&mut batch, &mut relief);
        self.forget_copies();
        self.compact_journal();
        relief
    }

    /// Frees about `wanted` bytes of closed files that their home has too: nothing is written for that. Returns bytes.
    pub(super) fn drop_clean(&self, wanted: u64) -> u64 {
        if self.budget.clean() == 0 {
            return 0;
        }
        let mut clean: Vec<Candidate> =
            self.inodes.residents().into_iter().filter_map(|inode| self.clean_candidate(inode)).collect();
        clean.sort_by_key(|candidate| candidate.rank);
        let mut relief = Relief::default();
        for candidate in clean {
            if relief.bytes >= wanted {
                break;
            }
            self.evict_batch(&mut vec![candidate], &mut relief);
        }
        relief.bytes
    }

    fn evict_batch(&self, batch: &mut Vec<Candidate>, relief: &mut Relief) {
        let inodes: Vec<Arc<Inode>> = batch.iter().map(|candidate| candidate.inode.clone()).collect();
        let results = self.send_home(&inodes, Goal::Home, Reason::Evicted, false);
        drop(inodes);
        for (candidate, result) in batch.drain(..).zip(results) {
            match result {
                Ok(()) => {
                    relief.files += 1;
                    relief.bytes += candidate.bytes;
                    self.saw_evicted(&candidate.inode, candidate.bytes);
                    self.wait_on_disk_if_there(&candidate.inode);
                    self.let_go(candidate.inode);
                }
                Err(e) => {
                    tracing::debug!("inode {} stays in memory: {e}", candidate.inode.ino);
                    relief.refused += 1;
                }
            }
        }
    }

    /// A closed file that the home has too; how much it holds is known without a look at it.
    fn clean_candidate(&self, inode: Arc<Inode>) -> Option<Candidate> {
        let bytes = inode.clean_bytes.load(Ordering::Relaxed);
        if bytes == 0 || inode.is_absent() || inode.is_dirty() || inode.opens.lock().total > 0 {
            return None;
        }
        if !self.pins.is_empty() {
            let _names = self.namespace.read();
            if self.stays_in_memory(&inode) {
                return None;
            }
        }
        let heat = self.promotion.heat.of(inode.ino).min(HOT);
        let rank = (false, false, heat, inode.used.load(Ordering::Relaxed));
        Some(Candidate { inode, bytes, rank })
    }

    /// Files in memory in the order in which they should leave it.
    fn candidates(&self, since: u64) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = Vec::new();
        for inode in self.inodes.residents() {
            if inode.is_absent() || inode.used.load(Ordering::Relaxed) >= since {
                continue;
            }
            if let Some(candidate) = self.clean_candidate(inode.clone()) {
                candidates.push(candidate);
                continue;
            }
            let open = inode.opens.lock().total > 0;
            let attr = {
                let _names = self.namespace.read();
                if self.stays_in_memory(&inode) {
                    continue;
                }
                self.attr(&inode)
            };
            let Ok(attr) = attr else { continue };
            let heat = self.promotion.heat.of(inode.ino).min(HOT);
            let rank = (open, inode.is_dirty(), heat, inode.used.load(Ordering::Relaxed));
            let bytes = inode.held_bytes(attr.size, attr.blocks);
            candidates.push(Candidate { inode, bytes, rank });
        }
        candidates.sort_by_key(|candidate| candidate.rank);
        candidates
    }

    /// Makes the copies of all files durable that have begun to leave.
    fn settle_all(&self, begun: &mut [Begun]) -> Vec<std::result::Result<(), MoveError>> {
        for departure in begun.iter().flatten().flatten() {
            departure.start_writeback();
        }
        begun.iter_mut().flatten().flatten().map(|departure| self.settle_departure(departure)).collect()
    }

    /// Brings several files home together: all are copied, then all made durable, then each published. With `wait`,
    /// files that somebody else is moving are waited for.
    pub(super) fn depart_batch(
        &self,
        inodes: &[Arc<Inode>],
        goal: Goal,
        reason: Reason,
        wait: bool,
    ) -> Vec<std::result::Result<(), MoveError>> {
        let began = self.clock.now();
        // The order in which moves are locked does not matter as long as only try_lock is used for more than one.
        let guards: Vec<_> = inodes.iter().map(|inode| inode.moving.try_lock()).collect();
        let begin = |(inode, guard): (_, &Option<_>)| match guard {
            Some(_) => self.begin_departure(inode, goal),
            None => Err(MoveError::Held),
        };
        let mut begun: Vec<_> = inodes.iter().zip(&guards).map(begin).collect();
        let settled = self.settle_all(&mut begun);
        let mut results = Vec::with_capacity(inodes.len());
        let bytes =
            begun.iter().flatten().flatten().filter_map(|departure| departure.settled).map(|attr| attr.size).sum();
        self.note_rate(bytes, self.clock.now().saturating_sub(began));
        let mut settled = settled.into_iter();
        let mut records = Vec::new();
        for departure in begun {
            results.push(match departure {
                Ok(Some(departure)) => match settled.next() {
                    Some(settled) => {
                        self.end_departure(departure, settled, reason).map(|record| records.extend(record))
                    }
                    None => Err(MoveError::NotThere),
                },
                Ok(None) => Ok(()),
                Err(e) => Err(e),
            });
        }
        // Together: each by itself would have its store write its table and its list of images anew.
        self.remove_given_up_in_place(&records);
        let missed: Vec<bool> = guards.iter().map(|guard| guard.is_none()).collect();
        drop(guards);
        if wait {
            for ((inode, missed), result) in inodes.iter().zip(missed).zip(&mut results) {
                if missed {
                    *result = self.depart(inode, goal, reason);
                }
            }
        }
        results
    }
}
