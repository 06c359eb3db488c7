//! OME-Zarr stores: images as chunks, and still there under their own names, byte for byte.
//!
//! What a store is made of is told in `docs/stores.md`.

mod level;
mod ngff;
mod sample;
mod stores;
mod window;

pub use stores::{Batch, SealError, SealedEntry, SealedId, StoreFigures, StoredAt, Stores, Subject, Ticket, Within};
