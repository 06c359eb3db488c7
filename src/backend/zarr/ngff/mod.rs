//! The metadata of OME-NGFF: 0.4 on Zarr v2, 0.5 on Zarr v3.
//!
//! Documents are parsed, only the keys that are ours change, and the rest is written back as it was: what other tools
//! noted in them survives every seal.

mod document;
mod extents;
mod image;
mod plate;

pub use document::Document;
pub use extents::{Extents, PlaneAt};
pub use image::{ChannelDisplay, ImageDescription, Level, Window, describe_image, describe_labels};
pub use plate::{PlateDescription, describe_collection, describe_plate, describe_series, describe_well};

use serde::Serialize;
use serde_json::Value;

/// By way of text, because 32-bit floats would otherwise show digits that nobody wrote.
fn value_of(metadata: &impl Serialize) -> Value {
    serde_json::to_string(metadata).and_then(|text| serde_json::from_str(&text)).unwrap_or(Value::Null)
}
