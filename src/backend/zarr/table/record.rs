//! What is known of one sealed file.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::backend::XattrSet;
use crate::model::{Identity, RelPath, Timestamp};

use super::chunks::ArrayUse;
use super::recipe::{LiteralChunk, Recipe};
use super::wire::{FormatError, Reader, put_blob, put_varint};

/// Version of the format.
const VERSION: u8 = 1;

/// Bytes of a recipe outside of its page: more than any that is read; a file that needs more stays plain.
pub const MAX_RECIPE: u64 = 64 << 20;

/// Longest recipe in a page.
const INLINE: usize = 128 << 10;

/// A record, unique in its store and never used again: of two records that claim one name the higher is the newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(pub u64);

/// The attributes that a sealed file shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Permission bits with suid, sgid and sticky (`0o7777`).
    pub perm: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the contents.
    pub mtime: Timestamp,
}

/// One sealed file. Its recipe is held as bytes: a rename does not read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub id: RecordId,
    /// Its names, relative to the base of the store; at least one.
    pub names: Vec<RelPath>,
    /// Length in bytes.
    pub size: u64,
    /// Owner, permissions, times.
    pub attributes: Attributes,
    /// Extended attributes.
    pub xattrs: XattrSet,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// The plain file that it was sealed from, where that is kept or may still be there.
    pub source: Option<Identity>,
    /// The arrays whose chunks it uses.
    pub arrays: Vec<ArrayUse>,
    /// How to put it together.
    pub recipe: RecipeBytes,
}

/// Where the bytes of a recipe are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipeBytes {
    /// In the record: what [`Recipe::encode`] gave.
    Inline(Vec<u8>),
    /// In chunks of `scopefs/literals`, each full but the last.
    Spilled(Spill),
}

/// A recipe that is too long for a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spill {
    /// How many bytes, at most [`MAX_RECIPE`].
    pub len: u64,
    /// CRC-32 of them.
    pub crc: u32,
    /// The chunks in order.
    pub chunks: Vec<LiteralChunk>,
}

impl Record {
    /// The recipe, if its bytes are in the record; for a spilled one see [`Record::spilled_recipe`].
    pub fn recipe(&self) -> Result<Recipe, FormatError> {
        match &self.recipe {
            RecipeBytes::Inline(bytes) => Recipe::decode(bytes, self.size, &self.arrays),
            RecipeBytes::Spilled(_) => Err(FormatError::Malformed("the recipe is outside of the record")),
        }
    }

    /// Whether the recipe is too long to lie in a page among others: the caller puts it into chunks of
    /// `scopefs/literals`, and makes it [`RecipeBytes::Spilled`].
    pub fn needs_spill(&self) -> bool {
        matches!(&self.recipe, RecipeBytes::Inline(bytes) if bytes.len() > INLINE)
    }

    /// The recipe from the bytes that the caller read from the chunks of the [`Spill`].
    pub fn spilled_recipe(&self, bytes: &[u8]) -> Result<Recipe, FormatError> {
        match &self.recipe {
            RecipeBytes::Spilled(spill) if spill.len != bytes.len() as u64 || spill.crc != crc32fast::hash(bytes) => {
                Err(FormatError::Check)
            }
            _ => Recipe::decode(bytes, self.size, &self.arrays),
        }
    }

    /// The body of the record, version 1. Varints are LEB128, strings follow their length.
    ///
    /// ```text
    /// version u8 = 1 | flags u8 (1 source, 2 recipe spilled) | 0 u16
    /// permissions u32 | owner u32 | group u32 | size u64
    /// atime seconds i64, nanoseconds u32 | mtime the same | SHA-256, 32 bytes
    /// source     device u64 | inode u64 | size u64 | mtime i64, u32 | ctime i64, u32
    /// names      how many, each a string
    /// xattrs     how many, each two strings
    /// arrays     how many, each as in ArrayUse::put
    /// recipe     the rest: its bytes, or length varint, CRC-32 u32, number of chunks, each as in LiteralChunk::put
    /// ```
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let spilled = matches!(self.recipe, RecipeBytes::Spilled(_));
        out.extend_from_slice(&[VERSION, u8::from(self.source.is_some()) | u8::from(spilled) << 1, 0, 0]);
        let at = &self.attributes;
        [u32::from(at.perm), at.uid, at.gid].iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        out.extend_from_slice(&self.size.to_le_bytes());
        put_time(&mut out, at.atime);
        put_time(&mut out, at.mtime);
        out.extend_from_slice(&self.sha256);
        if let Some(source) = &self.source {
            [source.dev, source.ino, source.size].iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
            put_time(&mut out, source.mtime);
            put_time(&mut out, source.ctime);
        }
        put_varint(&mut out, self.names.len() as u64);
        self.names.iter().for_each(|name| put_blob(&mut out, name.as_bytes()));
        put_varint(&mut out, self.xattrs.len() as u64);
        for (name, value) in &self.xattrs {
            put_blob(&mut out, name.as_bytes());
            put_blob(&mut out, value);
        }
        put_varint(&mut out, self.arrays.len() as u64);
        self.arrays.iter().for_each(|array| array.put(&mut out));
        self.put_recipe(&mut out);
        out
    }

    fn put_recipe(&self, out: &mut Vec<u8>) {
        match &self.recipe {
            RecipeBytes::Inline(bytes) => out.extend_from_slice(bytes),
            RecipeBytes::Spilled(spill) => {
                put_varint(out, spill.len);
                out.extend_from_slice(&spill.crc.to_le_bytes());
                put_varint(out, spill.chunks.len() as u64);
                spill.chunks.iter().for_each(|chunk| chunk.put(out));
            }
        }
    }

    /// Reads what [`Record::encode`] wrote. Whatever the bytes: memory taken is at most a small multiple of their
    /// number, and every path stays within the store or its base.
    pub fn decode(id: RecordId, body: &[u8]) -> Result<Record, FormatError> {
        let mut from = Reader::new(body);
        let [version, flags, ..] = from.array::<4>()?;
        if version != VERSION {
            return Err(FormatError::Version(version.into()));
        }
        let (perm, uid, gid) = (from.u32()?, from.u32()?, from.u32()?);
        let perm = u16::try_from(perm).map_err(|_| FormatError::Malformed("its permissions are none"))?;
        let size = from.u64()?;
        let (atime, mtime) = (read_time(&mut from)?, read_time(&mut from)?);
        let sha256 = from.array()?;
        let source = if flags & 1 == 1 { Some(read_identity(&mut from)?) } else { None };
        let names = (0..from.count(1)?).map(|_| read_name(&mut from)).collect::<Result<Vec<_>, _>>()?;
        let xattrs = (0..from.count(2)?).map(|_| read_xattr(&mut from)).collect::<Result<Vec<_>, _>>()?;
        let arrays = (0..from.count(6)?).map(|_| ArrayUse::read(&mut from)).collect::<Result<Vec<_>, _>>()?;
        let recipe = match flags & 2 {
            0 => RecipeBytes::Inline(from.rest().to_vec()),
            _ => RecipeBytes::Spilled(read_spill(&mut from)?),
        };
        if names.is_empty() {
            return Err(FormatError::Malformed("a file has no name"));
        }
        let attributes = Attributes { perm, uid, gid, atime, mtime };
        Ok(Record { id, names, size, attributes, xattrs, sha256, source, arrays, recipe })
    }
}

fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    out.extend_from_slice(&time.secs.to_le_bytes());
    out.extend_from_slice(&time.nanos.to_le_bytes());
}

fn read_time(from: &mut Reader<'_>) -> Result<Timestamp, FormatError> {
    let (secs, nanos) = (from.i64()?, from.u32()?);
    if nanos >= 1_000_000_000 {
        return Err(FormatError::Malformed("a time has more than a second of nanoseconds"));
    }
    Ok(Timestamp { secs, nanos })
}

fn read_identity(from: &mut Reader<'_>) -> Result<Identity, FormatError> {
    let (dev, ino, size) = (from.u64()?, from.u64()?, from.u64()?);
    Ok(Identity { dev, ino, size, mtime: read_time(from)?, ctime: read_time(from)? })
}

/// A path below the base: what would be tidied up on reading was not written by us.
pub(super) fn read_name(from: &mut Reader<'_>) -> Result<RelPath, FormatError> {
    let bytes = from.blob()?;
    let name = RelPath::from_bytes(bytes).filter(|name| name.as_bytes() == bytes);
    let name = name.filter(|name| !name.is_root() && !bytes.contains(&0));
    name.ok_or(FormatError::Malformed("a name leads out of the directory of the store"))
}

fn read_xattr(from: &mut Reader<'_>) -> Result<(OsString, Vec<u8>), FormatError> {
    let name = OsString::from_vec(from.blob()?.to_vec());
    Ok((name, from.blob()?.to_vec()))
}

fn read_spill(from: &mut Reader<'_>) -> Result<Spill, FormatError> {
    let (len, crc) = (from.varint()?, from.u32()?);
    let chunks = (0..from.count(3)?).map(|_| LiteralChunk::read(from)).collect::<Result<Vec<_>, _>>()?;
    if len > MAX_RECIPE || len.div_ceil(super::CHUNK as u64) != chunks.len() as u64 || !from.rest().is_empty() {
        return Err(FormatError::Malformed("a recipe outside of its page is too long, or not whole"));
    }
    Ok(Spill { len, crc, chunks })
}
