//! The configurations that we hand out do what their comments say, and the documentation of the keys is complete.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use scopefs::config::{Auto, Config, Limit, Memory, SECTIONS, SealAs, Zarr};
use scopefs::model::{Durability, OnUnmount, RelPath, Tier};
use scopefs::plate::Recogniser;
use scopefs::route::{self, Decision, Router, Row};

const BACKENDS: &[&str] = &["memory", "disk"];

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn load(name: &str) -> (Config, Router) {
    let file = project("mount-configs").join(name);
    let (config, router) = route::load(&file, BACKENDS).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.warnings(), Vec::<String>::new(), "{name}");
    (config, router)
}

fn decide(router: &Router, path: &str) -> Decision {
    router.decide(&RelPath::from_path(Path::new(path)).expect("relative"))
}

#[test]
fn every_ready_configuration_loads_says_whom_it_is_for_and_is_tested_here() {
    let mut names = Vec::new();
    for entry in fs::read_dir(project("mount-configs")).expect("mount-configs") {
        let path = entry.expect("entry").path();
        let name = path.file_name().expect("name").to_string_lossy().into_owned();
        load(&name);
        let text = fs::read_to_string(&path).expect("text");
        assert!(text.starts_with("# For whom: "), "{name} does not say whom it is for");
        names.push(name);
    }
    names.sort();
    let tested = [
        "all-options.toml",
        "auto.toml",
        "demo.toml",
        "plain-disk.toml",
        "plate-sealed.toml",
        "scratch-intermediates.toml",
        "small-memory-laptop.toml",
    ];
    assert_eq!(names, tested, "a new configuration needs a test of its decisions in this file");
}

#[test]
fn scratch_intermediates_are_discarded_and_measurements_are_strict() {
    let (_, router) = load("scratch-intermediates.toml");
    for path in ["intermediates/a.tif", "plate1/intermediates/B03/a.tif", "run/tmp/x.csv"] {
        let decision = decide(&router, path);
        assert_eq!((decision.durability, decision.on_unmount), (Durability::Scratch, OnUnmount::Discard), "{path}");
        assert_eq!((decision.start, decision.write_behind), (Tier::Memory, None), "{path}");
    }
    assert_eq!(decide(&router, "results/cells.csv").durability, Durability::Strict);
    for path in ["plate1/B03_s1_w1.TIF", "tmp", "my-intermediates/a.tif", "results/mask.tif"] {
        let decision = decide(&router, path);
        assert_eq!((decision.durability, decision.on_unmount), (Durability::Fsync, OnUnmount::Keep), "{path}");
        assert_eq!(decision.write_behind, Some(Duration::from_secs(30)), "{path}");
    }
}

#[test]
fn a_sealed_plate_keeps_intermediates_in_memory_and_seals_result_images_alone() {
    let (config, router) = load("plate-sealed.toml");
    for path in ["intermediates/a.tif", "P1/tmp/B03/a.npy", "results/tmp/a.tif"] {
        let decision = decide(&router, path);
        assert_eq!((decision.home, decision.durability), (Tier::Disk, Durability::Scratch), "{path}");
        assert_eq!(decision.on_unmount, OnUnmount::Discard, "{path}");
    }
    for path in ["results/P1_B03_s1_w1.TIF", "P1/results/masks/a.tiff", "P1/results/volume.npy"] {
        let decision = decide(&router, path);
        assert_eq!((decision.start, decision.home), (Tier::Memory, Tier::Zarr), "{path}");
        assert_eq!((decision.durability, decision.seal_as), (Durability::Fsync, SealAs::Image), "{path}");
    }
    let mask = decide(&router, "results/P1_B03_s1_w1_mask.TIF");
    assert_eq!((mask.home, mask.seal_as), (Tier::Zarr, SealAs::Labels));
    assert_eq!(decide(&router, "results/cells.csv").durability, Durability::Strict);
    assert_eq!(decide(&router, "results/cells.csv").home, Tier::Disk);
    assert_eq!(decide(&router, "P1/TimePoint_1/P1_B03_s1_w1.TIF").home, Tier::Disk);
    assert!(router.rules().all(|(_, rule)| !rule.adopt), "found files are never touched");
    let names = Recogniser::new(&config.zarr.plate_patterns()).expect("the pattern is right");
    let path = RelPath::from_path(Path::new("results/run7_B03_field2_dapi_mask.tif")).expect("relative");
    let position = names.recognise(&path).expect("a plane of a plate").position;
    assert_eq!((position.well.row, position.well.column, position.field), (1, 2, 2));
}

#[test]
fn auto_goes_by_the_size_of_each_project_and_touches_nothing_that_was_there() {
    let (config, router) = load("auto.toml");
    assert_eq!(config.auto, Auto::default());
    let of = |path: &str, row| {
        let path = RelPath::from_path(Path::new(path)).expect("relative");
        let decision = router.decide(&path).in_row(row, &path);
        (decision.start, decision.home, decision.at_once, String::from_utf8_lossy(router.dataset(&path)).into_owned())
    };
    let (memory, disk, zarr) = (Tier::Memory, Tier::Disk, Tier::Zarr);
    assert_eq!(of("plate7/B03/a.tif", Row::Small), (memory, disk, false, "plate7".to_owned()));
    assert_eq!(of("plate7/B03/a.tif", Row::Middle), (memory, disk, true, "plate7".to_owned()));
    assert_eq!(of("plate7/B03/a.tif", Row::Large), (memory, zarr, false, "plate7".to_owned()));
    assert_eq!(of("plate7/cells.csv", Row::Large), (disk, disk, true, "plate7".to_owned()));
    assert_eq!(of("runs/12/out/mask.npy", Row::Large), (memory, zarr, false, "runs/12".to_owned()));
    assert!(router.rules().all(|(_, rule)| !rule.adopt), "found files are never touched");
}

#[test]
fn a_plain_disk_workspace_keeps_everything_on_disk() {
    let (_, router) = load("plain-disk.toml");
    for path in ["a", "intermediates/x.tif", ".hidden/deep/er/b"] {
        let decision = decide(&router, path);
        assert_eq!((decision.start, decision.home, decision.durability), (Tier::Disk, Tier::Disk, Durability::Fsync));
    }
}

#[test]
fn a_small_laptop_keeps_large_formats_out_of_a_small_memory() {
    let (config, router) = load("small-memory-laptop.toml");
    assert_eq!(config.memory.limit, Limit::Share(0.125));
    assert!(config.memory.high <= 0.6);
    for path in ["raw/stack.nd2", "big.h5", "p/x.ome.zarr/0/0"] {
        assert_eq!(decide(&router, path).start, Tier::Disk, "{path}");
    }
    let decision = decide(&router, "plate/B03.tif");
    assert_eq!((decision.start, decision.write_behind), (Tier::Memory, Some(Duration::from_secs(5))));
}

#[test]
fn the_reference_shows_the_defaults_and_every_key() {
    let (config, router) = load("all-options.toml");
    assert_eq!(config.memory, Memory { limit: Limit::Share(0.5), ..Memory::default() });
    assert_eq!(config.auto, Auto::default());
    assert_eq!(config.zarr, Zarr { sealing: true, ..Zarr::default() });
    assert_eq!(decide(&router, "intermediates/a").durability, Durability::Scratch);
    assert_eq!(decide(&router, "results/p/a.tif").write_behind, Some(Duration::from_secs(10)));
    assert!(router.explain(&decide(&router, "results/p/a.tif")).contains("sealed after 30s of rest"));
    let masks = decide(&router, "plates/p/masks/a.tif");
    assert_eq!(masks.seal_as, SealAs::Labels);
    assert_eq!(router.rule(masks.rule).of.as_deref(), Some("plates/**"));
    assert!(router.explain(&decide(&router, "other")).contains("its dataset is small"));
    let text = fs::read_to_string(project("mount-configs/all-options.toml")).expect("text");
    for (section, keys) in SECTIONS {
        assert!(text.lines().any(|line| line == *section), "{section} is missing");
        for key in *keys {
            assert!(text.lines().any(|line| line.starts_with(&format!("{key} = "))), "{section} {key} is missing");
        }
    }
}

#[test]
fn the_documentation_has_a_row_for_every_key_and_no_other() {
    let text = fs::read_to_string(project("docs/configuration.md")).expect("text");
    for (section, keys) in SECTIONS {
        let heading = format!("## `{section}`\n");
        let (_, rest) = text.split_once(&heading).unwrap_or_else(|| panic!("{section} has no heading"));
        let chapter = rest.split("\n## ").next().unwrap_or_default();
        let rows: Vec<&str> = chapter.lines().filter_map(|row| row.strip_prefix("| `")?.split('`').next()).collect();
        assert_eq!(rows, *keys, "{section}");
    }
}

#[test]
fn every_example_in_the_documentation_is_valid() {
    let text = fs::read_to_string(project("docs/configuration.md")).expect("text");
    let examples: Vec<&str> = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= SECTIONS.len());
    for example in examples {
        let read = route::from_toml(example, Path::new("docs/configuration.md"), BACKENDS);
        read.unwrap_or_else(|errors| panic!("{errors}\n{example}"));
    }
}

#[test]
fn the_messages_in_the_documentation_are_the_real_ones() {
    let text = fs::read_to_string(project("docs/configuration.md")).expect("text");
    let shown = text.split("```text\n").nth(1).and_then(|rest| rest.split("\n```").next()).expect("an example");
    let wrong = "[memory]\nlimt = 1\n\n\n\n[[rule]]\nmatch = \"**\"\nbackend = \"dsk\"\n";
    let error = route::from_toml(wrong, Path::new("experiment.toml"), BACKENDS).expect_err("wrong").to_string();
    assert_eq!(shown, error);
}

#[test]
fn the_demo_keeps_intermediates_in_a_memory_that_is_too_small_for_them() {
    let (config, router) = load("demo.toml");
    assert_eq!(config.memory.limit, Limit::Bytes(64 << 20));
    let decision = decide(&router, "intermediates/corrected/A01.tif");
    assert_eq!(
        (decision.start, decision.durability, decision.on_unmount),
        (Tier::Memory, Durability::Scratch, OnUnmount::Keep)
    );
    assert_eq!(decide(&router, "results/cells.csv").start, Tier::Disk);
}
