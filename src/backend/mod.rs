//! Ways to store bytes.

pub mod memory;
