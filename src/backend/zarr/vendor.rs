//! What the microscope's own files, beside the images, say of a new plate.

use super::ground::Ground;
use super::marker::PlateMarker;
use crate::backend::ByteSource;
use crate::model::{FileKind, RelPath};
use crate::plate::{ChannelKey, LARGEST, PlateMeta, VendorKind, read_vendor, vendor_file};
use crate::view::Calibration;

/// Reads the microscope's files in `dirs`; what is not there, or makes no sense, says nothing.
pub(super) fn read_in(ground: &Ground, dirs: &[RelPath]) -> PlateMeta {
    let mut meta = PlateMeta::default();
    for dir in dirs {
        let Ok(entries) = ground.files.tree().list(dir) else { continue };
        for entry in entries.iter().filter(|entry| entry.kind == FileKind::Regular) {
            if let Some(kind) = vendor_file(&entry.name) {
                meta = meta.or(read_one(ground, kind, &dir.join(&entry.name)));
            }
        }
    }
    meta
}

fn read_one(ground: &Ground, kind: VendorKind, path: &RelPath) -> PlateMeta {
    let read = || -> std::io::Result<PlateMeta> {
        let Some(object) = ground.files.open(path)? else { return Ok(PlateMeta::default()) };
        let mut bytes = vec![0; usize::try_from(object.size()?).unwrap_or(LARGEST).min(LARGEST)];
        let got = object.read_at(&mut bytes, 0)?;
        bytes.truncate(got);
        read_vendor(kind, &bytes).map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e))
    };
    read().unwrap_or_else(|e| {
        tracing::warn!("{path} says nothing about its plate: {e}");
        PlateMeta::default()
    })
}

impl PlateMarker {
    /// Notes what is known of the plate as a whole.
    pub fn learn(&mut self, meta: &PlateMeta) {
        if let Some(size) = meta.plate {
            (self.rows, self.columns) = (size.rows, size.columns);
            self.linear_columns = Some(size.columns);
        }
        self.learn_calibration(&Calibration {
            x: meta.pixel_size_um.map(|(x, _)| x),
            y: meta.pixel_size_um.map(|(_, y)| y),
            z: meta.z_step_um,
            t: meta.time_step_s,
        });
        for channel in &meta.channels {
            if let ChannelKey::Number(number) = &channel.key {
                let index = number.saturating_sub(self.channel_base);
                self.name_channel(u64::from(index), &channel.name);
            }
        }
    }

    /// Gives a channel its name, if it has none yet, and the colour that goes with it.
    pub fn name_channel(&mut self, channel: u64, name: &str) {
        // No name of ours goes further than a plate has channels.
        if channel >= 256 {
            return;
        }
        let samples = self.samples;
        for sample in 0..samples {
            let Some(shown) = self.shown(channel * samples + sample) else { return };
            if shown.name.is_none() {
                shown.name = Some(name.to_owned());
                let crate::plate::Colour([r, g, b]) = crate::plate::colour_for(name, channel as usize);
                shown.colour = (samples == 1).then(|| u32::from_be_bytes([0, r, g, b]));
            }
        }
    }
}
