//! Listing directories: two trees, each name once.

use std::collections::HashMap;
use std::sync::Arc;

use super::handle::{DirEntry, Fh};
use super::identity::{Place, ROOT};
use super::inode::Inode;
use super::{OWN_DIR, Result, Vfs};
use crate::backend::is_absent;
use crate::model::{FileKind, RelPath, Tier};

impl Vfs {
    /// Opens a directory for reading.
    pub fn opendir(&self, ino: u64) -> Result<Fh> {
        let inode = self.dir_inode(ino)?;
        Ok(self.handles.add_dir(inode))
    }

    /// The listing of an open directory, as it was when reading began; position `i` is entry `i`. With `rewind` it is
    /// taken anew. Includes `.` and `..`.
    pub fn readdir(&self, fh: Fh, rewind: bool) -> Result<Arc<Vec<DirEntry>>> {
        let handle = self.handles.dir(fh)?;
        let mut entries = handle.entries.lock();
        match &*entries {
            Some(taken) if !rewind => Ok(taken.clone()),
            _ => {
                let fresh = Arc::new(self.list(&handle.inode)?);
                *entries = Some(fresh.clone());
                Ok(fresh)
            }
        }
    }

    /// Closes a directory.
    pub fn releasedir(&self, fh: Fh) {
        if let Some(handle) = self.handles.remove_dir(fh) {
            let ino = handle.inode.ino;
            drop(handle);
            self.inodes.remove_if_unused(ino);
        }
    }

    fn list(&self, dir: &Arc<Inode>) -> Result<Vec<DirEntry>> {
        let _names = self.namespace.read();
        let above = dir.names.read().first().map_or(dir.ino, |dentry| dentry.parent.ino);
        let entry = |ino, name: &str| DirEntry { ino, kind: FileKind::Directory, name: name.into() };
        let mut entries = vec![entry(dir.ino, "."), entry(above, "..")];
        // A removed directory that is still open is empty.
        let Some(path) = dir.path() else { return Ok(entries) };
        let mut in_memory = self.list_mirror(dir, &path)?;
        let dev = dir.place().dev;
        for found in self.disk.tree().list(&path)? {
            if dir.ino == ROOT && found.name == OWN_DIR {
                continue;
            }
            if self.is_hidden(&path.join(&found.name), found.kind) {
                continue;
            }
            let shadow = in_memory.remove(&found.name);
            let ino = shadow.unwrap_or_else(|| self.identities.ino(Place { tier: Tier::Disk, dev, ino: found.ino }));
            // Only regular files are in memory, whatever it is that they shadow.
            let kind = if shadow.is_some() { FileKind::Regular } else { found.kind };
            entries.push(DirEntry { ino, kind, name: found.name });
        }
        let rest = in_memory.into_iter();
        entries.extend(rest.map(|(name, ino)| DirEntry { ino, kind: FileKind::Regular, name }));
        Ok(entries)
    }

    /// Files of the mirror directory by name. Those that are about to vanish from it, because they are safe on disk,
    /// are left out.
    fn list_mirror(&self, dir: &Inode, path: &RelPath) -> Result<HashMap<std::ffi::OsString, u64>> {
        let Some(memory) = self.memory.as_ref().filter(|_| dir.is_mirrored()) else { return Ok(HashMap::new()) };
        let entries = match memory.tree().list(path) {
            Err(e) if is_absent(&e) => return Ok(HashMap::new()),
            entries => entries?,
        };
        let files = entries.into_iter().filter(|entry| entry.kind != FileKind::Directory);
        Ok(files.filter_map(|entry| Some((entry.name, self.inodes.resident(entry.ino)?.ino))).collect())
    }

    /// The file system's figures: those of the workspace's disk, because that is where everything must fit.
    pub fn statfs(&self) -> Result<rustix::fs::StatVfs> {
        Ok(rustix::fs::fstatvfs(self.disk.tree().root())?)
    }
}
