//! scopefs: one directory for an imaging workspace.
//!
//! A FUSE daemon shows one logical tree; every file in it is kept where it is best kept: in memory, on disk, or in an
//! OME-Zarr store. The rooms below stand on each other in this order; a room looks only downwards (a test reads the
//! `use` lines and holds the table in `docs/architecture.md` to be true).

pub mod backend;
pub mod cli;
pub mod config;
pub mod control;
pub mod fuse;
pub mod materialize;
pub mod model;
pub mod plate;
pub mod pressure;
pub mod route;
pub mod vfs;
pub mod view;
