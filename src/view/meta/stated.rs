//! What a file's description says, before it is held against its pixels.

use std::collections::HashMap;
use std::ops::Range;

use super::super::{Array, Role};
use super::{Axis, Calibration, ChannelMeta, ImageMeta, imagej, metaxpress, ome, shaped, unit};

/// Densities that printing software writes into files whose pixels have no known size.
const PRINTING: [f64; 11] = [1.0, 72.0, 90.0, 96.0, 100.0, 120.0, 150.0, 200.0, 300.0, 600.0, 1200.0];

/// The resolution tags of a TIFF.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::view) struct Resolution {
    /// Pixels per unit across.
    pub x: Option<f64>,
    /// Pixels per unit down.
    pub y: Option<f64>,
    /// 1: none; 2 or missing: inch; 3: centimetre.
    pub unit: Option<u64>,
}

impl Resolution {
    /// Pixel sizes, if they are those of an instrument rather than of a printer.
    pub(super) fn calibration(self) -> Calibration {
        let factor = match self.unit {
            Some(3) => 1e4,
            None | Some(2) => 25_400.0,
            _ => return Calibration::default(),
        };
        let per_inch = |per_unit: f64| per_unit * 25_400.0 / factor;
        let printing = |per_unit: f64| PRINTING.iter().any(|&dpi| (per_inch(per_unit) / dpi - 1.0).abs() < 0.01);
        let size = |per_unit: Option<f64>| {
            per_unit
                .filter(|&per_unit| per_unit != 1.0 && !printing(per_unit))
                .and_then(|per_unit| unit::positive(factor / per_unit))
        };
        Calibration { x: size(self.x), y: size(self.y), ..Calibration::default() }
    }

    /// Pixel sizes where the unit stands elsewhere: so many micrometres.
    pub(super) fn in_unit(self, micrometres: f64) -> Calibration {
        let size = |per_unit: Option<f64>| per_unit.and_then(|per_unit| unit::positive(micrometres / per_unit));
        Calibration { x: size(self.x), y: size(self.y), ..Calibration::default() }
    }
}

/// What a TIFF says of itself in its first directory.
#[derive(Debug, Clone, Copy)]
pub(in crate::view) struct Described<'a> {
    pub text: &'a str,
    pub resolution: Resolution,
    /// Planes of a MetaMorph stack, else 1.
    pub stack: u64,
    /// Values of a page: pixels × samples.
    pub values: u64,
}

/// One image as the file states it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct StatedImage {
    /// Numbers of its directories in the main chain, if the file says which.
    pub directories: Option<Range<u64>>,
    /// Leading axes, slowest first, those of extent 1 left out.
    pub axes: Vec<(Axis, u64)>,
    pub name: Option<String>,
    pub calibration: Calibration,
    pub channels: Vec<ChannelMeta>,
}

/// What a file states about its images.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::view) struct Stated {
    pub(super) images: Vec<StatedImage>,
    /// Planes that lie behind each other under a single directory; 0 or 1: one.
    pub planes_behind: u64,
}

impl Stated {
    /// Reads whichever dialect the description is in; an unknown one says nothing.
    pub(in crate::view) fn read(file: &Described<'_>) -> Self {
        let text = file.text.trim_matches(['\0', ' ', '\n', '\r', '\t', '\u{feff}']);
        let mut stated = if text.starts_with("ImageJ=") {
            imagej::read(text, file.resolution)
        } else if text.starts_with('{') {
            shaped::read(text, file.values)
        } else if text.starts_with('<') {
            metaxpress::read(text).or_else(|| ome::read(text)).unwrap_or_default()
        } else {
            Stated::default()
        };
        if file.stack > 1 && stated.planes_behind <= 1 {
            stated.planes_behind = file.stack;
        }
        if stated.images.is_empty() {
            stated.images.push(StatedImage::default());
        }
        let tags = file.resolution.calibration();
        for image in
            stated.images.iter_mut().filter(|image| image.calibration.x.is_none() && !text.starts_with("ImageJ="))
        {
            image.calibration = Calibration { x: tags.x, y: tags.y, ..image.calibration };
        }
        stated
    }

    /// Which of the stated images a directory of the main chain belongs to. `None` where the file does not say.
    pub(in crate::view) fn image_of(&self, directory: u64) -> Option<usize> {
        let behind = self.images.partition_point(|image| image.starts() <= directory);
        let at = behind.checked_sub(1)?;
        self.images.get(at)?.directories.as_ref()?.contains(&directory).then_some(at)
    }

    /// Holds the statements against the pixels. `images`: for each image of the file, which of the stated ones it is.
    pub(in crate::view) fn meta(&self, images: &[Option<usize>], arrays: &[Array]) -> ImageMeta {
        let mut meta = ImageMeta::silent(images.len());
        let planes: HashMap<Role, u64> = arrays.iter().map(|array| (array.role, array.planes)).collect();
        let single = self.images.iter().take(1).filter(|image| image.directories.is_none()).count() == 1;
        for (number, &stated) in images.iter().enumerate() {
            let stated = stated.or((number == 0 && single).then_some(0)).and_then(|at| self.images.get(at));
            let Some(stated) = stated else { continue };
            let planes = planes.get(&Role::Full(number as u32)).copied();
            let stated_planes = stated.axes.iter().try_fold(1u64, |planes, (_, extent)| planes.checked_mul(*extent));
            if planes.is_some() && planes == stated_planes {
                set(&mut meta.axes, number, stated.axes.clone());
            }
            set(&mut meta.names, number, stated.name.clone());
            set(&mut meta.calibration, number, stated.calibration.sensible());
            set(&mut meta.channels, number, stated.channels.clone());
        }
        meta
    }
}

impl StatedImage {
    pub(super) fn starts(&self) -> u64 {
        self.directories.as_ref().map_or(0, |directories| directories.start)
    }
}

fn set<T>(list: &mut [T], at: usize, value: T) {
    if let Some(place) = list.get_mut(at) {
        *place = value;
    }
}
