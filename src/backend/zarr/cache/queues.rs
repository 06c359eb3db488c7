//! Which entries stay: two queues, so that one walk through everything does not wash out what is used again and again.
//!
//! What comes in goes to the end of the *fresh* queue, which has a quarter of the bound, and leaves it in the order in
//! which it came, however often it is used meanwhile: strips of a block follow each other and say nothing about later.
//! Its name is remembered. What comes in again while its name is remembered goes to the *kept* queue, from which the
//! least recently used leaves (Johnson and Shasha, "2Q", VLDB 1994).

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

/// The fresh queue's part of the bound.
const FRESH_PART: usize = 4;
/// How many names of those that left are remembered for each one that is here, at least some.
const REMEMBERED: usize = 2;
const REMEMBERED_LEAST: usize = 1024;

/// Entries and their order. Not thread-safe.
#[derive(Debug)]
pub(super) struct Queues<K> {
    entries: HashMap<K, Entry>,
    /// Those that somebody is making.
    claims: HashSet<K>,
    fresh: VecDeque<K>,
    fresh_bytes: usize,
    /// Each use appends; only the last mention of a key counts, which the number tells.
    kept: VecDeque<(K, u64)>,
    kept_bytes: usize,
    left: VecDeque<K>,
    remembered: HashSet<K>,
    bound: usize,
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    bytes: Arc<Vec<u8>>,
    /// Number of its last use, in the kept queue; `None` in the fresh one.
    used: Option<u64>,
}

impl<K: Clone + Eq + Hash> Queues<K> {
    pub fn new(bound: usize) -> Queues<K> {
        Queues {
            entries: HashMap::new(),
            claims: HashSet::new(),
            fresh: VecDeque::new(),
            fresh_bytes: 0,
            kept: VecDeque::new(),
            kept_bytes: 0,
            left: VecDeque::new(),
            remembered: HashSet::new(),
            bound,
            uses: 0,
        }
    }

    pub fn bytes(&self) -> usize {
        self.fresh_bytes + self.kept_bytes
    }

    pub fn set_bound(&mut self, bound: usize) {
        self.bound = bound;
        self.make_room();
    }

    /// Takes the duty to make an entry; `false` if somebody has it.
    pub fn claim(&mut self, key: &K) -> bool {
        self.claims.insert(key.clone())
    }

    pub fn release(&mut self, key: &K) {
        self.claims.remove(key);
    }

    pub fn get(&mut self, key: &K) -> Option<Arc<Vec<u8>>> {
        let entry = self.entries.get_mut(key)?;
        if entry.used.is_some() {
            self.uses += 1;
            entry.used = Some(self.uses);
            self.kept.push_back((key.clone(), self.uses));
        }
        let bytes = entry.bytes.clone();
        self.tidy();
        Some(bytes)
    }

    pub fn insert(&mut self, key: K, bytes: Arc<Vec<u8>>) {
        if bytes.len() > self.bound || self.entries.contains_key(&key) {
            return;
        }
        let used = if self.remembered.remove(&key) {
            self.uses += 1;
            self.kept_bytes += bytes.len();
            self.kept.push_back((key.clone(), self.uses));
            Some(self.uses)
        } else {
            self.fresh_bytes += bytes.len();
            self.fresh.push_back(key.clone());
            None
        };
        self.entries.insert(key, Entry { bytes, used });
        self.make_room();
    }

    /// Drops the entries that `gone` tells, and forgets their names.
    pub fn remove_all(&mut self, gone: impl Fn(&K) -> bool) {
        self.entries.retain(|key, _| !gone(key));
        self.fresh.retain(|key| !gone(key));
        self.kept.retain(|(key, _)| !gone(key));
        self.left.retain(|key| !gone(key));
        self.remembered.retain(|key| !gone(key));
        let bytes = |kept| self.entries.values().filter(|e| e.used.is_some() == kept).map(|e| e.bytes.len()).sum();
        (self.fresh_bytes, self.kept_bytes) = (bytes(false), bytes(true));
    }

    fn make_room(&mut self) {
        while self.bytes() > self.bound {
            let fresh_first = self.fresh_bytes > self.bound / FRESH_PART;
            if !((fresh_first && self.drop_fresh()) || self.drop_kept() || self.drop_fresh()) {
                return;
            }
        }
    }

    fn drop_fresh(&mut self) -> bool {
        let Some(key) = self.fresh.pop_front() else { return false };
        if let Some(entry) = self.entries.remove(&key) {
            self.fresh_bytes -= entry.bytes.len();
        }
        if self.remembered.insert(key.clone()) {
            self.left.push_back(key);
        }
        while self.left.len() > REMEMBERED * self.entries.len() + REMEMBERED_LEAST {
            if let Some(oldest) = self.left.pop_front() {
                self.remembered.remove(&oldest);
            }
        }
        true
    }

    fn drop_kept(&mut self) -> bool {
        while let Some((key, used)) = self.kept.pop_front() {
            if self.entries.get(&key).is_some_and(|entry| entry.used == Some(used)) {
                if let Some(entry) = self.entries.remove(&key) {
                    self.kept_bytes -= entry.bytes.len();
                }
                return true;
            }
        }
        false
    }

    /// Drops mentions that no longer count, once they are the larger part.
    fn tidy(&mut self) {
        if self.kept.len() > 4 * self.entries.len() + 64 {
            let entries = &self.entries;
            self.kept.retain(|(key, used)| entries.get(key).is_some_and(|entry| entry.used == Some(*used)));
        }
    }
}
