//! The keeper: a process that does nothing but hold an ordinary user's tmpfs.
//!
//! An ordinary user may mount only in a user and mount namespace of his own, and what is mounted there lives as long
//! as a process is in it. That process must not be the daemon, or the bytes would die with it. So the daemon starts
//! its own binary a second time (`scopefs keeper …`, a hidden word of the command line); that one leaves for new
//! namespaces, mounts the tmpfs, makes it its root directory so that no mount of the machine is held busy by it, and
//! waits. Everybody of the same user reaches the tmpfs as `/proc/PID/root`.
//!
//! It leaves a record in the workspace's private directory: its process id and the time it was started, in clock
//! ticks since boot, as text: `PID START\n`. Process ids are used again; the two together never are.

mod client;
mod process;
mod record;

pub(super) use client::{Kept, end, find, resize, start};
pub use process::run;

/// The hidden word of the command line after which [`run`] takes the arguments.
pub const WORD: &str = "keeper";

/// Where the record lies in the private directory.
const RECORD: &str = "keeper";
