//! Plates by their file names: which well, field, channel, plane and time point a file is, and what the microscope's
//! own files say about the plate. No I/O of its own.

mod position;

pub use position::{ChannelKey, PlateKey, Position, Recognised, WellPosition};
