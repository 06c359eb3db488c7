//! Clean copies in memory that are dropped at no cost: the disk has all of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::identity::Place;
use super::inode::{Inode, Opens};
use super::{Result, Vfs};
use crate::model::Tier;

impl Vfs {
    /// Drops a clean copy; `false` if it is open, mapped or being moved. Afterwards the inode is the disk file that
    /// was copied, if that is still there.
    pub(super) fn drop_copy(&self, inode: &Arc<Inode>) -> Result<bool> {
        let opens = match inode.opens.try_lock() {
            Some(opens) => opens,
            None => return Ok(false),
        };
        if self.check_free(inode, &opens, None).is_err() {
            return Ok(false);
        }
        self.drop_copy_locked(inode, &opens)
    }

    pub(super) fn drop_copy_locked(&self, inode: &Arc<Inode>, opens: &Opens) -> Result<bool> {
        let shown = self.attr(inode)?;
        let mut content = inode.content.write();
        let busy = opens.total > 0 || inode.is_dirty() || inode.is_sealed();
        if busy || content.place.tier != Tier::Memory || content.delta.is_some() {
            return Ok(false);
        }
        let dentries = inode.names.read().clone();
        let Some(over) = dentries.iter().find_map(|dentry| dentry.over) else { return Ok(false) };
        let from = content.place;
        let to = Place { tier: Tier::Disk, dev: over.dev, ino: over.ino };
        content.place = to;
        self.identities.forget(from);
        // Known to an earlier daemon perhaps, but not to this one's programs.
        self.identities.moved(inode.ino, to, over.ctime, shown.ctime);
        self.uncount_clean(inode);
        self.inodes.unsettle(from.ino);
        for dentry in inode.names.write().iter_mut() {
            dentry.over = None;
        }
        let record = content.sealed.take().map(|sealed| sealed.id);
        inode.partial.store(false, Ordering::Release);
        drop(content);
        self.leave_memory(inode, from.ino, record)?;
        self.remove_given_up(record.as_slice());
        Ok(true)
    }
}
