//! Pins: what stays in memory, and what may never enter it.
//!
//! A pin belongs to a name. That of a directory holds for everything below it, files of later days included; of nested
//! pins the nearest counts. A pin follows its name through a rename, stays where another file is renamed over it, and
//! goes with the name's last unlink. The list lies in `.scopefs/pins`, so that it holds again at the next mount, and is
//! counted against memory as the files that it keeps are: pins may take what lies below the low mark, so that whatever
//! else is in memory can always make way down to there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use thiserror::Error;

use super::inode::Inode;
use super::{Error, OWN_DIR, Result, Vfs};
use crate::backend::{Access, Disk, Expected, PublishError, is_absent};
use crate::model::{ByteSource, RelPath, Tier, path_to_word, word_to_path};

const FILE: &str = "pins";
/// A list longer than this is not ours, in bytes.
const LONGEST: u64 = 64 << 20;
const PAGE: u64 = 4096;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// Stay in memory.
    Memory,
    /// Never enter it.
    Never,
}

impl Pin {
    fn word(self) -> &'static str {
        match self {
            Pin::Memory => "memory",
            Pin::Never => "never",
        }
    }
}

/// Why a pin was not set or taken away.
#[derive(Debug, Error)]
pub enum PinError {
    /// Memory would hold nothing else any more.
    #[error(
        "they need {} of memory, and {} are free for pins: these may take {} ({low:.0} % of the limit of {}, less what the \
         daemon takes), of which {} are taken",
        Size(*need), Size(most.saturating_sub(*pinned)), Size(*most), Size(*limit), Size(*pinned)
    )]
    TooLarge {
        /// Bytes that the new pins need.
        need: u64,
        /// Bytes that all pins may take.
        most: u64,
        /// Bytes that the others take.
        pinned: u64,
        /// The memory limit in bytes.
        limit: u64,
        /// The low mark in per cent.
        low: f64,
    },
    /// There is no such pin.
    #[error("it is not pinned")]
    NotPinned,
    /// The pin belongs to a directory above.
    #[error("it is pinned with {0}")]
    Above(RelPath),
    /// A file system call failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Bytes as a person reads them.
struct Size(u64);

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 30 => write!(f, "{:.2} GiB", bytes as f64 / f64::from(1 << 30)),
            bytes if bytes >= 1 << 20 => write!(f, "{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
            bytes => write!(f, "{} KiB", bytes.div_ceil(1024)),
        }
    }
}

/// The pins of a mount. A leaf among the locks.
#[derive(Debug, Default)]
pub(super) struct Pins {
    list: RwLock<BTreeMap<RelPath, Pin>>,
    /// There is one: most mounts have none, and pay for a look at this.
    any: AtomicBool,
    /// The list differs from the file.
    changed: AtomicBool,
    /// Held while the file is written.
    saving: Mutex<()>,
}

impl Pins {
    /// What an earlier daemon left in the workspace.
    pub fn load(disk: &Disk) -> Pins {
        let list = match read_list(disk) {
            Ok(list) => list,
            Err(e) => {
                tracing::error!("the list of pins cannot be read, so nothing is pinned: {e}");
                BTreeMap::new()
            }
        };
        let any = AtomicBool::new(!list.is_empty());
        Pins { list: RwLock::new(list), any, ..Pins::default() }
    }

    /// Whether nothing is pinned.
    pub fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Relaxed)
    }

    /// The pin that holds for a path, and the name that it belongs to.
    fn of(&self, path: &RelPath) -> Option<(RelPath, Pin)> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        nearest(&self.list.read(), path)
    }

    fn change(&self, act: impl FnOnce(&mut BTreeMap<RelPath, Pin>) -> bool) {
        let mut list = self.list.write();
        if act(&mut list) {
            self.changed.store(true, Ordering::Release);
        }
        self.any.store(!list.is_empty(), Ordering::Relaxed);
    }

    /// A name and all below it are gone.
    pub fn removed(&self, path: &RelPath) {
        if self.any.load(Ordering::Relaxed) {
            self.change(|list| take_below(list, path).is_some());
        }
    }

    /// A name is another now, with all below it.
    pub fn renamed(&self, from: &RelPath, to: &RelPath, exchange: bool) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        self.change(|list| {
            let there = if exchange { take_below(list, to) } else { None };
            let moved = take_below(list, from);
            let any = there.is_some() || moved.is_some();
            let mut put = |pins: Option<Vec<(RelPath, Pin)>>, from: &RelPath, to: &RelPath| {
                let pins = pins.into_iter().flatten();
                list.extend(pins.filter_map(|(path, pin)| Some((path.below(from, to)?, pin))));
            };
            put(moved, from, to);
            put(there, to, from);
            any
        });
    }
}

fn nearest(list: &BTreeMap<RelPath, Pin>, path: &RelPath) -> Option<(RelPath, Pin)> {
    let mut here = Some(path.clone());
    while let Some(at) = here {
        if let Some(pin) = list.get(&at) {
            return Some((at, *pin));
        }
        here = at.split().map(|(above, _)| above);
    }
    None
}

/// Takes the pins at and below a path out; `None` if there are none.
fn take_below(list: &mut BTreeMap<RelPath, Pin>, path: &RelPath) -> Option<Vec<(RelPath, Pin)>> {
    let below: Vec<RelPath> = list.keys().filter(|pinned| pinned.starts_with(path)).cloned().collect();
    let taken: Vec<_> = below.into_iter().filter_map(|path| list.remove_entry(&path)).collect();
    (!taken.is_empty()).then_some(taken)
}

impl Vfs {
    /// Pins files or trees. To stay in memory they must fit, beside what is pinned already; they are not brought there
    /// by this call.
    pub fn pin(&self, paths: &[RelPath], pin: Pin) -> std::result::Result<(), PinError> {
        self.check_writable()?;
        for path in paths {
            self.load_stores_to(path)?;
            let _names = self.namespace.read();
            self.walk(path)?;
        }
        if pin == Pin::Memory {
            self.memory()?;
            self.check_fit(paths)?;
        }
        self.pins.change(|list| {
            list.extend(paths.iter().map(|path| (path.clone(), pin)));
            true
        });
        Ok(self.save_pins()?)
    }

    /// Takes the pins at and below a path away; how many there were.
    pub fn unpin(&self, path: &RelPath) -> std::result::Result<usize, PinError> {
        self.check_writable()?;
        let mut taken = 0;
        self.pins.change(|list| {
            taken = take_below(list, path).map_or(0, |pins| pins.len());
            taken > 0
        });
        if taken == 0 {
            return Err(self.pins.of(path).map_or(PinError::NotPinned, |(above, _)| PinError::Above(above)));
        }
        self.save_pins()?;
        Ok(taken)
    }

    /// All pins, by path.
    pub fn pins(&self) -> Vec<(RelPath, Pin)> {
        self.pins.list.read().iter().map(|(path, pin)| (path.clone(), *pin)).collect()
    }

    /// Whether a path is pinned so.
    pub fn is_pinned(&self, path: &RelPath, pin: Pin) -> bool {
        self.pin_at(path) == Some(pin)
    }

    /// The pin that holds for a path.
    pub(super) fn pin_at(&self, path: &RelPath) -> Option<Pin> {
        self.pins.of(path).map(|(_, pin)| pin)
    }

    /// The pin that holds for an inode: to stay in memory, if any of its names says so. Hold the namespace lock, or
    /// take what is found for advice.
    pub(super) fn pin_of(&self, inode: &Inode) -> Option<Pin> {
        if !self.pins.any.load(Ordering::Relaxed) {
            return None;
        }
        let pins: Vec<Pin> = inode.paths().iter().filter_map(|path| self.pin_at(path)).collect();
        if pins.contains(&Pin::Memory) { Some(Pin::Memory) } else { pins.first().copied() }
    }

    /// Whether an inode is to stay in memory.
    pub(super) fn stays_in_memory(&self, inode: &Inode) -> bool {
        self.pin_of(inode) == Some(Pin::Memory)
    }

    /// In which tier a file at `path` starts: what its pin says, else its rule. What is in a store starts on disk.
    pub(super) fn start_tier(&self, path: &RelPath) -> Tier {
        let start = match self.pin_at(path) {
            Some(Pin::Memory) => Tier::Memory,
            Some(Pin::Never) => Tier::Disk,
            None => self.decide(path).start,
        };
        if start == Tier::Memory && self.is_in_store(path) { Tier::Disk } else { start }
    }

    /// Fails if a pin forbids that an inode's bytes come to `tier`.
    pub(super) fn check_pin(&self, inode: &Inode, tier: Tier) -> Result<()> {
        match (self.pin_of(inode), tier) {
            (Some(Pin::Memory), Tier::Disk | Tier::Zarr) => Err(Error::Busy("it is pinned in memory; unpin it first")),
            (Some(Pin::Never), Tier::Memory) => Err(Error::Busy("it is pinned never to enter memory; unpin it first")),
            _ => Ok(()),
        }
    }

    /// What a pin says of a path, for `explain`.
    pub(super) fn explain_pin(&self, path: &RelPath) -> Option<String> {
        let (at, pin) = self.pins.of(path)?;
        let with = if at == *path { String::new() } else { format!(" with {at}") };
        Some(match pin {
            Pin::Memory => format!("pinned in memory{with}"),
            Pin::Never => format!("pinned{with} never to enter memory"),
        })
    }

    /// Whether the files at and below `new` can be in memory beside what is pinned already.
    fn check_fit(&self, new: &[RelPath]) -> std::result::Result<(), PinError> {
        let old = self.pins.list.read().clone();
        let mut all = old.clone();
        all.extend(new.iter().map(|path| (path.clone(), Pin::Memory)));
        let (mut need, mut pinned) = (0, 0);
        let is_pinned = |list: &_, path: &RelPath| nearest(list, path).is_some_and(|(_, pin)| pin == Pin::Memory);
        for top in all.keys().filter(|top| top.split().is_none_or(|(above, _)| nearest(&all, &above).is_none())) {
            let counted = self.visit_files(top, &mut |path| {
                let Ok(found) = self.examine(&path) else { return true };
                let bytes = found.size.next_multiple_of(PAGE);
                match (is_pinned(&old, &path), is_pinned(&all, &path)) {
                    (true, _) => pinned += bytes,
                    (false, true) => need += bytes,
                    (false, false) => {}
                }
                true
            });
            match counted {
                // A pin of an earlier day whose name somebody has removed behind the mount.
                Err(Error::NotFound) if old.contains_key(top) => {}
                counted => drop(counted?),
            }
        }
        let (limit, low) = (self.budget.limit(), self.budget.marks().1);
        let own = self.budget.held().saturating_sub(self.budget.tmpfs());
        let most = ((limit as f64 * low) as u64).saturating_sub(own);
        if pinned + need > most {
            return Err(PinError::TooLarge { need, most, pinned, limit, low: low * 100.0 });
        }
        Ok(())
    }

    /// Writes the list if it has changed. Not under the namespace lock.
    pub(super) fn save_pins(&self) -> Result<()> {
        if !self.pins.changed.load(Ordering::Acquire) {
            return Ok(());
        }
        let _saving = self.pins.saving.lock();
        self.pins.changed.store(false, Ordering::Release);
        let list = self.pins.list.read().clone();
        let saved = write_list(&self.disk, &list);
        if saved.is_err() {
            self.pins.changed.store(true, Ordering::Release);
        }
        saved
    }

    /// The same, where a change of names must not fail for it.
    pub(super) fn save_pins_quietly(&self) {
        if let Err(e) = self.save_pins() {
            tracing::error!("the list of pins cannot be written: {e}; it holds until the mount ends");
        }
    }
}

fn list_path() -> RelPath {
    RelPath::root().join(OWN_DIR.as_ref()).join(FILE.as_ref())
}

fn read_list(disk: &Disk) -> std::io::Result<BTreeMap<RelPath, Pin>> {
    let object = match disk.tree().open(&list_path(), Access::Read) {
        Err(e) if is_absent(&e) => return Ok(BTreeMap::new()),
        object => object?,
    };
    let size = object.size()?;
    if size > LONGEST {
        return Err(std::io::Error::other("it is too long"));
    }
    let mut bytes = vec![0; size as usize];
    let got = object.read_at(&mut bytes, 0)?;
    bytes.truncate(got);
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().filter_map(parse).collect())
}

fn parse(line: &str) -> Option<(RelPath, Pin)> {
    let (word, path) = line.split_once(' ')?;
    let pin = [Pin::Memory, Pin::Never].into_iter().find(|pin| pin.word() == word)?;
    Some((word_to_path(path)?, pin))
}

/// A line for each pin, `memory PATH` or `never PATH`; no file if there is none.
fn write_list(disk: &Disk, list: &BTreeMap<RelPath, Pin>) -> Result<()> {
    let (tree, path) = (disk.tree(), list_path());
    if list.is_empty() {
        return match tree.unlink(&path) {
            Err(e) if !is_absent(&e) => Err(e.into()),
            _ => Ok(()),
        };
    }
    let text: String = list.iter().map(|(path, pin)| format!("{} {}\n", pin.word(), path_to_word(path))).collect();
    let staged = tree.stage_empty()?;
    staged.object().write_all_at(text.as_bytes(), 0)?;
    staged.object().sync(false)?;
    let expected = tree.find(&path)?.map_or(Expected::Absent, |attr| Expected::Version(attr.identity()));
    match tree.publish(staged, &path, expected) {
        Ok(_) => Ok(tree.sync_names(&path)?),
        Err(PublishError::Conflict(_)) => Err(Error::Busy("somebody else writes the list of pins")),
        Err(PublishError::Io(_, e)) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn rel(text: &str) -> RelPath {
        RelPath::from_path(Path::new(text)).expect("relative")
    }

    fn pins(of: &[(&str, Pin)]) -> Pins {
        let pins = Pins::default();
        pins.change(|list| {
            list.extend(of.iter().map(|(path, pin)| (rel(path), *pin)));
            true
        });
        pins
    }

    fn shown(pins: &Pins) -> Vec<String> {
        pins.list.read().keys().map(|path| path.to_string()).collect()
    }

    #[test]
    fn of_nested_pins_the_nearest_counts() {
        let pins = pins(&[("a", Pin::Memory), ("a/logs", Pin::Never)]);
        assert_eq!(pins.of(&rel("a/b/c")), Some((rel("a"), Pin::Memory)));
        assert_eq!(pins.of(&rel("a/logs/x")), Some((rel("a/logs"), Pin::Never)));
        assert_eq!(pins.of(&rel("ab")), None);
    }

    #[test]
    fn a_pin_follows_its_name_and_goes_with_it() {
        let pins = pins(&[("a", Pin::Memory), ("a/b", Pin::Never), ("c", Pin::Memory)]);
        pins.renamed(&rel("a"), &rel("d/a"), false);
        assert_eq!(shown(&pins), ["c", "d/a", "d/a/b"]);
        pins.renamed(&rel("new"), &rel("c"), false);
        assert_eq!(shown(&pins), ["c", "d/a", "d/a/b"], "a file renamed over a pinned one is pinned");
        pins.removed(&rel("d/a/b"));
        pins.removed(&rel("c"));
        assert_eq!(shown(&pins), ["d/a"]);
    }

    #[test]
    fn names_that_change_places_change_their_pins() {
        let pins = pins(&[("a", Pin::Memory), ("b/x", Pin::Never)]);
        pins.renamed(&rel("a"), &rel("b"), true);
        assert_eq!(shown(&pins), ["a/x", "b"]);
        assert_eq!(pins.of(&rel("b")), Some((rel("b"), Pin::Memory)));
    }

    #[test]
    fn a_line_that_is_none_pins_nothing() {
        assert_eq!(parse("never a%20b"), Some((rel("a b"), Pin::Never)));
        for line in ["", "memory", "always a", "memory ../a"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
