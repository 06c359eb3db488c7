//! From a look at memory to a limit, and from what is held to a pressure.

use super::{Sample, share};

/// Without a word in the configuration, this much of what is available at mount.
const DEFAULT_SHARE: f64 = 0.5;

/// How much the memory tier may hold, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The limit in bytes.
    pub bytes: u64,
    /// What set it, in words for `status`.
    pub because: String,
}

/// The limit of the memory tier: the smallest of what is configured, every cgroup limit and the machine's memory.
///
/// `configured` is in bytes; `share` is a part (0 to 1) of what is available now, cgroups included. With neither,
/// half of what is available. With both, the smaller.
pub fn memory_limit(configured: Option<u64>, share: Option<f64>, sample: &Sample) -> Limit {
    let of_available = |part: f64| (sample.available() as f64 * part.clamp(0.0, 1.0)) as u64;
    let mut limit = match (configured, share) {
        (Some(bytes), _) => Limit { bytes, because: "configured".to_owned() },
        (None, Some(part)) => Limit { bytes: of_available(part), because: share_in_words(part, sample) },
        (None, None) => Limit { bytes: of_available(DEFAULT_SHARE), because: share_in_words(DEFAULT_SHARE, sample) },
    };
    if let (Some(_), Some(part)) = (configured, share) {
        lower(&mut limit, of_available(part), || share_in_words(part, sample));
    }
    for group in &sample.cgroups {
        lower(&mut limit, group.limit, || format!("the memory limit of the cgroup {}", group.path.display()));
    }
    if sample.machine_total > 0 {
        lower(&mut limit, sample.machine_total, || "the memory of the machine".to_owned());
    }
    limit
}

fn lower(limit: &mut Limit, bytes: u64, because: impl FnOnce() -> String) {
    if bytes < limit.bytes {
        *limit = Limit { bytes, because: because() };
    }
}

fn share_in_words(part: f64, sample: &Sample) -> String {
    let available = sample.available();
    let place = if available < sample.machine_available { "the cgroup" } else { "the machine" };
    let percent = (part.clamp(0.0, 1.0) * 100.0).round();
    format!("{percent} % of the {} available in {place} at mount", in_words(available))
}

/// A size for a person: three digits or so, in powers of 1024.
fn in_words(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "bytes";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let digits = usize::from(unit != "bytes" && value < 100.0);
    format!("{value:.digits$} {unit}")
}

/// How full memory is: 1.0 is the limit.
///
/// The larger of `held / limit` and used / total of the machine (MemTotal − MemAvailable) and of the fullest cgroup
/// (usage less file pages). A machine that could not be read counts as empty, a limit of 0 as full.
pub fn pressure(held: u64, limit: u64, sample: &Sample) -> f64 {
    let machine = match sample.machine_total {
        0 => 0.0,
        total => share(total.saturating_sub(sample.machine_available), total),
    };
    let cgroup = sample.tightest().map_or(0.0, |group| group.share());
    share(held, limit).max(machine).max(cgroup)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pressure::CgroupUse;

    const GIB: u64 = 1 << 30;

    fn group(name: &str, limit: u64, used: u64) -> CgroupUse {
        CgroupUse { limit, used, path: name.into() }
    }

    #[test]
    fn the_default_is_half_of_what_is_available() {
        let limit = memory_limit(None, None, &Sample::machine(32 * GIB, 24 * GIB));
        assert_eq!(limit.bytes, 12 * GIB);
        assert_eq!(limit.because, "50 % of the 24.0 GiB available in the machine at mount");
    }

    #[test]
    fn what_is_available_includes_the_room_in_the_cgroups() {
        let cgroups = vec![group("/inner", 20 * GIB, GIB), group("/outer", 30 * GIB, 26 * GIB)];
        let sample = Sample { cgroups, ..Sample::machine(32 * GIB, 24 * GIB) };
        let limit = memory_limit(None, Some(0.25), &sample);
        assert_eq!(limit.bytes, GIB);
        assert_eq!(limit.because, "25 % of the 4.0 GiB available in the cgroup at mount");
    }

    #[test]
    fn the_smallest_of_configuration_cgroup_and_machine_wins() {
        let machine = Sample::machine(8 * GIB, 8 * GIB);
        assert_eq!(memory_limit(Some(4 * GIB), None, &machine).because, "configured");
        let over = memory_limit(Some(16 * GIB), None, &machine);
        assert_eq!((over.bytes, over.because.as_str()), (8 * GIB, "the memory of the machine"));
        let boxed = Sample { cgroups: vec![group("/job", 2 * GIB, 0), group("/all", 6 * GIB, 0)], ..machine };
        let limit = memory_limit(Some(16 * GIB), None, &boxed);
        assert_eq!((limit.bytes, limit.because.as_str()), (2 * GIB, "the memory limit of the cgroup /job"));
    }

    #[test]
    fn with_bytes_and_a_share_the_smaller_holds() {
        let sample = Sample::machine(8 * GIB, 8 * GIB);
        assert_eq!(memory_limit(Some(6 * GIB), Some(0.5), &sample).bytes, 4 * GIB);
        assert_eq!(memory_limit(Some(2 * GIB), Some(0.5), &sample).bytes, 2 * GIB);
    }

    #[test]
    fn what_an_earlier_daemon_left_in_memory_does_not_shrink_the_limit() {
        let before = Sample { cgroups: vec![group("/job", 16 * GIB, 2 * GIB)], ..Sample::machine(32 * GIB, 30 * GIB) };
        let after = Sample { cgroups: vec![group("/job", 16 * GIB, 7 * GIB)], ..Sample::machine(32 * GIB, 25 * GIB) };
        let again = memory_limit(None, None, &after.without(5 * GIB));
        assert_eq!(again, memory_limit(None, None, &before));
    }

    #[test]
    fn pressure_is_the_largest_of_ours_the_machines_and_the_fullest_cgroups() {
        let machine = Sample::machine(100, 40);
        assert_eq!(pressure(10, 100, &machine), 0.6);
        assert_eq!(pressure(70, 100, &machine), 0.7);
        // The inner cgroup has the smaller limit, the outer one is fuller.
        let boxed = Sample { cgroups: vec![group("/in", 10, 1), group("/out", 100, 95)], ..machine };
        assert_eq!(pressure(70, 100, &boxed), 0.95);
    }

    #[test]
    fn unknown_figures_raise_no_alarm_and_a_limit_of_nothing_is_full() {
        assert_eq!(pressure(10, 100, &Sample::default()), 0.1);
        assert_eq!(pressure(0, 0, &Sample::default()), 1.0);
    }
}
