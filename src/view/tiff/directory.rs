//! Image file directories and the values of their entries.

use super::super::Refusal;
use super::super::read::Headers;
use super::tags;

/// Entries of a directory beyond which it is taken for damage. The classic form cannot have more.
const ENTRIES_MOST: u64 = u16::MAX as u64;

/// How numbers are written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::view) struct Format {
    /// Most significant byte first.
    pub big_endian: bool,
    /// BigTIFF: offsets and counts have 8 bytes.
    pub big: bool,
}

impl Format {
    /// Of a file with these first bytes; `None` if it is no TIFF.
    pub(in crate::view) fn of(magic: &[u8]) -> Option<Self> {
        match magic.get(..4)? {
            b"II\x2a\0" => Some(Format { big_endian: false, big: false }),
            b"MM\0\x2a" => Some(Format { big_endian: true, big: false }),
            b"II\x2b\0" => Some(Format { big_endian: false, big: true }),
            b"MM\0\x2b" => Some(Format { big_endian: true, big: true }),
            _ => None,
        }
    }

    /// Offset of the first directory.
    pub(super) fn first(self, headers: &mut Headers<'_>) -> Result<u64, Refusal> {
        if !self.big {
            return Ok(self.number(headers.bytes(4, 4)?));
        }
        match (self.number(headers.bytes(4, 2)?), self.number(headers.bytes(6, 2)?)) {
            (8, 0) => Ok(self.number(headers.bytes(8, 8)?)),
            (size, _) => Err(Refusal::Malformed(format!("its BigTIFF header says {size} bytes an offset"))),
        }
    }

    /// An unsigned number of up to 8 bytes.
    pub(super) fn number(self, bytes: &[u8]) -> u64 {
        let join = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        if self.big_endian { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) }
    }
}

/// Where the values of an entry are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    tag: u16,
    kind: u16,
    /// How many values.
    pub count: u64,
    /// Of the first value in the file, also of those that stand in the entry itself.
    offset: u64,
}

/// The known entries of a directory.
#[derive(Debug)]
pub(super) struct Directory {
    fields: Vec<Field>,
    /// Offset of the next one; 0 after the last.
    pub next: u64,
}

impl Directory {
    pub(super) fn read(headers: &mut Headers<'_>, format: Format, offset: u64) -> Result<Self, Refusal> {
        let (head, entry, word) = if format.big { (8, 20, 8) } else { (2, 12, 4) };
        let count = format.number(headers.bytes(offset, head)?);
        if count > ENTRIES_MOST {
            return Err(Refusal::Malformed(format!("the directory at byte {offset} says {count} entries")));
        }
        // The count was read at `offset`, and has at most 16 bits: none of these sums can wrap.
        let start = offset + head;
        let bytes = headers.bytes(start, count * entry + word)?;
        let (entries, next) = bytes.split_at((count * entry) as usize);
        let fields = entries
            .chunks_exact(entry as usize)
            .zip((start..).step_by(entry as usize))
            .filter_map(|(bytes, at)| Field::parse(format, bytes, at))
            .collect();
        Ok(Directory { fields, next: format.number(next) })
    }

    /// The entry of a tag; the first where a file repeats it.
    pub(super) fn field(&self, tag: u16) -> Option<Field> {
        self.fields.iter().find(|field| field.tag == tag).copied()
    }

    /// The first value of a tag.
    pub(super) fn number(&self, headers: &mut Headers<'_>, format: Format, tag: u16) -> Result<Option<u64>, Refusal> {
        match self.field(tag) {
            Some(field) if field.count > 0 => Ok(field.integers(headers, format, 1)?.first().copied()),
            _ => Ok(None),
        }
    }
}

impl Field {
    /// `None` for tags that nobody asks for.
    fn parse(format: Format, entry: &[u8], at: u64) -> Option<Self> {
        let tag = format.number(entry.get(..2)?) as u16;
        if tags::KNOWN.binary_search(&tag).is_err() {
            return None;
        }
        let kind = format.number(entry.get(2..4)?) as u16;
        let (count, value) = entry.get(4..)?.split_at(if format.big { 8 } else { 4 });
        let mut field = Field { tag, kind, count: format.number(count), offset: 0 };
        let here = field.bytes().is_some_and(|bytes| bytes <= value.len() as u64);
        field.offset = if here { at + (entry.len() - value.len()) as u64 } else { format.number(value) };
        Some(field)
    }

    /// Bytes of all values; `None` for a type that is not known, or too many to count.
    fn bytes(&self) -> Option<u64> {
        self.size()?.checked_mul(self.count)
    }

    /// Bytes of a value.
    fn size(&self) -> Option<u64> {
        match self.kind {
            1 | 2 | 6 | 7 => Some(1),
            3 | 8 => Some(2),
            4 | 9 | 11 | 13 => Some(4),
            5 | 10 | 12 | 16 | 17 | 18 => Some(8),
            _ => None,
        }
    }

    /// The first `most` values, which must be unsigned integers (BYTE, SHORT, LONG, LONG8, IFD, IFD8).
    pub(super) fn integers(&self, headers: &mut Headers<'_>, format: Format, most: u64) -> Result<Vec<u64>, Refusal> {
        let size = self.size().filter(|_| matches!(self.kind, 1 | 3 | 4 | 13 | 16 | 18));
        let size = size.ok_or_else(|| self.odd())?;
        let len = self.count.min(most).checked_mul(size).ok_or_else(|| self.odd())?;
        let bytes = headers.bytes(self.offset, len)?;
        Ok(bytes.chunks_exact(size as usize).map(|value| format.number(value)).collect())
    }

    /// The bytes of a text, at most `most` of them.
    pub(super) fn text<'h>(&self, headers: &'h mut Headers<'_>, most: u64) -> Result<&'h [u8], Refusal> {
        if self.size() != Some(1) {
            return Err(self.odd());
        }
        headers.bytes(self.offset, self.count.min(most))
    }

    /// The first value, which must be an unsigned fraction, as a number; `None` if it is none.
    pub(super) fn fraction(&self, headers: &mut Headers<'_>, format: Format) -> Option<f64> {
        if self.kind != 5 || self.count == 0 {
            return None;
        }
        let bytes = headers.bytes(self.offset, 8).ok()?;
        let (above, below) = bytes.split_at(4);
        let fraction = format.number(above) as f64 / format.number(below) as f64;
        (fraction.is_finite() && fraction > 0.0).then_some(fraction)
    }

    fn odd(&self) -> Refusal {
        Refusal::Malformed(format!("tag {} is of type {} and cannot be read", self.tag, self.kind))
    }
}
