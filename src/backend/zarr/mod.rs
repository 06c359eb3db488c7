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
mod metadata;
mod ngff;
mod numbering;
mod pages;
mod plan;
mod pyramid;
mod reader;
mod readme;
mod sample;
mod seal;
mod store;
mod stores;
pub mod table;
mod window;
mod windows;

pub use stores::{Batch, SealError, SealedEntry, SealedId, StoreFigures, StoredAt, Stores, Subject, Ticket, Within};
