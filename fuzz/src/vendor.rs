//! Files that microscopes write beside their images.

use scopefs::plate::{PlateMeta, VendorKind, read_vendor};

use super::take;

const KINDS: [VendorKind; 5] = [
    VendorKind::ImageXpress,
    VendorKind::Harmony,
    VendorKind::YokogawaData,
    VendorKind::YokogawaDetail,
    VendorKind::InCell,
];

/// A byte: which kind; the file.
pub fn vendor(bytes: &[u8]) -> bool {
    let mut file = bytes;
    let [kind] = take(&mut file);
    let Ok(meta) = read_vendor(KINDS[usize::from(kind) % KINDS.len()], file) else { return false };
    makes_sense(&meta);
    assert_eq!(meta.clone().or(meta.clone()), meta);
    meta != PlateMeta::default()
}

/// Numbers are such that they can be written down again, and lists as long as they may be.
fn makes_sense(meta: &PlateMeta) {
    let positive = |size: f64| size.is_finite() && size > 0.0;
    if let Some(size) = meta.plate {
        assert!(size.rows > 0 && size.columns > 0, "{size:?}");
    }
    if let Some((x, y)) = meta.pixel_size_um {
        assert!(positive(x) && positive(y), "a pixel of {x} by {y}");
    }
    for step in [meta.z_step_um, meta.time_step_s].into_iter().flatten() {
        assert!(positive(step), "a step of {step}");
    }
    assert!(meta.channels.len() <= 256 && meta.fields.len() <= 4096);
    assert!(meta.fields.is_sorted_by(|a, b| a.field < b.field), "fields out of order");
    for field in &meta.fields {
        assert!(field.x_um.is_finite() && field.y_um.is_finite(), "{field:?}");
    }
    let names = meta.name.iter().chain(meta.channels.iter().map(|channel| &channel.name));
    for name in names {
        assert!(!name.is_empty() && name.chars().count() <= 256, "a name of {} bytes", name.len());
    }
    for channel in &meta.channels {
        assert_eq!(meta.channel(&channel.key), Some(channel), "two channels have one key");
    }
}
