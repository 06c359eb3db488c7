//! One directory as a plane of pixels.

use super::super::grid::Plane;
use super::super::read::Headers;
use super::super::{Dtype, Refusal};
use super::directory::{Directory, Field, Format};
use super::tags;

/// The pixels of one directory.
#[derive(Debug)]
pub(super) struct Page {
    pub plane: Plane,
    /// Samples lie apart, each in strips or tiles of its own.
    pub planar: bool,
    /// Rows of a strip; of no meaning for tiles.
    pub strip_rows: u64,
    /// Offsets of strips or tiles.
    pub offsets: Field,
    /// Their lengths, if the file gives them.
    pub lengths: Option<Field>,
    /// It says that it is a reduced version of another one.
    pub reduced: bool,
    pub place: Place,
}

/// Where a directory stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the main chain, with its number in it.
    Main(u64),
    /// Below the last one of the main chain, with its number (from 1) there.
    Sub(u32),
}

impl Page {
    /// `None` for a directory that has no pixels.
    pub(super) fn read(
        directory: &Directory,
        headers: &mut Headers<'_>,
        format: Format,
        place: Place,
    ) -> Result<Option<Self>, Refusal> {
        let tiled = directory.field(tags::TILE_OFFSETS);
        let Some(offsets) = tiled.or(directory.field(tags::STRIP_OFFSETS)) else { return Ok(None) };
        let mut number = |tag: u16| directory.number(headers, format, tag);
        let height = required(number(tags::IMAGE_LENGTH)?, "ImageLength")?;
        let width = required(number(tags::IMAGE_WIDTH)?, "ImageWidth")?;
        plain(&mut number)?;
        let tile = match tiled {
            Some(_) => Some((
                required(number(tags::TILE_WIDTH)?, "TileWidth")?,
                required(number(tags::TILE_LENGTH)?, "TileLength")?,
            )),
            None => None,
        };
        let samples = number(tags::SAMPLES_PER_PIXEL)?.unwrap_or(1);
        let samples = u16::try_from(samples).ok().filter(|&samples| samples != 0);
        let samples =
            u32::from(samples.ok_or_else(|| Refusal::Malformed("SamplesPerPixel is out of range".to_owned()))?);
        let planar = match number(tags::PLANAR_CONFIGURATION)?.unwrap_or(1) {
            1 => false,
            2 => samples > 1,
            other => return unsupported(format!("its PlanarConfiguration {other} is not known")),
        };
        let strip_rows = number(tags::ROWS_PER_STRIP)?.unwrap_or(height).min(height);
        let reduced = number(tags::NEW_SUBFILE_TYPE)?.unwrap_or(0) & 1 == 1;
        let lengths = if tile.is_some() { tags::TILE_BYTE_COUNTS } else { tags::STRIP_BYTE_COUNTS };
        let lengths = directory.field(lengths);
        let dtype = dtype(directory, headers, format, samples)?;
        let plane = Plane { width, height, samples, dtype, tile };
        Ok(Some(Page { plane, planar, strip_rows, offsets, lengths, reduced, place }))
    }
}

fn required(value: Option<u64>, name: &str) -> Result<u64, Refusal> {
    match value {
        Some(value) if value != 0 => Ok(value),
        _ => Err(Refusal::Malformed(format!("a directory has no {name}"))),
    }
}

fn unsupported<T>(why: String) -> Result<T, Refusal> {
    Err(Refusal::Unsupported(why))
}

/// Refuses whatever makes stored bytes something else than samples side by side.
fn plain(number: &mut dyn FnMut(u16) -> Result<Option<u64>, Refusal>) -> Result<(), Refusal> {
    let compression = number(tags::COMPRESSION)?.unwrap_or(1);
    if compression != 1 {
        return Err(Refusal::Compressed(scheme(compression)));
    }
    if number(tags::FILL_ORDER)?.unwrap_or(1) != 1 {
        return unsupported("its FillOrder reverses the bits of each byte".to_owned());
    }
    if number(tags::PREDICTOR)?.unwrap_or(1) != 1 {
        return unsupported("its pixels are differences (Predictor)".to_owned());
    }
    if number(tags::IMAGE_DEPTH)?.unwrap_or(1) > 1 || number(tags::TILE_DEPTH)?.unwrap_or(1) > 1 {
        return unsupported("it has volumes for pages (ImageDepth)".to_owned());
    }
    Ok(())
}

fn scheme(compression: u64) -> String {
    let name = match compression {
        2..=4 => "CCITT",
        5 => "LZW",
        6 | 7 | 34892 => "JPEG",
        8 | 32946 => "Deflate",
        32773 => "PackBits",
        33003 | 33005 | 34712 => "JPEG 2000",
        34887 => "LERC",
        34925 => "LZMA",
        50000 => "Zstandard",
        50001 => "WebP",
        other => return format!("scheme {other}"),
    };
    name.to_owned()
}

/// Type of the samples, which must all be of one.
fn dtype(directory: &Directory, headers: &mut Headers<'_>, format: Format, samples: u32) -> Result<Dtype, Refusal> {
    subsampling(directory, headers, format)?;
    let bits = same(directory, headers, (format, samples), (tags::BITS_PER_SAMPLE, "BitsPerSample"))?.unwrap_or(1);
    let form = same(directory, headers, (format, samples), (tags::SAMPLE_FORMAT, "SampleFormat"))?.unwrap_or(1);
    match (form, bits) {
        // 4 is "undefined": bits that the file does not want to explain.
        (1 | 4, 8) => Ok(Dtype::U8),
        (1 | 4, 16) => Ok(Dtype::U16),
        (1 | 4, 32) => Ok(Dtype::U32),
        (1 | 4, 64) => Ok(Dtype::U64),
        (2, 8) => Ok(Dtype::I8),
        (2, 16) => Ok(Dtype::I16),
        (2, 32) => Ok(Dtype::I32),
        (2, 64) => Ok(Dtype::I64),
        (3, 32) => Ok(Dtype::F32),
        (3, 64) => Ok(Dtype::F64),
        (3, bits) => unsupported(format!("its samples are floating-point numbers of {bits} bits")),
        (5 | 6, _) => unsupported("its samples are complex numbers".to_owned()),
        (1 | 2 | 4, bits) => unsupported(format!("its samples have {bits} bits")),
        (form, _) => unsupported(format!("its SampleFormat {form} is not known")),
    }
}

/// The one value that a tag has for all samples. Many writers give it once, whatever the number of samples.
fn same(
    directory: &Directory,
    headers: &mut Headers<'_>,
    (format, samples): (Format, u32),
    (tag, name): (u16, &str),
) -> Result<Option<u64>, Refusal> {
    let Some(field) = directory.field(tag).filter(|field| field.count > 0) else { return Ok(None) };
    let values = field.integers(headers, format, u64::from(samples))?;
    let Some(&first) = values.first() else { return Ok(None) };
    if values.iter().all(|&value| value == first) {
        return Ok(Some(first));
    }
    unsupported(format!("its samples differ in {name}"))
}

/// YCbCr shares colour among pixels, also without compression, unless it says that it does not.
fn subsampling(directory: &Directory, headers: &mut Headers<'_>, format: Format) -> Result<(), Refusal> {
    const YCBCR: u64 = 6;
    if directory.number(headers, format, tags::PHOTOMETRIC)? != Some(YCBCR) {
        return Ok(());
    }
    let factors = match directory.field(tags::YCBCR_SUBSAMPLING) {
        Some(field) => field.integers(headers, format, 2)?,
        None => Vec::new(),
    };
    if factors == [1, 1] { Ok(()) } else { unsupported("its pixels share colour samples (YCbCr)".to_owned()) }
}
