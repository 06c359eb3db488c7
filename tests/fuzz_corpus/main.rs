//! The corpus of the fuzz targets, replayed: what was found once stays found, on any toolchain and in seconds.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use targets::TARGETS;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn names_in(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name in UTF-8")).collect()
}

#[test]
fn every_file_of_the_corpus_keeps_every_promise() {
    for (target, run) in TARGETS {
        let directory = corpus().join(target);
        let mut accepted = 0;
        for name in names_in(&directory) {
            // Shown where the test fails.
            println!("{target}/{name}");
            accepted += usize::from(run(&fs::read(directory.join(name)).expect("a file of the corpus")));
        }
        assert!(accepted > 2, "the corpus of {target} comes past the first look {accepted} times");
    }
}

#[test]
fn short_and_empty_bytes_keep_every_promise() {
    for (_, run) in TARGETS {
        for len in 0..20 {
            for byte in [0, 1, 2, 3, 0xFF] {
                run(&vec![byte; len]);
            }
        }
    }
}

#[test]
fn every_target_has_its_corpus_and_its_program() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names_in(&corpus()), targets);
    let programs = names_in(&corpus().with_file_name("fuzz_targets"));
    assert_eq!(programs, targets.iter().map(|name| format!("{name}.rs")).collect());
}

#[test]
fn the_corpus_is_small() {
    for (target, _) in TARGETS {
        let directory = corpus().join(target);
        let size = |name: &String| fs::metadata(directory.join(name)).expect("a file").len();
        let all: u64 = names_in(&directory).iter().map(size).sum();
        assert!(all <= 32 << 10, "{target}: {all} bytes");
    }
}
