//! What must agree between the file system and the reference.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use scopefs::backend::ByteSource;
use scopefs::model::{Attr, FileKind, Timestamp};

use super::reference::{Reference, xattrs};
use super::run::Model;

/// What is kept between two looks at a file: its times in both.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    theirs: [(i64, i64); 2],
    ours: [Timestamp; 2],
}

fn kind_of(meta: &Metadata) -> FileKind {
    let kind = meta.file_type();
    if kind.is_dir() {
        FileKind::Directory
    } else if kind.is_symlink() {
        FileKind::Symlink
    } else if kind.is_fifo() {
        FileKind::Fifo
    } else {
        FileKind::Regular
    }
}

fn below(dir: &str, name: &std::ffi::OsStr) -> String {
    let name = name.to_str().expect("the model's names are text");
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, path: &str, ours: T, theirs: T) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{path}: {what} is {ours:?}, but should be {theirs:?}")) }
}

fn same_bytes(what: &str, path: &str, ours: &[u8], theirs: &[u8]) -> Result<(), String> {
    same("length", path, ours.len(), theirs.len())?;
    match ours.iter().zip(theirs).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(at) => Err(format!("{path}: {what} differs at byte {at}: {} for {}", ours[at], theirs[at])),
    }
}

impl Model {
    /// Compares the whole tree; with `full` also the bytes and the extended attributes.
    pub fn check(&mut self, full: bool) -> Result<(), String> {
        self.check_dir("", full)?;
        if full {
            self.check_index()?;
            self.check_sizes()?;
        }
        self.check_handles(full)
    }

    fn check_dir(&mut self, dir: &str, full: bool) -> Result<(), String> {
        let listed = self.kernel().list(dir).map_err(|e| format!("{dir}: listing fails with errno {e}"))?;
        let mut wanted: BTreeMap<_, _> = BTreeMap::new();
        for entry in std::fs::read_dir(self.reference.path(dir)).expect("the reference lists") {
            let entry = entry.expect("the reference lists");
            wanted.insert(entry.file_name(), kind_of(&entry.metadata().expect("the reference stats")));
        }
        let names: Vec<_> = listed.iter().map(|(name, _, kind)| (name.clone(), *kind)).collect();
        same("the listing", dir, names, wanted.into_iter().collect())?;
        for (name, ino, _) in listed {
            let path = below(dir, &name);
            let attr = self.kernel().stat(&path).map_err(|e| format!("{path}: stat fails with errno {e}"))?;
            same("the inode number in the listing", &path, ino, attr.ino)?;
            let meta = std::fs::symlink_metadata(self.reference.path(&path)).expect("the reference stats");
            self.check_attr(&path, &attr, &meta)?;
            if full {
                self.check_rest(&path, &attr)?;
            }
            if attr.kind == FileKind::Directory {
                self.check_dir(&path, full)?;
            }
        }
        Ok(())
    }

    pub fn check_attr(&mut self, path: &str, attr: &Attr, meta: &Metadata) -> Result<(), String> {
        same("the kind", path, attr.kind, kind_of(meta))?;
        same("the mode", path, attr.perm, (meta.mode() & 0o7777) as u16)?;
        same("the owner", path, (attr.uid, attr.gid), (meta.uid(), meta.gid()))?;
        if attr.kind != FileKind::Directory {
            same("the number of links", path, u64::from(attr.nlink), meta.nlink())?;
            same("the size", path, attr.size, meta.size())?;
        }
        let known = *self.inos.entry(meta.ino()).or_insert(attr.ino);
        same("the inode number", path, attr.ino, known)?;
        self.check_times(path, attr, meta)
    }

    /// A time that was set is that time; one that moved in the reference moved here, and no other.
    fn check_times(&mut self, path: &str, attr: &Attr, meta: &Metadata) -> Result<(), String> {
        let theirs = [(meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec())];
        let now = Seen { theirs, ours: [attr.mtime, attr.ctime] };
        let loose = self.loose.contains(&meta.ino());
        if !loose && (meta.mtime() < 2_000_000 || attr.mtime.secs < 2_000_000) {
            let ours = (attr.mtime.secs, i64::from(attr.mtime.nanos));
            same("the mtime", path, ours, theirs[0])?;
        }
        if attr.kind == FileKind::Directory {
            // Native file systems give a directory times too coarse to tell two changes apart; an old one is told.
            return if meta.mtime() < 2_000_000 { Ok(()) } else { self.make_old(path) };
        }
        let before = self.seen.insert(meta.ino(), now);
        let Some(before) = before.filter(|_| self.fine_times && !loose) else { return Ok(()) };
        for (which, name) in ["mtime", "ctime"].into_iter().enumerate() {
            let ours = now.ours[which] != before.ours[which];
            let theirs = now.theirs[which] != before.theirs[which];
            if ours != theirs {
                let (from, to) = (before.ours[which], now.ours[which]);
                return Err(format!("{path}: {name} moved: {ours}, but should have: {theirs} ({from:?} to {to:?})"));
            }
        }
        Ok(())
    }

    fn check_rest(&self, path: &str, attr: &Attr) -> Result<(), String> {
        let theirs = self.reference.path(path);
        let ours = self.kernel().xattrs(attr.ino).map_err(|e| format!("{path}: listxattr fails with errno {e}"))?;
        same("the set of extended attributes", path, ours, xattrs(&theirs).expect("the reference lists them"))?;
        match attr.kind {
            FileKind::Regular => {
                let bytes = self.kernel().read(path).map_err(|e| format!("{path}: reading fails with errno {e}"))?;
                same_bytes("the content", path, &bytes, &std::fs::read(&theirs).expect("the reference reads"))
            }
            FileKind::Symlink => {
                let target = self.kernel().readlink(path).map_err(|e| format!("{path}: readlink: errno {e}"))?;
                same("the target", path, target, std::fs::read_link(&theirs).expect("it is one").into_os_string())
            }
            _ => Ok(()),
        }
    }

    fn check_handles(&mut self, full: bool) -> Result<(), String> {
        for slot in 0..self.slots.len() {
            let Some(open) = &self.slots[slot] else { continue };
            let name = format!("handle {slot}");
            let attr = self.kernel().fstat(&open.handle).map_err(|e| format!("{name}: fstat fails with errno {e}"))?;
            let meta = open.file.metadata().expect("the reference stats");
            if full {
                let ours = self.kernel().read_at(&open.handle, 0, 1 << 20);
                let ours = ours.map_err(|e| format!("{name}: reading fails with errno {e}"))?;
                let theirs = Reference::read_at(&open.file, 0, 1 << 20).expect("the reference reads");
                same_bytes("the content", &name, &ours, &theirs)?;
            }
            self.check_attr(&name, &attr, &meta)?;
        }
        for (at, map) in self.maps.iter().enumerate().filter(|_| full) {
            let mut ours = vec![0; 1 << 20];
            let len = map.object.read_at(&mut ours, 0).map_err(|e| format!("mapping {at}: {e}"))?;
            let theirs = Reference::read_at(&map.file, 0, 1 << 20).expect("the reference reads");
            same_bytes("the content", &format!("mapping {at}"), &ours[..len], &theirs)?;
        }
        Ok(())
    }

    /// Everything that a move must not change, by path and handle.
    pub fn picture(&self) -> Result<BTreeMap<String, Attr>, String> {
        let mut picture = BTreeMap::new();
        self.picture_dir("", &mut picture)?;
        for (at, slot) in self.slots.iter().enumerate() {
            if let Some(open) = slot {
                let attr = self.kernel().fstat(&open.handle).map_err(|e| format!("handle {at}: errno {e}"))?;
                picture.insert(format!("handle {at}"), Attr { atime: Timestamp::default(), ..blank(attr) });
            }
        }
        Ok(picture)
    }

    fn picture_dir(&self, dir: &str, picture: &mut BTreeMap<String, Attr>) -> Result<(), String> {
        for (name, ..) in self.kernel().list(dir).map_err(|e| format!("{dir}: listing fails with errno {e}"))? {
            let path = below(dir, &name);
            let attr = self.kernel().stat(&path).map_err(|e| format!("{path}: stat fails with errno {e}"))?;
            picture.insert(path.clone(), self.blank_clean(&path, blank(attr)));
            if attr.kind == FileKind::Directory {
                self.picture_dir(&path, picture)?;
            }
        }
        Ok(())
    }

    /// The access time that a clean copy had in memory is given up when the copy is: a found file must not be touched
    /// for having been read.
    fn blank_clean(&self, path: &str, attr: Attr) -> Attr {
        let clean = attr.kind == FileKind::Regular
            && self.kernel().tier(path) == "memory"
            && self.kernel().state(path) == "clean";
        if clean { Attr { atime: Timestamp::default(), ..attr } } else { attr }
    }

    /// The workspace alone, with no file system of ours over it, is the reference.
    pub fn check_workspace(&self, times: &BTreeMap<String, Attr>) -> Result<(), String> {
        let mut seen = 0;
        self.check_plain("", times, &mut seen)?;
        same("the number of files", "the workspace", seen, times.len())
    }

    fn check_plain(&self, dir: &str, times: &BTreeMap<String, Attr>, seen: &mut usize) -> Result<(), String> {
        let names = |root: &Path| {
            let mut names: Vec<_> = std::fs::read_dir(root.join(dir))
                .expect("lists")
                .map(|entry| entry.expect("lists").file_name())
                .collect();
            names.retain(|name| !dir.is_empty() || name.as_bytes() != b".scopefs");
            names.sort();
            names
        };
        let there = names(self.world.workspace.path());
        same("the listing on disk", dir, &there, &names(self.reference.root()))?;
        for name in there {
            let path = below(dir, &name);
            *seen += 1;
            let (ours, theirs) = (self.world.path(&path), self.reference.path(&path));
            let mine = std::fs::symlink_metadata(&ours).expect("stats");
            let meta = std::fs::symlink_metadata(&theirs).expect("stats");
            same("the kind on disk", &path, kind_of(&mine), kind_of(&meta))?;
            let of = |meta: &Metadata| (meta.mode() & 0o7777, meta.uid(), meta.gid());
            same("mode and owner on disk", &path, of(&mine), of(&meta))?;
            same("xattrs on disk", &path, xattrs(&ours).expect("lists"), xattrs(&theirs).expect("lists"))?;
            if let Some(shown) = times.get(&path) {
                let mtime = Timestamp { secs: mine.mtime(), nanos: mine.mtime_nsec() as u32 };
                same("the mtime on disk", &path, mtime, shown.mtime)?;
                if shown.atime != Timestamp::default() {
                    let atime = Timestamp { secs: mine.atime(), nanos: mine.atime_nsec() as u32 };
                    same("the atime on disk", &path, atime, shown.atime)?;
                }
            }
            match kind_of(&meta) {
                FileKind::Directory => self.check_plain(&path, times, seen)?,
                FileKind::Regular => {
                    same("the number of links on disk", &path, mine.nlink(), meta.nlink())?;
                    let ours = read_unseen(&ours).expect("reads");
                    same_bytes("the content on disk", &path, &ours, &std::fs::read(theirs).expect("reads"))?;
                }
                FileKind::Symlink => {
                    same("the target", &path, std::fs::read_link(ours).ok(), std::fs::read_link(theirs).ok())?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether two looks at a file show the same; an access time that one of them leaves open may be any.
pub fn is_same(before: &Attr, after: &Attr) -> bool {
    let open = [before, after].iter().any(|attr| attr.atime == Timestamp::default());
    *before == Attr { atime: if open { before.atime } else { after.atime }, ..*after }
}

/// Reads a file and leaves its access time alone: it may have further names whose turn is yet to come.
fn read_unseen(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NOATIME).open(path)?;
    file.read_to_end(&mut bytes).map(|_| bytes)
}

/// Without what only tells where the bytes are, and without the traces of looking.
fn blank(mut attr: Attr) -> Attr {
    (attr.dev, attr.blocks, attr.blksize) = (0, 0, 0);
    if attr.kind != FileKind::Regular {
        attr.atime = Timestamp::default();
    }
    if attr.kind == FileKind::Directory {
        (attr.size, attr.nlink, attr.ctime) = Default::default();
    }
    if attr.nlink == 0 {
        attr.ctime = Timestamp::default();
    }
    attr
}
