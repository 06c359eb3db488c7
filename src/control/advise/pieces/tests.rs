use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::*;
use crate::model::RelPath;
use crate::route::{self, RuleId};
use crate::vfs::{Past, Refused, Returned};

const RULES: &str = "[[rule]]\nmatch = \"scratch/**\"\nbackend = \"memory\"\ndurability = \"scratch\"\n\
                     [[rule]]\nmatch = \"raw/**\"\nbackend = \"disk\"\n[[rule]]\nmatch = \"**\"\nbackend = \"zarr\"\n";
const MIB: u64 = 1 << 20;

fn router() -> Router {
    route::from_toml(RULES, Path::new("a.toml"), &["memory", "disk", "zarr"]).expect("valid").1
}

fn observed(groups: Vec<(Group, Tally)>) -> Observed {
    Observed {
        lasted: Duration::from_secs(60),
        groups: groups.into_iter().map(|(group, tally)| (group, Arc::new(tally))).collect(),
        spared: (0, 0),
        short: 0,
        evicted: (0, 0),
        returned: Returned::default(),
        refused: Vec::new(),
        images: Vec::new(),
    }
}

fn pieces(observed: Observed, stores: StoreFigures) -> Vec<Advised> {
    let router = router();
    let pieces = Known { observed, router: &router, limit: 1024 * MIB, stores }.pieces();
    for piece in &pieces {
        if let Some(config) = &piece.config {
            let read = route::from_toml(config, Path::new("b.toml"), &["memory", "disk", "zarr"]);
            assert!(read.is_ok(), "{config}: {read:?}");
        }
    }
    pieces
}

fn group(rule: u16, dataset: &str, ending: &str) -> Group {
    let dataset = RelPath::from_bytes(dataset.as_bytes()).expect("relative");
    Group { rule: RuleId(rule), dataset, ending: ending.to_owned() }
}

fn only(pieces: Vec<Advised>) -> Advised {
    assert_eq!(pieces.len(), 1, "{pieces:?}");
    pieces.into_iter().next().expect("one")
}

#[test]
fn nothing_seen_is_nothing_advised() {
    assert_eq!(pieces(observed(Vec::new()), StoreFigures::default()), []);
    let little = Tally { deleted_after: Amount::of(3, 1000), brought_home: Amount::of(3, 1000), ..Tally::default() };
    assert_eq!(pieces(observed(vec![(group(2, "a", "tif"), little)]), StoreFigures::default()), []);
}

#[test]
fn what_was_written_and_then_deleted_should_have_been_scratch() {
    let tally = || Tally {
        deleted_after: Amount::of(9, 90 * MIB),
        brought_home: Amount::of(10, 100 * MIB),
        ..Tally::default()
    };
    let piece = only(pieces(observed(vec![(group(2, "tmp", "tif"), tally())]), StoreFigures::default()));
    assert_eq!((piece.about.as_str(), piece.bytes), ("scratch", 90 * MIB));
    assert!(piece.text.starts_with("9 files (90.0 MiB), all *.tif files in tmp,"), "{}", piece.text);
    assert!(piece.text.contains("90 %"), "{}", piece.text);
    assert!(piece.config.expect("a rule").contains("match = \"tmp/**/*.tif\"\n"));
    let already = observed(vec![(group(0, "scratch", "tif"), tally())]);
    assert_eq!(pieces(already, StoreFigures::default()), [], "that is what the rule says");
    let mixed =
        Tally { deleted_after: Amount::of(9, 90 * MIB), brought_home: Amount::of(99, 990 * MIB), ..Tally::default() };
    assert_eq!(pieces(observed(vec![(group(2, "tmp", "tif"), mixed)]), StoreFigures::default()), []);
}

#[test]
fn times_that_were_too_short_are_told_with_what_would_have_been_enough() {
    let tally = Tally {
        written_early: Amount::of(5, 50 * MIB),
        written_early_idle: 40_000.into(),
        unsealed: Amount::of(4, 40 * MIB),
        unsealed_rest: 80_000.into(),
        ..Tally::default()
    };
    let pieces = pieces(observed(vec![(group(2, "a", "tif"), tally)]), StoreFigures::default());
    let configs: Vec<_> =
        pieces.iter().map(|piece| (piece.about.as_str(), piece.config.clone().expect("some"))).collect();
    assert_eq!(configs[0].0, "write_behind");
    assert!(configs[0].1.ends_with("backend = \"zarr\"\nwrite_behind = \"50s\"\n"), "{}", configs[0].1);
    assert_eq!(configs[1], ("settle", "[zarr]\nsettle = \"100s\"\n".to_owned()));
}

#[test]
fn memory_that_was_missing_is_added_to_the_limit() {
    let mut seen = observed(Vec::new());
    seen.evicted = (40, 400 * MIB);
    seen.returned = Returned { files: 20, bytes: 200 * MIB, missing: 300 * MIB };
    seen.short = 7;
    let piece = only(pieces(seen, StoreFigures::default()));
    assert_eq!(piece.config.as_deref(), Some("[memory]\nlimit = \"1536MiB\"\n"));
    assert!(piece.text.contains("7 files went to disk while they were made"), "{}", piece.text);
}

#[test]
fn sizes_of_auto_that_were_too_small_are_told_with_what_would_have_been_enough() {
    let past = |files, bytes, most| Past { amount: Amount::of(files, bytes), most: AtomicU64::new(most) };
    let seen = |most| {
        let below = Tally { past_memory_below: past(40, 400 * MIB, most), ..Tally::default() };
        observed(vec![(group(2, "tmp", "tif"), below)])
    };
    let piece = only(pieces(seen(300 * MIB), StoreFigures::default()));
    assert_eq!((piece.about.as_str(), piece.bytes), ("memory_below", 400 * MIB));
    assert!(piece.text.contains("because tmp (300.0 MiB) is beyond memory_below"), "{}", piece.text);
    assert_eq!(piece.config.as_deref(), Some("[auto]\nmemory_below = \"376MiB\"\nzarr_above = \"10GiB\"\n"));
    assert_eq!(pieces(seen(600 * MIB), StoreFigures::default()), [], "memory has no room for that");

    let above = Tally { past_zarr_above: past(5, 50 * MIB, 11 << 30), ..Tally::default() };
    let piece = only(pieces(observed(vec![(group(2, "d", "tif"), above)]), StoreFigures::default()));
    assert_eq!((piece.about.as_str(), piece.bytes), ("zarr_above", 50 * MIB));
    assert_eq!(piece.config.as_deref(), Some("[auto]\nmemory_below = \"1GiB\"\nzarr_above = \"14081MiB\"\n"));
}

#[test]
fn files_for_the_disk_and_files_that_the_disk_is_too_slow_for_are_told_apart() {
    let sync = Tally { synced: Amount::of(3, MIB), ..Tally::default() };
    let read = Tally { opened_again: Amount::of(200, 900 * MIB), ..Tally::default() };
    let same = Tally { opened_again: Amount::of(200, 900 * MIB), ..Tally::default() };
    let groups = vec![(group(2, "db", "sqlite"), sync), (group(1, "raw", "tif"), read), (group(2, "a", "tif"), same)];
    let pieces = pieces(observed(groups), StoreFigures::default());
    let about: Vec<&str> = pieces.iter().map(|piece| piece.about.as_str()).collect();
    assert_eq!(about, ["memory", "fsync"], "a file under a rule that wants memory is on disk for another reason");
}

#[test]
fn what_sealing_would_save_is_told_by_what_it_has_saved() {
    let images = || {
        let mut seen = observed(Vec::new());
        seen.images = vec![(RuleId(2), 50, 100 * MIB)];
        let why = "its pixels are compressed (LZW), and could not be rebuilt byte for byte".to_owned();
        let example = RelPath::from_bytes(b"a/x.tif").expect("relative");
        seen.refused = vec![Refused { why, files: 5, bytes: 500 * MIB, example }];
        seen
    };
    let unknown = pieces(images(), StoreFigures { stores: 1, files: 2, bytes: 20 * MIB, stored_bytes: 5 * MIB });
    assert_eq!(only(unknown).about, "compressed", "two files say nothing of others");
    let pieces = pieces(images(), StoreFigures { stores: 1, files: 20, bytes: 200 * MIB, stored_bytes: 50 * MIB });
    assert_eq!(pieces[1].about, "adopt");
    assert_eq!(pieces[1].bytes, 75 * MIB);
    assert!(pieces[1].text.contains("25 % of their length"), "{}", pieces[1].text);
    assert!(pieces[0].config.is_none() && pieces[0].text.contains("a/x.tif"), "{}", pieces[0].text);
}
