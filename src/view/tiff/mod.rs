//! TIFF and BigTIFF, uncompressed.
//!
//! Byte order (`II`, `MM`), 42 and a 4-byte offset of the first directory (IFD); or 43, 8, 0 and an 8-byte offset. A
//! directory is a count, entries of tag, type, count and value (or its offset), and the offset of the next directory.
//! TIFF 6.0 (<https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf>), BigTIFF
//! (<https://www.awaresystems.be/imaging/tiff/bigtiff.html>), SubIFDs after TIFF Technical Note 1.

mod directory;
mod page;
mod pieces;
mod roles;
mod tags;
mod walk;

pub(super) use directory::Format;

use super::meta::{Described, Resolution, Stated};
use super::read::Headers;
use super::{ChunkIndex, Layout, Refusal};
use directory::Directory;
use page::Page;
use pieces::Pieces;
use roles::{Images, Stacks};

/// Longest description that is read; what is longer says nothing.
const DESCRIPTION_MOST: u64 = 32 << 20;

/// Plans a TIFF file.
pub(super) fn layout(headers: &mut Headers<'_>, format: Format) -> Result<Layout, Refusal> {
    let (pages, first) = walk::pages(headers, format)?;
    let stated = stated(headers, format, &first, pages.first());
    let images = Images::of(&pages, &stated);
    let size = headers.size();
    let mut stacks = Stacks::default();
    let mut pieces = Pieces::new(headers, format);
    // Planes behind each other under one directory are only believed of a file that has no other.
    let behind = if pages.len() == 1 { stated.planes_behind.max(1) } else { 1 };
    for (page, &role) in pages.iter().zip(&images.roles) {
        let (number, array) = stacks.of(page.plane, role)?;
        let chunk = ChunkIndex { array: number, plane: array.planes, row: 0, column: 0 };
        array.planes += pieces.add(page, array, chunk, behind)?;
    }
    let segments = pieces.runs.into_segments(size)?;
    if segments.iter().all(|segment| segment.run.is_none()) {
        return Err(Refusal::Unsupported("none of its pixels are stored".to_owned()));
    }
    let (arrays, segments) = stacks.finish(segments);
    let meta = stated.meta(&images.stated, &arrays);
    Ok(Layout { size, arrays, segments, meta })
}

/// What the first directory says about the pixels. What cannot be read says nothing: it is no reason to refuse.
fn stated(headers: &mut Headers<'_>, format: Format, first: &Directory, page: Option<&Page>) -> Stated {
    let mut fraction = |tag| first.field(tag).and_then(|field| field.fraction(headers, format));
    let (x, y) = (fraction(tags::X_RESOLUTION), fraction(tags::Y_RESOLUTION));
    let unit = first.number(headers, format, tags::RESOLUTION_UNIT).ok().flatten();
    let resolution = Resolution { x, y, unit };
    let description = first.field(tags::IMAGE_DESCRIPTION).filter(|field| field.count <= DESCRIPTION_MOST);
    let description = description.and_then(|field| field.text(headers, DESCRIPTION_MOST).ok());
    let text = String::from_utf8_lossy(description.unwrap_or_default());
    let stack = first.field(tags::UIC2).map_or(1, |field| field.count);
    let values = page.map_or(1, |page| page.plane.values());
    Stated::read(&Described { text: &text, resolution, stack, values })
}
