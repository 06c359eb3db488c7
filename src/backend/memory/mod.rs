//! The memory tier: a private tmpfs that mirrors the workspace's tree.

pub mod place;
