//! A page: the records of one owner, replaced as a whole.
//!
//! ```text
//! page   one chunk of 1 MiB: frames, then zeros
//! frame  kind 4 bytes | length of the body u32 | number u64 | CRC-32 u32 | 0 u32 | body | zeros up to 8 bytes
//!        the check is over kind, length, number and body
//! "sfPG" first and last frame; number: sequence; body: version u16 = 1 | 0 u16 | records u32 | owner
//! "sfDU" what is due; number: 0; body: see put_dues
//! "sfRC" a record; number: its id; body: Record::encode
//! ```
//!
//! Frames begin at multiples of 8, and each has its own check: whatever happens to a part of the page, the frames in
//! the other parts are found. Bytes that are no frame are kept through changes, until a repair drops them.

use std::ops::Range;

use super::CHUNK;
use super::chunks::is_store_path;
use super::due::{Due, put_dues, read_dues};
use super::record::{Record, RecordId};
use super::wire::{FormatError, Reader};

const VERSION: u16 = 1;
const HEADER: &[u8; 4] = b"sfPG";
const DUES: &[u8; 4] = b"sfDU";
const RECORD: &[u8; 4] = b"sfRC";

/// Bytes of a frame in front of its body.
const FRAME: usize = 24;

/// Bytes of a page that are no frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where in the page as it was read.
    pub range: Range<usize>,
    /// The record that seems to have been there.
    pub id: Option<RecordId>,
}

/// A page in memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Whose records they are: a well, `B/03`, or the empty name. `None` if neither copy of the header is sound.
    pub owner: Option<String>,
    /// Grows with every change.
    pub sequence: u64,
    /// What is due.
    pub dues: Vec<Due>,
    /// What is damaged, as it was read.
    pub damage: Vec<Damage>,
    /// Records that the header counts and that were not found, beyond those in `damage`.
    pub lost: usize,
    records: Vec<(RecordId, Vec<u8>)>,
    /// Damaged bytes, written again as they are.
    raw: Vec<Vec<u8>>,
}

impl Page {
    /// A page of `owner` with nothing in it.
    pub fn new(owner: &str) -> Page {
        Page { owner: Some(owner.to_owned()), ..Page::default() }
    }

    /// Whether it holds nothing and can be given to another owner.
    pub fn is_free(&self) -> bool {
        self.is_vacant() && self.dues.is_empty()
    }

    /// Whether it has no records, nor anything that may have been some. What is due was for records that are gone.
    pub fn is_vacant(&self) -> bool {
        self.records.is_empty() && self.raw.is_empty() && self.lost == 0
    }

    /// Bytes that are left for a further record.
    pub fn room(&self) -> usize {
        CHUNK.saturating_sub(self.used()).saturating_sub(FRAME) / 8 * 8
    }

    /// Whether all of it has room in a page.
    pub fn fits(&self) -> bool {
        self.used() <= CHUNK
    }

    fn used(&self) -> usize {
        2 * framed(self.header().len()) + self.dues_room() + self.content()
    }

    /// Bytes that a page without anything has for one record.
    pub fn capacity(owner: &str) -> usize {
        Page::new(owner).room()
    }

    /// Ids and bodies of the records.
    pub fn records(&self) -> impl Iterator<Item = (RecordId, &[u8])> {
        self.records.iter().map(|(id, body)| (*id, body.as_slice()))
    }

    /// The record with this id; `None` if it is not here.
    pub fn record(&self, id: RecordId) -> Option<Result<Record, FormatError>> {
        self.body(id).map(|body| Record::decode(id, body))
    }

    /// The bytes of the record with this id.
    pub fn body(&self, id: RecordId) -> Option<&[u8]> {
        self.records.iter().find(|(other, _)| *other == id).map(|(_, body)| body.as_slice())
    }

    /// Puts a record in, in place of the one with the same id. `false`, and nothing changed, if there is no room.
    pub fn put(&mut self, id: RecordId, body: Vec<u8>) -> bool {
        let before = self.body(id).map_or(0, |old| framed(old.len()));
        if self.used() + framed(body.len()) > CHUNK + before {
            return false;
        }
        match self.records.iter_mut().find(|(other, _)| *other == id) {
            Some(slot) => slot.1 = body,
            None => self.records.push((id, body)),
        }
        true
    }

    /// Takes a record out; whether it was there.
    pub fn remove(&mut self, id: RecordId) -> bool {
        let before = self.records.len();
        self.records.retain(|(other, _)| *other != id);
        self.records.len() < before
    }

    /// Forgets damaged bytes: what was in them is lost.
    pub fn drop_damage(&mut self) {
        self.raw.clear();
        self.damage.clear();
        self.lost = 0;
    }

    /// The bytes of the page, [`CHUNK`] of them; an error if what is due leaves no room for them.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let mut out = Vec::with_capacity(CHUNK);
        let header = self.header();
        put_frame(&mut out, HEADER, self.sequence, &header);
        if !self.dues.is_empty() {
            put_frame(&mut out, DUES, 0, &put_dues(&self.dues));
        }
        self.records.iter().for_each(|(id, body)| put_frame(&mut out, RECORD, id.0, body));
        self.raw.iter().for_each(|raw| out.extend_from_slice(raw));
        put_frame(&mut out, HEADER, self.sequence, &header);
        if out.len() > CHUNK {
            return Err(FormatError::TooLarge("more is due than a page has room for"));
        }
        out.resize(CHUNK, 0);
        Ok(out)
    }

    /// Reads a page, whatever is left of it. Zeros are a free page. An error only for a later version.
    pub fn decode(bytes: &[u8]) -> Result<Page, FormatError> {
        let mut page = Page::default();
        let mut expected = 0;
        let mut at = 0;
        let mut damaged = None;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(frame) = Frame::read(rest) else {
                let zeros = rest.iter().take(8).all(|&byte| byte == 0);
                if !zeros || damaged.is_some() {
                    damaged.get_or_insert(at);
                }
                at += 8;
                continue;
            };
            page.keep_damage(bytes, damaged.take(), at);
            page.take(&frame, &mut expected)?;
            at += framed(frame.body.len());
        }
        page.keep_damage(bytes, damaged, bytes.len());
        page.lost = expected.saturating_sub(page.records.len() + page.damage.iter().filter(|d| d.id.is_some()).count());
        Ok(page)
    }

    fn take(&mut self, frame: &Frame<'_>, expected: &mut usize) -> Result<(), FormatError> {
        match frame.kind {
            HEADER => {
                let (owner, records) = read_header(frame.body)?;
                self.sequence = frame.number;
                *expected = records;
                self.owner = Some(owner);
            }
            DUES => self.dues = read_dues(frame.body)?,
            _ => {
                // Of two records with one id, which no page of ours has, the first counts.
                if self.body(RecordId(frame.number)).is_none() {
                    self.records.push((RecordId(frame.number), frame.body.to_vec()));
                }
            }
        }
        Ok(())
    }

    fn keep_damage(&mut self, bytes: &[u8], from: Option<usize>, to: usize) {
        let Some((from, raw)) = from.and_then(|from| Some((from, bytes.get(from..to)?))) else { return };
        // What follows the damage may be the zeros at the end of the page.
        let len = raw.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let mut raw = raw.get(..len).unwrap_or_default().to_vec();
        let id = raw.strip_prefix(RECORD).and_then(|rest| Reader::new(rest.get(4..)?).u64().ok()).map(RecordId);
        self.damage.push(Damage { range: from..from + len, id });
        raw.resize(len.next_multiple_of(8), 0);
        self.raw.push(raw);
    }

    fn header(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(32);
        body.extend_from_slice(&VERSION.to_le_bytes());
        body.extend_from_slice(&[0; 2]);
        let damaged = self.damage.iter().filter(|damage| damage.id.is_some()).count();
        body.extend_from_slice(&((self.records.len() + damaged + self.lost) as u32).to_le_bytes());
        body.extend_from_slice(self.owner.as_deref().unwrap_or_default().as_bytes());
        body
    }

    fn dues_room(&self) -> usize {
        if self.dues.is_empty() { 0 } else { framed(put_dues(&self.dues).len()) }
    }

    fn content(&self) -> usize {
        let records: usize = self.records.iter().map(|(_, body)| framed(body.len())).sum();
        records + self.raw.iter().map(Vec::len).sum::<usize>()
    }
}

/// Bytes of a frame with a body of `len` bytes.
fn framed(len: usize) -> usize {
    FRAME + len.next_multiple_of(8)
}

#[derive(Debug)]
struct Frame<'a> {
    kind: &'a [u8; 4],
    number: u64,
    body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the beginning of `bytes`, if a sound one is there.
    fn read(bytes: &'a [u8]) -> Option<Frame<'a>> {
        let kind = bytes.first_chunk::<4>()?;
        if ![HEADER, DUES, RECORD].contains(&kind) {
            return None;
        }
        let mut from = Reader::new(bytes.get(4..)?);
        let len = from.u32().ok()?;
        let number = from.u64().ok()?;
        let (crc, zero) = (from.u32().ok()?, from.u32().ok()?);
        let body = from.bytes(len.into()).ok()?;
        (zero == 0 && crc == checksum(kind, number, body)).then_some(Frame { kind, number, body })
    }
}

fn checksum(kind: &[u8; 4], number: u64, body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(kind);
    crc.update(&(body.len() as u32).to_le_bytes());
    crc.update(&number.to_le_bytes());
    crc.update(body);
    crc.finalize()
}

fn put_frame(out: &mut Vec<u8>, kind: &[u8; 4], number: u64, body: &[u8]) {
    out.extend_from_slice(kind);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&checksum(kind, number, body).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(body);
    out.resize(out.len().next_multiple_of(8), 0);
}

fn read_header(body: &[u8]) -> Result<(String, usize), FormatError> {
    let mut from = Reader::new(body);
    let version = from.u16()?;
    if version != VERSION {
        return Err(FormatError::Version(version));
    }
    from.u16()?;
    let records = from.u32()? as usize;
    let owner = std::str::from_utf8(from.rest()).ok().filter(|owner| is_store_path(owner));
    let owner = owner.ok_or(FormatError::Malformed("the owner of a page is no path in the store"))?;
    Ok((owner.to_owned(), records))
}
