//! Renaming in two trees at once.
//!
//! A name can be in memory, on disk, or in both. Each tree renames atomically; where both must, an intent goes into
//! the journal first and the disk goes first, so that a successor of a killed daemon can finish what was begun, and so
//! that the name's last durable version follows it. While it lasts, nobody else can look: the namespace is locked.

use std::sync::Arc;

use rustix::fs::RenameFlags;

use super::identity::ROOT;
use super::inode::{Inode, Reason};
use super::journal::{Record, RenameIntent};
use super::lookup::Layers;
use super::report::over_record;
use super::{Error, Goal, MoveError, OWN_DIR, Result, Vfs};
use crate::backend::{Node, Tree};
use crate::model::{Attr, FileKind, Identity, Name, RelPath, Tier};

/// What `renameat2(2)` may be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenameMode {
    /// Replace what stands at the new name.
    Replace,
    /// Fail if anything does.
    NoReplace,
    /// Let the two names change places.
    Exchange,
}

/// One end of a rename.
pub(super) struct End {
    dir: Arc<Inode>,
    name: Box<Name>,
    pub(super) path: RelPath,
    pub(super) layers: Layers,
    pub(super) inode: Option<Arc<Inode>>,
    /// The memory name's shadow, where there is a memory name.
    over: Option<Identity>,
    /// The disk file has lost this name for good, although memory alone was renamed.
    parted: bool,
}

impl End {
    /// The disk inode that belongs to this name: not one that appeared under a memory name behind our back.
    fn own_disk(&self) -> u64 {
        match (self.layers.disk, self.layers.memory) {
            (Some(disk), Some(_)) if !is_version(self.over, &disk) => 0,
            (Some(disk), _) => disk.ino,
            (None, _) => 0,
        }
    }

    fn memory(&self) -> u64 {
        self.layers.memory.map_or(0, |attr| attr.ino)
    }

    fn is_dir(&self) -> bool {
        self.inode.as_ref().is_some_and(|inode| inode.kind == FileKind::Directory)
    }
}

/// Between the unsealing of what leaves its store and the rename, somebody may seal it again, so many times in a row.
const TRIES: u32 = 20;

impl Vfs {
    /// Renames `name` in `parent` to `new_name` in `new_parent`.
    pub fn rename(&self, parent: u64, name: &Name, new_parent: u64, new_name: &Name, mode: RenameMode) -> Result<()> {
        self.check_writable()?;
        if [(parent, name), (new_parent, new_name)].contains(&(ROOT, Name::new(OWN_DIR))) {
            return Err(Error::Forbidden("this name is scopefs' own"));
        }
        let (from_dir, to_dir) = (self.dir_inode(parent)?, self.dir_inode(new_parent)?);
        for _ in 0..TRIES {
            if self.try_rename((&from_dir, name), (&to_dir, new_name), mode)? {
                self.save_pins_quietly();
                return Ok(());
            }
        }
        Err(Error::Busy("what would leave its store by that is sealed again and again"))
    }

    /// As [`Vfs::rename`]; `false` if something was sealed in the meantime that has to be unsealed first.
    fn try_rename(
        &self,
        (from_dir, name): (&Arc<Inode>, &Name),
        (to_dir, new_name): (&Arc<Inode>, &Name),
        mode: RenameMode,
    ) -> Result<bool> {
        let exchange = mode == RenameMode::Exchange;
        self.follow_into_stores(from_dir, name, to_dir, new_name, mode)?;
        if exchange {
            self.follow_into_stores(to_dir, new_name, from_dir, name, mode)?;
        }
        if mode == RenameMode::Replace {
            self.go_home_first(from_dir, name, to_dir, new_name)?;
        }
        let _in_place = self.keep_stores_in_place(from_dir, name, to_dir, new_name);
        let replaced = {
            let _names = self.namespace.write();
            let from = self.end(from_dir.clone(), name)?;
            let mut to = self.end(to_dir.clone(), new_name)?;
            self.check_outside_stores(&from.path)?;
            self.check_outside_stores(&to.path)?;
            let taken = to.inode.is_some() != exchange && mode != RenameMode::Replace;
            let in_vain = taken || from.inode.is_none();
            if !in_vain && (self.leaves_store(&from, &to) || (exchange && self.leaves_store(&to, &from))) {
                return Ok(false);
            }
            self.check_rename(&from, &to, mode)?;
            if from.inode.as_ref().map(|inode| inode.ino) == to.inode.as_ref().map(|inode| inode.ino) {
                // Two names of one file: POSIX wants both to stay.
                return Ok(true);
            }
            self.rename_ends(&from, &mut to, exchange)?;
            self.note_renamed(&from, &to, mode);
            self.pins.renamed(&from.path, &to.path, exchange);
            to.inode.map(|inode| inode.ino)
        };
        if let Some(ino) = replaced {
            self.inodes.remove_if_unused(ino);
        }
        Ok(true)
    }

    /// The list of plain files follows.
    fn note_renamed(&self, from: &End, to: &End, mode: RenameMode) {
        match mode {
            RenameMode::Exchange if from.is_dir() || to.is_dir() => self.listing.give_up(),
            RenameMode::Exchange => [&from.path, &to.path].into_iter().for_each(|path| self.listing.touch(path)),
            _ => self.listing.renamed(&from.path, &to.path, from.is_dir()),
        }
    }

    /// A memory file about to take a name from a disk file that lives on, because it has other names or is open, goes
    /// home first. Shadowing would leave the link in place until the newer bytes are published: the other names would
    /// go on counting it, and what is written through the open handle would look like somebody else's change.
    fn go_home_first(&self, dir: &Arc<Inode>, name: &Name, to_dir: &Arc<Inode>, to_name: &Name) -> Result<()> {
        let inode = {
            let _names = self.namespace.read();
            let from = match self.find(dir, name, false) {
                Ok((inode, _)) if inode.in_mirror() => inode,
                _ => return Ok(()),
            };
            let below = self.disk.tree().find(&self.dir_path(to_dir)?.join(to_name))?;
            match self.find(to_dir, to_name, false) {
                Ok(_) if below.is_some_and(|disk| disk.nlink > 1 && disk.kind != FileKind::Directory) => from,
                Ok((to, attr)) if to.tier() == Tier::Disk && self.lives_on(&to, attr.nlink) => from,
                _ => return Ok(()),
            }
        };
        match self.depart(&inode, Goal::Home, Reason::Linked) {
            // Where the kernel holds it, it stays; see `part`.
            Ok(()) | Err(MoveError::Held | MoveError::NotThere) => Ok(()),
            Err(MoveError::Failed(e)) => Err(e),
        }
    }

    /// Whether a disk file outlives the name that it is about to lose.
    fn lives_on(&self, inode: &Inode, nlink: u32) -> bool {
        let opens = inode.opens.lock();
        let is_file = inode.kind == FileKind::Regular;
        (nlink > 1 && inode.kind != FileKind::Directory)
            || (is_file && (opens.total > 0 || self.check_free(inode, &opens, None).is_err()))
    }

    fn end(&self, dir: Arc<Inode>, name: &Name) -> Result<End> {
        let path = self.dir_path(&dir)?.join(name);
        let inode = match self.find(&dir, name, false) {
            Ok((inode, _)) => Some(inode),
            Err(Error::NotFound) => None,
            Err(e) => return Err(e),
        };
        // Read after the search, which may drop a clean copy that is out of date.
        let layers = self.layers(&dir, &path)?;
        let over = inode.as_ref().and_then(|inode| inode.over(&dir, name));
        if let (Some(_), Some(disk)) = (layers.memory, layers.disk)
            && !is_version(over, &disk)
        {
            tracing::warn!("{path}: the file on disk was changed behind the mount, and stays where it is");
        }
        Ok(End { dir, name: name.into(), path, layers, inode, over, parted: false })
    }

    fn check_rename(&self, from: &End, to: &End, mode: RenameMode) -> Result<()> {
        if from.inode.is_none() {
            return Err(Error::NotFound);
        }
        match mode {
            RenameMode::NoReplace if to.inode.is_some() => return Err(Error::Exists),
            RenameMode::Exchange if to.inode.is_none() => return Err(Error::NotFound),
            RenameMode::Replace if to.inode.is_some() => match (from.is_dir(), to.is_dir()) {
                (true, false) => return Err(Error::NotDirectory),
                (false, true) => return Err(Error::IsDirectory),
                (true, true) => self.check_empty_mirror(to)?,
                (false, false) => {}
            },
            _ => {}
        }
        let outside = self.root.place().dev;
        if [from, to].iter().any(|end| end.memory() != 0)
            && [&from.dir, &to.dir].iter().any(|d| d.place().dev != outside)
        {
            return Err(Error::Io(rustix::io::Errno::XDEV.into()));
        }
        Ok(())
    }

    fn check_empty_mirror(&self, to: &End) -> Result<()> {
        let mirrored = to.inode.as_ref().is_some_and(|inode| inode.is_mirrored());
        match &self.memory {
            Some(memory) if mirrored && memory.holds_files(&to.path)? => Err(Error::NotEmpty),
            // Asked before the mirror goes: a rename that then failed would leave a directory that believes in one.
            Some(_) if mirrored && !self.disk.tree().list(&to.path)?.is_empty() => Err(Error::NotEmpty),
            Some(memory) if mirrored => Ok(memory.remove_dirs(&to.path)?),
            _ => Ok(()),
        }
    }

    fn rename_ends(&self, from: &End, to: &mut End, exchange: bool) -> Result<()> {
        let intent = RenameIntent {
            exchange,
            from: from.path.clone(),
            to: to.path.clone(),
            disk: (from.own_disk(), if exchange { to.own_disk() } else { disk_ino(to) }),
            memory: (self.memory_ino(from)?, self.memory_ino(to)?),
        };
        self.forget_dirs(from, to);
        let forsaken = self.announce(from, to, exchange)?;
        let node = to.inode.as_ref().filter(|_| !to.is_dir()).and_then(|lost| self.node_of(lost, &to.path));
        let mut renamed = Ok(false);
        let mut act = || {
            renamed = self.rename_trees(from, to, &intent);
            renamed.is_ok()
        };
        match &self.stores {
            Some(stores) if from.is_dir() || to.is_dir() => {
                stores.rename_dirs(&from.path, &to.path, exchange, &mut act);
            }
            _ => {
                act();
            }
        }
        // Again, because whoever walks without the lock may have opened one in between.
        self.forget_dirs(from, to);
        to.parted = renamed?;
        self.renamed(from, to, exchange, &intent, node)?;
        self.stores_follow(from, to, exchange, forsaken)
    }

    fn forget_dirs(&self, from: &End, to: &End) {
        if !from.is_dir() && !to.is_dir() {
            return;
        }
        self.disk.tree().forget_dirs();
        if let Some(memory) = &self.memory {
            memory.tree().forget_dirs();
        }
    }

    /// Both trees; tells whether the file that stood at the new name was parted from it (see `part`).
    fn rename_trees(&self, from: &End, to: &End, intent: &RenameIntent) -> Result<bool> {
        if intent.memory == (0, 0) {
            return self.rename_on_disk(intent).map(|()| false);
        }
        if intent.disk.0 == 0 && (!intent.exchange || intent.disk.1 == 0) {
            self.shadow(from, to, intent.exchange)?;
            self.rename_in_memory(intent, from, to)?;
            return if intent.exchange { Ok(false) } else { self.part(from, to) };
        }
        // Whatever can fail in memory for want of room or of a directory is done before the disk is touched.
        self.mirror_ends(intent, from, to)?;
        self.note(&Record::Rename(Box::new(intent.clone())))?;
        let renamed = self.rename_on_disk(intent).and_then(|()| {
            self.rename_mirror(intent).inspect_err(|_| {
                if let Err(e) = self.undo_on_disk(intent) {
                    tracing::error!("the rename of {} to {} is half done: {e}", intent.from, intent.to);
                }
            })
        });
        self.note(&Record::Renamed)?;
        renamed.map(|()| false)
    }

    /// The memory step failed: the disk step is taken back, unless it replaced something.
    fn undo_on_disk(&self, intent: &RenameIntent) -> Result<()> {
        let back = RenameIntent { from: intent.to.clone(), to: intent.from.clone(), ..intent.clone() };
        let swapped = RenameIntent { disk: (intent.disk.1, intent.disk.0), ..back.clone() };
        self.rename_on_disk(if intent.exchange { &swapped } else { &back })
    }

    /// A memory file that could not go home first has taken the name of a disk file that lives on: that loses its name
    /// now. After the rename in memory, so that a daemon killed in between leaves a shadow like any other.
    fn part(&self, from: &End, to: &End) -> Result<bool> {
        let (Some(lost), Some(disk)) = (&to.inode, to.layers.disk) else { return Ok(false) };
        // Under a newer file in memory, it is other names of it that can be written to.
        let lives_on = match to.layers.memory {
            Some(_) => disk.nlink > 1 && disk.kind != FileKind::Directory && to.own_disk() != 0,
            None => self.lives_on(lost, disk.nlink),
        };
        // What a store holds will not be published over it.
        let sealed = to.own_disk() != 0 && from.inode.as_ref().is_some_and(|inode| inode.is_sealed());
        if !lives_on && !sealed {
            return Ok(false);
        }
        self.disk.tree().unlink(&to.path)?;
        self.note(&over_record(from.memory(), &to.dir, &to.name, None))?;
        Ok(true)
    }

    /// Memory inode at an end; for a directory that of its mirror.
    fn memory_ino(&self, end: &End) -> Result<u64> {
        match &self.memory {
            Some(memory) if end.is_dir() && end.inode.as_ref().is_some_and(|inode| inode.is_mirrored()) => {
                Ok(memory.tree().find(&end.path)?.map_or(0, |attr| attr.ino))
            }
            _ => Ok(end.memory()),
        }
    }

    /// The disk's part.
    pub(super) fn rename_on_disk(&self, intent: &RenameIntent) -> Result<()> {
        let tree = self.disk.tree();
        match (intent.exchange, intent.disk) {
            (false, (0, _)) | (true, (0, 0)) => Ok(()),
            (false, _) => rename(tree, &intent.from, &intent.to, RenameFlags::empty()),
            (true, (0, _)) => rename(tree, &intent.to, &intent.from, RenameFlags::NOREPLACE),
            (true, (_, 0)) => rename(tree, &intent.from, &intent.to, RenameFlags::NOREPLACE),
            (true, _) => rename(tree, &intent.from, &intent.to, RenameFlags::EXCHANGE),
        }
    }

    fn rename_in_memory(&self, intent: &RenameIntent, from: &End, to: &End) -> Result<()> {
        self.mirror_ends(intent, from, to)?;
        self.rename_mirror(intent)
    }

    /// Makes the mirror directories that the rename needs, and takes an empty one out of its way.
    fn mirror_ends(&self, intent: &RenameIntent, from: &End, to: &End) -> Result<()> {
        if from.is_dir() && !intent.exchange && intent.memory.0 != 0 {
            self.memory()?.remove_dirs(&intent.to)?;
        }
        if intent.memory.0 != 0 {
            self.mirror_dir(&to.dir)?;
        }
        if intent.memory.1 != 0 && intent.exchange {
            self.mirror_dir(&from.dir)?;
        }
        Ok(())
    }

    /// The mirror's part, where its directories exist.
    pub(super) fn rename_mirror(&self, intent: &RenameIntent) -> Result<()> {
        let tree = self.memory()?.tree();
        match (intent.exchange, intent.memory) {
            (_, (0, 0)) => Ok(()),
            // A disk file came to stand under an older memory file of its new name.
            (false, (0, _)) => Ok(tree.unlink(&intent.to)?),
            (false, _) => rename(tree, &intent.from, &intent.to, RenameFlags::empty()),
            (true, (0, _)) => rename(tree, &intent.to, &intent.from, RenameFlags::NOREPLACE),
            (true, (_, 0)) => rename(tree, &intent.from, &intent.to, RenameFlags::NOREPLACE),
            (true, _) => rename(tree, &intent.from, &intent.to, RenameFlags::EXCHANGE),
        }
    }

    /// Before a memory name takes a place in memory alone: what it will shadow there.
    fn shadow(&self, from: &End, to: &End, exchange: bool) -> Result<()> {
        for (end, other) in [(from, to), (to, from)] {
            if end.memory() == 0 || end.is_dir() || (!exchange && std::ptr::eq(end, to)) {
                continue;
            }
            let over = shadowed_at(other);
            self.note(&over_record(end.memory(), &other.dir, &other.name, over))?;
        }
        Ok(())
    }

    /// Both trees have been changed; now what we know of them.
    fn renamed(&self, from: &End, to: &End, exchange: bool, intent: &RenameIntent, node: Option<Node>) -> Result<()> {
        let disk_moved = intent.disk.0 != 0 || (exchange && intent.disk.1 != 0);
        let dirs: Vec<(&End, &End)> = if exchange { vec![(from, to), (to, from)] } else { vec![(from, to)] };
        if !exchange && let Some(lost) = &to.inode {
            self.replaced(lost, to, node)?;
        }
        for (end, _) in &dirs {
            if let Some(inode) = &end.inode {
                inode.drop_name(&end.dir, &end.name);
            }
        }
        for (end, other) in dirs {
            let Some(inode) = &end.inode else { continue };
            if inode.kind == FileKind::Directory && inode.is_mirrored() {
                self.mark_mirrored(&other.dir);
            }
            let over = match end.memory() {
                0 => None,
                _ if disk_moved && end.own_disk() != 0 => self.reshadow(inode, end, other)?,
                // The disk file that stood at the other name was exchanged away, or there was none.
                _ if disk_moved => None,
                _ => shadowed_at(other),
            };
            inode.add_name(&other.dir, &other.name, over);
            self.count_moved(inode, end, other, exchange);
            if let Some(disk) = end.layers.disk.filter(|disk| disk_moved && disk.nlink > 1) {
                self.follow_links(inode, end.memory(), &disk.identity())?;
            }
        }
        if !disk_moved {
            self.touch_dir(&from.dir)?;
            if from.dir.ino != to.dir.ino {
                self.touch_dir(&to.dir)?;
            }
        }
        Ok(())
    }

    /// What stood at one end stands at the other now.
    fn count_moved(&self, inode: &Inode, end: &End, other: &End, exchange: bool) {
        let attr = if inode.in_mirror() { end.layers.memory } else { end.layers.disk };
        match attr {
            _ if inode.kind == FileKind::Directory => self.count_dir_renamed(&end.path, &other.path, exchange),
            Some(attr) if inode.kind == FileKind::Regular => {
                self.count_renamed(inode, &end.path, &other.path, &attr);
            }
            _ => {}
        }
    }

    /// A memory file moved together with the disk file that it shadows, whose ctime has changed with that.
    fn reshadow(&self, inode: &Inode, end: &End, other: &End) -> Result<Option<Identity>> {
        let over = self.disk.tree().stat(&other.path)?.identity();
        self.note(&over_record(end.memory(), &other.dir, &other.name, Some(over)))?;
        if !inode.is_dirty() {
            let memory = self.memory()?.tree().stat(&other.path)?.identity();
            self.note(&Record::Clean { memory })?;
        }
        Ok(Some(over))
    }

    /// The file that stood at the new name has lost it.
    fn replaced(&self, lost: &Arc<Inode>, to: &End, node: Option<Node>) -> Result<()> {
        lost.drop_name(&to.dir, &to.name);
        if let Some(disk) = to.layers.disk.filter(|disk| disk.nlink > 1) {
            self.follow_links(lost, to.memory(), &disk.identity())?;
        }
        let last = if lost.in_mirror() { to.layers.memory } else { to.layers.disk };
        if let Some(last) = &last {
            self.count_unlinked(lost, &to.path, last);
        }
        if let Some(last) = last
            && (last.nlink == 1 || lost.kind == FileKind::Directory)
        {
            if lost.kind != FileKind::Directory && to.own_disk() != 0 {
                self.count_disk(-1, -(last.size as i64));
            }
            self.mark_gone(lost, last, node);
        }
        Ok(())
    }
}

fn rename(tree: &Tree, from: &RelPath, to: &RelPath, flags: RenameFlags) -> Result<()> {
    Ok(tree.rename(from, to, flags)?)
}

/// Whether a disk file is the version that a memory name is known to shadow.
pub(super) fn is_version(over: Option<Identity>, disk: &Attr) -> bool {
    over.is_some_and(|over| over.is_same_version(&disk.identity()))
}

/// Whatever disk inode stands at an end, ours or not.
fn disk_ino(end: &End) -> u64 {
    end.layers.disk.map_or(0, |attr| attr.ino)
}

/// What a memory file shadows that takes the place of `end` in memory alone. If the disk file there is not the one
/// that the present memory file knows, the older version is passed on: publishing will see the conflict.
fn shadowed_at(end: &End) -> Option<Identity> {
    match (end.layers.memory, end.layers.disk) {
        _ if end.parted => None,
        (Some(_), Some(disk)) if !is_version(end.over, &disk) => end.over,
        (_, disk) => disk.map(|disk| disk.identity()),
    }
}
