//! Where bytes are, how safe they are, and what a rule asks for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a file's bytes are now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// A file in the private tmpfs that mirrors the workspace's tree.
    Memory,
    /// A plain file in the workspace under its own path.
    Disk,
    /// Chunks of an OME-Zarr store in the workspace.
    Zarr,
}

impl Tier {
    /// The tier's name in xattrs, JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Tier::Memory => "memory",
            Tier::Disk => "disk",
            Tier::Zarr => "zarr",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Tier {
    type Err = String;

    fn from_str(word: &str) -> Result<Tier, String> {
        match word {
            "memory" => Ok(Tier::Memory),
            "disk" => Ok(Tier::Disk),
            "zarr" => Ok(Tier::Zarr),
            _ => Err(format!("'{word}' is no tier; the tiers are memory, disk and zarr")),
        }
    }
}

/// Whether the home of a file holds its newest bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Memory holds bytes or attributes that the home does not.
    Dirty,
    /// The home holds everything.
    Clean,
    /// The bytes are chunks of a store.
    Sealed,
}

impl State {
    /// The state's name in xattrs and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Dirty => "dirty",
            State::Clean => "clean",
            State::Sealed => "sealed",
        }
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(word: &str) -> Result<State, String> {
        match word {
            "dirty" => Ok(State::Dirty),
            "clean" => Ok(State::Clean),
            "sealed" => Ok(State::Sealed),
            _ => Err(format!("'{word}' is no state; the states are dirty, clean and sealed")),
        }
    }
}

/// What `fsync` and `close` promise for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// fsync returns when bytes and name are on disk.
    #[default]
    Fsync,
    /// As `Fsync`, and every close is durable too.
    Strict,
    /// fsync returns at once; memory only until pressure or unmount.
    Scratch,
}

/// What becomes of a scratch file when the mount ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnmount {
    /// It is materialized like any other file.
    #[default]
    Keep,
    /// It is dropped without ever being written.
    Discard,
}
