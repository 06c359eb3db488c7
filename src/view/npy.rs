//! npy, versions 1.0 to 3.0: `\x93NUMPY`, version, length of the header, a Python literal, C-order data.
//!
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>

use super::assemble::Runs;
use super::grid::Plane;
use super::read::Headers;
use super::{ChunkIndex, Dtype, ImageMeta, Layout, Refusal, Role};

pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// Longest header that is read; numpy itself refuses more than 10,000 bytes.
const HEADER_MOST: u64 = 64 << 10;

/// Plans an npy file: leading axes are planes, the last two rows and columns. An array of three axes whose last is 3
/// or 4 long and the one before longer is one plane of RGB or RGBA, as image libraries keep them.
pub(super) fn layout(headers: &mut Headers<'_>) -> Result<Layout, Refusal> {
    let start = match headers.array::<8>(0)? {
        [.., 1, 0] => 10,
        [.., 2 | 3, 0] => 12,
        [.., major, minor] => return unsupported(format!("npy version {major}.{minor} is not known")),
    };
    let len = if start == 10 {
        u64::from(u16::from_le_bytes(headers.array(8)?))
    } else {
        u64::from(u32::from_le_bytes(headers.array(8)?))
    };
    if len > HEADER_MOST {
        return Err(Refusal::TooComplex(format!("its npy header has {len} bytes")));
    }
    let header = Header::parse(headers.bytes(start, len)?)?;
    let (plane, planes) = header.plane()?;
    let Some(array) = plane.array(planes, Role::Full(0)) else {
        return unsupported("its rows are too long, or it is empty".to_owned());
    };
    // Looked at before the runs are made: a short file may promise a million of them.
    let data = plane.values().saturating_mul(plane.dtype.size() as u64).saturating_mul(planes);
    if data > headers.size().saturating_sub(start + len) {
        return Err(Refusal::Malformed("it is shorter than its npy header says".to_owned()));
    }
    let mut runs = Runs::new(header.big_endian);
    let sample = (plane.samples == 1).then_some(0);
    let mut offset = start + len;
    for number in 0..planes {
        let chunk = ChunkIndex { array: 0, plane: number, row: 0, column: 0 };
        offset = runs.rows(&array, chunk, sample, 0..array.height, offset)?;
    }
    let size = headers.size();
    Ok(Layout { size, arrays: vec![array], segments: runs.into_segments(size)?, meta: ImageMeta::silent(1) })
}

fn unsupported<T>(why: String) -> Result<T, Refusal> {
    Err(Refusal::Unsupported(why))
}

/// What the Python literal says.
#[derive(Debug, PartialEq)]
struct Header {
    dtype: Dtype,
    big_endian: bool,
    shape: Vec<u64>,
}

impl Header {
    fn parse(text: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(text).map_err(|_| damaged())?;
        if value(text, "fortran_order")?.starts_with("True") {
            return unsupported("it is an npy file in Fortran order".to_owned());
        }
        let descr = value(text, "descr")?;
        let Some(quote @ ('\'' | '"')) = descr.chars().next() else {
            return unsupported("it is an npy file of a structured type".to_owned());
        };
        let descr = descr.get(1..).and_then(|rest| rest.split(quote).next()).ok_or_else(damaged)?;
        let Some((dtype, big_endian)) = sample_type(descr) else {
            return unsupported(format!("it is an npy file of type '{descr}'"));
        };
        let shape = value(text, "shape")?.strip_prefix('(').and_then(|rest| rest.split(')').next());
        let extents = shape.ok_or_else(damaged)?.split(',').map(str::trim).filter(|extent| !extent.is_empty());
        // Python 2 wrote long integers with an L.
        let shape = extents.map(|extent| extent.trim_end_matches('L').parse().map_err(|_| damaged()));
        Ok(Header { dtype, big_endian, shape: shape.collect::<Result<_, _>>()? })
    }

    /// The plane, and how many of them.
    fn plane(&self) -> Result<(Plane, u64), Refusal> {
        let plane = |width, height, samples| Plane { width, height, samples, dtype: self.dtype, tile: None };
        let (leading, height, width) = match &self.shape[..] {
            &[height, width, samples @ 3..=4] if width > 4 => return Ok((plane(width, height, samples as u32), 1)),
            [leading @ .., height, width] => (leading, height, width),
            _ => return unsupported("it is an npy file of fewer than two axes".to_owned()),
        };
        let planes = leading.iter().try_fold(1u64, |planes, &extent| planes.checked_mul(extent));
        match planes {
            Some(planes @ 1..) => Ok((plane(*width, *height, 1), planes)),
            _ => unsupported("its npy shape is empty or cannot be counted".to_owned()),
        }
    }
}

/// What follows a key of the header, which has three keys and no nesting but in `descr`.
fn value<'a>(text: &'a str, key: &str) -> Result<&'a str, Refusal> {
    let after = |quote: &str| text.split_once(&format!("{quote}{key}{quote}")).map(|(_, after)| after);
    let after = after("'").or_else(|| after("\"")).ok_or_else(damaged)?;
    after.trim_start().strip_prefix(':').map(str::trim_start).ok_or_else(damaged)
}

fn damaged() -> Refusal {
    Refusal::Malformed("its npy header cannot be read".to_owned())
}

/// A numpy type string: byte order, kind, bytes. `|` and `=` stand for types of one byte and for little-endian.
fn sample_type(descr: &str) -> Option<(Dtype, bool)> {
    let (order, kind) = descr.split_at_checked(1)?;
    let big_endian = match order {
        "<" | "|" | "=" => false,
        ">" => true,
        _ => return None,
    };
    let dtype = match kind {
        "u1" => Dtype::U8,
        "u2" => Dtype::U16,
        "u4" => Dtype::U32,
        "u8" => Dtype::U64,
        "i1" => Dtype::I8,
        "i2" => Dtype::I16,
        "i4" => Dtype::I32,
        "i8" => Dtype::I64,
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        _ => return None,
    };
    Some((dtype, big_endian))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of this version, with zeros for data.
    fn npy(version: u8, header: &str, data: usize) -> Vec<u8> {
        let mut file = [MAGIC, &[version, 0]].concat();
        match version {
            1 => file.extend((header.len() as u16).to_le_bytes()),
            _ => file.extend((header.len() as u32).to_le_bytes()),
        }
        file.extend(header.as_bytes());
        file.resize(file.len() + data, 0);
        file
    }

    fn plan(file: &[u8]) -> Result<Layout, Refusal> {
        layout(&mut Headers::new(&file).unwrap())
    }

    #[test]
    fn leading_axes_are_planes() {
        for version in 1..=3 {
            let file = npy(version, "{'descr': '<u2', 'fortran_order': False, 'shape': (2, 3, 4, 5), }\n", 240);
            let layout = plan(&file).unwrap();
            let array = layout.arrays[0];
            assert_eq!((array.planes, array.height, array.width, array.samples), (6, 4, 5, 1));
            assert_eq!((array.dtype, layout.segments.len()), (Dtype::U16, 7));
            assert_eq!(layout.check(), Ok(()));
        }
    }

    #[test]
    fn big_endian_samples_are_swapped_and_what_follows_the_data_is_literal() {
        let file = npy(1, "{'descr': '>f8', 'fortran_order': False, 'shape': (3, 2), }", 60);
        let layout = plan(&file).unwrap();
        assert!(layout.segments[1].run.unwrap().swap);
        assert_eq!((layout.segments[1].len, layout.segments[2].len, layout.segments[2].run), (48, 12, None));
    }

    #[test]
    fn an_image_with_colours_last_is_one_plane_of_three_samples() {
        let file = npy(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 5, 3), }", 60);
        let array = plan(&file).unwrap().arrays[0];
        assert_eq!((array.planes, array.height, array.width, array.samples), (1, 4, 5, 3));
    }

    #[test]
    fn what_is_no_image_is_refused_with_the_reason() {
        let refusal = |descr: &str, fortran: &str, shape: &str| {
            let header = format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}");
            plan(&npy(1, &header, 100)).unwrap_err().to_string()
        };
        assert!(refusal("'<u2'", "True", "(3, 2)").contains("Fortran order"));
        assert!(refusal("[('a', '<u2')]", "False", "(3, 2)").contains("structured"));
        assert!(refusal("'<f2'", "False", "(3, 2)").contains("'<f2'"));
        assert!(refusal("'<u2'", "False", "(30,)").contains("fewer than two axes"));
        assert!(refusal("'<u2'", "False", "()").contains("fewer than two axes"));
        assert!(refusal("'<u2'", "False", "(0, 4, 4)").contains("empty"));
        assert!(refusal("'<u2'", "False", "(100, 100)").contains("shorter"));
        // Millions of chunks, none of which is there.
        assert!(refusal("'<f4'", "False", "(899999999993, 6, 4)").contains("shorter"));
        let most = u64::MAX;
        assert!(refusal("'<u2'", "False", &format!("({most}, {most}, 4, 4)")).contains("cannot be counted"));
        assert!(refusal("'<u2'", "False", &format!("({most}, {most}, {most})")).contains("too long"));
        assert!(refusal("'<u2'", "False", &format!("({most}, 1, 1)")).contains("too long"));
        assert!(refusal("'<u2'", "False", "(x, 4)").contains("cannot be read"));
    }
}
