//! When files come up into memory unasked, and which ones ahead of a walk.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::backing::Backing;
use crate::config::Promote;
use crate::model::RelPath;
use crate::vfs::{OnRead, Promoted, Read, Vfs};

/// Reads that wait to be looked at; more are forgotten.
const WAITING: usize = 1024;
/// Files that are fetched ahead of a walk through a directory.
const AHEAD: usize = 4;
/// Files that are remembered until it is known whether the disk is slow.
const EARLY: usize = 256;
/// Walks that are followed at once.
const WALKS: usize = 8;
/// A directory's listing is taken for what it is this long.
const LISTING: Duration = Duration::from_secs(5);

/// What the worker hears.
pub(super) enum Heard {
    /// The last reader of a file has closed it.
    Read(Read),
    /// The mount ends.
    Stop,
}

/// Hears of reads from any thread, without making it wait.
pub struct Reads {
    pub(super) send: SyncSender<Heard>,
    pub(super) heard: Receiver<Heard>,
}

impl Default for Reads {
    fn default() -> Reads {
        let (send, heard) = sync_channel(WAITING);
        Reads { send, heard }
    }
}

impl Reads {
    /// What is to be called for each read.
    pub fn on_read(&self) -> OnRead {
        let send = self.send.clone();
        Box::new(move |read| {
            // Who reads faster than files come up will read some of them again.
            let _ = send.try_send(Heard::Read(read));
        })
    }
}

/// Brings up what is read, until it is told to stop.
pub(super) fn promote(vfs: &Vfs, heard: &Receiver<Heard>, wanted: Promote) {
    let (mut backing, mut walks) = (Backing::default(), Walks::default());
    // Read before the disk was known to be slow.
    let mut early = VecDeque::new();
    while let Ok(Heard::Read(read)) = heard.recv() {
        let ino = read.ino;
        // Chunks are decoded whatever the disk: sealed files are looked at by how often they are read alone.
        if !vfs.is_sealed_file(ino) && wanted == Promote::Auto && !backing.is_slow(vfs, read) {
            early.push_back(ino);
            if early.len() > EARLY {
                early.pop_front();
            }
            continue;
        }
        for ino in early.drain(..) {
            vfs.promote(ino);
        }
        let promoted = vfs.promote(ino);
        if promoted == Promoted::NoRoom {
            continue;
        }
        for path in walks.next(vfs, ino) {
            if vfs.promote_ahead(&path) == Promoted::NoRoom {
                break;
            }
        }
    }
}

/// Who reads the files of a directory one after the other.
#[derive(Default)]
struct Walks {
    lately: VecDeque<(u64, OsString)>,
    listing: Option<Listing>,
}

struct Listing {
    dir: u64,
    names: Vec<OsString>,
    taken: Instant,
}

impl Walks {
    /// The file was read: what will be next, if it came right behind one that was read before.
    fn next(&mut self, vfs: &Vfs, ino: u64) -> Vec<RelPath> {
        let Some((dir, path, name)) = vfs.whereabouts(ino) else { return Vec::new() };
        if !self.listing.as_ref().is_some_and(|known| known.dir == dir && known.taken.elapsed() < LISTING) {
            let names = vfs.disk_names(&path).unwrap_or_default();
            self.listing = Some(Listing { dir, names, taken: Instant::now() });
        }
        let names = self.listing.as_ref().map_or(&[][..], |listing| &listing.names);
        let ahead = self.lately.note(dir, name, names);
        ahead.into_iter().map(|name| path.join(&name)).collect()
    }
}

/// Names that were read lately, by directory.
trait Lately {
    /// Notes that `name` was read in `dir`; what follows it among the sorted `names`, if it was reached by walking.
    fn note(&mut self, dir: u64, name: OsString, names: &[OsString]) -> Vec<OsString>;
}

impl Lately for VecDeque<(u64, OsString)> {
    fn note(&mut self, dir: u64, name: OsString, names: &[OsString]) -> Vec<OsString> {
        let at = names.binary_search(&name).ok();
        let before = at.and_then(|at| names.get(at.checked_sub(1)?));
        let walked = self.iter().position(|(known, last)| *known == dir && Some(last) == before);
        match walked {
            Some(at) => drop(self.remove(at)),
            None if self.len() >= WALKS => drop(self.pop_front()),
            None => {}
        }
        self.push_back((dir, name));
        match (walked, at) {
            (Some(_), Some(at)) => names.iter().skip(at + 1).take(AHEAD).cloned().collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<OsString> {
        (0..10).map(|n| OsString::from(format!("s{n}"))).collect()
    }

    #[test]
    fn a_walk_is_noticed_at_its_second_file_and_the_next_ones_are_told() {
        let (mut lately, names) = (VecDeque::new(), names());
        assert!(lately.note(1, "s3".into(), &names).is_empty());
        assert!(lately.note(1, "s7".into(), &names).is_empty(), "a jump is no walk");
        assert_eq!(lately.note(1, "s4".into(), &names), ["s5", "s6", "s7", "s8"]);
        assert_eq!(lately.note(1, "s8".into(), &names), ["s9"], "two walks beside each other");
        assert!(lately.note(2, "s5".into(), &names).is_empty(), "in another directory");
    }

    #[test]
    fn reads_here_and_there_are_forgotten() {
        let (mut lately, names) = (VecDeque::new(), names());
        for n in [1, 3, 5, 7, 9, 1, 3, 5, 7, 9] {
            assert!(lately.note(1, format!("s{n}").into(), &names).is_empty());
        }
        assert!(lately.len() <= WALKS);
    }
}
