//! What `scopefs status` and `scopefs explain` show, as plain data; their JSON is a fixed surface for scripts.

use serde::{Deserialize, Serialize};

use super::{FileError, WirePath};
use crate::model::{State, Tier};

/// A mount as a whole: the JSON of `scopefs status --json` and of `MOUNTPOINT/.scopefs/status.json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The backing directory, absolute.
    pub workspace: WirePath,
    /// Where the mount is seen, absolute.
    pub mountpoint: WirePath,
    /// The memory tier against its limit.
    pub memory: Memory,
    /// What is kept where.
    pub tiers: Tiers,
    /// What only memory has.
    pub dirty: Amount,
    /// What is in memory and pinned there.
    pub pinned: Amount,
    /// Age in seconds of the oldest byte that is only in memory; `null` if there is none.
    pub oldest_dirty_seconds: Option<f64>,
    /// Open file handles.
    pub open_handles: u64,
    /// What was brought home since the mount began.
    pub materialized: Materialized,
    /// What was turned into chunks of a store since the mount began.
    pub sealed: Sealed,
    /// Every dataset, the largest first.
    pub datasets: Vec<Dataset>,
    /// Found images that a rule would seal if it said `adopt = true`.
    pub adoptable: Adoptable,
    /// Where the memory tier may end before the machine does; `null` where nothing threatens it.
    pub session: Option<Session>,
    /// Files that could not be brought home and still are not.
    pub failed_files: Vec<FileError>,
    /// Our version of files that somebody else changed meanwhile, kept beside theirs.
    pub conflicts: Vec<WirePath>,
    /// The disk has no room: new bytes are refused.
    pub home_full: bool,
    /// Mounted with `-o ro`: nothing is written.
    pub read_only: bool,
    /// Where a person can look at the files in memory; `null` without a memory tier.
    pub tmpfs: Option<WirePath>,
    /// The daemon's process.
    pub pid: u32,
    /// The daemon's control socket.
    pub control: Option<WirePath>,
    /// The daemon's version.
    pub version: String,
    /// What a person should know of how this mount came to be.
    pub notes: Vec<String>,
}

/// The memory tier against its limit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// What daemon and memory tier together may hold.
    pub limit_bytes: u64,
    /// What set the limit, in words.
    pub limit_because: String,
    /// What they hold.
    pub used_bytes: u64,
    /// 1.0 is full.
    pub pressure: f64,
    /// Pressure above which files leave memory.
    pub high: f64,
    /// Pressure down to which they leave.
    pub low: f64,
}

/// What is kept where.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tiers {
    /// Files in the private tmpfs.
    pub memory: Amount,
    /// Plain files in the workspace.
    pub disk: Amount,
    /// Files inside stores.
    pub zarr: Stored,
    /// Whether `disk` and `zarr` cover the whole tree; until it has been walked they count what the daemon has seen.
    pub complete: bool,
}

/// A number of files and their length in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Amount {
    /// Number of files.
    pub files: u64,
    /// Their length.
    pub bytes: u64,
}

/// Files inside stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stored {
    /// Number of files.
    pub files: u64,
    /// Their length as read.
    pub bytes: u64,
    /// What they take in the stores.
    pub stored_bytes: u64,
}

/// What was brought home since the mount began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Materialized {
    /// Number of files.
    pub files: u64,
    /// Their length.
    pub bytes: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// How many bytes a second come home, as measured; `null` before anything did.
    pub bytes_per_second: Option<u64>,
}

/// Files that are sized and stored together.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Dataset {
    /// Its directory, relative to the mount; empty for the files at the top.
    pub name: WirePath,
    /// Length of its files.
    pub bytes: u64,
    /// Number of its files.
    pub files: u64,
    /// `small`, `middle` or `large`, by which files under `backend = "auto"` are kept.
    pub row: String,
    /// From this size on it is in the next row; `null` in the last.
    pub next_at_bytes: Option<u64>,
    /// Below this size it is back in the row before; `null` in the first.
    pub back_below_bytes: Option<u64>,
}

/// The dataset of a file, with what follows from its size.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DatasetOf {
    /// The dataset.
    #[serde(flatten)]
    pub dataset: Dataset,
    /// What that means for the file, in words.
    pub consequence: String,
}

/// Found images that a rule would seal if it adopted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Adoptable {
    /// Number of files.
    pub files: u64,
    /// Their length.
    pub bytes: u64,
    /// What sealing them would save, an estimate from what was sealed so far or from samples; `null` if unknown.
    pub saves_bytes_estimate: Option<u64>,
}

/// What is done where the memory tier may end before the machine does.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    /// With what it may end.
    pub may_end_with: String,
    /// The time in which everything dirty must be able to reach the disk.
    pub stop_within_seconds: f64,
    /// What may be dirty for that, at the rate that was measured; `null` before it was.
    pub bound_bytes: Option<u64>,
}

/// What was sealed since the mount began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sealed {
    /// Number of files.
    pub files: u64,
    /// Their length as read.
    pub bytes: u64,
    /// Files that cannot be held byte-exactly as chunks and stay as they are.
    pub refused: u64,
}

/// One file: the JSON of `scopefs explain --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// Relative to the mount as the daemon answers it, as the caller wrote it once `scopefs explain` prints it.
    pub path: WirePath,
    /// Where its bytes are.
    pub tier: Tier,
    /// Whether the home has them.
    pub state: State,
    /// The rule that decided, as it is called.
    pub rule: String,
    /// Why, in a sentence.
    pub reason: String,
    /// Where the bytes can be found on this machine.
    pub stored_at: WirePath,
    /// Length in bytes as read.
    pub size: u64,
    /// Bytes that it takes where it is kept.
    pub stored_size: u64,
    /// The store that has it; absent where none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<InStore>,
    /// The dataset that it counts to; absent for what is no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetOf>,
}

/// Where a sealed file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InStore {
    /// The store's directory.
    pub path: WirePath,
    /// Its first array there.
    pub array: String,
    /// Bytes that its chunks take.
    pub stored_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// The surface that scripts rely on; every key of it must be there, with that kind of value.
    fn surface() -> Value {
        json!({"workspace": "", "mountpoint": "",
            "memory": {"limit_bytes": 0, "used_bytes": 0, "pressure": 0.0, "high": 0.8, "low": 0.7},
            "tiers": {"memory": {"files": 0, "bytes": 0}, "disk": {"files": 0, "bytes": 0},
                      "zarr": {"files": 0, "bytes": 0, "stored_bytes": 0}},
            "dirty": {"files": 0, "bytes": 0}, "open_handles": 0,
            "materialized": {"files": 0, "bytes": 0, "failed": 0},
            "sealed": {"files": 0, "bytes": 0, "refused": 0}})
    }

    fn assert_covers(wanted: &Value, got: &Value, at: &str) {
        match wanted {
            Value::Object(keys) => {
                for (key, value) in keys {
                    let found = got.get(key).unwrap_or_else(|| panic!("{at}.{key} is missing in {got}"));
                    assert_covers(value, found, &format!("{at}.{key}"));
                }
            }
            Value::String(_) => assert!(got.is_string(), "{at} is {got}"),
            Value::Number(n) if n.is_f64() => assert!(got.is_f64(), "{at} is {got}"),
            _ => assert!(got.is_u64(), "{at} is {got}"),
        }
    }

    #[test]
    fn status_has_every_key_that_scripts_rely_on() {
        assert_covers(&surface(), &serde_json::to_value(Status::default()).unwrap(), "status");
    }

    #[test]
    fn explain_has_every_key_that_scripts_rely_on() {
        let explained = Explained {
            path: "a.tif".into(),
            tier: Tier::Memory,
            state: State::Dirty,
            rule: "default".into(),
            reason: "placed by its rule".into(),
            stored_at: "/run/x/a.tif".into(),
            size: 1,
            stored_size: 4096,
            store: None,
            dataset: None,
        };
        let json = serde_json::to_value(&explained).unwrap();
        assert_eq!(
            json,
            json!({"path": "a.tif", "tier": "memory", "state": "dirty", "rule": "default",
                "reason": "placed by its rule", "stored_at": "/run/x/a.tif", "size": 1, "stored_size": 4096})
        );
        let store = InStore { path: "/w/P1.ome.zarr".into(), array: "B/03/0/0".into(), stored_bytes: 7 };
        let sealed = Explained { store: Some(store), ..explained };
        let json = serde_json::to_value(&sealed).unwrap();
        assert_eq!(json["store"], json!({"path": "/w/P1.ome.zarr", "array": "B/03/0/0", "stored_bytes": 7}));
        assert_eq!(serde_json::from_value::<Explained>(json).unwrap(), sealed);
        let dataset = Dataset { name: "P1".into(), bytes: 9, files: 1, row: "small".into(), ..Dataset::default() };
        let sized =
            Explained { dataset: Some(DatasetOf { dataset, consequence: "in memory, home disk".into() }), ..sealed };
        let json = serde_json::to_value(&sized).unwrap();
        assert_eq!(
            json["dataset"],
            json!({"name": "P1", "bytes": 9, "files": 1, "row": "small", "next_at_bytes": null,
                "back_below_bytes": null, "consequence": "in memory, home disk"})
        );
        assert_eq!(serde_json::from_value::<Explained>(json).unwrap(), sized);
    }

    #[test]
    fn an_older_daemons_status_still_reads() {
        let status: Status = serde_json::from_value(json!({"workspace": "/w", "pid": 7, "unheard_of": 1})).unwrap();
        assert_eq!((status.workspace.0.to_str(), status.pid), (Some("/w"), 7));
    }
}
