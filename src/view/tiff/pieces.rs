//! The strips and tiles of a page as runs.

use super::super::assemble::Runs;
use super::super::read::Headers;
use super::super::{Array, ChunkIndex, Refusal};
use super::directory::Format;
use super::page::Page;

/// Most strips and tiles of a file.
const PIECES_MOST: u64 = 4 << 20;

/// Places the pixels of pages.
pub(super) struct Pieces<'h, 's> {
    pub headers: &'h mut Headers<'s>,
    pub format: Format,
    pub runs: Runs,
    /// Strips and tiles that were read.
    count: u64,
}

/// One page on its way to runs.
struct Target<'a> {
    page: &'a Page,
    array: &'a Array,
    /// First chunk of the plane.
    chunk: ChunkIndex,
}

impl<'h, 's> Pieces<'h, 's> {
    pub(super) fn new(headers: &'h mut Headers<'s>, format: Format) -> Self {
        Pieces { headers, format, runs: Runs::new(format.big_endian), count: 0 }
    }

    /// Places a page as plane `chunk.plane` of `array`. Where the file says that up to `planes` lie behind each other under the
    /// one directory, and they are there, these too. Returns how many planes were placed.
    pub(super) fn add(&mut self, page: &Page, array: &Array, chunk: ChunkIndex, planes: u64) -> Result<u64, Refusal> {
        let target = Target { page, array, chunk };
        if page.plane.tile.is_some() {
            self.tiles(&target)?;
            return Ok(1);
        }
        let Some((start, end)) = self.strips(&target)? else { return Ok(1) };
        let len = end - start;
        let last = len.checked_mul(planes).and_then(|len| len.checked_add(start));
        if len == 0 || last.is_none_or(|last| last > self.headers.size()) {
            return Ok(1);
        }
        let mut offset = end;
        for behind in 1..planes {
            let chunk = ChunkIndex { plane: chunk.plane + behind, ..chunk };
            offset = target.whole(&mut self.runs, chunk, offset)?;
        }
        Ok(planes)
    }

    /// Places strips. Returns the range that they cover, if they lie behind each other in order.
    fn strips(&mut self, target: &Target<'_>) -> Result<Option<(u64, u64)>, Refusal> {
        let Target { page, array, chunk } = *target;
        if page.strip_rows == 0 {
            return Err(Refusal::Malformed("RowsPerStrip is 0".to_owned()));
        }
        let each = array.height.div_ceil(page.strip_rows);
        let table = self.table(page, each)?;
        let start = table.first().map_or(0, |&(offset, _)| offset);
        let mut end = Some(start);
        for (number, (offset, len)) in (0..).zip(table) {
            let first = number % each * page.strip_rows;
            let rows = first..(first + page.strip_rows).min(array.height);
            let needed = (rows.end - rows.start).saturating_mul(target.row_len());
            let there = self.is_there(offset, len, needed)?;
            end = end.filter(|&end| end == offset && there).and_then(|end| end.checked_add(needed));
            if there {
                self.runs.rows(array, chunk, target.sample(number / each), rows, offset)?;
            }
        }
        Ok(end.map(|end| (start, end)))
    }

    fn tiles(&mut self, target: &Target<'_>) -> Result<(), Refusal> {
        let Target { page, array, chunk } = *target;
        let (across, down) = (array.columns(), array.rows());
        let each = across.checked_mul(down).ok_or_else(too_many)?;
        let needed = if page.planar { array.sample_stride() } else { array.chunk_len() };
        for (number, (offset, len)) in (0..).zip(self.table(page, each)?) {
            if self.is_there(offset, len, needed)? {
                let (sample, tile) = (number / each, number % each);
                let row = u32::try_from(tile / across).map_err(|_| too_many())?;
                let column = u32::try_from(tile % across).map_err(|_| too_many())?;
                self.runs.chunk(array, ChunkIndex { row, column, ..chunk }, target.sample(sample), offset)?;
            }
        }
        Ok(())
    }

    /// Offset and, where given, length of each strip or tile, of which a sample has `each`.
    fn table(&mut self, page: &Page, each: u64) -> Result<Vec<(u64, Option<u64>)>, Refusal> {
        let groups = if page.planar { u64::from(page.plane.samples) } else { 1 };
        let count = each.checked_mul(groups).ok_or_else(too_many)?;
        if page.offsets.count < count {
            let has = page.offsets.count;
            return Err(Refusal::Malformed(format!("it needs {count} strips or tiles and has {has}")));
        }
        self.count = self.count.checked_add(count).filter(|&count| count <= PIECES_MOST).ok_or_else(too_many)?;
        let offsets = page.offsets.integers(self.headers, self.format, count)?;
        let lengths = match page.lengths {
            Some(field) if field.count < count => {
                return Err(Refusal::Malformed("it has fewer strip lengths than strips".to_owned()));
            }
            Some(field) => Some(field.integers(self.headers, self.format, count)?),
            None => None,
        };
        let mut lengths = lengths.into_iter().flatten();
        Ok(offsets.into_iter().map(|offset| (offset, lengths.next())).collect())
    }

    /// Whether a strip or tile is stored. Sparse files give 0 for both where all pixels are 0.
    fn is_there(&self, offset: u64, len: Option<u64>, needed: u64) -> Result<bool, Refusal> {
        if (offset, len) == (0, Some(0)) {
            return Ok(false);
        }
        if len.is_some_and(|len| len < needed) {
            return Err(Refusal::Malformed(format!(
                "the strip or tile at byte {offset} has fewer than {needed} bytes"
            )));
        }
        match offset.checked_add(needed) {
            Some(end) if end <= self.headers.size() => Ok(true),
            _ => Err(Refusal::Malformed(format!("the strip or tile at byte {offset} reaches behind its end"))),
        }
    }
}

impl Target<'_> {
    /// Bytes of a row in a strip.
    fn row_len(&self) -> u64 {
        let together = if self.page.planar { 1 } else { u64::from(self.array.samples) };
        (self.array.dtype.size() as u64).saturating_mul(self.array.width).saturating_mul(together)
    }

    fn sample(&self, group: u64) -> Option<u32> {
        if self.page.planar { u32::try_from(group).ok() } else { None }
    }

    /// Places a whole plane at `offset`; returns the offset behind it.
    fn whole(&self, runs: &mut Runs, chunk: ChunkIndex, offset: u64) -> Result<u64, Refusal> {
        let rows = 0..self.array.height;
        if !self.page.planar {
            return runs.rows(self.array, chunk, None, rows, offset);
        }
        (0..self.array.samples)
            .try_fold(offset, |offset, sample| runs.rows(self.array, chunk, Some(sample), rows.clone(), offset))
    }
}

fn too_many() -> Refusal {
    Refusal::TooComplex(format!("it has more than {PIECES_MOST} strips or tiles"))
}
