//! Descriptions of images, in a small TIFF around them.

use scopefs::view::{Calibration, Layout};

use super::image::plan;
use super::take;

/// Width and height of a page, and bytes of one.
const SIDE: u32 = 2;
const PAGE: u32 = SIDE * SIDE;
/// Entries of a directory.
const ENTRIES: u16 = 12;
const DIRECTORY: u32 = 2 + 12 * ENTRIES as u32 + 4;

/// A byte: how many pages (low half), and whether they lie behind each other under one directory (0x10); unit of the
/// resolution, a byte; resolution, two u32; the rest is the description.
pub fn description(bytes: &[u8]) -> bool {
    let mut text = bytes;
    let [pages, unit] = take(&mut text);
    let resolution: [u8; 8] = take(&mut text);
    let file = tiff(u32::from(pages & 15) + 1, pages & 16 != 0, unit, resolution, text);
    plan(&file).is_some_and(|layout| says_something(&layout))
}

fn says_something(layout: &Layout) -> bool {
    let meta = &layout.meta;
    meta.axes.iter().any(|axes| !axes.is_empty())
        || meta.names.iter().any(Option::is_some)
        || meta.channels.iter().any(|channels| !channels.is_empty())
        || meta.calibration.iter().any(|calibration| *calibration != Calibration::default())
}

/// A little-endian classic TIFF of grey pages: header, pixels, resolution, description, directories.
fn tiff(pages: u32, single: bool, unit: u8, resolution: [u8; 8], text: &[u8]) -> Vec<u8> {
    let resolution_at = 8 + pages * PAGE;
    let text_at = resolution_at + 8;
    // At least five bytes, so that they never lie in the entry.
    let text_len = text.len().max(5) as u32;
    let directories_at = text_at + text_len.next_multiple_of(2);
    let mut file = b"II*\0".to_vec();
    file.extend(directories_at.to_le_bytes());
    file.extend((0..pages * PAGE).map(|at| at as u8));
    file.extend(resolution);
    file.extend(text);
    file.resize(directories_at as usize, 0);
    let count = if single { 1 } else { pages };
    for page in 0..count {
        let entries: [(u16, u16, u32, u32); ENTRIES as usize] = [
            (256, 4, 1, SIDE),
            (257, 4, 1, SIDE),
            (258, 3, 1, 8),
            (259, 3, 1, 1),
            (262, 3, 1, 1),
            (270, 2, text_len, text_at),
            (273, 4, 1, 8 + page * PAGE),
            (278, 4, 1, SIDE),
            (279, 4, 1, PAGE),
            (282, 5, 1, resolution_at),
            (283, 5, 1, resolution_at),
            (296, 3, 1, unit.into()),
        ];
        file.extend(ENTRIES.to_le_bytes());
        for (tag, kind, count, value) in entries {
            file.extend(tag.to_le_bytes());
            file.extend(kind.to_le_bytes());
            file.extend(count.to_le_bytes());
            file.extend(value.to_le_bytes());
        }
        let next = if page + 1 < count { directories_at + (page + 1) * DIRECTORY } else { 0 };
        file.extend(next.to_le_bytes());
    }
    file
}
