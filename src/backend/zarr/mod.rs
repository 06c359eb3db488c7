//! OME-Zarr stores: images as chunks, and still there under their own names, byte for byte.
//!
//! What a store is made of is told in `docs/stores.md`.

pub mod array;
pub mod blosc;
pub mod cache;
pub mod codec;
pub mod files;
pub mod offline;
mod stores;
pub mod table;
#[cfg(test)]
mod tests;

pub use stores::{Batch, SealError, SealedEntry, SealedId, StoreFigures, StoredAt, Stores, Subject, Ticket, Within};
