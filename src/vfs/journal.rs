//! What a tmpfs cannot say about the files in it, in an append-only journal beside them.
//!
//! The journal survives a killed daemon, as the tmpfs does; it need not survive the machine. It is a sequence of
//! records, each: length of the body (u32), CRC-32 of the body (u32), body. The first byte of a body is its kind, all
//! integers are little endian, a byte string is its length (u32) and its bytes, a time is seconds (i64) and
//! nanoseconds (u32), an identity is device, inode, size (u64 each), mtime and ctime.
//!
//! | kind | record | fields |
//! | --- | --- | --- |
//! | 1 | `Over` | memory inode, disk inode of the directory, name, 1 and the identity of the disk file that the name shadows, or 0 for none |
//! | 2 | `Clean` | identity of the memory file; the home has all of it |
//! | 3 | `Dirty` | memory inode; the home no longer has all of it |
//! | 4 | `Publishing` | identity of the memory file, device and inode of the copy about to get its name on disk |
//! | 5 | `Rename` | exchange (u8), two paths, disk inodes at both (0: none), memory inodes at both |
//! | 6 | `Renamed` | the rename is complete in both trees |
//! | 7 | `Left` | memory inode; all its names are at home, and are about to be removed from memory |
//! | 8 | `Sealed` | identity of the memory file, store (u128) and record (u64) that hold this version, 1 if its bytes are only there |
//! | 9 | `Dropping` | store and record, which are about to be removed because the file is deleted, replaced or elsewhere |
//! | 10 | `Updating` | store and record, whose names or attributes are about to follow the file's |
//! | 11 | `Waiting` | path and disk inode of a plain file that is to be sealed when it has come to rest |
//! | 12 | `Unnamed` | path of a file that loses this name while it is on its way into a store, or of a directory |
//! | 13 | `Partial` | store and record that hold the first bytes of a file in memory, its memory inode, how many bytes |
//! | 14 | `Written` | memory inode, start and end of bytes of such a file that are in memory |
//! | 15 | `Whole` | memory inode of such a file, all of whose bytes are in memory now |
//! | 16 | `Found` | memory inode of a copy of a file that was in the workspace before, and that nobody has opened to write since |
//!
//! A torn record at the end (the daemon was killed within the append) ends the reading; whatever it was to announce
//! had not begun.

#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use parking_lot::Mutex;
use rustix::fs::{self as sys, Mode, OFlags};

use crate::backend::zarr::SealedId;
use crate::model::{Identity, RelPath, Timestamp};

const NAME: &str = "journal";
const NEXT: &str = "journal.new";
/// The journal is rewritten when it has grown by this much since it was last, in bytes.
const SLACK: u64 = 4 << 20;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A memory name shadows this version of a disk file, or none.
    Over {
        /// Inode number in the tmpfs.
        memory: u64,
        /// Disk inode number of the directory, which a rename of the directory does not change.
        dir: u64,
        /// The name, without its directory.
        name: OsString,
        /// The disk file under it.
        over: Option<Identity>,
    },
    /// The home has all of this version of the memory file.
    Clean {
        /// The memory file.
        memory: Identity,
    },
    /// The home no longer has all of it.
    Dirty {
        /// Inode number in the tmpfs.
        memory: u64,
    },
    /// A copy of this version is about to be published on disk.
    Publishing {
        /// The memory file.
        memory: Identity,
        /// Device of the copy.
        dev: u64,
        /// Inode number of the copy.
        ino: u64,
    },
    /// A rename that needs a step on disk and a step in memory is under way.
    Rename(Box<RenameIntent>),
    /// It is complete.
    Renamed,
    /// A store holds this version of the memory file.
    Sealed {
        /// The memory file.
        memory: Identity,
        /// Where.
        id: SealedId,
        /// Its bytes are only there.
        absent: bool,
    },
    /// A record is about to be removed; so is the file's last name, if it is still there.
    Dropping {
        /// Which.
        id: SealedId,
    },
    /// A record's names or attributes are about to follow those of the file.
    Updating {
        /// Which.
        id: SealedId,
    },
    /// A plain file on disk is to be sealed when it has come to rest.
    Waiting {
        /// Where it was.
        path: RelPath,
        /// Its disk inode number.
        ino: u64,
    },
    /// A file loses this name while it may be on its way into a store, or all files below it do.
    Unnamed {
        /// The name.
        path: RelPath,
    },
    /// Bytes of a file in memory are only in a store: the first `upto`, but for those that `Written` tells of.
    Partial {
        /// Inode number in the tmpfs.
        memory: u64,
        /// Where.
        id: SealedId,
        /// How many, at most.
        upto: u64,
    },
    /// Bytes of such a file are in memory.
    Written {
        /// Inode number in the tmpfs.
        memory: u64,
        /// The first.
        start: u64,
        /// Behind the last.
        end: u64,
    },
    /// All bytes of such a file are in memory.
    Whole {
        /// Inode number in the tmpfs.
        memory: u64,
    },
    /// A copy of a file that was in the workspace before: rules that do not adopt such files leave it alone.
    Found {
        /// Inode number in the tmpfs.
        memory: u64,
    },
    /// The home has the file with all its names; what is left of it in memory is about to be removed.
    Left {
        /// Inode number in the tmpfs.
        memory: u64,
    },
}

/// All that recovery needs to finish a rename, or to see that it never began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenameIntent {
    /// The two names change places.
    pub exchange: bool,
    /// From where.
    pub from: RelPath,
    /// To where.
    pub to: RelPath,
    /// Disk inodes at both names before; 0 for none that belongs to the rename.
    pub disk: (u64, u64),
    /// Memory inodes at both names before; 0 for none.
    pub memory: (u64, u64),
}

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    top: OwnedFd,
    state: Mutex<Appender>,
}

#[derive(Debug)]
struct Appender {
    file: File,
    len: u64,
    base: u64,
    buf: Vec<u8>,
}

impl Journal {
    /// Opens the journal in the directory `top` and reads what an earlier daemon wrote.
    pub fn open(top: BorrowedFd<'_>) -> io::Result<(Journal, Vec<Record>)> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC;
        let mut file = File::from(sys::openat(top, NAME, flags, Mode::RUSR | Mode::WUSR)?);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let records = decode_all(&bytes);
        let len = bytes.len() as u64;
        // `top` may be an O_PATH descriptor; so is the copy, which is all that openat and renameat need.
        let top = rustix::io::fcntl_dupfd_cloexec(top, 0)?;
        Ok((Journal { top, state: Mutex::new(Appender { file, len, base: len, buf: Vec::new() }) }, records))
    }

    /// Appends one record. When it returns, a killed daemon's successor will see it.
    pub fn append(&self, record: &Record) -> io::Result<()> {
        let mut state = self.state.lock();
        let state = &mut *state;
        state.buf.clear();
        encode(record, &mut state.buf);
        if let Err(e) = state.file.write_all(&state.buf) {
            // Half a record would hide all that follow it.
            state.file.set_len(state.len)?;
            return Err(e);
        }
        state.len += state.buf.len() as u64;
        Ok(())
    }

    /// Whether it is worth rewriting.
    pub fn is_long(&self) -> bool {
        let state = self.state.lock();
        state.len > state.base + SLACK
    }

    /// Replaces everything by what `records` gives, atomically. It is asked while nothing can be appended.
    pub fn rewrite<R: IntoIterator<Item = Record>>(&self, records: impl FnOnce() -> R) -> io::Result<()> {
        let mut state = self.state.lock();
        let records = records();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::APPEND | OFlags::CLOEXEC;
        let mut file = File::from(sys::openat(&self.top, NEXT, flags, Mode::RUSR | Mode::WUSR)?);
        let mut buf = Vec::new();
        let mut len = 0;
        for record in records {
            encode(&record, &mut buf);
            if buf.len() > 64 << 10 {
                file.write_all(&buf)?;
                len += buf.len() as u64;
                buf.clear();
            }
        }
        file.write_all(&buf)?;
        len += buf.len() as u64;
        sys::renameat(&self.top, NEXT, &self.top, NAME)?;
        *state = Appender { file, len, base: len, buf };
        Ok(())
    }
}

fn encode(record: &Record, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    match record {
        Record::Over { memory, dir, name, over } => put_over(out, *memory, *dir, name, over.as_ref()),
        Record::Clean { memory } => {
            out.push(2);
            put_identity(out, memory);
        }
        Record::Dirty { memory } => {
            out.push(3);
            put(out, *memory);
        }
        Record::Publishing { memory, dev, ino } => {
            out.push(4);
            put_identity(out, memory);
            put(out, *dev);
            put(out, *ino);
        }
        Record::Rename(intent) => put_intent(out, intent),
        Record::Renamed => out.push(6),
        Record::Left { memory } => {
            out.push(7);
            put(out, *memory);
        }
        of_stores => encode_of_stores(of_stores, out),
    }
    let body = out.len() - start - 8;
    let crc = crc32fast::hash(&out[start + 8..]);
    out[start..start + 4].copy_from_slice(&(body as u32).to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

/// The body of a record that is about a store.
fn encode_of_stores(record: &Record, out: &mut Vec<u8>) {
    match record {
        Record::Sealed { memory, id, absent } => {
            out.push(8);
            put_identity(out, memory);
            put_id(out, id);
            out.push(u8::from(*absent));
        }
        Record::Dropping { id } => put_kind_and_id(out, 9, id),
        Record::Updating { id } => put_kind_and_id(out, 10, id),
        Record::Waiting { path, ino } => {
            out.push(11);
            put_bytes(out, path.as_bytes());
            put(out, *ino);
        }
        Record::Unnamed { path } => {
            out.push(12);
            put_bytes(out, path.as_bytes());
        }
        Record::Partial { memory, id, upto } => {
            put_kind_and_id(out, 13, id);
            put(out, *memory);
            put(out, *upto);
        }
        Record::Written { memory, start, end } => {
            out.push(14);
            [*memory, *start, *end].into_iter().for_each(|value| put(out, value));
        }
        Record::Whole { memory } => {
            out.push(15);
            put(out, *memory);
        }
        Record::Found { memory } => {
            out.push(16);
            put(out, *memory);
        }
        // The caller has written all others.
        _ => {}
    }
}

fn put(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_over(out: &mut Vec<u8>, memory: u64, dir: u64, name: &OsStr, over: Option<&Identity>) {
    out.push(1);
    put(out, memory);
    put(out, dir);
    put_bytes(out, name.as_bytes());
    out.push(u8::from(over.is_some()));
    if let Some(over) = over {
        put_identity(out, over);
    }
}

fn put_intent(out: &mut Vec<u8>, intent: &RenameIntent) {
    out.push(5);
    out.push(u8::from(intent.exchange));
    put_bytes(out, intent.from.as_bytes());
    put_bytes(out, intent.to.as_bytes());
    for ino in [intent.disk.0, intent.disk.1, intent.memory.0, intent.memory.1] {
        put(out, ino);
    }
}

fn put_kind_and_id(out: &mut Vec<u8>, kind: u8, id: &SealedId) {
    out.push(kind);
    put_id(out, id);
}

fn put_id(out: &mut Vec<u8>, id: &SealedId) {
    out.extend_from_slice(&id.store.to_le_bytes());
    put(out, id.record);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_identity(out: &mut Vec<u8>, identity: &Identity) {
    put(out, identity.dev);
    put(out, identity.ino);
    put(out, identity.size);
    for time in [identity.mtime, identity.ctime] {
        out.extend_from_slice(&time.secs.to_le_bytes());
        out.extend_from_slice(&time.nanos.to_le_bytes());
    }
}

/// All whole records from the start.
fn decode_all(bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    let mut rest = Cursor(bytes);
    while let Some(len) = rest.u32() {
        let Some(crc) = rest.u32() else { break };
        let Some(body) = rest.take(len as usize) else { break };
        if crc32fast::hash(body) != crc {
            break;
        }
        match decode(Cursor(body)) {
            Some(record) => records.push(record),
            None => break,
        }
    }
    records
}

fn decode(mut body: Cursor<'_>) -> Option<Record> {
    Some(match body.u8()? {
        1 => Record::Over {
            memory: body.u64()?,
            dir: body.u64()?,
            name: OsString::from_vec(body.bytes()?.to_vec()),
            over: if body.u8()? == 1 { Some(body.identity()?) } else { None },
        },
        2 => Record::Clean { memory: body.identity()? },
        3 => Record::Dirty { memory: body.u64()? },
        4 => Record::Publishing { memory: body.identity()?, dev: body.u64()?, ino: body.u64()? },
        5 => Record::Rename(Box::new(RenameIntent {
            exchange: body.u8()? == 1,
            from: RelPath::from_bytes(body.bytes()?)?,
            to: RelPath::from_bytes(body.bytes()?)?,
            disk: (body.u64()?, body.u64()?),
            memory: (body.u64()?, body.u64()?),
        })),
        6 => Record::Renamed,
        7 => Record::Left { memory: body.u64()? },
        8 => Record::Sealed { memory: body.identity()?, id: body.id()?, absent: body.u8()? == 1 },
        9 => Record::Dropping { id: body.id()? },
        10 => Record::Updating { id: body.id()? },
        11 => Record::Waiting { path: RelPath::from_bytes(body.bytes()?)?, ino: body.u64()? },
        12 => Record::Unnamed { path: RelPath::from_bytes(body.bytes()?)? },
        13 => Record::Partial { id: body.id()?, memory: body.u64()?, upto: body.u64()? },
        14 => Record::Written { memory: body.u64()?, start: body.u64()?, end: body.u64()? },
        15 => Record::Whole { memory: body.u64()? },
        16 => Record::Found { memory: body.u64()? },
        _ => return None,
    })
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn id(&mut self) -> Option<SealedId> {
        let store = u128::from_le_bytes(self.take(16)?.try_into().ok()?);
        Some(SealedId { store, record: self.u64()? })
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.take(len as usize)
    }

    fn time(&mut self) -> Option<Timestamp> {
        Some(Timestamp { secs: self.u64()? as i64, nanos: self.u32()? })
    }

    fn identity(&mut self) -> Option<Identity> {
        Some(Identity {
            dev: self.u64()?,
            ino: self.u64()?,
            size: self.u64()?,
            mtime: self.time()?,
            ctime: self.time()?,
        })
    }
}
