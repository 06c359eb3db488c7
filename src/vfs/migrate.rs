//! Moves on request: finding the files of a tree, telling what would become of them, and moving them in batches.
//!
//! The tree is walked directory by directory while programs change it: what appears behind the walk is not met, what
//! vanishes before it is passed over. A file that cannot move stays whole where it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::inode::{Inode, Reason};
use super::open::wait_for_closes;
use super::{Error, Goal, MoveError, Result, Vfs};
use crate::backend::Access;
use crate::backend::zarr::Within;
use crate::model::{FileKind, RelPath, Tier};
use crate::view;

/// Files that come up at a time: one reads while another writes.
const RAISERS: usize = 4;

type Moved = std::result::Result<(), MoveError>;

/// Where a file is, and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Where its bytes are.
    pub tier: Tier,
    /// Length in bytes.
    pub size: u64,
}

/// What would become of a file that is asked to be elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outlook {
    /// It is there.
    There,
    /// It would move.
    Moves,
    /// It is open or mapped in a way that holds it where it is.
    Held,
    /// It stays, and why.
    Stays(String),
}

impl Vfs {
    /// Calls `visit` with every regular file at and below `under` until that answers `false`; whether it went to the
    /// end. Stores are not entered.
    pub fn visit_files(&self, under: &RelPath, visit: &mut dyn FnMut(RelPath) -> bool) -> Result<bool> {
        self.load_stores_to(under)?;
        let (inode, _) = {
            let _names = self.namespace.read();
            self.walk(under)?
        };
        if inode.kind == FileKind::Directory {
            return self.visit_dir(inode, under, visit);
        }
        let kind = inode.kind;
        self.let_go(inode);
        match kind {
            FileKind::Regular => Ok(visit(under.clone())),
            _ => Err(Error::Unsupported("only regular files and directories of them move")),
        }
    }

    fn visit_dir(&self, dir: Arc<Inode>, path: &RelPath, visit: &mut dyn FnMut(RelPath) -> bool) -> Result<bool> {
        self.load_stores(&dir)?;
        let fh = self.handles.add_dir(dir);
        let entries = self.readdir(fh, true);
        self.releasedir(fh);
        for entry in entries?.iter().filter(|entry| entry.name != "." && entry.name != "..") {
            let below = path.join(&entry.name);
            let goes_on = match entry.kind {
                FileKind::Regular => visit(below),
                FileKind::Directory if self.standing_in_store(&below) != Within::Outside => true,
                FileKind::Directory => match self.directory(&below) {
                    Ok(dir) => self.visit_dir(dir, &below, visit)?,
                    // Removed or replaced since the listing.
                    Err(Error::NotFound | Error::NotDirectory | Error::Stale) => true,
                    Err(e) => return Err(e),
                },
                _ => true,
            };
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn directory(&self, path: &RelPath) -> Result<Arc<Inode>> {
        let _names = self.namespace.read();
        let (inode, _) = self.walk(path)?;
        if inode.kind == FileKind::Directory { Ok(inode) } else { Err(Error::NotDirectory) }
    }

    /// Where the file at `path` is. Its directory's stores have been read ([`Vfs::visit_files`] does).
    pub fn examine(&self, path: &RelPath) -> Result<Placed> {
        let (inode, size) = {
            let _names = self.namespace.read();
            let (inode, attr) = self.walk(path)?;
            (inode, attr.size)
        };
        let found = Placed { tier: inode.tier(), size };
        self.let_go(inode);
        Ok(found)
    }

    /// What would become of the file at `path`, asked to be in `to`. Room is not looked at.
    pub fn outlook(&self, path: &RelPath, to: Tier) -> Result<Outlook> {
        let (inode, attr) = {
            let _names = self.namespace.read();
            self.walk(path)?
        };
        let outlook = match self.obstacle(&inode, attr.nlink, to) {
            _ if inode.tier() == to => Outlook::There,
            Ok(()) => Outlook::Moves,
            Err(MoveError::Held) => Outlook::Held,
            Err(e) => Outlook::Stays(e.to_string()),
        };
        self.let_go(inode);
        Ok(outlook)
    }

    fn obstacle(&self, inode: &Arc<Inode>, links: u32, to: Tier) -> Moved {
        let _names = self.namespace.read();
        self.check_pin(inode, to)?;
        let opens = inode.opens.lock();
        self.check_free(inode, &opens, None)?;
        let on_disk = inode.place().tier == Tier::Disk;
        if on_disk && (inode.place().dev != self.root.place().dev || links > 1) {
            return Err(
                Error::Unsupported("a file with several names, or of another file system, stays on disk").into()
            );
        }
        match to {
            Tier::Disk => Ok(()),
            Tier::Memory => self.memory().map(drop).map_err(MoveError::from),
            Tier::Zarr if opens.writers > 0 => Err(MoveError::Held),
            Tier::Zarr => self.would_seal(inode),
        }
    }

    /// Whether a file can be chunks, as far as its layout tells.
    fn would_seal(&self, inode: &Arc<Inode>) -> Moved {
        self.stores()?;
        self.memory()?;
        if inode.is_sealed() {
            return Ok(());
        }
        if let Some(why) = self.why_refused(inode).filter(|_| self.is_refused(inode)) {
            return Err(Error::Refused(why).into());
        }
        let source = self.open_at(inode, inode.place().tier, Access::Read)?.reopen_unseen()?;
        match view::layout(&source) {
            Ok(_) => Ok(()),
            Err(refusal) => Err(Error::Refused(refusal.to_string()).into()),
        }
    }

    /// Moves files to `to`, together where that is cheaper; an answer for each. To make room in memory, what was last
    /// used before `since` (of [`Vfs::moment`]) may have to leave it. `wait` allows a moment for handles that were just
    /// closed.
    pub fn migrate_batch(&self, paths: &[RelPath], to: Tier, since: u64, wait: bool) -> Vec<Moved> {
        let mut results: Vec<Moved> = Vec::with_capacity(paths.len());
        let (mut places, mut inodes) = (Vec::new(), Vec::new());
        for (n, path) in paths.iter().enumerate() {
            results.push(match self.to_move(path, to, wait) {
                Ok(None) => Ok(()),
                Ok(Some(inode)) => {
                    places.push(n);
                    inodes.push(inode);
                    Err(MoveError::NotThere)
                }
                Err(e) => Err(e.into()),
            });
        }
        let moved = match to {
            _ if inodes.is_empty() => Vec::new(),
            Tier::Memory => self.raise_all(&inodes, since),
            Tier::Disk => self.depart_batch(&inodes, Goal::Home, Reason::Migrated, true),
            Tier::Zarr => self.seal_all(&inodes),
        };
        for ((n, inode), moved) in places.into_iter().zip(inodes).zip(moved) {
            let is_there = inode.tier() == to;
            self.let_go(inode);
            if let Some(result) = results.get_mut(n) {
                // Somebody else may have moved it there at the same time.
                *result = if is_there { Ok(()) } else { moved };
            }
        }
        results
    }

    /// Lets files leave memory for wherever their rules want them; an answer for each.
    pub fn leave_batch(&self, paths: &[RelPath]) -> Vec<Moved> {
        let found: Vec<Result<Option<Arc<Inode>>>> = paths.iter().map(|path| self.in_memory_now(path)).collect();
        let inodes: Vec<Arc<Inode>> = found.iter().flatten().flatten().cloned().collect();
        let mut left = self.send_home(&inodes, Goal::Home, Reason::Migrated, true).into_iter();
        drop(inodes);
        let answer = |found: Result<Option<Arc<Inode>>>| {
            let Some(inode) = found? else { return Ok(()) };
            let left = left.next().unwrap_or(Err(MoveError::NotThere));
            let is_there = inode.tier() != Tier::Memory;
            self.let_go(inode);
            if is_there { Ok(()) } else { left }
        };
        found.into_iter().map(answer).collect()
    }

    fn in_memory_now(&self, path: &RelPath) -> Result<Option<Arc<Inode>>> {
        let _names = self.namespace.read();
        let (inode, _) = self.walk(path)?;
        self.check_pin(&inode, Tier::Disk)?;
        Ok((inode.tier() == Tier::Memory).then_some(inode))
    }

    /// The inode to move; `None` if it is there already.
    fn to_move(&self, path: &RelPath, to: Tier, wait: bool) -> Result<Option<Arc<Inode>>> {
        self.check_writable()?;
        if self.draining.load(Ordering::Relaxed) {
            return Err(Error::Busy("the mount is ending"));
        }
        if let Some((dir, _)) = path.split() {
            self.load_stores_to(&dir)?;
        }
        let inode = {
            let _names = self.namespace.read();
            let (inode, _) = self.walk(path)?;
            if inode.tier() == to {
                drop(inode);
                return Ok(None);
            }
            self.check_pin(&inode, to)?;
            inode
        };
        if wait {
            wait_for_closes(&inode);
        }
        Ok(Some(inode))
    }

    /// Now, for [`Vfs::migrate_batch`].
    pub fn moment(&self) -> u64 {
        self.now()
    }

    fn seal_all(&self, inodes: &[Arc<Inode>]) -> Vec<Moved> {
        if self.stores.is_none() || self.memory.is_none() {
            let why = "this mount seals nothing: it is read-only, or has no memory tier";
            return inodes.iter().map(|_| Err(Error::Unsupported(why).into())).collect();
        }
        let fresh: Vec<Arc<Inode>> = inodes.iter().filter(|inode| !inode.is_sealed()).cloned().collect();
        let mut sealed = self.seal_batch(&fresh, Goal::Home, Reason::Migrated, true).into_iter();
        let seal = |inode: &Arc<Inode>| match fresh.iter().any(|other| Arc::ptr_eq(other, inode)) {
            true => sealed.next().unwrap_or(Err(MoveError::NotThere)),
            false => self.seal(inode, Goal::Home, Reason::Migrated),
        };
        inodes.iter().map(seal).collect()
    }

    /// Seals one file on request, whatever its rule says.
    pub(super) fn seal(&self, inode: &Arc<Inode>, goal: Goal, reason: Reason) -> Moved {
        if self.stores.is_none() || self.memory.is_none() {
            return Err(Error::Unsupported("this mount seals nothing: it is read-only, or has no memory tier").into());
        }
        if inode.is_sealed() {
            return if goal == Goal::Home { self.drop_pages_waiting(inode) } else { Ok(()) };
        }
        self.seal_batch(std::slice::from_ref(inode), goal, reason, true).pop().unwrap_or(Err(MoveError::NotThere))
    }

    fn drop_pages_waiting(&self, inode: &Arc<Inode>) -> Moved {
        let _moving = inode.moving.lock();
        self.drop_pages(inode)
    }

    fn raise_all(&self, inodes: &[Arc<Inode>], since: u64) -> Vec<Moved> {
        let next = AtomicUsize::new(0);
        let done: Mutex<Vec<(usize, Moved)>> = Mutex::new(Vec::with_capacity(inodes.len()));
        std::thread::scope(|scope| {
            for _ in 0..RAISERS.min(inodes.len()) {
                scope.spawn(|| {
                    while let n = next.fetch_add(1, Ordering::Relaxed)
                        && let Some(inode) = inodes.get(n)
                    {
                        let raised = self.raise(inode, since);
                        done.lock().push((n, raised));
                    }
                });
            }
        });
        let mut done = done.into_inner();
        done.sort_by_key(|(n, _)| *n);
        done.into_iter().map(|(_, raised)| raised).collect()
    }

    /// Brings a file up, for which others may have to make way.
    fn raise(&self, inode: &Arc<Inode>, since: u64) -> Moved {
        let size = {
            let _names = self.namespace.read();
            self.attr(inode)?.size
        };
        if !self.make_room(size, since) {
            return Err(Error::NoSpace("memory has no room for it; free some, or raise the limit").into());
        }
        inode.used.store(self.now(), Ordering::Relaxed);
        if inode.is_absent() {
            self.unseal(inode, false, Reason::Migrated)
        } else {
            self.arrive(inode, Reason::Migrated)
        }
    }

    /// Makes room for `bytes` below the high mark, half way down to the low one, so that what is brought up does not
    /// itself set off eviction. `false` if there is none to be had.
    fn make_room(&self, bytes: u64, since: u64) -> bool {
        let (high, low) = self.budget.marks();
        let most = (self.budget.limit() as f64 * (high + low) / 2.0) as u64;
        let over = || (self.budget.held() + bytes).saturating_sub(most);
        let wanted = over();
        if wanted > 0 {
            self.relieve_older(wanted, since);
        }
        wanted == 0 || over() == 0
    }
}
