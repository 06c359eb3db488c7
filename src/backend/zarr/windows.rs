//! The values of a file's channels, collected while its chunks pass by.

use std::collections::BTreeMap;

use super::ngff::Window;
use super::plan::ArrayPlan;
use super::window::window;
use crate::view::{Array, ChunkIndex, Role};

/// The window of each channel (and sample) of each image that was looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Windows(BTreeMap<(usize, u64), Window>);

impl Windows {
    /// Looks at a decoded chunk of `array`, whose place in the store is `place`.
    pub fn look(&mut self, array: &Array, place: &ArrayPlan, chunk: ChunkIndex, bytes: &[u8]) {
        if !matches!(array.role, Role::Full(_)) {
            return;
        }
        let (rows, columns) = array.covered(chunk);
        let whole = rows.end - rows.start == array.chunk_height && columns.end - columns.start == array.chunk_width;
        let channel = place.plane(chunk.plane).channel * u64::from(array.samples);
        let stride = usize::try_from(array.sample_stride()).unwrap_or(usize::MAX).max(1);
        for (sample, bytes) in (0..).zip(bytes.chunks_exact(stride)) {
            let key = (place.image, channel + sample);
            // The padding of a chunk at the edge would count as black.
            if !whole && self.0.contains_key(&key) {
                continue;
            }
            if let Some(found) = window(array.dtype, bytes) {
                self.0.entry(key).and_modify(|known| *known = known.union(found)).or_insert(found);
            }
        }
    }

    /// Channels (and samples) of an image with their windows.
    pub fn of(&self, image: usize) -> impl Iterator<Item = (u64, Window)> + '_ {
        self.0.range((image, 0)..=(image, u64::MAX)).map(|((_, channel), window)| (*channel, *window))
    }
}
