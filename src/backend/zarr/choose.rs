//! Which store a file belongs to.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::marker::{Kind, PlateShape};
use crate::model::RelPath;
use crate::plate::{ChannelKey, Recognised, Recogniser};
use crate::view::{Array, Axis, Layout, Role};

/// Ending of every store's name.
pub(super) const ENDING: &str = ".ome.zarr";
/// Images above this many bytes have a store of their own.
const LARGE: u64 = 256 << 20;

/// The store that a file belongs to, and where in it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The directory that the store stands in.
    pub base: RelPath,
    /// What kind of store, with what sets it apart from others of its kind there.
    pub kind: TargetKind,
    /// Names for the store if it has to be made, the best first, without the ending.
    pub stems: Vec<OsString>,
}

/// What kind of store.
#[derive(Debug, Clone)]
pub(super) enum TargetKind {
    /// A plate, and what the name says of the file.
    Plate(Box<PlateShape>, Recognised),
    /// The collection of the directory.
    Collection,
    /// A store of the file's own.
    Image,
}

impl TargetKind {
    /// The word in the marker.
    pub fn kind(&self) -> Kind {
        match self {
            TargetKind::Plate(..) => Kind::Plate,
            TargetKind::Collection => Kind::Collection,
            TargetKind::Image => Kind::Image,
        }
    }
}

/// Chooses for the file `name` that is made up as `layout` says.
pub(super) fn choose(name: &RelPath, layout: &Layout, recogniser: &Recogniser) -> Target {
    if let Some(recognised) = recogniser.recognise(name)
        && !counts_on(&recognised.key.suffix)
        && let Some(shape) = plate_shape(&recognised, layout)
    {
        let base = recognised.base(name);
        let stems = plate_stems(&base, &recognised);
        return Target { base, kind: TargetKind::Plate(Box::new(shape), recognised), stems };
    }
    let (base, file) = name.split().map_or((RelPath::root(), OsString::new()), |(dir, file)| (dir, file.to_owned()));
    if layout.size > LARGE {
        return Target { stems: vec![stem(&file)], base, kind: TargetKind::Image };
    }
    let mut collection = directory_name(&base).unwrap_or_else(|| "workspace".into());
    collection.push(".images");
    Target { stems: vec![collection], base, kind: TargetKind::Collection }
}

/// Whether a name goes on with a number of its own (`_cell_17`): a further plate for each number would hold next to nothing.
fn counts_on(suffix: &str) -> bool {
    let last = suffix.rsplit(['_', '-', '.', ' ']).next().unwrap_or_default();
    !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
}

/// What the plate's planes are like, if the file can be part of one: all its planes belong to one image, and its axes
/// are none that the name speaks of.
fn plate_shape(recognised: &Recognised, layout: &Layout) -> Option<PlateShape> {
    let [array] = layout.arrays.as_slice() else { return None };
    if array.role != Role::Full(0) {
        return None;
    }
    let inner = inner_axes(layout, array);
    let named = |axis: &Axis| match axis {
        Axis::Time => recognised.key.has_time,
        Axis::Depth => recognised.key.has_depth,
        Axis::Channel => recognised.position.channel != ChannelKey::Number(1),
    };
    if inner.iter().any(named) {
        return None;
    }
    Some(PlateShape {
        key: recognised.key.clone(),
        dtype: array.dtype,
        samples: u64::from(array.samples),
        height: array.height,
        width: array.width,
        chunk: [array.chunk_height, array.chunk_width],
        inner,
    })
}

/// The leading axes of the first image that have more than one plane.
fn inner_axes(layout: &Layout, array: &Array) -> Vec<Axis> {
    image_axes(layout, 0, array.planes).into_iter().filter(|(_, extent)| *extent > 1).map(|(axis, _)| axis).collect()
}

/// The leading axes of image `image` with `planes` planes, slowest first. Where the file does not say, or what it says
/// does not add up, planes are focal planes.
pub(super) fn image_axes(layout: &Layout, image: u32, planes: u64) -> Vec<(Axis, u64)> {
    let said = layout.meta.axes.get(image as usize).cloned().unwrap_or_default();
    let product = said.iter().try_fold(1_u64, |product, (_, extent)| product.checked_mul(*extent));
    let once = |axis| said.iter().filter(|(other, _)| *other == axis).count() <= 1;
    let sound = product == Some(planes) && [Axis::Time, Axis::Channel, Axis::Depth].into_iter().all(once);
    match (sound && !said.is_empty(), planes) {
        (true, _) => said,
        (false, 0 | 1) => Vec::new(),
        (false, _) => vec![(Axis::Depth, planes)],
    }
}

/// A plate is called after its directory, a further one there after the literal that sets it apart.
fn plate_stems(base: &RelPath, recognised: &Recognised) -> Vec<OsString> {
    let key = &recognised.key;
    let apart = |text: &str| text.trim_matches(|c: char| "_-. ".contains(c)).to_owned();
    let (prefix, suffix) = (apart(&key.prefix), apart(&key.suffix));
    let directory =
        directory_name(base).unwrap_or_else(|| OsString::from(if prefix.is_empty() { "plate" } else { &prefix }));
    let mut stems = vec![directory.clone()];
    for literal in [suffix, prefix].into_iter().filter(|literal| !literal.is_empty() && !literal.contains('/')) {
        let mut stem = directory.clone();
        stem.push("_");
        stem.push(literal);
        stems.push(stem);
    }
    stems
}

fn directory_name(base: &RelPath) -> Option<OsString> {
    base.split().map(|(_, name)| name.to_owned())
}

/// A file's name without its extension.
fn stem(file: &OsString) -> OsString {
    let bytes = file.as_bytes();
    let end = [&b".ome.tiff"[..], b".ome.tif", b".tiff", b".tif", b".npy"]
        .into_iter()
        .find(|ending| bytes.len() > ending.len() && bytes.to_ascii_lowercase().ends_with(ending))
        .map_or(bytes.len(), |ending| bytes.len() - ending.len());
    OsString::from_vec(bytes.get(..end).unwrap_or(bytes).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{Dtype, ImageMeta};

    fn layout(planes: u64, axes: &[(Axis, u64)]) -> Layout {
        let array = Array {
            dtype: Dtype::U16,
            planes,
            samples: 1,
            height: 8,
            width: 8,
            chunk_height: 8,
            chunk_width: 8,
            role: Role::Full(0),
        };
        let meta = ImageMeta { axes: vec![axes.to_vec()], ..ImageMeta::default() };
        Layout { size: 1000, arrays: vec![array], segments: Vec::new(), meta }
    }

    fn choose_for(name: &str, layout: &Layout) -> Target {
        let name = RelPath::from_bytes(name.as_bytes()).unwrap();
        choose(&name, layout, &Recogniser::new(&[]).unwrap())
    }

    #[test]
    fn a_plate_spread_over_folders_has_its_store_at_their_root() {
        let target = choose_for("lab/P1/TimePoint_2/P1_B03_s1_w2.tif", &layout(1, &[]));
        assert_eq!(target.base.to_string(), "lab/P1");
        assert_eq!(target.kind.kind(), Kind::Plate);
        assert_eq!(target.stems[0], "P1");
    }

    #[test]
    fn a_further_plate_is_named_after_what_sets_it_apart() {
        let target = choose_for("P1/P1_B03_s1_w2_mask.tif", &layout(1, &[]));
        assert_eq!(target.stems, ["P1", "P1_mask", "P1_P1"]);
    }

    #[test]
    fn names_that_go_on_with_a_running_number_share_the_collection() {
        for name in ["P1/P1_B03_s1_w2_cell_17.tif", "P1/P1_B03_s1_w2_cell-3.tif"] {
            let target = choose_for(name, &layout(1, &[]));
            assert_eq!((target.kind.kind(), target.stems[0].to_str()), (Kind::Collection, Some("P1.images")));
        }
        assert_eq!(choose_for("P1/P1_B03_s1_w2_mask2.tif", &layout(1, &[])).kind.kind(), Kind::Plate);
    }

    #[test]
    fn planes_of_an_axis_that_the_name_speaks_of_are_no_plate() {
        let stack = layout(5, &[(Axis::Depth, 5)]);
        assert_eq!(choose_for("P1/B03_s1_w1.tif", &stack).kind.kind(), Kind::Plate);
        assert_eq!(choose_for("P1/B03_s1_w1_z3.tif", &stack).kind.kind(), Kind::Collection);
    }

    #[test]
    fn other_images_share_a_collection_and_large_ones_do_not() {
        let target = choose_for("a/cells.ome.tif", &layout(1, &[]));
        assert_eq!((target.kind.kind(), target.stems[0].to_str()), (Kind::Collection, Some("a.images")));
        let large = Layout { size: LARGE + 1, ..layout(1, &[]) };
        let target = choose_for("a/cells.ome.tif", &large);
        assert_eq!((target.kind.kind(), target.stems[0].to_str()), (Kind::Image, Some("cells")));
    }

    #[test]
    fn axes_that_do_not_add_up_are_not_believed() {
        assert_eq!(image_axes(&layout(6, &[(Axis::Time, 5)]), 0, 6), [(Axis::Depth, 6)]);
        assert_eq!(image_axes(&layout(6, &[(Axis::Time, 6)]), 0, 6), [(Axis::Time, 6)]);
        assert_eq!(image_axes(&layout(1, &[]), 0, 1), []);
    }
}
