//! Whole stores in real directories: files go in, and come out byte for byte.

mod again;
mod commit;
mod costs;
mod cut;
mod full;
mod images;
mod labels;
mod plates;
mod shards;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::ground::Hook;
use super::*;
use crate::backend::ByteSource;
use crate::config::{self, Ngff, Originals};
use crate::model::{Attr, FileKind, RelPath, Timestamp};

/// A workspace, and its stores.
struct Room {
    dir: TempDir,
    zarr: Zarr,
}

fn open_dir(path: &Path) -> OwnedFd {
    fs::create_dir_all(path).unwrap();
    fs::File::open(path).unwrap().into()
}

fn path(text: &str) -> RelPath {
    RelPath::from_bytes(text.as_bytes()).unwrap()
}

impl Room {
    fn new(version: Ngff) -> Room {
        Room::over(TempDir::new().unwrap(), version, None)
    }

    /// One whose plates have shards.
    fn sharded(hook: Option<Hook>) -> Room {
        Room::with(TempDir::new().unwrap(), (Ngff::V05, config::Shards::Field), hook)
    }

    fn over(dir: TempDir, version: Ngff, hook: Option<Hook>) -> Room {
        Room::with(dir, (version, config::Shards::None), hook)
    }

    fn with(dir: TempDir, (ngff, shards): (Ngff, config::Shards), hook: Option<Hook>) -> Room {
        let staging = open_dir(&dir.path().join(".scopefs/sealing"));
        let config = config::Zarr { ngff, shards, ..config::Zarr::default() };
        let zarr = Zarr::with_hook(open_dir(dir.path()), Some(staging), &config, &[], hook).unwrap();
        Room { dir, zarr }
    }

    /// The same workspace, mounted anew.
    fn again(self) -> Room {
        let Room { dir, zarr } = self;
        let version = (zarr.ground.version, zarr.ground.shards);
        drop(zarr);
        Room::with(dir, version, None)
    }

    /// Makes the directory of a file: one that is sealed is there.
    fn place(&self, name: &str) {
        fs::create_dir_all(self.dir.path().join(name).parent().unwrap()).unwrap();
    }

    fn seal(&self, name: &str, bytes: &[u8]) -> Result<SealedId, SealError> {
        self.seal_all(&[(name, bytes)]).remove(0)
    }

    /// Seals files in one batch.
    fn seal_all(&self, files: &[(&str, &[u8])]) -> Vec<Result<SealedId, SealError>> {
        let batch = self.zarr.begin();
        let mut answers: Vec<Option<Result<SealedId, SealError>>> = Vec::new();
        let mut tickets = Vec::new();
        for (name, bytes) in files {
            self.place(name);
            match batch.add(subject(name, bytes), bytes) {
                Ok(ticket) => {
                    tickets.push((ticket, answers.len()));
                    answers.push(None);
                }
                Err(e) => answers.push(Some(Err(e))),
            }
        }
        for (ticket, answer) in batch.commit() {
            let at = tickets.iter().find(|(other, _)| *other == ticket).unwrap().1;
            answers[at] = Some(answer);
        }
        answers.into_iter().map(Option::unwrap).collect()
    }

    fn names(&self, dir: &str) -> Vec<String> {
        let dir = if dir.is_empty() { RelPath::root() } else { path(dir) };
        let entries = self.zarr.listing(&dir).unwrap();
        let mut names: Vec<String> = entries.iter().flat_map(|e| &e.names).map(|n| n.to_string()).collect();
        names.sort();
        names
    }

    fn read(&self, id: SealedId) -> io::Result<Vec<u8>> {
        read_all(&self.zarr.open(id)?)
    }

    /// The bytes of the sealed file with this name.
    fn read_name(&self, name: &str) -> Vec<u8> {
        let dir = path(name).split().unwrap().0;
        let mut dirs = vec![dir.clone()];
        dirs.extend(dir.split().map(|(above, _)| above));
        let mut all = dirs.iter().flat_map(|dir| self.zarr.listing(dir).unwrap());
        let entry = all.find(|entry| entry.names.contains(&path(name))).expect(name);
        self.read(entry.id).unwrap()
    }

    fn json(&self, file: &str) -> serde_json::Value {
        let bytes = fs::read(self.dir.path().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        serde_json::from_slice(&bytes).unwrap()
    }

    fn has(&self, file: &str) -> bool {
        self.dir.path().join(file).exists()
    }

    /// Temporary files that were left.
    fn staged(&self) -> usize {
        fs::read_dir(self.dir.path().join(".scopefs/sealing")).unwrap().count()
    }
}

fn read_all(source: &Arc<dyn ByteSource>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; source.size()? as usize];
    // Odd steps, as no program reads.
    let mut at = 0;
    while at < bytes.len() {
        let end = (at + 77_777).min(bytes.len());
        assert_eq!(source.read_at(&mut bytes[at..end], at as u64)?, end - at);
        at = end;
    }
    Ok(bytes)
}

fn subject(name: &str, bytes: &[u8]) -> Subject {
    let time = Timestamp { secs: 1_700_000_000, nanos: 5 };
    let attr = Attr {
        dev: 1,
        ino: 2,
        kind: FileKind::Regular,
        perm: 0o640,
        nlink: 1,
        uid: 1000,
        gid: 100,
        rdev: 0,
        size: bytes.len() as u64,
        blocks: 8,
        blksize: 4096,
        atime: time,
        mtime: time,
        ctime: time,
    };
    Subject {
        names: vec![path(name)],
        attr,
        xattrs: vec![("user.a".into(), b"b".to_vec())],
        replaces: None,
        originals: Originals::Replace,
        found: None,
        labels: None,
    }
}

/// Pixels that look a little like a camera's.
fn pixels(seed: u64, count: usize) -> Vec<u16> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..count).map(|at| 200 + (at as u64 / 50 % 300 + next() % 64) as u16).collect()
}

/// A little-endian TIFF of one strip, with the directory behind the pixels.
fn tiff(seed: u64, width: u32, height: u32) -> Vec<u8> {
    let data: Vec<u8> = pixels(seed, (width * height) as usize).iter().flat_map(|v| v.to_le_bytes()).collect();
    let mut out = b"II*\0".to_vec();
    out.extend_from_slice(&(8 + data.len() as u32).to_le_bytes());
    out.extend_from_slice(&data);
    let tags: [(u16, u16, u32); 9] = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 16),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, data.len() as u32),
    ];
    out.extend_from_slice(&(tags.len() as u16).to_le_bytes());
    for (tag, kind, value) in tags {
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&1_u32.to_le_bytes());
        out.extend_from_slice(&value.to_le_bytes());
    }
    out.extend_from_slice(&0_u32.to_le_bytes());
    out
}

/// An npy file of 16-bit integers in C order.
fn npy(seed: u64, shape: &[usize]) -> Vec<u8> {
    let shape_text: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let mut header = format!("{{'descr': '<u2', 'fortran_order': False, 'shape': ({shape_text}), }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend_from_slice(&(header.len() as u16).to_le_bytes());
    out.extend_from_slice(header.as_bytes());
    out.extend(pixels(seed, shape.iter().product()).iter().flat_map(|v| v.to_le_bytes()));
    out
}
