//! OME-Zarr stores: images as chunks, and still there under their own names, byte for byte.
//!
//! What a store is made of is told in `docs/stores.md`.

pub mod array;
pub mod blosc;
mod choose;
mod documents;
pub mod files;
mod ground;
mod level;
mod marker;
mod ngff;
mod numbering;
mod pages;
mod plan;
mod sample;
mod stores;
pub mod table;
mod window;

pub use stores::{Batch, SealError, SealedEntry, SealedId, StoreFigures, StoredAt, Stores, Subject, Ticket, Within};
