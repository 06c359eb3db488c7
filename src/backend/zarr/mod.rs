//! OME-Zarr stores: images as chunks, and still there under their own names, byte for byte.
//!
//! What a store is made of is told in `docs/stores.md`.

mod ahead;
pub mod array;
mod backend;
mod batch;
pub mod blosc;
pub mod cache;
mod choose;
pub mod codec;
mod commit;
mod companions;
mod documents;
mod due;
mod estimate;
pub mod files;
mod ground;
mod grow;
mod labels;
mod left;
mod level;
mod marker;
mod metadata;
mod ngff;
mod numbering;
pub mod offline;
mod pages;
mod plan;
mod pyramid;
mod reader;
mod readme;
mod registry;
mod remove;
mod repair;
mod reshard;
mod sample;
mod seal;
mod sharding;
mod standing;
mod store;
#[cfg(test)]
mod store_tests;
mod stores;
mod survey;
pub mod table;
#[cfg(test)]
mod tests;

mod tidy;
mod totals;
mod update;
mod vendor;
mod window;
mod windows;
mod within;

pub use backend::Zarr;
pub use estimate::compressed_size;
pub use stores::{
    Batch, LabelsOf, SealError, SealedEntry, SealedFile, SealedId, StoreFigures, StoreTotal, StoredAt, Stores, Subject,
    Ticket, Within,
};
