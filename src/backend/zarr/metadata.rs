//! What readers need to find their way: arrays, images, wells, plate; made in this order, removed in reverse.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::io;
use std::sync::atomic::Ordering;

use super::array::ArraySpec;
use super::documents::{at_least_as_declared, edit_group, forget_image, put_array, put_array_like};
use super::ground::{below, zarr_version};
use super::marker::{Kind, PlateMarker};
use super::ngff::{
    ChannelDisplay, ImageDescription, Level, PlateDescription, describe_collection, describe_image, describe_labels,
    describe_plate, describe_series, describe_well,
};
use super::numbering::{parse_field, well_path};
use super::pages::bytes_spec;
use super::plan::ImagePlan;
use super::store::{OWN, State, Store};
use super::table::LITERALS;
use crate::model::RelPath;
use crate::plate::WellPosition;

/// So many images are looked at for arrays that may say the same as those that are made.
const LOOKED_AT: usize = 64;

/// Group of a collection that lists its images.
pub(super) const SERIES: &str = "OME";

/// What the metadata of a group or an array may be in, the group's last.
const DOCUMENTS: [&str; 4] = [".zarray", ".zattrs", "zarr.json", ".zgroup"];

impl Store {
    /// Makes the store's own groups, if they are not there.
    pub fn create(&self, state: &State) -> io::Result<()> {
        let place = self.place();
        if self.is_created() {
            return Ok(());
        }
        self.in_work.store(true, Ordering::Release);
        let (files, base) = (&self.ground.files, self.base());
        // Whoever removed the directory meanwhile does not find it there again.
        files.keeping_times(&base, || files.make_dir(&place)).inspect_err(|_| {
            self.in_work.store(false, Ordering::Release);
        })?;
        edit_group(&self.ground, (&place, &place), self.version, |_| Ok(()))?;
        self.ground.reached("making")?;
        self.put_marker(state)?;
        super::readme::put(self)?;
        self.created.store(true, Ordering::Release);
        self.in_work.store(false, Ordering::Release);
        Ok(())
    }

    /// Writes the marker.
    pub fn put_marker(&self, state: &State) -> io::Result<()> {
        let place = self.place();
        edit_group(&self.ground, (&place, &below(&place, OWN)), self.version, |document| {
            state.marker.write(document.attributes())
        })
    }

    /// Makes the array of literal bytes declare as many chunks as were given out, in doublings.
    pub fn declare_literals(&self, state: &mut State) -> io::Result<()> {
        if state.next_literal > state.literals_declared {
            let extent = state.next_literal.next_power_of_two();
            put_array(&self.ground, &below(&self.place(), LITERALS), &bytes_spec(self.version, extent))?;
            state.literals_declared = extent;
        }
        Ok(())
    }

    /// Makes the arrays of an image, or brings them to the image's extents; where these are smaller than what is there,
    /// not if `keep_larger`.
    pub fn put_arrays(&self, image: &ImagePlan, keep_larger: bool) -> io::Result<()> {
        self.put_arrays_like(image, keep_larger, None)
    }

    /// The same; `like` is an image whose arrays may say the same.
    fn put_arrays_like(&self, image: &ImagePlan, keep_larger: bool, like: Option<&str>) -> io::Result<()> {
        let place = self.place();
        for level in &image.levels {
            let spec = ArraySpec {
                version: zarr_version(self.version),
                dtype: image.dtype,
                shape: image.extents.shape(image.samples, level.height, level.width),
                chunk: image.extents.chunk_shape(image.samples, level.chunk[0], level.chunk[1]),
                shard: image.shard_shape(level),
                names: (self.version == crate::config::Ngff::V05)
                    .then(|| image.extents.axes().into_iter().map(str::to_owned).collect()),
            };
            let like = like.map(|like| below(&below(&place, like), &level.name.to_string()));
            let dir = below(&place, &image.array_path(level.name));
            let spec = if keep_larger { at_least_as_declared(&self.ground, &dir, spec)? } else { spec };
            put_array_like(&self.ground, &dir, &spec, like.as_ref())?;
        }
        Ok(())
    }

    /// Writes what an image's group says.
    pub fn put_image(&self, image: &ImagePlan, name: &str, channels: &[ChannelDisplay]) -> io::Result<()> {
        let place = self.place();
        // A label is that of the first pixel of its block, and stands where that one does.
        let offset = |level: Level| if image.labels { Level { offset: [0.0; 2], ..level } } else { level };
        let levels: Vec<Level> = image.levels.iter().map(|level| offset(level.level)).collect();
        let description = ImageDescription {
            name,
            extents: image.extents,
            samples: image.samples,
            levels: &levels,
            calibration: image.calibration,
            channels,
            labels: image.labels,
        };
        let labels = super::labels::parse(&image.path).map(|(_, name)| name);
        edit_group(&self.ground, (&place, &below(&place, &image.path)), self.version, |document| {
            match labels {
                Some(name) => {
                    describe_labels(document.ome(), &ImageDescription { name, ..description }, self.version);
                }
                None => describe_image(document.ome(), &description, self.version),
            }
            Ok(())
        })?;
        self.list_labels(&image.path)
    }

    /// Writes what a field of a plate says, or labels of a field.
    pub fn put_field(&self, plate: &PlateMarker, path: &str) -> io::Result<()> {
        let image = ImagePlan::of_plate(plate, path).ok_or(io::ErrorKind::InvalidData)?;
        self.put_image(&image, path, &plate.channels())
    }

    /// Makes the arrays of fields of a plate, and of their labels, or brings them to the plate's extents. `known` are
    /// images that are there already.
    pub fn put_fields_arrays<'p>(
        &self,
        plate: &PlateMarker,
        paths: impl Iterator<Item = &'p String>,
        known: impl Iterator<Item = &'p String>,
    ) -> io::Result<()> {
        let name = |path: &str| super::labels::parse(path).map(|(_, name)| name.to_owned());
        // Where inodes are to be few, arrays that say the same are one file with many names.
        let shared = plate.shard.is_some();
        let mut like: HashMap<Option<String>, String> = HashMap::new();
        for path in known.take(if shared { LOOKED_AT } else { 0 }) {
            like.entry(name(path)).or_insert_with(|| path.clone());
        }
        for path in paths {
            let image = ImagePlan::of_plate(plate, path).ok_or(io::ErrorKind::InvalidData)?;
            let name = name(path);
            self.put_arrays_like(&image, false, like.get(&name).map(String::as_str).filter(|_| shared))?;
            like.entry(name).or_insert_with(|| path.clone());
        }
        Ok(())
    }

    /// Writes what a well says of its fields.
    pub fn put_well(&self, state: &State, well: WellPosition) -> io::Result<()> {
        let place = self.place();
        let path = well_path(well);
        let row = path.split('/').next().unwrap_or_default();
        // A row says nothing, but readers expect a group.
        edit_group(&self.ground, (&place, &below(&place, row)), self.version, |_| Ok(()))?;
        let fields = state.fields_of(well);
        edit_group(&self.ground, (&place, &below(&place, &path)), self.version, |document| {
            describe_well(document.ome(), &fields, self.version);
            Ok(())
        })
    }

    /// Writes what the root says: the plate and its wells, or the collection and its images.
    pub fn put_root(&self, state: &State) -> io::Result<()> {
        match (self.kind, state.images.contains_key("")) {
            (Kind::Plate, _) => self.put_plate(state),
            (_, true) => Ok(()),
            _ => self.put_collection(state),
        }
    }

    fn put_plate(&self, state: &State) -> io::Result<()> {
        let Some(plate) = &state.marker.plate else { return Ok(()) };
        let place = self.place();
        let (mut wells, mut most) = (BTreeSet::new(), 0);
        let mut of_well = (None, 0);
        for (well, _) in state.fields() {
            wells.insert(well);
            of_well = if of_well.0 == Some(well) { (of_well.0, of_well.1 + 1) } else { (Some(well), 1) };
            most = most.max(of_well.1);
        }
        let name = place.split().map(|(_, name)| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = name.strip_suffix(super::choose::ENDING).unwrap_or(&name);
        let description =
            PlateDescription { name, rows: plate.rows, columns: plate.columns, fields: most, wells: &wells };
        edit_group(&self.ground, (&place, &place), self.version, |document| {
            describe_plate(document.ome(), &description, self.version);
            Ok(())
        })
    }

    fn put_collection(&self, state: &State) -> io::Result<()> {
        let place = self.place();
        let images: BTreeSet<u64> = state.images.keys().filter_map(|image| image.parse().ok()).collect();
        edit_group(&self.ground, (&place, &below(&place, SERIES)), self.version, |document| {
            describe_series(document.ome(), &images);
            Ok(())
        })?;
        edit_group(&self.ground, (&place, &place), self.version, |document| {
            describe_collection(document.ome());
            Ok(())
        })
    }

    /// The files that make up an image's group and its arrays, and are ours.
    pub fn drop_image(&self, path: &str) -> io::Result<()> {
        let place = self.place();
        let group = below(&place, path);
        // Without arrays it is no image: said before they go.
        forget_image(&self.ground, &group, self.version)?;
        let names = self.names_in(&group)?.unwrap_or_default();
        let mut levels: Vec<u64> = names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect();
        levels.sort_unstable();
        for level in levels.into_iter().rev() {
            self.drop_documents(&place, &group.join(level.to_string().as_ref()))?;
        }
        if path.is_empty() { Ok(()) } else { self.drop_documents(&place, &group) }
    }

    /// Removes the metadata of a group or array, and its directory if nothing else is in it: what others put there keeps
    /// its group.
    pub fn drop_documents(&self, place: &RelPath, dir: &RelPath) -> io::Result<()> {
        let Some(names) = self.names_in(dir)? else { return Ok(()) };
        if !names.iter().all(|name| DOCUMENTS.iter().any(|document| name == document)) {
            return Ok(());
        }
        // In this order: what a failure leaves is still a group.
        for name in DOCUMENTS.iter().filter(|name| names.iter().any(|there| there == *name)) {
            self.ground.files.tree().unlink(&dir.join(name.as_ref()))?;
        }
        self.ground.files.remove_empty(&dir.join(DOCUMENTS[0].as_ref()), place)
    }

    /// Names in a directory; `None` if there is no such directory.
    fn names_in(&self, dir: &RelPath) -> io::Result<Option<Vec<OsString>>> {
        match self.ground.files.tree().list(dir) {
            Ok(entries) => Ok(Some(entries.into_iter().map(|entry| entry.name).collect())),
            Err(e) if crate::backend::is_absent(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

impl State {
    /// All fields of a plate, well by well.
    pub fn fields(&self) -> impl Iterator<Item = (WellPosition, u64)> + '_ {
        self.images.keys().filter_map(|path| parse_field(path))
    }

    /// Numbers of the fields of one well.
    pub fn fields_of(&self, well: WellPosition) -> BTreeSet<u64> {
        let prefix = format!("{}/", well_path(well));
        let from = self.images.range(prefix.clone()..).map(|(path, _)| path);
        from.take_while(|path| path.starts_with(&prefix)).filter_map(|path| parse_field(path)).map(|(_, n)| n).collect()
    }
}
