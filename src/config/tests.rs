//! What a configuration is read as, and what is said about a wrong one.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{Durability, OnUnmount};

fn read(text: &str) -> Config {
    Config::from_toml(text, Path::new("t.toml")).unwrap_or_else(|errors| panic!("{errors}"))
}

fn problems(text: &str) -> Vec<String> {
    let errors = Config::from_toml(text, Path::new("t.toml")).expect_err(text);
    errors.to_string().lines().map(str::to_string).collect()
}

/// The one problem of a text, which must hold all of `parts`.
fn problem(text: &str, parts: &[&str]) {
    let found = problems(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    for part in parts {
        assert!(found[0].contains(part), "{part:?} is not in {:?}", found[0]);
    }
}

const FULL: &str = r#"
[memory]
limit = "16GiB"
high = 0.80
low = 0.70
write_behind = "off"
stop_within = "40s"

[auto]
memory_below = "2GiB"
zarr_above = 21474836480

[zarr]
ngff = "0.5"
codec = "lz4"
filter = "bitshuffle"
settle = "1m"
shards = "field"
plates = ['(?<well>[A-H]\d\d)-(?<field>\d+)',
          '(?<row>[A-H])(?<column>\d+)']

[[rule]]
match = "intermediates/**"
backend = "memory"
durability = "scratch"
on_unmount = "discard"

[[rule]]
match = "results/**/*.{tif,tiff,npy}"
backend = "zarr"
originals = "keep"
adopt = true
dataset = "*/*"
write_behind = "5s"
as = "labels"
of = "raw/**"

[[rule]]
match = "**"
backend = "auto"
"#;

#[test]
fn every_key_arrives_where_it_belongs() {
    let config = read(FULL);
    let stop_within = Duration::from_secs(40);
    let (limit, promote) = (Limit::Bytes(16 << 30), Promote::Auto);
    assert_eq!(config.memory, Memory { limit, high: 0.8, low: 0.7, write_behind: None, stop_within, promote });
    assert_eq!(config.auto, Auto { memory_below: 2 << 30, zarr_above: 20 << 30 });
    let zarr = Zarr {
        sealing: true,
        ngff: Ngff::V05,
        codec: Codec::Lz4,
        filter: Filter::Bitshuffle,
        settle: Duration::from_secs(60),
        shards: Shards::Field,
        plates: vec![
            PlatePattern { regex: r"(?<well>[A-H]\d\d)-(?<field>\d+)".to_string(), line: 19 },
            PlatePattern { regex: r"(?<row>[A-H])(?<column>\d+)".to_string(), line: 20 },
        ],
    };
    assert_eq!(config.zarr, zarr);
    let [scratch, results, rest] = &config.rules[..] else { panic!("{:?}", config.rules) };
    assert_eq!((scratch.pattern.as_str(), scratch.backend.as_str()), ("intermediates/**", "memory"));
    assert_eq!((scratch.durability, scratch.on_unmount), (Durability::Scratch, OnUnmount::Discard));
    assert_eq!((results.originals, results.adopt), (Originals::Keep, true));
    assert_eq!(results.write_behind, Some(Some(Duration::from_secs(5))));
    assert_eq!(results.dataset.as_deref(), Some("*/*"));
    assert_eq!((results.seal_as, results.of.as_deref()), (SealAs::Labels, Some("raw/**")));
    assert_eq!((rest.seal_as, rest.of.as_deref()), (SealAs::Image, None));
    assert!(rest.catches_all());
    assert_eq!(config.rules.iter().map(|rule| rule.line).collect::<Vec<_>>(), [22, 28, 38]);
    assert_eq!(config.warnings(), Vec::<String>::new());
}

#[test]
fn nothing_configured_means_auto_without_sealing() {
    let default = Config::default();
    assert!(default.rules.is_empty() && !default.zarr.sealing);
    assert_eq!(default.memory.write_behind, Some(Duration::from_secs(30)));
    let empty = read("# nothing but a comment\n");
    assert_eq!(Config { file: None, ..empty }, default);
    assert!(!read("[memory]\nlimit = \"50%\"").zarr.sealing, "the sizes are not written");
    assert!(read("[auto]\nzarr_above = \"2GiB\"").zarr.sealing);
}

#[test]
fn an_unknown_key_names_file_line_key_and_the_nearest_valid_one() {
    problem(
        "[memory]\nlimit = 5\nhihg = 0.5",
        &["t.toml:3: [memory] hihg", "'high'", "limit, high, low, write_behind"],
    );
    problem("[[rule]]\nmatch = \"**\"\ndurabilty = \"strict\"", &["t.toml:3: [[rule]] 1 durabilty", "'durability'"]);
    problem("[memry]\nlimit = 5", &["t.toml:1: memry", "'memory'", "[[rule]]"]);
    problem("[[rules]]\nmatch = \"**\"", &["t.toml:1: rules", "'rule'"]);
}

#[test]
fn a_known_key_in_the_wrong_section_is_sent_home() {
    problem("[auto]\nlimit = \"1GiB\"", &["t.toml:2: [auto] limit", "belongs in [memory]"]);
    problem("limit = \"1GiB\"", &["t.toml:1: limit", "below [memory]"]);
}

#[test]
fn a_wrong_value_names_what_is_accepted_and_what_to_write() {
    problem("[memory]\nlimit = \"lots\"", &["t.toml:2: [memory] limit", "\"lots\"", "16GiB", "50%"]);
    problem("[memory]\nlimit = 0.5", &["the float 0.5", "\"50%\""]);
    problem("[memory]\nlimit = -5", &["\"-5\" is no size"]);
    problem("[memory]\nhigh = \"80%\"", &["[memory] high", "above 0 and up to 1", "0.80"]);
    problem("[memory]\nhigh = 1.5", &["1.5 is out of range", "up to 1"]);
    problem("[memory]\nlow = 0", &["0 is out of range"]);
    problem("[memory]\nhigh = nan", &["nan is out of range"]);
    problem("[memory]\nwrite_behind = 30", &["the integer 30", "\"30s\"", "\"off\""]);
    problem("[zarr]\nngff = 0.4", &["[zarr] ngff", "the float 0.4", "in quotes: \"0.4\", \"0.5\""]);
    problem("[zarr]\nfilter = \"bitshufle\"", &["the nearest is \"bitshuffle\""]);
    problem(
        "[[rule]]\nmatch=\"**\"\ndurability = \"sync\"",
        &["t.toml:3:", "\"fsync\", \"strict\", \"scratch\"", "nearest"],
    );
    problem("[[rule]]\nmatch=\"**\"\nadopt = \"yes\"", &["the string \"yes\"", "true or false"]);
    problem("[[rule]]\nmatch=\"**\"\nbackend = 3", &["[[rule]] 1 backend", "a string"]);
}

#[test]
fn what_keys_mean_together_is_checked() {
    problem("[memory]\nhigh = 0.5", &["t.toml:2: [memory] high", "low (0.7) must be below high (0.5)"]);
    problem("[memory]\nhigh = 0.6\nlow = 0.6", &["t.toml:3: [memory] low"]);
    problem("[auto]\nmemory_below = \"10GiB\"", &["must be less than zarr_above", "defaults"]);
    problem("[zarr]\nshards = \"field\"", &["[zarr] shards", "ngff = \"0.5\""]);
    let discard = "[[rule]]\nmatch = \"a\"\non_unmount = \"discard\"";
    problem(discard, &["t.toml:3: [[rule]] 1 on_unmount", "durability = \"scratch\""]);
    let both = "[[rule]]\nmatch = \"a\"\ndurability = \"scratch\"\nwrite_behind = \"1s\"";
    problem(both, &["t.toml:4: [[rule]] 1 write_behind", "remove write_behind"]);
}

#[test]
fn labels_need_a_store_and_their_images_need_labels() {
    problem(
        "[[rule]]\nmatch = \"**\"\nas = \"labels\"",
        &["t.toml:3: [[rule]] 1 as", "backend = \"zarr\"", "remove as"],
    );
    problem(
        "[[rule]]\nmatch = \"**\"\nbackend = \"zarr\"\nof = \"raw/**\"",
        &["t.toml:4: [[rule]] 1 of", "as = \"labels\""],
    );
    problem(
        "[[rule]]\nmatch = \"**\"\nbackend = \"zarr\"\nas = \"label\"",
        &["[[rule]] 1 as", "the nearest is \"labels\""],
    );
    let wrong = "[[rule]]\nmatch = \"**\"\nbackend = \"zarr\"\nas = \"labels\"\nof = \"/raw\"";
    problem(wrong, &["t.toml:5: [[rule]] 1 of", "can never match"]);
}

#[test]
fn patterns_of_plates_are_a_list_of_strings() {
    problem("[zarr]\nplates = \"x\"", &["t.toml:2: [zarr] plates", "a list of strings"]);
    problem("[zarr]\nplates = ['x', 3]", &["t.toml:2: [zarr] plates", "the integer 3"]);
}

#[test]
fn a_wrong_value_is_reported_once_and_not_for_what_follows_from_it() {
    problem("[memory]\nhigh = 0.6\nlow = \"x\"", &["[memory] low"]);
    problem("[zarr]\nngff = \"0.6\"\nshards = \"field\"", &["[zarr] ngff"]);
    let text = "[[rule]]\nmatch = \"a\"\ndurability = \"scrach\"\non_unmount = \"discard\"";
    problem(text, &["[[rule]] 1 durability", "\"scratch\""]);
}

#[test]
fn a_pattern_that_no_path_can_match_is_refused() {
    problem("[[rule]]\nbackend = \"disk\"", &["t.toml:1: [[rule]] 1 match", "add match ="]);
    problem("[[rule]]\nmatch = \"\"", &["t.toml:2: [[rule]] 1 match", "empty pattern", "\"**\""]);
    problem("[[rule]]\nmatch = \"/results/**\"", &["relative to the root", "write \"results/**\""]);
    problem("[[rule]]\nmatch = \"./a\"", &["write \"a\""]);
    problem("[[rule]]\nmatch = \"results/\"", &["write \"results/**\""]);
    problem("[[rule]]\nmatch = \"a/../b\"", &["without '.', '..'"]);
    problem("[[rule]]\nmatch = \"a//b\"", &["'//'"]);
}

#[test]
fn rules_in_single_brackets_and_sections_in_double_are_explained() {
    problem("[rule]\nmatch = \"**\"", &["t.toml:1: rule", "[[rule]] with two brackets"]);
    problem("[[memory]]\nlimit = 5", &["t.toml:1: memory", "write [memory]"]);
    problem("rule = [1]", &["[[rule]] with two brackets"]);
}

#[test]
fn all_problems_are_reported_in_the_order_of_their_lines() {
    let text = "[zarr]\ncodec = \"zstd\"\n[memory]\nlimt = 5\nhigh = 2\n[[rule]]\nmatch = \"\"\nx = 1";
    let found = problems(text);
    let lines: Vec<&str> = found.iter().map(|problem| problem.split(": ").next().unwrap_or_default()).collect();
    assert_eq!(lines, ["t.toml:2", "t.toml:4", "t.toml:5", "t.toml:7", "t.toml:8"], "{found:#?}");
}

#[test]
fn broken_toml_names_each_line() {
    let found = problems("[memory]\nlimit = \nhigh = 0.8\nlow = = 1\n");
    assert!(found[0].starts_with("t.toml:2: this is not TOML"), "{found:#?}");
    assert!(found.iter().any(|problem| problem.starts_with("t.toml:4: ")), "{found:#?}");
    problem("[memory]\nlow = 0.1\nlow = 0.2\n", &["t.toml:3", "duplicate key"]);
}

#[test]
fn rules_after_one_that_takes_everything_are_warned_of() {
    let config = read("[[rule]]\nmatch = \"**\"\n[[rule]]\nmatch = \"a/**\"\nbackend = \"disk\"\n");
    let warnings = config.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("t.toml:3: [[rule]] 2: \"a/**\" can never match"), "{warnings:?}");
    assert!(warnings[0].contains("rule 1 (\"**\", line 1)") && warnings[0].contains("above"), "{warnings:?}");
}

#[test]
fn what_can_hardly_be_meant_is_warned_of() {
    let warns = |text: &str, part: &str| {
        let warnings = read(text).warnings();
        assert!(warnings.len() == 1 && warnings[0].contains(part), "{text}: {warnings:?}");
    };
    warns("[[rule]]\nmatch = \"a\"\n[[rule]]\nmatch = \"a\"\nbackend = \"disk\"", "never match");
    warns("[[rule]]\nmatch = \"**.tif\"", "acts as '*'");
    warns("[[rule]]\nmatch = \"a\"\nbackend = \"disk\"\nadopt = true", "no effect");
    warns("[[rule]]\nmatch = \"[éè]*\"", "byte by byte");
    warns("[memory]\nwrite_behind = \"1h\"", "acts as 5m");
    warns("[[rule]]\nmatch = \"a\"\nwrite_behind = \"10m\"", "acts as 5m");
    warns(
        "[[rule]]\nmatch = \"a\"\nbackend = \"disk\"\ndurability = \"scratch\"\non_unmount = \"discard\"",
        "not discarded",
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = Config::load(Path::new("/nonexistent/scopefs.toml")).expect_err("missing");
    assert!(missing.to_string().contains("/nonexistent/scopefs.toml: No such file"), "{missing}");
    let dir = tempfile::tempdir().expect("tempdir");
    let latin = dir.path().join("latin.toml");
    std::fs::write(&latin, b"[memory]\n# caf\xe9\n").expect("write");
    let error = Config::load(&latin).expect_err("latin-1").to_string();
    assert!(error.contains("latin.toml:2: ") && error.contains("UTF-8"), "{error}");
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    for open in ["[", "{a="] {
        let text = format!("x = {}", open.repeat(100_000));
        assert!(Config::from_toml(&text, Path::new("t.toml")).is_err());
    }
    assert!(Config::from_toml(&format!("{}x = 1", "a.".repeat(100_000)), Path::new("t.toml")).is_err());
}

#[test]
fn messages_carry_no_control_characters() {
    for text in
        ["\"\\u001b[2J\" = 1", "[memory]\nlimit = \"\\u001b\"", "[[rule]]\nmatch=\"**\"\ndurability=\"\\u001b\""]
    {
        assert!(problems(text).iter().all(|problem| !problem.contains('\u{1b}')), "{text}");
    }
}

/// Text that looks like a configuration often enough to reach the checks behind the parser.
fn config_like() -> impl Strategy<Value = String> {
    let keys: Vec<&str> = SECTIONS.iter().flat_map(|(_, keys)| keys.iter().copied()).chain(["limt"]).collect();
    let values = prop_oneof![
        Just("\"**\"".to_string()),
        Just("\"scratch\"".to_string()),
        Just("[[{a=1}]]".to_string()),
        "\"[0-9]{0,25}[.]?[0-9]{0,3}[kKMG%s]{0,2}\"",
        "-?[0-9_]{1,25}",
        "[0-9]{1,3}[.][0-9]{1,3}",
        "\\PC{0,8}",
    ];
    let sections = proptest::sample::select(vec!["[memory]", "[auto]", "[zarr]", "[[rule]]", "[rule]", "[x]"]);
    let entries = proptest::collection::vec((proptest::sample::select(keys), values), 0..4);
    let text = |(section, entries): (&str, Vec<(&str, String)>)| {
        let lines: Vec<String> = entries.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        format!("{section}\n{}\n", lines.join("\n"))
    };
    proptest::collection::vec((sections, entries).prop_map(text), 0..5).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = Config::from_toml(&text, Path::new("t.toml")).map(|config| config.warnings());
    }

    #[test]
    fn nothing_that_looks_like_a_configuration_makes_it_panic(text in config_like()) {
        match Config::from_toml(&text, Path::new("t.toml")) {
            Ok(config) => {
                prop_assert!(config.memory.low < config.memory.high && config.memory.high <= 1.0);
                prop_assert!(config.auto.memory_below < config.auto.zarr_above);
                config.warnings();
            }
            Err(errors) => {
                let lines = text.lines().count() + 1;
                prop_assert!(!errors.problems().is_empty());
                prop_assert!(errors.problems().iter().all(|p| p.line.is_none_or(|line| (1..=lines).contains(&line))));
            }
        }
    }
}
