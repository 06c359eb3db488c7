//! Making and removing names.

use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::identity::{Place, ROOT};
use super::inode::{Gone, Inode, Reason};
use super::journal::Record;
use super::rename::is_version;
use super::report::over_record;
use super::start::Start;
use super::{Error, OWN_DIR, OpenFlags, Opened, Result, Vfs};
use crate::backend::{Node, Object, Owner, Time, Times, Tree};
use crate::model::{Attr, FileKind, Name, RelPath, Tier};

const DEFAULT_ACL: &str = "system.posix_acl_default";
const SETGID: u16 = 0o2000;

/// Who makes a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Creator {
    /// User id of the calling process.
    pub uid: u32,
    /// Group id of the calling process.
    pub gid: u32,
    /// Its umask, which a default ACL of the directory overrides.
    pub umask: u16,
}

impl Vfs {
    /// Creates and opens a regular file. A name that exists (made behind the kernel's back) is opened, unless
    /// `flags` say exclusive.
    pub fn create(
        &self,
        parent: u64,
        name: &Name,
        perm: u16,
        creator: Creator,
        flags: OpenFlags,
    ) -> Result<(Attr, Opened)> {
        self.check_writable()?;
        let dir = self.dir_inode(parent)?;
        let made = {
            let _names = self.namespace.read();
            self.make_file(&dir, name, perm, creator, &flags)
        };
        match made {
            Err(Error::Exists) if !flags.exclusive => {
                let attr = self.lookup(parent, name)?;
                match self.open(attr.ino, flags) {
                    Ok(opened) => Ok((self.getattr(attr.ino)?, opened)),
                    Err(e) => {
                        self.forget(attr.ino, 1);
                        Err(e)
                    }
                }
            }
            made => made,
        }
    }

    /// Creates a regular file without opening it, a pipe, a socket or a device.
    pub fn mknod(
        &self,
        parent: u64,
        name: &Name,
        kind: FileKind,
        perm: u16,
        rdev: u64,
        creator: Creator,
    ) -> Result<Attr> {
        if kind == FileKind::Regular {
            let flags = OpenFlags { write: true, exclusive: true, ..OpenFlags::default() };
            let (attr, opened) = self.create(parent, name, perm, creator, flags)?;
            self.release(opened.fh);
            return Ok(attr);
        }
        self.make_on_disk(parent, name, perm, creator, kind, |tree, path, perm| tree.mknod(path, kind, perm, rdev))
    }

    /// Creates a directory.
    pub fn mkdir(&self, parent: u64, name: &Name, perm: u16, creator: Creator) -> Result<Attr> {
        self.make_on_disk(parent, name, perm, creator, FileKind::Directory, |tree, path, perm| tree.mkdir(path, perm))
    }

    /// Creates a symbolic link.
    pub fn symlink(&self, parent: u64, name: &Name, target: &OsStr, creator: Creator) -> Result<Attr> {
        self.make_on_disk(parent, name, 0o777, creator, FileKind::Symlink, |tree, path, _| tree.symlink(target, path))
    }

    /// Whatever only lives on disk.
    fn make_on_disk(
        &self,
        parent: u64,
        name: &Name,
        perm: u16,
        creator: Creator,
        kind: FileKind,
        make: impl FnOnce(&Tree, &RelPath, u16) -> std::io::Result<()>,
    ) -> Result<Attr> {
        self.check_writable()?;
        let dir = self.dir_inode(parent)?;
        self.check_name(&dir, name)?;
        let _names = self.namespace.read();
        let path = self.dir_path(&dir)?.join(name);
        self.check_outside_stores(&path)?;
        if self.in_memory(&dir, &path)?.is_some() {
            return Err(Error::Exists);
        }
        let tree = self.disk.tree();
        let birth = self.birth(&dir, perm, creator)?;
        {
            let _times = dir.times.lock();
            make(tree, &path, birth.perm)?;
        }
        let node = tree.node(&path)?;
        own(|owner| node.set_owner(owner), birth.owner)?;
        if kind != FileKind::Directory && kind != FileKind::Symlink && perm & 0o6000 != 0 {
            node.set_perm(node.stat()?.perm | (perm & 0o6000))?;
        }
        let attr = node.stat()?;
        let inode = self.disk_inode(&dir, name, &path, &attr, true);
        inode.set_reason(Reason::Rule);
        Ok(self.show(&inode, attr))
    }

    fn make_file(
        &self,
        dir: &Arc<Inode>,
        name: &Name,
        perm: u16,
        creator: Creator,
        flags: &OpenFlags,
    ) -> Result<(Attr, Opened)> {
        self.check_name(dir, name)?;
        let path = self.dir_path(dir)?.join(name);
        self.check_outside_stores(&path)?;
        if self.layers(dir, &path)?.any() {
            return Err(Error::Exists);
        }
        let birth = self.birth(dir, perm, creator)?;
        let (inode, object) = match self.start(&path, dir, flags) {
            Start::Memory => self.make_in_memory(dir, name, &path, &birth)?,
            Start::Disk(reason) => self.make_file_on_disk(dir, name, &path, &birth, reason)?,
        };
        self.count_created(&inode, &path);
        let attr = self.show(&inode, object.stat()?);
        let opened = self.open_new(&inode, object, flags);
        Ok((attr, opened))
    }

    fn make_in_memory(
        &self,
        dir: &Arc<Inode>,
        name: &Name,
        path: &RelPath,
        birth: &Birth,
    ) -> Result<(Arc<Inode>, Arc<Object>)> {
        self.mirror_dir(dir)?;
        let tree = self.memory()?.tree();
        self.mirror_default_acl(dir, path, birth.default_acl.as_deref())?;
        let object = Arc::new(tree.create(path, birth.perm)?);
        let finished = self.finish_birth(&object, birth).and_then(|()| {
            // The directory is on disk, so its times move there.
            self.touch_dir(dir)?;
            Ok(object.stat()?)
        });
        let attr = match finished {
            Ok(attr) => attr,
            Err(e) => {
                tree.unlink(path)?;
                return Err(e);
            }
        };
        Ok((self.new_resident(dir, name, &attr, Reason::Rule), object))
    }

    /// The inode of a file that has just come to be in memory.
    pub(super) fn new_resident(&self, dir: &Arc<Inode>, name: &Name, attr: &Attr, reason: Reason) -> Arc<Inode> {
        let place = Place::of(Tier::Memory, attr);
        let ino = self.identities.ino(place);
        let inode = self.inodes.get_or_insert(ino, true, || Inode::new(ino, attr.kind, place, reason));
        inode.add_name(dir, name, None);
        inode.dirty.store(true, Ordering::Release);
        let now = self.now();
        inode.dirty_since.store(now, Ordering::Relaxed);
        inode.changed.store(now, Ordering::Relaxed);
        inode.used.store(now, Ordering::Relaxed);
        self.inodes.settle(attr.ino, inode.clone(), attr.size);
        inode
    }

    fn make_file_on_disk(
        &self,
        dir: &Arc<Inode>,
        name: &Name,
        path: &RelPath,
        birth: &Birth,
        reason: Reason,
    ) -> Result<(Arc<Inode>, Arc<Object>)> {
        let object = {
            let _times = dir.times.lock();
            Arc::new(self.disk.tree().create(path, birth.perm)?)
        };
        self.finish_birth(&object, birth)?;
        let attr = object.stat()?;
        let inode = self.disk_inode(dir, name, path, &attr, true);
        inode.set_reason(reason);
        inode.found.store(false, Ordering::Release);
        self.saw_made(path, reason);
        Ok((inode, object))
    }

    fn finish_birth(&self, object: &Object, birth: &Birth) -> Result<()> {
        own(|owner| object.set_owner(owner), birth.owner)?;
        // A change of owner clears suid and sgid.
        if birth.perm & 0o6000 != 0 {
            object.set_perm(object.stat()?.perm | (birth.perm & 0o6000))?;
        }
        Ok(())
    }

    /// What a new file in `dir` gets from its directory and its creator.
    fn birth(&self, dir: &Inode, perm: u16, creator: Creator) -> Result<Birth> {
        let node = self.disk.tree().dir_node(&self.dir_path(dir)?)?;
        let above = node.stat()?;
        let default_acl = match node.xattrs().get(OsStr::new(DEFAULT_ACL)) {
            Ok(acl) => acl,
            Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => None,
            Err(e) => return Err(e.into()),
        };
        let perm = if default_acl.is_some() { perm } else { perm & !creator.umask };
        let gid = if above.perm & SETGID != 0 { above.gid } else { creator.gid };
        Ok(Birth { perm, owner: Owner { uid: Some(creator.uid), gid: Some(gid) }, default_acl })
    }

    /// Lets the tmpfs apply the default ACL that the disk directory has now.
    fn mirror_default_acl(&self, dir: &Inode, path: &RelPath, acl: Option<&[u8]>) -> Result<()> {
        if acl.is_none() && !dir.has_default_acl.load(Ordering::Acquire) {
            return Ok(());
        }
        let Some((above, _)) = path.split() else { return Ok(()) };
        let node = self.memory()?.tree().dir_node(&above)?;
        match acl {
            Some(acl) => node.xattrs().set(OsStr::new(DEFAULT_ACL), acl, rustix::fs::XattrFlags::empty())?,
            None => match node.xattrs().remove(OsStr::new(DEFAULT_ACL)) {
                Err(e) if e.raw_os_error() != Some(libc::ENODATA) => return Err(e.into()),
                _ => {}
            },
        }
        dir.has_default_acl.store(acl.is_some(), Ordering::Release);
        Ok(())
    }

    /// Makes sure that `dir` and those above it have mirrors.
    pub(super) fn mirror_dir(&self, dir: &Arc<Inode>) -> Result<()> {
        // Looked at even where it is known to be there: a rename that the disk refused may have taken an empty one away.
        self.memory()?.make_dirs(&self.dir_path(dir)?)?;
        self.mark_mirrored(dir);
        Ok(())
    }

    /// Notes that `dir` and those above it have mirrors.
    pub(super) fn mark_mirrored(&self, dir: &Arc<Inode>) {
        let mut next = Some(dir.clone());
        while let Some(dir) = next.take() {
            if !dir.mirrored.swap(true, Ordering::AcqRel) {
                next = dir.names.read().first().map(|dentry| dentry.parent.clone());
            }
        }
    }

    /// A name in `dir` changed in memory alone: the directory's times move on disk.
    pub(super) fn touch_dir(&self, dir: &Inode) -> Result<()> {
        let _times = dir.times.lock();
        let node = self.disk.tree().dir_node(&self.dir_path(dir)?)?;
        match node.set_times(Times { atime: Time::Keep, mtime: Time::Now }) {
            // An ordinary user may write in a directory that is not theirs, but not set its times: only the owner may.
            Err(e) if e.raw_os_error() == Some(libc::EPERM) => Ok(()),
            done => Ok(done?),
        }
    }

    fn check_name(&self, dir: &Inode, name: &Name) -> Result<()> {
        if dir.ino == ROOT && name == OWN_DIR {
            return Err(Error::Forbidden("this name is scopefs' own"));
        }
        if name.len() > 255 {
            return Err(Error::Io(rustix::io::Errno::NAMETOOLONG.into()));
        }
        Ok(())
    }

    /// Removes a name that is not a directory.
    pub fn unlink(&self, parent: u64, name: &Name) -> Result<()> {
        self.check_writable()?;
        let dir = self.dir_inode(parent)?;
        let inode = {
            let _names = self.namespace.write();
            let path = self.dir_path(&dir)?.join(name);
            self.check_outside_stores(&path)?;
            let (inode, _) = self.find(&dir, name, false)?;
            if inode.kind == FileKind::Directory {
                return Err(Error::IsDirectory);
            }
            self.remove_name(&inode, &dir, name, &path)?;
            self.pins.removed(&path);
            inode
        };
        // Freeing a large file takes long, and happens when the last descriptor of it goes: with the inode, after the
        // lock.
        self.let_go(inode);
        self.save_pins_quietly();
        Ok(())
    }

    /// Removes one name of `inode` from both trees, disk first: the other way round, a daemon killed in between would
    /// bring an older version back. Hold the namespace lock for writing.
    fn remove_name(&self, inode: &Arc<Inode>, dir: &Arc<Inode>, name: &Name, path: &RelPath) -> Result<()> {
        let layers = self.layers(dir, path)?;
        let in_memory = layers.memory.is_some();
        // What appeared on disk behind our back is not what the caller saw and asked to remove.
        let over = inode.over(dir, name);
        let node = self.node_of(inode, path);
        let ours = layers.disk.filter(|disk| !in_memory || is_version(over, disk));
        let forsaken = self.forsake(inode, path, layers.memory.or(layers.disk).is_some_and(|last| last.nlink == 1))?;
        if let Some(disk) = &ours {
            self.disk.tree().unlink(path)?;
            if disk.nlink == 1 {
                self.count_disk(-1, -(disk.size as i64));
            }
        }
        if let Some(memory) = layers.memory {
            self.memory()?.tree().unlink(path)?;
            if over.is_some() {
                self.note(&over_record(memory.ino, dir, name, None))?;
            }
            if ours.is_none() {
                self.touch_dir(dir)?;
            }
        }
        inode.drop_name(dir, name);
        self.forget_kept(inode);
        if let (Some(disk), Some(memory)) = (ours.filter(|disk| disk.nlink > 1), layers.memory) {
            self.follow_links(inode, memory.ino, &disk.identity())?;
        }
        if let Some(last) = layers.memory.or(layers.disk) {
            self.count_unlinked(inode, path, &last);
            if last.nlink == 1 {
                self.mark_gone(inode, last, node);
            }
        }
        self.forsaken(inode, forsaken)
    }

    /// Holds the inode at `path`, in whichever tree it is.
    pub(super) fn node_of(&self, inode: &Inode, path: &RelPath) -> Option<Node> {
        match (inode.place().tier, &self.memory) {
            (Tier::Memory, Some(memory)) => memory.tree().node(path).ok(),
            _ => self.disk.tree().node(path).ok(),
        }
    }

    /// The last name is gone: what is left is what open handles hold.
    pub(super) fn mark_gone(&self, inode: &Arc<Inode>, last: Attr, node: Option<Node>) {
        let mut content = inode.content.write();
        let now = crate::model::Timestamp::from(std::time::SystemTime::now());
        let attr = Attr { nlink: 0, ctime: now, ..last };
        content.gone = Some(Box::new(Gone { attr, node }));
        let place = content.place;
        drop(content);
        self.saw_gone(inode, place, last.size);
        if place.tier == Tier::Memory {
            self.uncount_clean(inode);
            self.inodes.unsettle(place.ino);
        }
        self.identities.forget(place);
    }

    /// Removes an empty directory.
    pub fn rmdir(&self, parent: u64, name: &Name) -> Result<()> {
        self.check_writable()?;
        let dir = self.dir_inode(parent)?;
        let found = {
            let _names = self.namespace.read();
            self.find(&dir, name, false)
        };
        if let Ok((inode, _)) = found
            && inode.kind == FileKind::Directory
        {
            self.load_stores(&inode)?;
        }
        match self.remove_dir(&dir, name) {
            Err(Error::Io(e)) if self.stores.is_some() && e.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
                // What nobody sees may be in the way: stores of files that were deleted or have left a moment ago.
                let path = self.dir_path(&dir)?.join(name);
                let _in_place = self.empty_stores_of(&path);
                self.remove_dir(&dir, name)
            }
            removed => removed,
        }
    }

    fn remove_dir(&self, dir: &Arc<Inode>, name: &Name) -> Result<()> {
        let names = self.namespace.write();
        let path = self.dir_path(dir)?.join(name);
        self.check_outside_stores(&path)?;
        let (inode, _) = self.find(dir, name, false)?;
        if inode.kind != FileKind::Directory {
            return Err(Error::NotDirectory);
        }
        if let Some(memory) = self.memory.as_ref().filter(|_| inode.is_mirrored())
            && memory.holds_files(&path)?
        {
            return Err(Error::NotEmpty);
        }
        let last = self.disk.tree().stat(&path)?;
        self.disk.tree().rmdir(&path)?;
        if let Some(memory) = self.memory.as_ref().filter(|_| inode.is_mirrored()) {
            memory.remove_dirs(&path)?;
        }
        inode.names.write().clear();
        let now = crate::model::Timestamp::from(std::time::SystemTime::now());
        let attr = Attr { nlink: 0, ctime: now, mtime: now, ..last };
        inode.content.write().gone = Some(Box::new(Gone { attr, node: None }));
        self.identities.forget(inode.place());
        self.pins.removed(&path);
        drop(names);
        self.let_go(inode);
        self.save_pins_quietly();
        Ok(())
    }

    /// A further name for the inode `ino`.
    pub fn link(&self, ino: u64, new_parent: u64, new_name: &Name) -> Result<Attr> {
        self.check_writable()?;
        let inode = self.inode(ino)?;
        let dir = self.dir_inode(new_parent)?;
        self.check_name(&dir, new_name)?;
        self.stay_in_store(&inode, &dir, new_name)?;
        // For writing: a move publishes all names of a file, and must not miss this one.
        let names = self.namespace.write();
        let to = self.dir_path(&dir)?.join(new_name);
        self.check_outside_stores(&to)?;
        if self.layers(&dir, &to)?.any() {
            return Err(Error::Exists);
        }
        if inode.is_sealed() && inode.sealed_id().is_some_and(|id| !self.holds(id, &to)) {
            // Somebody has sealed it in between.
            drop(names);
            return self.link(ino, new_parent, new_name);
        }
        let from = inode.path().ok_or(Error::NotFound)?;
        // A disk file with several names never leaves the disk: a clean copy is given up, or becomes the newer version.
        if inode.in_mirror() && !inode.is_dirty() && !inode.is_sealed() && !self.drop_copy(&inode)? {
            self.mark_dirty(&inode, inode.place());
        }
        match inode.place().tier {
            Tier::Memory => {
                if let Some(id) = inode.sealed_id() {
                    self.note(&Record::Updating { id })?;
                }
                self.mirror_dir(&dir)?;
                self.memory()?.tree().link(&from, &to)?;
                self.touch_dir(&dir)?;
            }
            _ => self.link_on_disk(&from, &to)?,
        }
        inode.add_name(&dir, new_name, None);
        if self.router.dataset(&from) != self.router.dataset(&to) {
            self.datasets.doubt(&to, false);
        }
        if inode.is_sealed() {
            self.update_sealed(&inode)?;
        }
        inode.lookups.fetch_add(1, Ordering::AcqRel);
        self.attr(&inode)
    }
}

/// What a new file starts with.
struct Birth {
    perm: u16,
    owner: Owner,
    default_acl: Option<Vec<u8>>,
}

/// Sets the owner; an ordinary user's daemon makes every file its own.
fn own(set: impl FnOnce(Owner) -> std::io::Result<()>, owner: Owner) -> Result<()> {
    match set(owner) {
        Err(e) if e.raw_os_error() == Some(libc::EPERM) && !rustix::process::geteuid().is_root() => Ok(()),
        done => Ok(done?),
    }
}
