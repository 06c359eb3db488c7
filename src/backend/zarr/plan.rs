//! Where in its store each chunk of a file goes.

use super::choose::image_axes;
use super::level::{overview_factor, reduced};
use super::marker::PlateMarker;
use super::ngff::{Extents, Level, PlaneAt};
use super::numbering::Placed;
use super::table::ArrayUse;
use crate::view::{Array, Axis, Calibration, ChannelMeta, ChunkIndex, Dtype, Layout, Role};

/// Side of a chunk of a reduced level.
const LEVEL_CHUNK: u64 = 1024;
/// Images with a longer side have a pyramid …
const PYRAMID_ABOVE: u64 = 2048;
/// … down to this side.
const PYRAMID_DOWN_TO: u64 = 512;

/// An image of the file, as a group of the store.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ImagePlan {
    /// Path of its group; empty for the root.
    pub path: String,
    /// Its name, if the file gives one.
    pub name: Option<String>,
    /// Its leading axes, as far as this file reaches.
    pub extents: Extents,
    /// Samples of a pixel.
    pub samples: u64,
    /// Type of a sample.
    pub dtype: Dtype,
    /// Levels that make up the pyramid, full resolution first: what the metadata says of them, and their arrays.
    pub levels: Vec<LevelPlan>,
    /// Physical sizes.
    pub calibration: Calibration,
    /// What the file says of its channels.
    pub channels: Vec<ChannelMeta>,
    /// Pixels are labels, of which no mean can be taken.
    pub labels: bool,
    /// Time points, channels and focal planes of a shard.
    pub shard: Option<[u64; 3]>,
}

/// A level: an array of the store.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LevelPlan {
    /// Name of the array in the image's group.
    pub name: u64,
    pub height: u64,
    pub width: u64,
    /// Rows and columns of a chunk.
    pub chunk: [u64; 2],
    pub level: Level,
    /// Made by us out of this level (index in the list), by this factor.
    pub made_from: Option<(usize, u64)>,
}

/// Where an array of the file is in the store.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ArrayPlan {
    /// Index of its image.
    pub image: usize,
    /// Name of the array in the image's group.
    pub level: u64,
    /// The file's leading axes, slowest first.
    axes: Vec<(Axis, u64)>,
    /// Where its first plane is.
    origin: PlaneAt,
    extents: Extents,
}

/// Where everything of a file goes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    /// The file's images.
    pub images: Vec<ImagePlan>,
    /// For each array of the layout, where it is.
    pub arrays: Vec<ArrayPlan>,
}

impl ArrayPlan {
    /// Where a plane of the array is in its image.
    pub fn plane(&self, plane: u64) -> PlaneAt {
        let mut at = self.origin;
        let mut rest = plane;
        for (axis, extent) in self.axes.iter().rev() {
            let index = rest % (*extent).max(1);
            rest /= (*extent).max(1);
            match axis {
                Axis::Time => at.time += index,
                Axis::Channel => at.channel += index,
                Axis::Depth => at.depth += index,
            }
        }
        at
    }

    /// Shape of a chunk of the store's array.
    pub fn chunk_shape(&self, samples: u64, height: u64, width: u64) -> Vec<u64> {
        self.extents.chunk_shape(samples, height, width)
    }

    /// Index of a chunk of the layout in the store's array.
    pub fn chunk(&self, chunk: ChunkIndex) -> Vec<u64> {
        self.extents.chunk_index(self.plane(chunk.plane), chunk.row.into(), chunk.column.into())
    }
}

impl ImagePlan {
    /// Any field of a plate, or labels of a field.
    pub fn of_plate(plate: &PlateMarker, path: &str) -> Option<ImagePlan> {
        let mut shape = plate.shape()?;
        let mut extents = plate.extents();
        let mut labels = are_labels(&plate.suffix, shape.dtype) || are_labels(&plate.prefix, shape.dtype);
        if let Some((_, name)) = super::labels::parse(path) {
            let set = plate.labels_named(name)?;
            (shape.dtype, shape.chunk, shape.samples) = (set.dtype()?, set.chunk(), 1);
            // Labels are as the image is along all other axes; a viewer lays them over each of its channels.
            (extents.channels, labels) = (None, true);
        }
        let [height, width] = [shape.height, shape.width];
        let full = LevelPlan { name: 0, height, width, chunk: shape.chunk, level: Level::FULL, made_from: None };
        let mut levels = vec![full];
        if let Some(factor) = plate.overview {
            levels.push(made_level(&levels, 1, 0, factor)?);
        }
        Some(ImagePlan {
            path: path.to_owned(),
            name: None,
            extents,
            samples: shape.samples,
            dtype: shape.dtype,
            levels,
            calibration: plate.calibration(),
            channels: Vec::new(),
            labels,
            shard: plate.shard,
        })
    }

    /// Path of the array `level` in the store.
    pub fn array_path(&self, level: u64) -> String {
        if self.path.is_empty() { level.to_string() } else { format!("{}/{level}", self.path) }
    }

    /// A level as records know it.
    pub fn array_use(&self, level: &LevelPlan) -> ArrayUse {
        ArrayUse {
            path: self.array_path(level.name),
            dtype: self.dtype,
            chunk_shape: self.extents.chunk_shape(self.samples, level.chunk[0], level.chunk[1]),
            derived: level.made_from.is_some(),
        }
    }
}

impl Plan {
    /// A file that is part of a plate: its planes are those of one field, or of the labels of one, whose group is at
    /// `path`. `extents` tells which axes the plate has.
    pub fn in_plate(layout: &Layout, placed: Placed, path: String, extents: Extents) -> Option<Plan> {
        let array = layout.arrays.first()?;
        let axes = image_axes(layout, 0, array.planes);
        let part = ArrayPlan { image: 0, level: 0, axes, origin: placed.plane, extents };
        let mut image = image_of(layout, 0, array, path, extents);
        image.extents = (0..array.planes).fold(extents, |extents, plane| extents.reaching(part.plane(plane)));
        if let Some(factor) = overview_factor(array.height, array.width) {
            image.levels.push(made_level(&image.levels, 1, 0, factor)?);
        }
        Some(Plan { images: vec![image], arrays: vec![part] })
    }

    /// A file that holds the labels of an image with these extents and sizes; their group is at `path`.
    pub fn of_labels(layout: &Layout, path: String, extents: Extents, calibration: Calibration) -> Option<Plan> {
        let array = layout.arrays.first()?;
        let axes = image_axes(layout, 0, array.planes);
        let part = ArrayPlan { image: 0, level: 0, axes, origin: PlaneAt::default(), extents };
        let mut image = ImagePlan { calibration, labels: true, ..image_of(layout, 0, array, path, extents) };
        complete_pyramid(&mut image);
        Some(Plan { images: vec![image], arrays: vec![part] })
    }

    /// A file of its own images; `path` gives the group of each.
    pub fn of_images(layout: &Layout, path: impl Fn(u64) -> String) -> Option<Plan> {
        let mut numbers: Vec<u32> = Vec::new();
        let mut plan = Plan { images: Vec::new(), arrays: Vec::new() };
        for array in layout.arrays.iter().filter(|array| matches!(array.role, Role::Full(_))) {
            let Role::Full(number) = array.role else { continue };
            let axes = image_axes(layout, number, array.planes);
            let path = path(plan.images.len() as u64);
            plan.images.push(image_of(layout, number, array, path, extents_of(&axes)));
            numbers.push(number);
        }
        for array in &layout.arrays {
            plan.place(layout, array, &mut numbers, &path)?;
        }
        plan.images.iter_mut().for_each(complete_pyramid);
        Some(plan)
    }

    /// Adds an array of the layout: the full resolution of an image, or a reduced level that is in the file.
    fn place(
        &mut self,
        layout: &Layout,
        array: &Array,
        numbers: &mut Vec<u32>,
        path: &impl Fn(u64) -> String,
    ) -> Option<()> {
        let (number, level) = match array.role {
            Role::Full(number) => (number, 0),
            Role::Reduced(number, level) => (number, u64::from(level)),
        };
        let index = numbers.iter().position(|other| *other == number)?;
        let axes = image_axes(layout, number, array.planes);
        let extents = extents_of(&axes);
        let mut part = ArrayPlan { image: index, level, axes, origin: PlaneAt::default(), extents };
        if level > 0 {
            let image = self.images.get_mut(index)?;
            match listed_level(image, array, level, extents) {
                Some(level) => image.levels.push(level),
                // One that is no level of the image is an image of its own.
                None => {
                    let path = path(self.images.len() as u64);
                    (part.image, part.level) = (self.images.len(), 0);
                    numbers.push(u32::MAX);
                    self.images.push(image_of(layout, u32::MAX, array, path, extents));
                }
            }
        }
        self.arrays.push(part);
        Some(())
    }
}

/// What the metadata says of a level that is in the file, if it fits its image.
fn listed_level(image: &ImagePlan, array: &Array, level: u64, extents: Extents) -> Option<LevelPlan> {
    let full = image.levels.first()?;
    let alike = array.dtype == image.dtype && u64::from(array.samples) == image.samples && extents == image.extents;
    let fits = array.height <= full.height && array.width <= full.width;
    let scale = [full.height as f64 / array.height as f64, full.width as f64 / array.width as f64];
    let offset = scale.map(|scale| (scale - 1.0) / 2.0);
    (alike && fits).then(|| level_of(array, level, Level { scale, offset }))
}

fn image_of(layout: &Layout, number: u32, array: &Array, path: String, extents: Extents) -> ImagePlan {
    let index = number as usize;
    ImagePlan {
        path,
        name: layout.meta.names.get(index).cloned().flatten(),
        extents,
        samples: u64::from(array.samples),
        dtype: array.dtype,
        levels: vec![level_of(array, 0, Level::FULL)],
        calibration: layout.meta.calibration.get(index).copied().unwrap_or_default(),
        channels: layout.meta.channels.get(index).cloned().unwrap_or_default(),
        labels: false,
        shard: None,
    }
}

/// Whether a file of integers is called what people call files of labels.
pub(super) fn are_labels(name: &str, dtype: Dtype) -> bool {
    const WORDS: [&str; 7] = ["mask", "masks", "label", "labels", "seg", "segmentation", "objects"];
    let integers = !matches!(dtype, Dtype::F32 | Dtype::F64);
    let mut words = name.split(|c: char| !c.is_ascii_alphabetic());
    integers && words.any(|word| WORDS.iter().any(|known| word.eq_ignore_ascii_case(known)))
}

fn level_of(array: &Array, name: u64, level: Level) -> LevelPlan {
    let chunk = [array.chunk_height, array.chunk_width];
    LevelPlan { name, height: array.height, width: array.width, chunk, level, made_from: None }
}

/// A level made of means, `factor` smaller than level `from`.
fn made_level(levels: &[LevelPlan], name: u64, from: usize, factor: u64) -> Option<LevelPlan> {
    let above = levels.get(from)?;
    let (height, width) = (reduced(above.height, factor), reduced(above.width, factor));
    let chunk = [height.min(LEVEL_CHUNK), width.min(LEVEL_CHUNK)];
    let step = Level::of_means(factor);
    let scale = [0, 1].map(|axis| above.level.scale[axis] * step.scale[axis]);
    let offset = [0, 1].map(|axis| above.level.offset[axis] + above.level.scale[axis] * step.offset[axis]);
    let level = Level { scale, offset };
    Some(LevelPlan { name, height, width, chunk, level, made_from: Some((from, factor)) })
}

/// Levels of half the size each, for large images that bring none themselves.
fn complete_pyramid(image: &mut ImagePlan) {
    let side = |level: &LevelPlan| level.height.max(level.width);
    if image.levels.len() > 1 || image.levels.first().is_none_or(|full| side(full) <= PYRAMID_ABOVE) {
        return;
    }
    while let Some(last) = image.levels.last().filter(|last| side(last) > PYRAMID_DOWN_TO) {
        let (name, from) = (last.name + 1, image.levels.len() - 1);
        match made_level(&image.levels, name, from, 2) {
            Some(level) => image.levels.push(level),
            None => return,
        }
    }
}

fn extents_of(axes: &[(Axis, u64)]) -> Extents {
    let extent = |wanted| axes.iter().find(|(axis, _)| *axis == wanted).map(|(_, extent)| *extent);
    Extents { time: extent(Axis::Time), channels: Some(extent(Axis::Channel).unwrap_or(1)), depth: extent(Axis::Depth) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::ImageMeta;

    fn array(planes: u64, side: u64, role: Role) -> Array {
        Array {
            dtype: Dtype::U16,
            planes,
            samples: 1,
            height: side,
            width: side,
            chunk_height: side,
            chunk_width: side,
            role,
        }
    }

    fn layout(arrays: Vec<Array>, axes: &[(Axis, u64)]) -> Layout {
        let meta = ImageMeta { axes: vec![axes.to_vec()], ..ImageMeta::default() };
        Layout { size: 1000, arrays, segments: Vec::new(), meta }
    }

    #[test]
    fn planes_come_in_the_order_of_the_file_and_go_in_that_of_the_axes() {
        let axes = [(Axis::Depth, 2), (Axis::Time, 3), (Axis::Channel, 2)];
        let plan = Plan::of_images(&layout(vec![array(12, 8, Role::Full(0))], &axes), |n| n.to_string()).unwrap();
        let chunk = ChunkIndex { array: 0, plane: 7, row: 0, column: 0 };
        assert_eq!(plan.images[0].extents.axes(), ["t", "c", "z", "y", "x"]);
        assert_eq!(plan.arrays[0].chunk(chunk), [0, 1, 1, 0, 0]);
    }

    #[test]
    fn levels_of_the_file_are_used_and_no_others_are_made() {
        let arrays = vec![array(1, 4096, Role::Full(0)), array(1, 1024, Role::Reduced(0, 1))];
        let plan = Plan::of_images(&layout(arrays, &[]), |_| String::new()).unwrap();
        assert_eq!(plan.images[0].levels.len(), 2);
        assert_eq!(plan.images[0].levels[1].level, Level { scale: [4.0; 2], offset: [1.5; 2] });
        assert_eq!(plan.images[0].levels[1].made_from, None);
        assert_eq!((plan.arrays[1].level, plan.images[0].array_path(1)), (1, "1".to_owned()));
    }

    #[test]
    fn a_large_image_gets_a_pyramid_of_halves() {
        let plan = Plan::of_images(&layout(vec![array(1, 5000, Role::Full(0))], &[]), |_| "3".into()).unwrap();
        let sides: Vec<u64> = plan.images[0].levels.iter().map(|level| level.height).collect();
        assert_eq!(sides, [5000, 2500, 1250, 625, 313]);
        let last = plan.images[0].levels[4].level;
        assert_eq!((last.scale[0], last.offset[0]), (16.0, 7.5));
        assert_eq!(plan.images[0].array_path(4), "3/4");
    }

    #[test]
    fn a_plane_of_a_plate_has_one_overview() {
        let plate = Extents { time: None, channels: Some(1), depth: None };
        let plane = PlaneAt { time: 0, channel: 2, depth: 0 };
        let placed = Placed { well: crate::plate::WellPosition { row: 1, column: 2 }, field: 1, plane };
        let plan =
            Plan::in_plate(&layout(vec![array(1, 1080, Role::Full(0))], &[]), placed, placed.path(), plate).unwrap();
        assert_eq!(plan.images[0].path, "B/03/1");
        assert_eq!(plan.images[0].extents.channels, Some(3));
        assert_eq!(plan.images[0].levels[1].height, 270);
        assert_eq!(plan.images[0].levels[1].made_from, Some((0, 4)));
        assert_eq!(plan.arrays[0].chunk(ChunkIndex { array: 0, plane: 0, row: 0, column: 0 }), [2, 0, 0]);
    }
}
