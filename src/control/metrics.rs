//! The status as Prometheus text (exposition format 0.0.4).

use std::fmt::Write;

use super::Status;

/// One line of help, one of type and one of value for each figure.
pub fn metrics(status: &Status) -> String {
    let rate = status.materialized.bytes_per_second.unwrap_or(0) as f64;
    let rows: &[(&str, &str, &str, f64)] = &[
        ("memory_limit_bytes", "gauge", "Limit of daemon and memory tier together", status.memory.limit_bytes as f64),
        ("memory_used_bytes", "gauge", "Bytes held by daemon and memory tier", status.memory.used_bytes as f64),
        ("memory_pressure", "gauge", "How full memory is; 1 is full", status.memory.pressure),
        ("memory_files", "gauge", "Files in memory", status.tiers.memory.files as f64),
        ("memory_file_bytes", "gauge", "Length of the files in memory", status.tiers.memory.bytes as f64),
        ("disk_files", "gauge", "Files on disk, as far as known", status.tiers.disk.files as f64),
        ("disk_file_bytes", "gauge", "Length of the files on disk, as far as known", status.tiers.disk.bytes as f64),
        ("zarr_files", "gauge", "Files inside stores, as far as known", status.tiers.zarr.files as f64),
        ("zarr_file_bytes", "gauge", "Length of the files inside stores", status.tiers.zarr.bytes as f64),
        ("zarr_stored_bytes", "gauge", "Bytes that they take there", status.tiers.zarr.stored_bytes as f64),
        ("dirty_files", "gauge", "Files that only memory has in full", status.dirty.files as f64),
        ("dirty_bytes", "gauge", "Length of the files that only memory has in full", status.dirty.bytes as f64),
        ("oldest_dirty_seconds", "gauge", "Age of the oldest dirty byte", status.oldest_dirty_seconds.unwrap_or(0.0)),
        ("open_handles", "gauge", "Open file handles", status.open_handles as f64),
        ("materialized_files_total", "counter", "Files brought home", status.materialized.files as f64),
        ("materialized_bytes_total", "counter", "Bytes brought home", status.materialized.bytes as f64),
        ("materialize_failures_total", "counter", "Failed attempts", status.materialized.failed as f64),
        ("sealed_files_total", "counter", "Files sealed into stores", status.sealed.files as f64),
        ("sealed_bytes_total", "counter", "Length of the files sealed into stores", status.sealed.bytes as f64),
        ("seal_refusals_total", "counter", "Files that cannot be sealed and stay plain", status.sealed.refused as f64),
        ("datasets", "gauge", "Datasets", status.datasets.len() as f64),
        ("materialize_bytes_per_second", "gauge", "Speed at which bytes come home", rate),
        ("conflicts", "gauge", "Files kept beside another's version", status.conflicts.len() as f64),
    ];
    let mut text = String::new();
    for (name, kind, help, value) in rows {
        // Writing to a string cannot fail.
        let _ = write!(text, "# HELP scopefs_{name} {help}\n# TYPE scopefs_{name} {kind}\nscopefs_{name} {value}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::status::{Sealed, Stored};

    #[test]
    fn every_figure_has_help_type_and_value() {
        let text = metrics(&Status::default());
        let values = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(text.lines().count(), values * 3);
        assert!(text.lines().filter(|line| !line.starts_with('#')).all(|line| line.starts_with("scopefs_")));
    }

    #[test]
    fn what_is_sealed_is_measured() {
        let mut status = Status::default();
        status.tiers.zarr = Stored { files: 3, bytes: 300, stored_bytes: 100 };
        status.sealed = Sealed { files: 2, bytes: 200, refused: 1 };
        let text = metrics(&status);
        for line in [
            "scopefs_zarr_files 3",
            "scopefs_zarr_file_bytes 300",
            "scopefs_zarr_stored_bytes 100",
            "scopefs_sealed_files_total 2",
            "scopefs_sealed_bytes_total 200",
            "scopefs_seal_refusals_total 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
