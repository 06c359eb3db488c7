//! One operation, on the file system and on the reference.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, XattrFlags};
use scopefs::backend::{Object, Owner, Time, Times};
use scopefs::model::{FileKind, Timestamp};
use scopefs::vfs::{Changes, OpenFlags, RenameMode};

use super::check::{Seen, is_same};
use super::op::{FARTHEST, Op, PATHS, Range, SLOTS};
use super::reference::Reference;
use crate::support::{Handle, Kernel, Setup, World};

/// An open file in both.
pub struct Slot {
    pub handle: Handle,
    pub file: File,
}

/// A mapping in both.
pub struct Mapping {
    pub object: Arc<Object>,
    pub file: File,
    write: bool,
}

/// The two file systems, and what a kernel would keep of ours.
pub struct Model {
    pub world: World,
    pub reference: Reference,
    pub kernel: Option<Kernel>,
    pub slots: Vec<Option<Slot>>,
    pub maps: Vec<Mapping>,
    /// Inode numbers: the reference's to ours.
    pub inos: HashMap<u64, u64>,
    pub seen: HashMap<u64, Seen>,
    /// Files (of the reference) whose times native file systems do not agree about.
    pub loose: HashSet<u64>,
    /// Whether two changes always have two times.
    pub fine_times: bool,
    /// A file may have had several names since everything was counted.
    pub linked: bool,
}

pub type Outcome<T = ()> = Result<T, i32>;

fn bytes(range: &Range) -> Vec<u8> {
    (0..range.len).map(|i| (i as u8).wrapping_mul(31).wrapping_add(range.seed) | 1).collect()
}

fn flags(write: bool, truncate: bool, sync: bool, exclusive: bool) -> OpenFlags {
    OpenFlags { write, truncate: truncate && write, sync, exclusive, execute: false }
}

/// A mount whose background worker is an operation of the model.
pub fn mounted(world: &World) -> Kernel {
    let (vfs, _) = world.mount();
    vfs.listen_to_leaving(Box::new(|| {}));
    Kernel::new(vfs)
}

impl Model {
    /// `None` where no memory tier is to be had.
    pub fn new(setup: Setup) -> Option<Model> {
        let reference = Reference::new(&setup);
        let world = World::new(setup)?;
        for root in [world.workspace.path(), reference.root()] {
            std::fs::create_dir_all(root.join("d/s")).expect("a directory");
            std::fs::create_dir_all(root.join("e")).expect("a directory");
            std::fs::write(root.join("g"), b"found").expect("a file");
            std::fs::write(root.join("d/g"), vec![7; 5000]).expect("a file");
            std::fs::hard_link(root.join("d/g"), root.join("e/g")).expect("a link");
        }
        let fine_times = times_are_fine(world.workspace.path()) && times_are_fine(reference.root());
        let kernel = mounted(&world);
        let model = Model {
            world,
            reference,
            kernel: Some(kernel),
            slots: (0..SLOTS).map(|_| None).collect(),
            maps: Vec::new(),
            inos: HashMap::new(),
            seen: HashMap::new(),
            loose: HashSet::new(),
            fine_times,
            linked: true,
        };
        model.count();
        Some(model)
    }

    pub fn kernel(&self) -> &Kernel {
        self.kernel.as_ref().expect("mounted")
    }

    /// One step on both; an error where they disagree.
    pub fn step(&mut self, op: &Op) -> Result<(), String> {
        if op.is_move() {
            let before = self.picture()?;
            self.apply(op)?;
            let after = self.picture()?;
            return match before.iter().find(|(path, attr)| !after.get(*path).is_some_and(|now| is_same(attr, now))) {
                Some((path, attr)) => Err(format!("{path}: a move has shown: {attr:?} became {:?}", after.get(path))),
                None if after.len() != before.len() => Err("a move has added names".to_owned()),
                None => Ok(()),
            };
        }
        self.apply(op)
    }

    fn apply(&mut self, op: &Op) -> Result<(), String> {
        match op {
            Op::Create { .. } | Op::Open { .. } | Op::Close(_) | Op::Map(_) | Op::Unmap(_) => self.apply_open(op),
            Op::Write(..) | Op::Append(..) | Op::Read(..) | Op::Resize(..) | Op::Fallocate { .. } | Op::Copy { .. } => {
                self.apply_data(op)
            }
            Op::Store(map, range) => self.store(*map, range),
            Op::Rename(..) | Op::Link(..) | Op::Unlink(_) | Op::Mkdir(..) | Op::Rmdir(_) | Op::Symlink(_) => {
                self.apply_names(op)
            }
            Op::Restart { clean } => self.restart(*clean),
            Op::Fsync(_) | Op::Migrate(..) | Op::Relieve(_) | Op::WriteBehind | Op::FlushAll => self.apply_move(op),
            Op::Promote(_) | Op::SyncBelow(_) | Op::Pressed(_) | Op::Advance(_) | Op::Forget => self.apply_move(op),
            _ => self.apply_attributes(op),
        }
    }

    fn apply_open(&mut self, op: &Op) -> Result<(), String> {
        match *op {
            Op::Create { path, slot, perm, excl, trunc, write, sync } => {
                self.close(slot);
                let path = PATHS[path];
                let ours = self.kernel().create(path, perm, flags(write, trunc, sync, excl));
                let theirs = self.reference.create(path, perm, excl, trunc, write);
                self.fill_slot(slot, ours, theirs)
            }
            Op::Open { path, slot, trunc, write, sync } => {
                self.close(slot);
                let path = PATHS[path];
                let ours = self.kernel().open(path, flags(write, trunc, sync, false));
                let theirs = self.reference.open(path, trunc, write);
                self.fill_slot(slot, ours, theirs)
            }
            Op::Close(slot) => {
                self.close(slot);
                Ok(())
            }
            Op::Map(slot) => {
                if let Some(open) = &self.slots[slot]
                    && let Some(object) = open.handle.mapped()
                {
                    let write = open.handle.write && object.writable();
                    let file = open.file.try_clone().expect("a descriptor");
                    self.maps.push(Mapping { object, file, write });
                }
                Ok(())
            }
            Op::Unmap(map) => {
                if map < self.maps.len() {
                    self.maps.remove(map);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn fill_slot(&mut self, slot: usize, ours: Outcome<Handle>, theirs: Outcome<File>) -> Result<(), String> {
        match (ours, theirs) {
            (Ok(handle), Ok(file)) => self.slots[slot] = Some(Slot { handle, file }),
            (ours, theirs) => agree(ours.map(drop), theirs.map(drop))?,
        }
        Ok(())
    }

    pub fn close(&mut self, slot: usize) {
        if let Some(open) = self.slots[slot].take() {
            self.kernel().close(open.handle);
        }
    }

    fn apply_data(&mut self, op: &Op) -> Result<(), String> {
        if let Op::Copy { from, to, at, to_at, len } = *op {
            return self.copy(from, to, at, to_at, len);
        }
        let (Op::Write(slot, _) | Op::Append(slot, _) | Op::Read(slot, _)) = *op else { return self.shape(op) };
        let Some(open) = &self.slots[slot] else { return Ok(()) };
        let size = open.file.metadata().expect("the reference stats").len();
        let (range, at) = match op {
            Op::Append(_, range) => (range, size),
            Op::Write(_, range) | Op::Read(_, range) => (range, range.at),
            _ => return Ok(()),
        };
        if let Op::Read(..) = op {
            let ours = self.kernel().read_at(&open.handle, at, range.len as usize);
            return agree(ours, Reference::read_at(&open.file, at, range.len as usize));
        }
        if at + range.len > FARTHEST {
            return Ok(());
        }
        let data = bytes(range);
        let ours = self.kernel().write_at(&open.handle, at, &data);
        if self.refused(&ours) {
            return Ok(());
        }
        agree(ours, Reference::write_at(&open.file, at, &data))
    }

    /// Memory is full of what the kernel holds: the one reason to refuse bytes.
    fn refused<T>(&self, ours: &Outcome<T>) -> bool {
        self.world.setup.passthrough && ours.as_ref().err() == Some(&libc::ENOSPC)
    }

    fn shape(&mut self, op: &Op) -> Result<(), String> {
        let (Op::Resize(slot, _) | Op::Fallocate { slot, .. }) = *op else { return Ok(()) };
        let Some(open) = &self.slots[slot] else { return Ok(()) };
        let ino = open.file.metadata().expect("the reference stats").ino();
        match op {
            Op::Resize(_, size) if open.handle.write => {
                let ours = self.kernel().setattr(open.handle.ino, &Changes { size: Some(*size), ..Changes::default() });
                let theirs = open.file.set_len(*size).map_err(|e| e.raw_os_error().unwrap_or(0));
                agree(ours.map(drop), theirs)
            }
            Op::Fallocate { mode, range, .. } => {
                let mode = [
                    FallocateFlags::empty(),
                    FallocateFlags::KEEP_SIZE,
                    FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                ][usize::from(*mode)];
                let ours = self.kernel().fallocate(&open.handle, mode, range.at, range.len);
                if self.refused(&ours) {
                    return Ok(());
                }
                let theirs = Reference::fallocate(&open.file, mode, range.at, range.len);
                self.loose.insert(ino);
                agree(ours, theirs)
            }
            _ => Ok(()),
        }
    }

    fn copy(&mut self, from: usize, to: usize, at: u64, to_at: u64, len: u64) -> Result<(), String> {
        let (Some(source), Some(target)) = (&self.slots[from], &self.slots[to]) else { return Ok(()) };
        if source.handle.ino == target.handle.ino || !target.handle.write {
            return Ok(());
        }
        let ours = self.kernel().copy_range(&source.handle, at, &target.handle, to_at, len);
        if self.refused(&ours) {
            return Ok(());
        }
        let data = Reference::read_at(&source.file, at, len as usize).expect("the reference reads");
        if !data.is_empty() {
            Reference::write_at(&target.file, to_at, &data).expect("the reference writes");
        }
        agree(ours, Ok(data.len() as u64))
    }

    /// A store through a mapping: within the file, and without a request.
    fn store(&mut self, map: usize, range: &Range) -> Result<(), String> {
        let Some(map) = self.maps.get(map).filter(|map| map.write) else { return Ok(()) };
        let size = map.file.metadata().expect("the reference stats").len();
        let data = bytes(range);
        let len = size.saturating_sub(range.at).min(range.len) as usize;
        if len > 0 {
            map.object.write_all_at(&data[..len], range.at).map_err(|e| format!("a store fails: {e}"))?;
            Reference::write_at(&map.file, range.at, &data[..len]).expect("the reference writes");
        }
        Ok(())
    }

    fn apply_names(&mut self, op: &Op) -> Result<(), String> {
        self.linked |= matches!(op, Op::Link(..));
        let kernel = self.kernel();
        let (ours, theirs) = match *op {
            Op::Rename(from, to, mode) => return self.rename(PATHS[from], PATHS[to], mode),
            Op::Link(from, to) => {
                let (from, to) = (PATHS[from], PATHS[to]);
                (kernel.link(from, to), self.reference.link(from, to))
            }
            Op::Unlink(path) => (kernel.unlink(PATHS[path]), self.reference.unlink(PATHS[path])),
            Op::Mkdir(path, perm) => (kernel.mkdir(PATHS[path], perm), self.reference.mkdir(PATHS[path], perm)),
            Op::Rmdir(path) => (kernel.rmdir(PATHS[path]), self.reference.rmdir(PATHS[path])),
            Op::Symlink(path) => {
                let (target, path) = ("nowhere/at/all", PATHS[path]);
                (kernel.symlink(target, path), self.reference.symlink(target, path))
            }
            _ => return Ok(()),
        };
        agree(ours, theirs)
    }

    fn rename(&mut self, from: &str, to: &str, mode: RenameMode) -> Result<(), String> {
        let inside = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
        if inside(from, to) || inside(to, from) {
            // The kernel answers that itself.
            return Ok(());
        }
        agree(self.kernel().rename(from, to, mode), self.reference.rename(from, to, mode))
    }

    fn apply_attributes(&mut self, op: &Op) -> Result<(), String> {
        let kernel = self.kernel();
        let set = |path: &str, changes: Changes| -> Outcome {
            let attr = kernel.stat(path)?;
            kernel.setattr(attr.ino, &changes).map(drop)
        };
        let changes = Changes::default();
        let (ours, theirs) = match *op {
            Op::Mkfifo(path) => {
                let path = PATHS[path];
                (kernel.mknod(path, FileKind::Fifo, 0o644), self.reference.mkfifo(path, 0o644))
            }
            Op::Truncate(path, size) => {
                (kernel.truncate(PATHS[path], size), self.reference.truncate(PATHS[path], size))
            }
            // That follows links, which is the kernel's work.
            Op::Chmod(path, _) if self.reference.is_symlink(PATHS[path]) => return Ok(()),
            Op::Chmod(path, perm) => {
                let path = PATHS[path];
                (set(path, Changes { perm: Some(perm), ..changes }), self.reference.chmod(path, perm))
            }
            Op::Chown(path, uid, gid) => {
                let owner = Owner { uid: Some(uid), gid: Some(gid) };
                (set(PATHS[path], Changes { owner, ..changes }), self.reference.chown(PATHS[path], uid, gid))
            }
            Op::Utimes { path, atime, mtime } => {
                let path = PATHS[path];
                let at = |secs: Option<i64>| secs.map_or(Time::Keep, |secs| Time::At(Timestamp { secs, nanos: 5 }));
                let times = Times { atime: at(atime), mtime: at(mtime) };
                if times == Times::default() {
                    return Ok(());
                }
                (set(path, Changes { times, ..changes }), self.reference.utimes(path, atime, mtime))
            }
            Op::SetXattr { path, name, len, flags } => {
                let (path, name) = (PATHS[path], format!("user.x{name}"));
                let flags = [XattrFlags::empty(), XattrFlags::CREATE, XattrFlags::REPLACE][usize::from(flags)];
                let value = vec![len as u8; len];
                (kernel.set_xattr(path, &name, &value, flags), self.reference.set_xattr(path, &name, &value, flags))
            }
            Op::RemoveXattr(path, name) => {
                let (path, name) = (PATHS[path], format!("user.x{name}"));
                (kernel.remove_xattr(path, &name), self.reference.remove_xattr(path, &name))
            }
            _ => return Ok(()),
        };
        agree(ours, theirs)
    }

    /// Gives a directory a modification time long ago, in both.
    pub fn make_old(&self, path: &str) -> Result<(), String> {
        let times = Times { atime: Time::Keep, mtime: Time::At(Timestamp { secs: 1_500_000, nanos: 5 }) };
        let ours = self
            .kernel()
            .stat(path)
            .and_then(|attr| self.kernel().setattr(attr.ino, &Changes { times, ..Changes::default() }));
        agree(ours.map(drop), self.reference.utimes(path, None, Some(1_500_000)))
    }
}

/// That both say the same.
pub fn agree<T: PartialEq + std::fmt::Debug>(ours: Outcome<T>, theirs: Outcome<T>) -> Result<(), String> {
    match (&ours, &theirs) {
        (Ok(a), Ok(b)) if a != b => Err("the answers differ".to_owned()),
        (Ok(_), Ok(_)) => Ok(()),
        (Err(a), Err(b)) if a == b => Ok(()),
        _ => Err(format!("answered {:?}, but should {:?}", ours.map(drop), theirs.map(drop))),
    }
}

/// Whether the file system tells any two changes apart whose times were looked at in between.
fn times_are_fine(dir: &std::path::Path) -> bool {
    let path = dir.join(".times");
    let fine = (0..20u8).all(|i| {
        std::fs::write(&path, [i]).expect("writes");
        let before = std::fs::metadata(&path).expect("stats");
        std::fs::write(&path, [i]).expect("writes");
        let after = std::fs::metadata(&path).expect("stats");
        (before.mtime(), before.mtime_nsec()) != (after.mtime(), after.mtime_nsec())
    });
    std::fs::remove_file(path).expect("removes");
    fine
}
