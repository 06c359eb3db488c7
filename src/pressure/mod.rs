//! How full memory is: what the machine, the cgroups above us and this process use, the limit that follows from them,
//! and the marks at which the memory tier begins and ends to give way.
//!
//! Nothing here acts. A probe is asked, a number comes out, and whoever moves bytes listens to the [`Monitor`].

mod cgroup;
mod limit;
mod monitor;
mod probe;

use std::path::PathBuf;

pub use limit::{Limit, memory_limit, pressure};
pub use monitor::{Level, Monitor, Watermarks};
pub use probe::{FixedProbe, SystemProbe};

/// Tells how memory stands at this moment.
pub trait MemoryProbe: Send + Sync {
    /// One look at the machine, the cgroups above this process and the process itself.
    fn sample(&self) -> Sample;

    /// The resident set of this process alone, in bytes; cheap enough to be asked at every write.
    fn resident(&self) -> u64 {
        self.sample().resident
    }
}

/// One look at memory; all figures in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// MemTotal of the machine; 0 if it could not be read, and then nothing is concluded from it.
    pub machine_total: u64,
    /// MemAvailable of the machine.
    pub machine_available: u64,
    /// Every cgroup at or above this process that has a limit, innermost first. Empty without limits.
    ///
    /// All of them, because the smallest limit and the fullest cgroup need not be the same one: neighbours fill an
    /// outer cgroup too.
    pub cgroups: Vec<CgroupUse>,
    /// The resident set of this process.
    pub resident: u64,
}

impl Sample {
    /// A machine without cgroup limits.
    pub fn machine(total: u64, available: u64) -> Sample {
        Sample { machine_total: total, machine_available: available, ..Sample::default() }
    }

    /// The fullest cgroup with a limit: the one that the kernel will enforce first.
    pub fn tightest(&self) -> Option<&CgroupUse> {
        self.cgroups.iter().max_by(|a, b| a.share().total_cmp(&b.share()))
    }

    /// What can still be used: the least of the machine's available memory and each cgroup's room.
    pub fn available(&self) -> u64 {
        let room = self.cgroups.iter().map(|group| group.limit.saturating_sub(group.used)).min();
        room.map_or(self.machine_available, |room| room.min(self.machine_available))
    }

    /// The same moment as if `held` bytes of ours were free. For a mount that finds what an earlier daemon left in
    /// memory: the limit must not shrink because of bytes that count against that same limit.
    pub fn without(mut self, held: u64) -> Sample {
        self.machine_available = self.machine_available.saturating_add(held).min(self.machine_total);
        for group in &mut self.cgroups {
            group.used = group.used.saturating_sub(held);
        }
        self
    }
}

/// What one cgroup uses of its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupUse {
    /// The limit in bytes (v1 `memory.limit_in_bytes`; v2 the smaller of `memory.max` and `memory.high`).
    pub limit: u64,
    /// Usage less file pages, which the kernel gives back on demand. Pages of a tmpfs are not among those: they stay.
    pub used: u64,
    /// The cgroup's directory.
    pub path: PathBuf,
}

impl CgroupUse {
    /// Used / limit; a limit of 0 is full.
    pub fn share(&self) -> f64 {
        share(self.used, self.limit)
    }
}

/// `part / whole`; nothing of nothing is full, because nothing fits in.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}
