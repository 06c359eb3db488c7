//! OME-Zarr stores: images as chunks, and still there under their own names, byte for byte.
//!
//! What a store is made of is told in `docs/stores.md`.

pub mod array;
pub mod blosc;
pub mod files;
mod level;
mod marker;
mod ngff;
mod sample;
mod stores;
mod window;

pub use stores::{Batch, SealError, SealedEntry, SealedId, StoreFigures, StoredAt, Stores, Subject, Ticket, Within};
