//! What memory names shadow, when the disk files under them change through us.

use super::inode::{Dentry, Inode};
use super::journal::Record;
use super::report::over_record;
use super::{Result, Vfs};
use crate::model::Identity;

impl Vfs {
    /// The disk file `was` gained, lost or changed a name, and that moved its ctime: whatever else `inode` shadows of
    /// it, it still shadows. `memory` is the inode's number in the tmpfs (its own lock may be held). Without this, its own next publication would look like somebody else's change.
    pub(super) fn follow_links(&self, inode: &Inode, memory: u64, was: &Identity) -> Result<()> {
        let shadows = |dentry: &&Dentry| dentry.over.is_some_and(|over| (over.dev, over.ino) == (was.dev, was.ino));
        let others: Vec<Dentry> = inode.names.read().iter().filter(shadows).cloned().collect();
        for dentry in others {
            let Some(path) = dentry.parent.path().map(|dir| dir.join(&dentry.name)) else { continue };
            let Some(now) = self.disk.tree().find(&path)?.map(|attr| attr.identity()) else { continue };
            // Only the ctime can be our doing.
            let ours = Identity { ctime: was.ctime, ..now } == *was;
            if ours && dentry.over != Some(now) {
                self.note(&over_record(memory, &dentry.parent, &dentry.name, Some(now)))?;
                inode.add_name(&dentry.parent, &dentry.name, Some(now));
            }
        }
        Ok(())
    }

    /// Notes new identities of a clean file whose inode changed on both sides alike.
    pub(super) fn refresh_clean(
        &self,
        inode: &Inode,
        memory: crate::model::Identity,
        over: crate::model::Identity,
    ) -> Result<()> {
        self.note_shadows(inode, memory.ino, over)?;
        self.note(&Record::Clean { memory })
    }

    /// Notes that all names of a memory file shadow this version.
    pub(super) fn note_shadows(&self, inode: &Inode, memory: u64, over: crate::model::Identity) -> Result<()> {
        for dentry in inode.names.write().iter_mut() {
            dentry.over = Some(over);
            self.note(&over_record(memory, &dentry.parent, &dentry.name, Some(over)))?;
        }
        Ok(())
    }
}
