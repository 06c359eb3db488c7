//! Where the figures come from: the machine, or a test.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use parking_lot::Mutex;
use sysinfo::System;

use super::cgroup::Ancestry;
use super::{MemoryProbe, Sample};

/// The machine we run on.
///
/// Make it in the process that will ask it: the kernel binds an open `/proc/self/statm` to the process that opened
/// it, so that after a fork it would tell of the parent.
#[derive(Debug)]
pub struct SystemProbe {
    system: Mutex<System>,
    cgroups: Ancestry,
    statm: Option<File>,
    page: u64,
}

impl SystemProbe {
    /// Looks up where this process stands in the cgroup hierarchies.
    pub fn new() -> SystemProbe {
        SystemProbe::below(Path::new("/"))
    }

    /// The same with `proc/…` and the cgroup mounts taken from below `root`; the machine's totals stay the real ones.
    pub fn below(root: &Path) -> SystemProbe {
        SystemProbe {
            system: Mutex::new(System::new()),
            cgroups: Ancestry::find(root),
            statm: File::open(root.join("proc/self/statm")).ok(),
            page: rustix::param::page_size() as u64,
        }
    }

    /// The second field of statm, in pages; one `pread` into the stack.
    fn resident_pages(&self) -> Option<u64> {
        let mut line = [0u8; 128];
        let length = self.statm.as_ref()?.read_at(&mut line, 0).ok()?;
        std::str::from_utf8(line.get(..length)?).ok()?.split(' ').nth(1)?.parse().ok()
    }
}

impl Default for SystemProbe {
    fn default() -> Self {
        SystemProbe::new()
    }
}

impl MemoryProbe for SystemProbe {
    fn sample(&self) -> Sample {
        let (machine_total, machine_available) = {
            let mut system = self.system.lock();
            system.refresh_memory();
            (system.total_memory(), system.available_memory())
        };
        Sample { machine_total, machine_available, cgroups: self.cgroups.read(), resident: self.resident() }
    }

    /// 0 if it cannot be read.
    fn resident(&self) -> u64 {
        self.resident_pages().unwrap_or(0).saturating_mul(self.page)
    }
}

/// Says what it was told; for tests.
#[derive(Debug, Default)]
pub struct FixedProbe {
    sample: Mutex<Sample>,
}

impl FixedProbe {
    /// A probe that says `sample` until it is told otherwise.
    pub fn new(sample: Sample) -> FixedProbe {
        FixedProbe { sample: Mutex::new(sample) }
    }

    /// Says `sample` from now on.
    pub fn set(&self, sample: Sample) {
        *self.sample.lock() = sample;
    }

    /// Changes what it says.
    pub fn update(&self, change: impl FnOnce(&mut Sample)) {
        change(&mut self.sample.lock());
    }
}

impl MemoryProbe for FixedProbe {
    fn sample(&self) -> Sample {
        self.sample.lock().clone()
    }

    fn resident(&self) -> u64 {
        self.sample.lock().resident
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_probe_sees_the_machine_and_itself() {
        let probe = SystemProbe::new();
        let sample = probe.sample();
        assert!(sample.machine_total > 0 && sample.machine_available <= sample.machine_total);
        assert!(sample.resident > 0 && sample.resident < sample.machine_total);
    }

    #[test]
    fn resident_follows_what_this_process_touches() {
        let probe = SystemProbe::new();
        let before = probe.resident();
        let touched = vec![1u8; 32 << 20];
        let after = probe.resident();
        assert!(after >= before + (28 << 20), "{before} → {after} with {} bytes more", touched.len());
    }

    #[test]
    fn a_fixed_probe_says_what_it_was_told() {
        let probe = FixedProbe::new(Sample::machine(10, 5));
        probe.update(|sample| sample.resident = 3);
        assert_eq!((probe.sample().machine_total, probe.resident()), (10, 3));
        probe.set(Sample::machine(20, 5));
        assert_eq!(probe.sample(), Sample::machine(20, 5));
    }
}
