//! Jobs over a file system without a mount.
