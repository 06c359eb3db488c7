//! Giving a staged copy its names on disk, each by one rename, and none of them at somebody else's expense.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::Vfs;
use super::depart::MoveError;
use super::identity::Place;
use super::inode::{Dentry, Inode};
use super::journal::Record;
use crate::backend::{Backend, Expected, PublishError, Staged, Time, Times};
use crate::model::{Attr, RelPath, Tier};

impl Vfs {
    /// Gives the copy all names of the file; returns its attributes after the last.
    pub(super) fn publish(
        &self,
        inode: &Arc<Inode>,
        staged: Staged,
        memory: &Attr,
        dentries: &[Dentry],
    ) -> std::result::Result<Attr, MoveError> {
        let copy = staged.object().stat()?;
        let object = staged.object().clone();
        // Should the daemon be killed after a rename, its successor knows the file at that name for ours.
        self.note(&Record::Publishing { memory: memory.identity(), dev: copy.dev, ino: copy.ino })?;
        let mut first: Option<RelPath> = None;
        let mut next = Some(staged);
        for dentry in dentries {
            let Some(path) = dentry.parent.path().map(|dir| dir.join(&dentry.name)) else { continue };
            let staged = match (next.take(), &first) {
                (Some(staged), _) => staged,
                (None, Some(first)) => self.disk.tree().stage_link(first)?,
                (None, None) => return Err(MoveError::NotThere),
            };
            // Read now: publishing under one name moves the ctime of what the others shadow.
            let over = inode.over(&dentry.parent, &dentry.name);
            let landed = self.publish_name(inode, staged, &Dentry { over, ..dentry.clone() }, &path)?;
            first.get_or_insert(landed);
            if let Some(over) = over.filter(|_| dentries.len() > 1) {
                self.follow_links(inode, memory.ino, &over)?;
            }
        }
        let attr = object.stat()?;
        self.count_disk(1, attr.size as i64);
        Ok(attr)
    }

    /// Publishes under one name without moving the directory's times; returns the path, which a conflict changes.
    fn publish_name(
        &self,
        inode: &Arc<Inode>,
        staged: Staged,
        dentry: &Dentry,
        path: &RelPath,
    ) -> std::result::Result<RelPath, MoveError> {
        let Some((dir, name)) = path.split() else { return Err(MoveError::NotThere) };
        self.make_dir_again(&dir)?;
        let _times = dentry.parent.times.lock();
        let node = self.disk.tree().node(&dir)?;
        let before = node.stat()?;
        let expected = dentry.over.map_or(Expected::Absent, Expected::Version);
        let published = match self.disk.publish(staged, path, expected) {
            // The directory was removed, or replaced, while it was held open for speed.
            Err(PublishError::Io(staged, e)) if crate::backend::is_absent(&e) => {
                self.disk.tree().forget_dirs();
                self.make_dir_again(&dir)?;
                self.disk.publish(staged, path, expected)
            }
            published => published,
        };
        let (landed, replaced) = match published {
            Ok(_) => (path.clone(), dentry.over),
            Err(PublishError::Conflict(staged)) => (self.publish_beside(inode, staged, dentry, &dir, name)?, None),
            Err(PublishError::Io(_, e)) => return Err(self.failed(inode, e.into())),
        };
        // Before anything else can fail: what stands there now is ours.
        if landed == *path {
            let over = self.disk.tree().find(path)?.map(|attr| attr.identity());
            inode.add_name(&dentry.parent, &dentry.name, over);
        }
        if let Some(old) = replaced {
            self.count_disk(-1, -(old.size as i64));
            self.identities.left(inode.ino, Place { tier: Tier::Disk, dev: old.dev, ino: old.ino });
        }
        self.restore_dir(&node, &before);
        self.listing.touch(&landed);
        Ok(landed)
    }

    /// A directory's mtime moves with names, never with moves of bytes.
    pub(super) fn restore_dir(&self, node: &crate::backend::Node, before: &Attr) {
        let place = Place::of(Tier::Disk, before);
        let shown = self.identities.ctime(place, before.ctime);
        let restored = node
            .set_times(Times { atime: Time::Keep, mtime: Time::At(before.mtime) })
            .and_then(|()| node.stat())
            .map(|after| self.identities.moved(self.identities.ino(place), place, after.ctime, shown));
        if let Err(e) = restored {
            tracing::debug!("the times of a directory could not be restored after a move: {e}");
        }
    }

    /// Somebody else's file has the name: both are kept, ours beside it.
    fn publish_beside(
        &self,
        inode: &Arc<Inode>,
        mut staged: Staged,
        dentry: &Dentry,
        dir: &RelPath,
        name: &OsStr,
    ) -> std::result::Result<RelPath, MoveError> {
        for n in 1.. {
            let beside = conflict_name(name, n);
            let path = dir.join(&beside);
            if self.memory()?.tree().find(&path)?.is_some() {
                continue;
            }
            match self.disk.publish(staged, &path, Expected::Absent) {
                Ok(_) => {
                    tracing::warn!("{}: changed in the workspace meanwhile; both kept, ours as {path}", dir.join(name));
                    let old = dir.join(name);
                    self.memory()?.tree().rename(&old, &path, rustix::fs::RenameFlags::NOREPLACE)?;
                    inode.drop_name(&dentry.parent, name);
                    inode.add_name(&dentry.parent, &beside, None);
                    self.conflicts.lock().push(path.clone());
                    return Ok(path);
                }
                Err(PublishError::Conflict(back)) => staged = back,
                Err(PublishError::Io(_, e)) => return Err(self.failed(inode, e.into())),
            }
        }
        Err(MoveError::NotThere)
    }
}

/// `NAME.scopefs-conflict-N`, with the name cut where the whole would be too long.
fn conflict_name(name: &OsStr, n: u32) -> OsString {
    let suffix = format!(".scopefs-conflict-{n}");
    let keep = name.len().min(255 - suffix.len());
    let mut beside = OsStr::from_bytes(&name.as_bytes()[..keep]).to_owned();
    beside.push(suffix);
    beside
}
