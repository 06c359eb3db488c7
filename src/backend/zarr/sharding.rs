//! Where the chunks of a plate's fields are, if they are gathered in shards: one for each field and level, or a further one
//! where a field has more planes than a shard.

use std::sync::Arc;

use super::array::{Shard, shard_name};
use super::ground::{Ground, below};
use super::marker::{Marker, PlateMarker};
use super::plan::{ImagePlan, LevelPlan};
use super::table::Due;
use crate::backend::Object;
use crate::model::RelPath;

/// Time points, channels and focal planes of a shard. Chunks keep their slots only as long as this stays, so it is
/// generous; but a shard is written anew with each plane that comes, so a long series goes on in a further one.
const PLANES: [u64; 3] = [8, 8, 64];

/// Slots that a shard should not have more of: each takes 16 bytes, used or not.
const SLOTS_MOST: u64 = 1 << 16;

/// How many chunks a shard of each level has along each dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sharding {
    levels: Vec<Vec<u64>>,
    /// The same for labels, which have no channels.
    labels: Vec<Vec<u64>>,
}

/// Where a chunk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    /// Path of the shard in the store.
    pub file: String,
    /// Which of the shard's chunks.
    pub slot: usize,
    /// How many it has room for.
    pub slots: usize,
}

/// Planes of a shard of a new plate.
pub(super) fn shard_planes(plate: &PlateMarker) -> [u64; 3] {
    let mut planes = PLANES;
    let bands = plate.height.div_ceil(plate.chunk[0].max(1)) * plate.width.div_ceil(plate.chunk[1].max(1));
    while planes.iter().product::<u64>() * bands > SLOTS_MOST && planes != [1; 3] {
        planes = planes.map(|extent| extent.div_ceil(2));
    }
    planes
}

impl ImagePlan {
    /// Shape of a shard of an array, if it has shards.
    pub fn shard_shape(&self, level: &LevelPlan) -> Option<Vec<u64>> {
        let [time, channels, depth] = self.shard?;
        let whole = |side: u64, chunk: u64| side.div_ceil(chunk.max(1)) * chunk;
        let plane = [whole(level.height, level.chunk[0]), whole(level.width, level.chunk[1])];
        let extents = self.extents;
        Some(extents.with(channels * self.samples, extents.time.map(|_| time), extents.depth.map(|_| depth), plane))
    }
}

impl Sharding {
    /// That of a store; `None` if it has no shards.
    pub fn of(marker: &Marker) -> Option<Arc<Sharding>> {
        let plate = marker.plate.as_ref()?;
        let image = ImagePlan::of_plate(plate, "")?;
        let counts = |level: &LevelPlan| {
            let shard = image.shard_shape(level)?;
            let chunk = image.array_use(level).chunk_shape;
            Some(shard.iter().zip(&chunk).map(|(shard, chunk)| (shard / chunk.max(&1)).max(1)).collect())
        };
        let levels = image.levels.iter().map(counts).collect::<Option<Vec<Vec<u64>>>>()?;
        let channel = usize::from(image.extents.time.is_some());
        let without = |counts: &Vec<u64>| {
            let kept = counts.iter().enumerate().filter(|(axis, _)| *axis != channel);
            kept.map(|(_, count)| *count).collect()
        };
        Some(Arc::new(Sharding { labels: levels.iter().map(without).collect(), levels }))
    }

    /// Chunks of a shard of `array` along each dimension; `None` if it has no shards.
    fn counts(&self, array: &str) -> Option<&Vec<u64>> {
        let (image, level) = array.rsplit_once('/')?;
        let levels = if super::labels::parse(image).is_some() { &self.labels } else { &self.levels };
        levels.get(level.parse::<usize>().ok()?)
    }

    /// Where the chunk `coords` of `array` is; `None` if that array has no shards.
    pub fn place(&self, array: &str, coords: &[u64]) -> Option<Slot> {
        let counts = self.counts(array)?;
        if counts.len() != coords.len() {
            return None;
        }
        let (mut slot, mut slots) = (0, 1);
        for (at, count) in coords.iter().zip(counts) {
            slot = slot * count + at % count;
            slots *= count;
        }
        let name = shard_name(coords.iter().zip(counts).map(|(at, count)| at / count));
        let file = format!("{array}/{name}");
        Some(Slot { file, slot: usize::try_from(slot).ok()?, slots: usize::try_from(slots).ok()? })
    }

    /// The same by the path that the chunk would have as a file.
    pub fn place_of(&self, path: &str) -> Option<Slot> {
        let (array, index) = path.rsplit_once("/c/")?;
        let coords = index.split('/').map(|at| at.parse().ok()).collect::<Option<Vec<u64>>>()?;
        self.place(array, &coords)
    }

    /// Removes shards with nothing in them, which the renames that were due have put in place.
    pub fn drop_empty(&self, ground: &Ground, store: &RelPath, dues: &[Due]) {
        for due in dues {
            let Due::Rename { path, .. } = due else { continue };
            let Some((array, _)) = path.rsplit_once("/c.") else { continue };
            let Some(counts) = self.counts(array) else { continue };
            let path = below(store, path);
            let slots = usize::try_from(counts.iter().product::<u64>()).unwrap_or_default();
            let empty = |object: &Object| Shard::open(object, slots).is_ok_and(|shard| shard.is_empty());
            let removed = match ground.files.open(&path) {
                Ok(Some(object)) if empty(&object) => ground.files.remove(&path, store).map(drop),
                opened => opened.map(drop),
            };
            if let Err(e) = removed {
                tracing::warn!("the shard {path}, which has no chunks, stays: {e}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::zarr::marker::{Kind, PlateShape};
    use crate::plate::PlateKey;
    use crate::view::Dtype;

    fn plate(has_time: bool) -> PlateMarker {
        let key = PlateKey {
            convention: "imagexpress".into(),
            prefix: String::new(),
            suffix: String::new(),
            extension: ".tif".into(),
            has_time,
            has_depth: false,
        };
        let (dtype, inner) = (Dtype::U16, Vec::new());
        let shape = PlateShape { key, dtype, samples: 1, height: 1000, width: 800, chunk: [400, 800], inner };
        let mut plate = PlateMarker::new(&shape, Some(4));
        plate.shard = Some(shard_planes(&plate));
        plate
    }

    #[test]
    fn a_field_has_one_shard_a_level_however_many_channels_come() {
        let sharding = Sharding::of(&Marker::new(1, Kind::Plate, Some(plate(false)))).unwrap();
        let slot = sharding.place("B/03/0/0", &[7, 2, 0]).unwrap();
        assert_eq!((slot.file.as_str(), slot.slot, slot.slots), ("B/03/0/0/c.0.0.0", 23, 24));
        assert_eq!(sharding.place("B/03/0/1", &[7, 0, 0]).unwrap().slots, 8);
        assert_eq!(sharding.place_of("B/03/0/0/c/7/2/0"), Some(slot));
        let slot = sharding.place("B/03/0/labels/mask/0", &[2, 0]).unwrap();
        assert_eq!((slot.file.as_str(), slot.slot, slot.slots), ("B/03/0/labels/mask/0/c.0.0", 2, 3));
        assert_eq!(sharding.place("scopefs/literals", &[3]), None);
    }

    #[test]
    fn a_long_series_goes_on_in_further_shards() {
        let sharding = Sharding::of(&Marker::new(1, Kind::Plate, Some(plate(true)))).unwrap();
        let slot = sharding.place("B/03/0/1", &[17, 1, 0, 0]).unwrap();
        assert_eq!((slot.file.as_str(), slot.slot), ("B/03/0/1/c.2.0.0.0", 8 + 1));
    }

    #[test]
    fn planes_of_many_bands_make_shorter_shards() {
        let vast = PlateMarker { height: 400_000, ..plate(true) };
        assert_eq!(shard_planes(&vast), [2, 2, 16]);
        assert_eq!(shard_planes(&plate(true)), PLANES);
    }
}
