//! Plates by their file names: which well, field, channel, plane and time point a file is, and what the microscope's
//! own files say about the plate. No I/O of its own.
//!
//! [`Recogniser`] looks at a path and nothing else. Files with the same [`PlateKey`] below the same base directory are
//! one plate; the key holds all that a name says and that is not a position, so that `P1_B03_s1_w1.tif` and
//! `P1_B03_s1_w1_mask.tif` never claim the same plane. [`vendor_file`] names the files beside the images that
//! [`read_vendor`] can read: plate size, pixel size, names of channels, positions of fields.

mod colour;
mod convention;
mod custom;
mod geometry;
mod guid;
mod pattern;
mod position;
mod recognise;
#[cfg(test)]
mod tests;
mod vendor;

pub use colour::{Colour, colour_for, colour_of, palette};
pub use custom::PatternError;
pub use geometry::{PlateSize, parse_row, parse_well, row_name};
pub use position::{ChannelKey, PlateKey, Position, Recognised, WellPosition};
pub use recognise::Recogniser;
pub use vendor::{ChannelMeta, FieldMeta, LARGEST, PlateMeta, VendorError, VendorKind, read_vendor, vendor_file};
