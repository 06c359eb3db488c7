//! OME-Zarr stores: images as chunks, and still there under their own names, byte for byte.
//!
//! What a store is made of is told in `docs/stores.md`.

pub mod array;
pub mod blosc;
pub mod cache;
pub mod codec;
pub mod files;
#[cfg(test)]
mod tests;
