//! Changing attributes, and extended attributes with the three that explain a file.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::XattrFlags;

use super::inode::{Inode, Reason};
use super::journal::Record;
use super::open::wait_for_closes;
use super::{Error, Goal, MoveError, Result, Vfs};
pub use crate::backend::Times;
use crate::backend::{Access, Node, Object, Owner, Xattrs};
use crate::model::{Attr, FileKind, State, Tier};

const OWN: &[u8] = b"user.scopefs.";
const TIER: &[u8] = b"user.scopefs.tier";
const STATE: &[u8] = b"user.scopefs.state";
const RULE: &[u8] = b"user.scopefs.rule";
const STORE: &[u8] = b"user.scopefs.store";
const CAPABILITY: &str = "security.capability";
/// Extended attributes of a file in memory, names and values, above which the file goes to disk, whose own limit then
/// counts. ext4 takes about 4 KiB in all; a tmpfs takes more.
const XATTRS_MOST: usize = 2048;

/// What `setattr` is to change.
#[derive(Debug, Clone, Copy, Default)]
pub struct Changes {
    /// Permission bits.
    pub perm: Option<u16>,
    /// Owner and group.
    pub owner: Owner,
    /// Length in bytes.
    pub size: Option<u64>,
    /// Access and modification time.
    pub times: Times,
    /// Take set-id bits and capabilities away, because somebody without privilege wrote.
    pub kill_suid: bool,
}

/// An inode whose attributes are at hand: open, or held by its name.
enum Held {
    Open(Arc<Object>),
    Named(Node),
}

impl Held {
    fn xattrs(&self) -> Xattrs<'_> {
        match self {
            Held::Open(object) => object.xattrs(),
            Held::Named(node) => node.xattrs(),
        }
    }

    fn stat(&self) -> std::io::Result<Attr> {
        match self {
            Held::Open(object) => object.stat(),
            Held::Named(node) => node.stat(),
        }
    }

    fn set_perm(&self, perm: u16) -> std::io::Result<()> {
        match self {
            Held::Open(object) => object.set_perm(perm),
            Held::Named(node) => node.set_perm(perm),
        }
    }

    fn set_owner(&self, owner: Owner) -> std::io::Result<()> {
        match self {
            Held::Open(object) => object.set_owner(owner),
            Held::Named(node) => node.set_owner(owner),
        }
    }

    fn set_times(&self, times: Times) -> std::io::Result<()> {
        match self {
            Held::Open(object) => object.set_times(times),
            Held::Named(node) => node.set_times(times),
        }
    }
}

impl Vfs {
    /// Changes attributes; returns them all as they are then.
    pub fn setattr(&self, ino: u64, changes: &Changes) -> Result<Attr> {
        self.check_writable()?;
        let inode = self.inode(ino)?;
        self.check_not_in_store(&inode)?;
        if let Some(size) = changes.size {
            self.track(&inode)?;
            inode.found.store(false, std::sync::atomic::Ordering::Release);
            return self.with_bytes(&inode, size == 0, || self.setattr_unsealed(&inode, changes));
        }
        // Attributes of a sealed file change where it is.
        self.setattr_unsealed(&inode, changes)?.ok_or(Error::Stale)
    }

    /// Changes attributes of a file whose bytes are where they are needed for that; `None` if they are not.
    fn setattr_unsealed(&self, inode: &Arc<Inode>, changes: &Changes) -> Result<Option<Attr>> {
        let _names = self.namespace.read();
        self.touch(inode);
        let made = self.is_as_made(inode);
        {
            let _opens = inode.opens.lock();
            if changes.size.is_some() && inode.is_absent() {
                return Ok(None);
            }
            if let Some(size) = changes.size {
                self.truncate(inode, size)?;
            }
            self.change_attributes(inode, |held| {
                if changes.owner != Owner::default() {
                    held.set_owner(changes.owner)?;
                }
                if let Some(perm) = changes.perm {
                    held.set_perm(perm)?;
                }
                if changes.kill_suid {
                    kill_suid(held)?;
                }
                if changes.times != Times::default() {
                    held.set_times(changes.times)?;
                }
                Ok(())
            })?;
        }
        if made {
            self.make_again(inode);
        }
        if changes.size.is_some() {
            self.doubt_links(inode);
        }
        Ok(Some(self.attr(inode)?))
    }

    /// Changes what is not bytes. A sealed file stays sealed: its record follows. Hold the namespace lock and `opens`.
    fn change_attributes(&self, inode: &Inode, act: impl FnOnce(&Held) -> Result<()>) -> Result<()> {
        let held = self.held(inode)?;
        match inode.sealed_id().filter(|_| inode.is_sealed()) {
            Some(id) => {
                self.note(&Record::Updating { id })?;
                act(&held)?;
                self.update_sealed(inode)?;
                self.note_sealed_version(inode, id)
            }
            None => {
                self.mark_dirty(inode, inode.place());
                act(&held)
            }
        }
    }

    /// Takes away what must not survive a write by somebody without privilege.
    pub(super) fn drop_privileges(&self, inode: &Inode) -> Result<()> {
        let _names = self.namespace.read();
        let _opens = inode.opens.lock();
        kill_suid(&self.held(inode)?)
    }

    fn truncate(&self, inode: &Inode, size: u64) -> Result<()> {
        if inode.kind != FileKind::Regular {
            return Err(Error::Invalid("only regular files have a length to set"));
        }
        let open = inode.content.read().object.clone().filter(|object| object.writable());
        let object = match open {
            Some(object) => object,
            None => Arc::new(self.open_at(inode, inode.tier(), Access::Write)?),
        };
        self.truncate_object(inode, &object, size)
    }

    fn held(&self, inode: &Inode) -> Result<Held> {
        let (place, open, node) = {
            let content = inode.content.read();
            let node = content.gone.as_ref().and_then(|gone| gone.node.clone());
            (content.place, content.object.clone(), node)
        };
        if let Some(object) = open {
            return Ok(Held::Open(object));
        }
        if let Some(node) = node {
            return Ok(Held::Named(node));
        }
        let tree = if place.tier == Tier::Memory { self.memory()?.tree() } else { self.disk.tree() };
        for path in inode.paths() {
            let node = match tree.node(&path) {
                Ok(node) => node,
                Err(e) if crate::backend::is_absent(&e) => continue,
                Err(e) => return Err(e.into()),
            };
            let attr = node.stat()?;
            if (attr.dev, attr.ino) == (place.dev, place.ino) {
                return Ok(Held::Named(node));
            }
        }
        Err(Error::Stale)
    }

    /// The value of an extended attribute.
    pub fn getxattr(&self, ino: u64, name: &OsStr) -> Result<Vec<u8>> {
        let inode = self.inode(ino)?;
        let _names = self.namespace.read();
        match name.as_bytes() {
            TIER => return Ok(inode.tier().as_str().as_bytes().to_vec()),
            STATE => return Ok(self.state(&inode).as_str().as_bytes().to_vec()),
            RULE => return Ok(self.rule_name(&inode).into_bytes()),
            STORE => return self.store_of(&inode).ok_or(Error::NoAttribute),
            other if other.starts_with(OWN) => return Err(Error::NoAttribute),
            _ => {}
        }
        let _opens = inode.opens.lock();
        self.held(&inode)?.xattrs().get(name)?.ok_or(Error::NoAttribute)
    }

    /// Whether the home has everything.
    pub(super) fn state(&self, inode: &Inode) -> State {
        match inode.is_dirty() {
            true => State::Dirty,
            false if inode.is_absent() => State::Sealed,
            false => State::Clean,
        }
    }

    /// The store that holds a file, relative to the workspace.
    fn store_of(&self, inode: &Inode) -> Option<Vec<u8>> {
        let id = inode.sealed_id().filter(|_| inode.is_sealed())?;
        let at = self.stores.as_ref()?.stored_at(id)?;
        Some(at.store.as_bytes().to_vec())
    }

    /// The names of the extended attributes; ours are not among them, or every copy of the tree would replay them.
    pub fn listxattr(&self, ino: u64) -> Result<Vec<OsString>> {
        let inode = self.inode(ino)?;
        let _names = self.namespace.read();
        let _opens = inode.opens.lock();
        let mut names = self.held(&inode)?.xattrs().list()?;
        names.retain(|name| !name.as_bytes().starts_with(OWN));
        Ok(names)
    }

    /// Sets an extended attribute; `user.scopefs.tier` moves the file, and returns when it is there. `uid` is the
    /// caller's.
    pub fn setxattr(&self, ino: u64, name: &OsStr, value: &[u8], flags: XattrFlags, uid: u32) -> Result<()> {
        self.check_writable()?;
        let inode = self.inode(ino)?;
        match name.as_bytes() {
            TIER => return self.set_tier(&inode, value, uid),
            other if other.starts_with(OWN) => {
                return Err(Error::Forbidden("of the user.scopefs attributes only the tier can be set"));
            }
            _ => {}
        }
        self.check_not_in_store(&inode)?;
        self.room_for_xattr(&inode, name.len() + value.len())?;
        let _names = self.namespace.read();
        let _opens = inode.opens.lock();
        self.change_attributes(&inode, |held| Ok(held.xattrs().set(name, value, flags)?))
    }

    /// What memory takes its home must take too: a file with much to carry goes there at once.
    fn room_for_xattr(&self, inode: &Arc<Inode>, more: usize) -> Result<()> {
        if !inode.in_mirror() {
            return Ok(());
        }
        let now: usize = {
            let _names = self.namespace.read();
            let _opens = inode.opens.lock();
            let set = self.held(inode)?.xattrs().all()?;
            set.iter().map(|(name, value)| name.len() + value.len()).sum()
        };
        if now + more <= XATTRS_MOST {
            return Ok(());
        }
        match self.depart(inode, Goal::Home, Reason::Attributes) {
            Ok(()) | Err(MoveError::NotThere) => Ok(()),
            Err(MoveError::Held) => Err(Error::NoSpace("more attributes than the file's home may be able to hold")),
            Err(MoveError::Failed(e)) => Err(e),
        }
    }

    fn set_tier(&self, inode: &Arc<Inode>, value: &[u8], uid: u32) -> Result<()> {
        let word = std::str::from_utf8(value).map_err(|_| Error::Invalid("no such tier"))?;
        let tier: Tier = word.trim().parse().map_err(|_| Error::Invalid("the tiers are memory, disk and zarr"))?;
        let owner = {
            let _names = self.namespace.read();
            self.attr(inode)?.uid
        };
        if uid != 0 && uid != owner {
            return Err(Error::Forbidden("only the owner of a file, or root, may move it"));
        }
        match self.migrate(inode, tier) {
            Ok(()) => Ok(()),
            Err(MoveError::Held) => Err(Error::Busy("the file is open or mapped, and the kernel serves it itself")),
            Err(MoveError::NotThere) => Err(Error::Busy("the file was moved or removed meanwhile")),
            Err(MoveError::Failed(e)) => Err(e),
        }
    }

    /// Moves a file to `tier`; does nothing if it is there.
    pub fn migrate(&self, inode: &Arc<Inode>, tier: Tier) -> std::result::Result<(), MoveError> {
        if inode.tier() == tier {
            return Ok(());
        }
        self.check_writable()?;
        self.check_pin(inode, tier)?;
        wait_for_closes(inode);
        match tier {
            Tier::Memory if inode.is_absent() => self.unseal(inode, false, Reason::Migrated),
            Tier::Memory => self.arrive(inode, Reason::Migrated),
            Tier::Disk => self.depart(inode, Goal::Home, Reason::Migrated),
            Tier::Zarr => self.seal(inode, Goal::Home, Reason::Migrated),
        }
    }

    /// Removes an extended attribute.
    pub fn removexattr(&self, ino: u64, name: &OsStr) -> Result<()> {
        self.check_writable()?;
        let inode = self.inode(ino)?;
        if name.as_bytes().starts_with(OWN) {
            return Err(Error::NoAttribute);
        }
        let _names = self.namespace.read();
        let _opens = inode.opens.lock();
        self.change_attributes(&inode, |held| Ok(held.xattrs().remove(name)?))
    }
}

fn kill_suid(held: &Held) -> Result<()> {
    let attr = held.stat()?;
    // Set-group-id without group execution is no privilege (it once meant mandatory locking).
    let mut perm = attr.perm & !0o4000;
    if perm & 0o010 != 0 {
        perm &= !0o2000;
    }
    if perm != attr.perm {
        held.set_perm(perm)?;
    }
    match held.xattrs().remove(OsStr::new(CAPABILITY)) {
        // EPERM: an ordinary user's daemon may not, set or not; but at its own write the kernel clears it.
        Err(e) if !matches!(e.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP | libc::EPERM)) => Err(e.into()),
        _ => Ok(()),
    }
}
