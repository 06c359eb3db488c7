//! What the daemon has seen, as advice: each piece a measured fact, what would have been otherwise, and what to write
//! into the configuration.
//!
//! | about | seen | remedy |
//! | --- | --- | --- |
//! | `scratch` | written home, then deleted | a rule with durability scratch |
//! | `write_behind` | written behind, then changed again within five minutes | a longer `write_behind` |
//! | `settle` | sealed, then opened for writing within an hour | a longer `settle` |
//! | `limit` | evicted, then opened again | a higher limit |
//! | `fsync` | moved to disk because it is synced again and again | a rule with backend disk |
//! | `memory` | opened again and again under a rule that keeps it on disk | a rule with backend auto |
//! | `memory_below` | written at once because of the size of the dataset, then replaced or deleted | a larger `memory_below` |
//! | `zarr_above` | sealed because of the size of the dataset, then opened for writing within an hour | a larger `zarr_above` |
//! | `compressed` | refused by the stores | none of the configuration's |
//! | `adopt` | images found as plain files, and what sealing has saved so far | a rule that adopts |

mod pieces;
mod words;

use serde::{Deserialize, Serialize};

use crate::vfs::Vfs;
use pieces::Known;

/// Everything there is to advise.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Advice {
    /// For how long the mount was watched, in seconds.
    pub watched_seconds: u64,
    /// The pieces, those that are about most bytes first.
    pub advice: Vec<Advised>,
}

/// One piece of advice.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Advised {
    /// Which kind: `scratch`, `write_behind`, `settle`, `limit`, `fsync`, `memory`, `memory_below`, `zarr_above`,
    /// `compressed` or `adopt`.
    pub about: String,
    /// What was seen, in sentences with figures.
    pub text: String,
    /// Bytes that it is about.
    pub bytes: u64,
    /// What to write into the configuration; absent where the remedy is none of the configuration's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
}

/// What there is to advise now.
pub(super) fn advice(vfs: &Vfs) -> Advice {
    let known = Known {
        observed: vfs.observed(),
        router: vfs.router(),
        limit: vfs.budget().limit(),
        stores: vfs.figures().stores,
    };
    Advice { watched_seconds: known.observed.lasted.as_secs(), advice: known.pieces() }
}
