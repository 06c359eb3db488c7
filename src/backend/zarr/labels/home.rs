//! The image that a file of labels belongs to: in the same directory, by its name; in the directories above only where
//! the rule says which images it means.

use std::io;

use serde_json::Value;

use super::super::array::ChunkArray;
use super::super::batch::Held;
use super::super::choose::image_axes;
use super::super::ground::{below, zarr_version};
use super::super::marker::{Kind, PlateMarker};
use super::super::ngff::{Document, Extents};
use super::super::store::{Store, image_of, relative, whole};
use super::super::stores::{LabelsOf, Subject};
use super::super::{Zarr, labels};
use super::names;
use crate::model::RelPath;
use crate::plate::Recognised;
use crate::view::{Array, Axis, Calibration, Dtype, Layout, Role};

/// A file whose pixels can be labels.
pub(super) struct Labels<'a> {
    pub subject: &'a Subject,
    pub of: &'a LabelsOf,
    pub layout: &'a Layout,
    pub array: &'a Array,
    /// Its leading axes.
    pub axes: Vec<(Axis, u64)>,
}

/// An image of a collection, or of a store of its own.
pub(super) struct Image {
    /// Its group in the store.
    pub group: String,
    /// What the labels are called.
    pub name: String,
}

/// What an image is like.
pub(super) struct Shape {
    pub extents: Extents,
    pub height: u64,
    pub width: u64,
    pub levels: usize,
    pub calibration: Calibration,
}

impl<'a> Labels<'a> {
    /// `None` if the rule makes no labels of the file, or NGFF has none like it: they are one image of integers, one to
    /// a pixel, without channels.
    pub fn of(subject: &'a Subject, layout: &'a Layout) -> Option<Labels<'a>> {
        let of = subject.labels.as_ref()?;
        let [array] = layout.arrays.as_slice() else { return None };
        let axes = image_axes(layout, 0, array.planes);
        let integers = !matches!(array.dtype, Dtype::F32 | Dtype::F64);
        let single = array.samples == 1 && array.role == Role::Full(0);
        let channels = axes.iter().any(|(axis, extent)| *axis == Axis::Channel && *extent > 1);
        (integers && single && !channels).then_some(Labels { subject, of, layout, array, axes })
    }

    fn along(&self, wanted: Axis) -> u64 {
        self.axes.iter().find(|(axis, _)| *axis == wanted).map_or(1, |(_, extent)| *extent)
    }

    /// The directories in which the image may be: `base`, and those above it, for labels that are called as the folder
    /// that they are in.
    fn dirs(&self, base: &RelPath) -> Vec<(RelPath, Option<String>)> {
        let folder = base.split().map(|(_, name)| name.to_string_lossy().into_owned());
        let parent = |dir: &RelPath| dir.split().map(|(above, _)| above);
        let above = std::iter::successors(parent(base), parent).filter(|_| self.of.named);
        std::iter::once((base.clone(), None)).chain(above.map(|dir| (dir, folder.clone()))).collect()
    }

    /// The plate whose planes it is the labels of, with the file reserved in it, and what the labels are called.
    pub fn plate(&self, zarr: &Zarr, base: &RelPath, recognised: &Recognised) -> io::Result<Option<(Held, String)>> {
        for (dir, folder) in self.dirs(base) {
            let rank = |store: &Store| self.rank_plate(store, (base, &dir, folder.as_deref()), recognised);
            if let Some((store, name)) = zarr.registry.reserve_best(&dir, rank)? {
                return Ok(Some((Held { store, claims: Vec::new() }, name)));
            }
        }
        Ok(None)
    }

    /// How much more its name says than those of a plate, if it may be labels of that.
    fn rank_plate(
        &self,
        store: &Store,
        (base, dir, folder): (&RelPath, &RelPath, Option<&str>),
        recognised: &Recognised,
    ) -> Option<(usize, String)> {
        let shape = store.shape.as_ref()?;
        let (front, behind) = names::added(&recognised.key, &shape.key)?;
        let name = names::label_name(&[front, behind]).or_else(|| names::label_name(&[folder?]))?;
        let path = self.subject.names.first()?;
        let rest = relative(base, path)?;
        let (inner, file) = rest.split()?;
        let image = names::image_name(file, (front, behind), &recognised.key.extension, &shape.key.extension)?;
        let image = whole(dir, &inner.join(image.as_ref()));
        let state = store.state.lock();
        let fits = self.fits(state.marker.plate.as_ref()?, recognised) && (self.of.may_be)(&image);
        fits.then_some((front.len() + behind.len(), name))
    }

    fn fits(&self, plate: &PlateMarker, recognised: &Recognised) -> bool {
        let chunk = [self.array.chunk_height, self.array.chunk_width];
        let time = recognised.key.has_time || self.along(Axis::Time) > 1;
        let depth = recognised.key.has_depth || self.along(Axis::Depth) > 1;
        [plate.height, plate.width] == [self.array.height, self.array.width]
            && (!time || plate.extent_t.is_some())
            && (!depth || plate.extent_z.is_some())
            // All shards of a store have the same slots.
            && (plate.shard.is_none() || plate.chunk == chunk)
    }

    /// The image of its own that it is the labels of, with the file reserved in its store.
    pub fn image(&self, zarr: &Zarr) -> io::Result<Option<(Held, Image)>> {
        let path = self.subject.names.first().and_then(|path| path.split());
        let Some((base, file)) = path else { return Ok(None) };
        for (dir, folder) in self.dirs(&base) {
            let candidates = names::candidates(file, folder.as_deref());
            let rank = |store: &Store| self.rank_image(store, &dir, &candidates);
            if let Some((store, image)) = zarr.registry.reserve_best(&dir, rank)? {
                return Ok(Some((Held { store, claims: Vec::new() }, image)));
            }
        }
        Ok(None)
    }

    fn rank_image(&self, store: &Store, dir: &RelPath, candidates: &[(String, String)]) -> Option<(usize, Image)> {
        if store.kind == Kind::Plate {
            return None;
        }
        let state = store.state.lock();
        candidates.iter().enumerate().find_map(|(rank, (file, labels))| {
            let name = RelPath::from_bytes(file.as_bytes())?;
            let entry = state.entries.get(state.by_name.get(&name)?)?;
            let group = image_of(&entry.array);
            let is_image = labels::parse(group).is_none() && (self.of.may_be)(&whole(dir, &name));
            is_image.then(|| (rank, Image { group: group.to_owned(), name: labels.clone() }))
        })
    }

    /// Extents of its arrays below an image like `image`; `None` if it does not fit on it.
    pub fn extents_on(&self, image: &Shape) -> Option<Extents> {
        let reaches = |axis, extent: Option<u64>| self.along(axis) <= extent.unwrap_or(1);
        let fits = [image.height, image.width] == [self.array.height, self.array.width]
            && reaches(Axis::Time, image.extents.time)
            && reaches(Axis::Depth, image.extents.depth);
        fits.then_some(Extents { channels: None, ..image.extents })
    }
}

impl Shape {
    /// What the metadata of the image at `group` say; `None` if they make no sense.
    pub fn read(store: &Store, group: &str) -> io::Result<Option<Shape>> {
        let dir = below(&store.place(), group);
        let Some(bytes) = store.ground.document(&below(&dir, Document::file_name(store.version)))? else {
            return Ok(None);
        };
        let mut document = Document::parse(store.version, Some(&bytes))?;
        let Some(multiscale) = document.ome().get("multiscales").and_then(|all| all.get(0)).cloned() else {
            return Ok(None);
        };
        let version = zarr_version(store.version);
        let array = below(&dir, "0").join(ChunkArray::document_name(version));
        let Some(bytes) = store.ground.document(&array)? else { return Ok(None) };
        let invalid = |e| io::Error::new(io::ErrorKind::InvalidData, e);
        let array = ChunkArray::parse(version, &bytes).map_err(invalid)?;
        Ok(Shape::of(&multiscale, &array.spec().shape))
    }

    fn of(multiscale: &Value, shape: &[u64]) -> Option<Shape> {
        let axes = multiscale.get("axes")?.as_array()?;
        let datasets = multiscale.get("datasets")?.as_array()?;
        let scale = datasets.first()?.get("coordinateTransformations")?.get(0)?.get("scale")?.as_array()?;
        if axes.len() != shape.len() || scale.len() != shape.len() {
            return None;
        }
        let at = |name: &str| axes.iter().position(|axis| axis.get("name").and_then(Value::as_str) == Some(name));
        let extent = |name: &str| shape.get(at(name)?).copied();
        // Only with its unit is a scale a size.
        let size = |name: &str| axes.get(at(name)?)?.get("unit").and(scale.get(at(name)?)?.as_f64());
        Some(Shape {
            extents: Extents { time: extent("t"), channels: extent("c"), depth: extent("z") },
            height: extent("y")?,
            width: extent("x")?,
            levels: datasets.len(),
            calibration: Calibration { x: size("x"), y: size("y"), z: size("z"), t: size("t") },
        })
    }
}
