//! fsync, and bringing home everything there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::handle::Fh;
use super::identity::Place;
use super::inode::{Inode, Reason};
use super::{Error, Goal, MoveError, Result, Vfs};
use crate::model::{Durability, OnUnmount, RelPath, Tier};

/// A file that is fsynced again within this time is better off on disk.
const AGAIN: Duration = Duration::from_secs(60);

/// How far a long operation has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files done.
    pub files: u64,
    /// Files in all.
    pub of_files: u64,
    /// Bytes done.
    pub bytes: u64,
    /// Bytes in all.
    pub of_bytes: u64,
    /// The file at hand.
    pub current: Option<RelPath>,
}

impl Vfs {
    /// Returns when the bytes of an open file and its names are durable.
    pub fn fsync(&self, fh: Fh, data_only: bool) -> Result<()> {
        let handle = self.handles.file(fh)?;
        let inode = &handle.inode;
        match inode.tier() {
            Tier::Memory => return self.fsync_memory(inode),
            // What a store has is durable.
            Tier::Zarr => return Ok(()),
            Tier::Disk => {}
        }
        let object = inode.content.read().object.clone();
        match object {
            Some(object) => Ok(object.sync(data_only)?),
            None => Err(Error::BadHandle),
        }
    }

    fn fsync_memory(&self, inode: &Arc<Inode>) -> Result<()> {
        let path = {
            let _names = self.namespace.read();
            inode.path()
        };
        // A deleted file has nothing that could be found after a loss of power.
        let Some(path) = path else { return Ok(()) };
        if self.router.decide(&path).durability == Durability::Scratch {
            return Ok(());
        }
        let now = self.clock.now();
        let again = {
            let mut opens = inode.opens.lock();
            let last = opens.synced.replace(now);
            last.is_some_and(|last| now.saturating_sub(last) < AGAIN)
        };
        // What is pinned stays; its copy on disk is made anew each time.
        let again = again && self.pin_at(&path) != Some(super::Pin::Memory);
        if again && self.depart(inode, Goal::Home, Reason::Synced).is_ok() {
            return self.sync_names(inode);
        }
        self.bring_home(inode)?;
        self.sync_names(inode)
    }

    /// Makes the home's copy complete, wherever the file is.
    fn bring_home(&self, inode: &Arc<Inode>) -> Result<()> {
        match self.depart(inode, Goal::Clean, Reason::Synced) {
            Ok(()) => Ok(()),
            // It has gone to disk meanwhile, and whoever moved it made it durable.
            Err(MoveError::NotThere) => Ok(()),
            Err(MoveError::Held) => Err(Error::Busy("the kernel serves the file")),
            Err(MoveError::Failed(e)) => Err(e),
        }
    }

    /// Makes the names of a file durable, with the directories above them.
    fn sync_names(&self, inode: &Inode) -> Result<()> {
        // Not under the namespace lock: this waits for the disk. A rename meanwhile is durable by its own fsync.
        let paths = {
            let _names = self.namespace.read();
            inode.paths()
        };
        for path in paths {
            match self.disk.tree().sync_names(&path) {
                Err(e) if crate::backend::is_absent(&e) => {}
                done => done?,
            }
        }
        Ok(())
    }

    /// Makes the names in a directory durable.
    pub fn fsyncdir(&self, fh: Fh) -> Result<()> {
        let handle = self.handles.dir(fh)?;
        self.remove_leaving();
        let path = {
            let _names = self.namespace.read();
            self.dir_path(&handle.inode)?
        };
        self.disk.tree().node(&path)?.sync_dir()?;
        Ok(self.disk.tree().sync_names(&path)?)
    }

    /// Makes everything below `under` durable: what is only in memory comes home and stays in memory as a clean copy.
    /// Returns the files for which that failed.
    pub fn sync_below(
        &self,
        under: &RelPath,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Vec<(RelPath, MoveError)>> {
        let failed = self.bring_all(under, Goal::Clean, false, progress, &AtomicBool::new(false));
        self.sync_disk()?;
        Ok(failed)
    }

    /// Everything on the workspace's file system is durable when this returns.
    pub fn sync_disk(&self) -> Result<()> {
        let dir = self.disk.tree().node(&RelPath::root())?;
        let fd = rustix::fs::openat(
            &dir,
            ".",
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?;
        Ok(rustix::fs::syncfs(fd)?)
    }

    /// Brings everything home and empties memory, for the end of a mount. Files that their rule discards are dropped.
    /// Returns the files that could not be brought home; they stay in memory.
    pub fn drain(&self, progress: &mut dyn FnMut(&Progress), stop: &AtomicBool) -> Vec<(RelPath, MoveError)> {
        self.bring_all(&RelPath::root(), Goal::Home, true, progress, stop)
    }

    /// Brings everything home, leaving open files where they are, so that ending the mount soon has little to do.
    pub fn flush_all(&self, progress: &mut dyn FnMut(&Progress)) -> Vec<(RelPath, MoveError)> {
        self.bring_all(&RelPath::root(), Goal::Clean, true, progress, &AtomicBool::new(false))
    }

    /// The stores are as they should be at rest, and durable.
    pub fn finish_stores(&self) -> Result<()> {
        match &self.stores {
            Some(stores) => Ok(stores.finish()?),
            None => Ok(()),
        }
    }

    fn bring_all(
        &self,
        under: &RelPath,
        goal: Goal,
        ending: bool,
        progress: &mut dyn FnMut(&Progress),
        stop: &AtomicBool,
    ) -> Vec<(RelPath, MoveError)> {
        let mut files = Vec::new();
        let mut done = Progress::default();
        self.remove_leaving();
        self.seal_waiting(under);
        for inode in self.inodes.residents() {
            if inode.is_absent() {
                continue;
            }
            let Some((path, size)) = self.resident_below(&inode, under) else { continue };
            if ending && self.is_discarded(&inode) {
                if goal == Goal::Home {
                    self.discard(&inode);
                }
                continue;
            }
            done.of_files += 1;
            done.of_bytes += size;
            files.push((inode, path, size));
        }
        self.images_first(&mut files, |(inode, ..)| inode);
        let mut failed = Vec::new();
        for batch in files.chunks(super::evict::BATCH) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            done.current = batch.first().map(|(_, path, _)| path.clone());
            progress(&done);
            let inodes: Vec<Arc<Inode>> = batch.iter().map(|(inode, ..)| inode.clone()).collect();
            let results = self.send_home(&inodes, goal, Reason::Evicted, true);
            for ((_, path, size), result) in batch.iter().zip(results) {
                done.files += 1;
                done.bytes += size;
                match result {
                    Ok(()) | Err(MoveError::NotThere) => {}
                    Err(e) => failed.push((path.clone(), e)),
                }
            }
        }
        done.current = None;
        progress(&done);
        failed
    }

    fn resident_below(&self, inode: &Inode, under: &RelPath) -> Option<(RelPath, u64)> {
        let _names = self.namespace.read();
        let path = inode.paths().into_iter().find(|path| path.starts_with(under))?;
        let size = self.attr(inode).map(|attr| attr.size).unwrap_or(0);
        Some((path, size))
    }

    /// Whether the rules of all names of a file say that it need not outlive the mount.
    fn is_discarded(&self, inode: &Inode) -> bool {
        let _names = self.namespace.read();
        let paths = inode.paths();
        !paths.is_empty()
            && paths.iter().all(|path| {
                let decision = self.router.decide(path);
                decision.durability == Durability::Scratch && decision.on_unmount == OnUnmount::Discard
            })
            // A version that is on disk already was wanted there.
            && inode.names.read().iter().all(|dentry| dentry.over.is_none())
    }

    fn discard(&self, inode: &Arc<Inode>) {
        let _names = self.namespace.write();
        let Ok(memory) = self.memory() else { return };
        let place: Place = inode.place();
        for path in inode.paths() {
            if let Err(e) = memory.tree().unlink(&path) {
                tracing::warn!("{path} was to be discarded, but stays in memory: {e}");
                return;
            }
        }
        inode.names.write().clear();
        self.uncount_clean(inode);
        self.inodes.unsettle(place.ino);
    }
}
