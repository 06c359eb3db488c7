//! Whether a file is to be sealed.

use super::inode::Inode;
use super::{Kept, Vfs};
use crate::backend::zarr::SealedId;
use crate::config::Originals;
use crate::model::{Attr, FileKind, Identity, RelPath, Tier};

impl Vfs {
    /// Whether the rules want a file in a store, and nothing is known against it. Hold the namespace lock.
    pub(super) fn wants_seal(&self, inode: &Inode) -> bool {
        self.stores.is_some()
            && inode.kind == FileKind::Regular
            && !inode.is_sealed()
            && inode.path().is_some_and(|path| self.is_sealed_at(inode, &path) && self.may_seal_beside(inode, &path))
            && !self.is_refused(inode)
    }

    /// Whether its rule seals what is at `path`: what was there before only if it adopts it.
    fn is_sealed_at(&self, inode: &Inode, path: &RelPath) -> bool {
        let decision = self.decide(path);
        decision.home == Tier::Zarr
            && !self.stays_plain(path)
            && (!inode.is_found() || self.router.rule(decision.rule).adopt)
    }

    /// Where originals are kept, a file is sealed when it lies on disk as a plain one, and once.
    fn may_seal_beside(&self, inode: &Inode, path: &RelPath) -> bool {
        if self.originals(path) == Originals::Replace {
            return true;
        }
        let is_plain = inode.place().tier == Tier::Disk || (!inode.is_dirty() && self.plain_copy(inode).is_some());
        let known = self.seals.kept.get(&inode.ino).map(|kept| (kept.mtime, kept.size));
        is_plain && known.is_none_or(|known| self.attr(inode).is_ok_and(|attr| (attr.mtime, attr.size) != known))
    }

    /// The plain file on disk that a clean file in memory is a copy of.
    pub(super) fn plain_copy(&self, inode: &Inode) -> Option<Identity> {
        inode.names.read().iter().find_map(|dentry| dentry.over)
    }

    /// The file stays as it is; a store has a copy.
    pub(super) fn keep_original(&self, inode: &Inode, id: SealedId, attr: &Attr) {
        self.seals.kept.insert(inode.ino, Kept { id, mtime: attr.mtime, size: attr.size });
    }

    /// A plain file beside which a store has a copy loses a name or gets another: the copy goes. Hold the namespace
    /// lock.
    pub(super) fn forget_kept(&self, inode: &Inode) {
        if let Some((_, kept)) = self.seals.kept.remove(&inode.ino) {
            self.remove_sealed(kept.id);
        }
    }

    /// Whether somebody asked for plain files there.
    fn stays_plain(&self, path: &RelPath) -> bool {
        self.seals.plain.read().iter().any(|under| path.starts_with(under))
    }
}
