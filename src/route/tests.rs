//! Which rule decides, what it decides, and how it says so.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const BACKENDS: &[&str] = &["memory", "disk"];

fn router(text: &str) -> Router {
    from_toml(text, Path::new("t.toml"), BACKENDS).unwrap_or_else(|errors| panic!("{errors}")).1
}

fn rule(pattern: &str) -> Router {
    let rule = Rule { pattern: pattern.to_string(), ..Rule::default() };
    Router::new(&Config { rules: vec![rule], ..Config::default() }, BACKENDS)
        .unwrap_or_else(|errors| panic!("{errors}"))
}

fn path(bytes: &[u8]) -> RelPath {
    RelPath::from_path(Path::new(OsStr::from_bytes(bytes))).expect("relative")
}

/// The name of the rule that decides.
fn decides(router: &Router, text: &str) -> String {
    router.rule(router.decide(&path(text.as_bytes())).rule).name.clone()
}

fn matches(pattern: &str, text: &str) -> bool {
    decides(&rule(pattern), text) != "default"
}

#[test]
fn stars_stay_within_a_name_and_double_stars_cross_directories() {
    assert!(matches("*.tif", "a.tif"));
    assert!(!matches("*.tif", "plate/a.tif"));
    assert!(!matches("plate?a.tif", "plate/a.tif"));
    assert!(matches("**/*.tif", "a.tif") && matches("**/*.tif", "p/q/a.tif"));
    assert!(matches("results/**", "results/a") && matches("results/**", "results/a/b"));
    assert!(!matches("results/**", "results") && !matches("results/**", "old/results/a"));
    assert!(matches("a/**/b", "a/b") && matches("a/**/b", "a/x/y/b"));
    assert!(matches("**", "anything/at/all") && matches("**", ""));
}

#[test]
fn alternatives_classes_and_escapes_work_as_documented() {
    assert!(matches("r/**/*.{tif,tiff,npy}", "r/x.npy") && !matches("r/**/*.{tif,tiff,npy}", "r/x.png"));
    assert!(matches("*{,.ome}.tif", "a.tif") && matches("*{,.ome}.tif", "a.ome.tif"));
    assert!(matches("{raw,tmp/**}", "raw") && matches("{raw,tmp/**}", "tmp/a/b"));
    assert!(matches("_w[1-4].tif", "_w3.tif") && !matches("_w[1-4].tif", "_w5.tif"));
    assert!(matches(r"\[a\]\*", "[a]*") && !matches(r"\[a\]\*", "a*"));
    assert!(!matches("*.tif", "A.TIF"), "case counts");
}

#[test]
fn hidden_files_and_line_breaks_are_ordinary_names() {
    assert!(matches("*", ".hidden") && matches("*", "a\nb") && matches("**/b", "a\n/b"));
}

#[test]
fn names_that_are_not_utf_8_are_matched_byte_by_byte() {
    let router = rule("plate/*.tif");
    for name in [&b"plate/\xff\xfe.tif"[..], b"plate/caf\xe9.tif", "plate/é.tif".as_bytes()] {
        assert_eq!(router.decide(&path(name)).rule, RuleId(0), "{name:?}");
    }
    assert_eq!(router.decide(&path(b"plate/\xff/x.tif")).rule, RuleId(1));
    assert!(matches("é*", "étage") && matches("{é,è}*", "ère"));
    assert!(matches("??", "é") && !matches("[é]", "é"), "a class and '?' are one byte");
}

#[test]
fn the_first_match_wins_and_the_built_in_rule_is_last() {
    let router =
        router("[[rule]]\nmatch = \"a/*\"\nbackend = \"disk\"\n[[rule]]\nmatch = \"a/**\"\nbackend = \"memory\"");
    assert_eq!(decides(&router, "a/x"), "rule 1 'a/*'");
    assert_eq!(decides(&router, "a/x/y"), "rule 2 'a/**'");
    assert_eq!(decides(&router, "b"), "default");
    let names: Vec<&str> = router.rules().map(|(_, view)| view.name.as_str()).collect();
    assert_eq!(names, ["rule 1 'a/*'", "rule 2 'a/**'", "default"]);
    assert_eq!(router.rule(RuleId(2)).backend, "auto");
    assert_eq!(router.rule(RuleId(999)).name, "default", "an id of another configuration");
}

#[test]
fn backends_decide_where_files_start_and_settle() {
    for (backend, start) in
        [("memory", Tier::Memory), ("disk", Tier::Disk), ("auto", Tier::Memory), ("zarr", Tier::Memory)]
    {
        let decision = router(&format!("[[rule]]\nmatch = \"**\"\nbackend = \"{backend}\"")).decide(&path(b"a"));
        let home = if backend == "zarr" { Tier::Zarr } else { Tier::Disk };
        assert_eq!((decision.start, decision.home), (start, home), "{backend}");
    }
}

#[test]
fn options_of_a_rule_override_those_of_the_section() {
    let text = "[memory]\nwrite_behind = \"7s\"\n[[rule]]\nmatch = \"a\"\nwrite_behind = \"1s\"\n\
                [[rule]]\nmatch = \"b\"\nwrite_behind = \"off\"\n[[rule]]\nmatch = \"c\"\ndurability = \"strict\"\n\
                [[rule]]\nmatch = \"d\"\ndurability = \"scratch\"\non_unmount = \"discard\"";
    let router = router(text);
    let decide = |name: &str| router.decide(&path(name.as_bytes()));
    assert_eq!(decide("a").write_behind, Some(Duration::from_secs(1)));
    assert_eq!(decide("b").write_behind, None);
    assert_eq!((decide("c").write_behind, decide("c").durability), (Some(Duration::from_secs(7)), Durability::Strict));
    assert_eq!((decide("d").write_behind, decide("d").on_unmount), (None, OnUnmount::Discard));
    assert_eq!(decide("other").write_behind, Some(Duration::from_secs(7)));
}

#[test]
fn only_scratch_is_ever_discarded_wherever_the_rule_came_from() {
    let rule = Rule { on_unmount: OnUnmount::Discard, ..Rule::default() };
    let router = Router::new(&Config { rules: vec![rule], ..Config::default() }, BACKENDS).expect("valid");
    assert_eq!(router.decide(&path(b"a")).on_unmount, OnUnmount::Keep);
}

#[test]
fn an_explanation_names_rule_backend_place_and_what_follows() {
    let text = "[[rule]]\nmatch = \"tmp/**\"\nbackend = \"memory\"\n\
                durability = \"scratch\"\non_unmount = \"discard\"\n\
                [[rule]]\nmatch = \"results/**\"\nbackend = \"zarr\"\n[[rule]]\nmatch = \"raw/**\"\nbackend = \"disk\"\n\
                [[rule]]\nmatch = \"m/**\"\nbackend = \"zarr\"\noriginals = \"keep\"\nas = \"labels\"\nof = \"raw/*\"";
    let router = router(text);
    let explain = |name: &str| router.explain(&router.decide(&path(name.as_bytes())));
    assert_eq!(
        explain("results/a"),
        "rule 2 'results/**' (backend zarr): kept in memory, home zarr; sealed after 30s of rest; \
         fsync makes it durable; written to disk as a plain file if it is not sealed 5 minutes after a change"
    );
    assert!(explain("m/a").contains("sealed as labels of 'raw/*' after 30s of rest, beside the original;"));
    assert_eq!(explain("raw/a"), "rule 3 'raw/**' (backend disk): kept on disk; fsync makes it durable");
    assert!(explain("tmp/a").contains("scratch") && explain("tmp/a").contains("discarded at unmount"));
    assert!(explain("x").starts_with("default (backend auto): kept in memory, home disk; its dataset is small;"));
}

#[test]
fn an_unknown_backend_lists_the_registered_ones() {
    let config = Config::from_toml("\n[[rule]]\nmatch = \"**\"\nbackend = \"dsk\"", Path::new("t.toml")).expect("read");
    let error = Router::new(&config, BACKENDS).expect_err("unknown").to_string();
    for part in ["t.toml:2: [[rule]] 1 backend", "\"dsk\"", "auto, disk, memory, zarr", "nearest is \"disk\""] {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
}

#[test]
fn an_invalid_glob_says_what_is_wrong_and_how_to_write_it() {
    let wrong = [("a[", "']'"), ("a{b", "'}'"), ("a}", "'{'"), ("[z-a]", "[a-z]"), ("a\\", "'\\\\'")];
    for (pattern, remedy) in wrong {
        for rule in [
            Rule { pattern: pattern.to_string(), ..Rule::default() },
            Rule { dataset: Some(pattern.to_string()), ..Rule::default() },
        ] {
            let error = Router::new(&Config { rules: vec![rule], ..Config::default() }, BACKENDS).expect_err(pattern);
            let error = error.to_string();
            assert!(error.contains("no valid glob") && error.contains(remedy), "{error}");
        }
    }
}

#[test]
fn a_pattern_of_plates_that_cannot_be_used_is_named_with_its_line() {
    let text = "[zarr]\nplates = [\n  '(?<well>[A-H]\\d\\d)_(?<field>\\d+)',\n  '(?<site>\\d+)',\n  '(?<well>x',\n]\n";
    let errors = from_toml(text, Path::new("t.toml"), BACKENDS).expect_err("two are wrong").to_string();
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), 2, "{errors}");
    assert!(lines[0].starts_with("t.toml:4: [zarr] plates: ") && lines[0].contains("'site'"), "{errors}");
    assert!(lines[1].starts_with("t.toml:5: [zarr] plates: ") && lines[1].contains("docs/plates.md"), "{errors}");
}

#[test]
fn labels_belong_to_the_images_that_their_rule_names() {
    let labels = "[[rule]]\nmatch = \"**/*_mask.tif\"\nbackend = \"zarr\"\nas = \"labels\"\n";
    let router_of = router(&format!("{labels}of = \"plate/**\"\n"));
    let decision = router_of.decide(&path(b"plate/a_mask.tif"));
    assert_eq!(decision.seal_as, SealAs::Labels);
    assert_eq!(router_of.rule(decision.rule).of.as_deref(), Some("plate/**"));
    assert!(router_of.are_labels_of(decision.rule, &path(b"plate/a.tif")));
    assert!(!router_of.are_labels_of(decision.rule, &path(b"other/a.tif")));
    let image = router_of.decide(&path(b"plate/a.tif"));
    assert_eq!(image.seal_as, SealAs::Image);
    assert!(!router_of.are_labels_of(image.rule, &path(b"plate/a.tif")));
    let any = router(labels);
    assert!(any.are_labels_of(RuleId(0), &path(b"anywhere/a.tif")));
    let wrong = from_toml(&format!("{labels}of = \"[\"\n"), Path::new("t.toml"), BACKENDS).expect_err("no glob");
    assert!(wrong.to_string().contains("[[rule]] 1 of: "), "{wrong}");
}

#[test]
fn a_file_is_told_all_its_problems_at_once() {
    let text =
        "[memory]\nlimt = 1\n[[rule]]\nmatch = \"a[\"\n[[rule]]\nmatch = \"b\"\nbackend = \"s3\"\ndurability = 1\n";
    let error = from_toml(text, Path::new("t.toml"), BACKENDS).expect_err("wrong").to_string();
    let places: Vec<&str> =
        error.lines().map(|line| line.rsplit_once("t.toml:").map_or(line, |(_, rest)| rest)).collect();
    let starts = ["2: [memory] limt", "3: [[rule]] 1 match", "5: [[rule]] 2 backend", "8: [[rule]] 2 durability"];
    assert_eq!(places.len(), starts.len(), "{error}");
    assert!(places.iter().zip(starts).all(|(place, start)| place.starts_with(start)), "{error}");
}

#[test]
fn more_rules_than_ids_are_refused() {
    let rules = vec![Rule::default(); usize::from(u16::MAX) + 1];
    let error = Router::new(&Config { rules, ..Config::default() }, BACKENDS).expect_err("too many");
    assert_eq!(error.problems.len(), 1);
}

#[test]
fn a_router_is_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Router>();
}

proptest! {
    #[test]
    fn no_pattern_and_no_path_make_it_panic(pattern in "\\PC{0,12}|[a*?/{},\\[\\]!\\\\-]{0,16}", name: Vec<u8>) {
        let rules = vec![Rule { pattern, ..Rule::default() }];
        let router = Router::new(&Config { rules, ..Config::default() }, BACKENDS);
        if let (Ok(router), Some(path)) = (router, RelPath::from_bytes(&name)) {
            let decision = router.decide(&path);
            prop_assert!(!router.explain(&decision).is_empty());
        }
    }

    #[test]
    fn an_escaped_name_matches_itself_and_nothing_else(
        name in "[ab*?{}\\[\\]!,. -]{1,6}",
        other in "[ab*?{}\\[\\]!,. -]{1,2}",
    ) {
        prop_assume!(name != "." && name != ".." && other != "." && other != "..");
        let pattern: String = name.chars().flat_map(|c| ['\\', c]).collect();
        prop_assert!(matches(&pattern, &name));
        prop_assert_eq!(matches(&pattern, &other), name == other);
    }
}

#[test]
fn a_dataset_is_the_directory_at_the_top_unless_the_rule_names_others() {
    let of =
        |router: &Router, text: &str| String::from_utf8(router.dataset(&path(text.as_bytes())).to_vec()).expect("text");
    let plain = router("");
    assert_eq!(of(&plain, "plate/B03/a.tif"), "plate");
    assert_eq!(of(&plain, "a.tif"), "", "files at the top are one dataset");
    let named = router(
        "[[rule]]\nmatch = \"results/**\"\nbackend = \"auto\"\ndataset = \"results/*\"\n\
         [[rule]]\nmatch = \"deep/**\"\nbackend = \"auto\"\ndataset = \"**/run?\"",
    );
    assert_eq!(of(&named, "results/p1/B03/a.tif"), "results/p1");
    assert_eq!(of(&named, "results/a.tif"), "results", "nothing above it is named");
    assert_eq!(of(&named, "deep/run1/x/run2/a"), "deep/run1", "the outermost");
    assert_eq!(of(&named, "other/p1/a"), "other");
    assert!(named.names_datasets() && !plain.names_datasets());
}

#[test]
fn a_dataset_that_shrinks_stays_in_its_row_until_it_is_a_fifth_below_the_line() {
    let lines = *router("[auto]\nmemory_below = 100\nzarr_above = 1000").lines();
    let up: Vec<Row> = [0, 99, 100, 1000, 1001].map(|bytes| lines.row(bytes, Row::Small)).to_vec();
    assert_eq!(up, [Row::Small, Row::Small, Row::Middle, Row::Middle, Row::Large]);
    assert_eq!(
        [1000, 800, 799, 81, 79].map(|bytes| lines.row(bytes, Row::Large)),
        [Row::Large, Row::Large, Row::Middle, Row::Middle, Row::Small]
    );
    assert_eq!([99, 80, 79].map(|bytes| lines.row(bytes, Row::Middle)), [Row::Middle, Row::Middle, Row::Small]);
    assert_eq!((lines.next_at(Row::Middle), lines.back_below(Row::Large)), (Some(1000), Some(800)));
}

#[test]
fn the_row_decides_what_auto_means_and_nothing_else_does() {
    let text = "[[rule]]\nmatch = \"s/**\"\nbackend = \"auto\"\ndurability = \"scratch\"\n\
                [[rule]]\nmatch = \"m/**\"\nbackend = \"memory\"\n[[rule]]\nmatch = \"**\"\nbackend = \"auto\"";
    let told = router(text);
    let of = |text: &str, row| told.decide(&path(text.as_bytes())).in_row(row, &path(text.as_bytes()));
    let places = |decision: Decision| (decision.start, decision.home, decision.at_once);
    assert_eq!(places(of("p/a.TIF", Row::Small)), (Tier::Memory, Tier::Disk, false));
    assert_eq!(places(of("p/a.TIF", Row::Middle)), (Tier::Memory, Tier::Disk, true));
    assert_eq!(places(of("p/a.TIF", Row::Large)), (Tier::Memory, Tier::Zarr, false));
    assert_eq!(places(of("p/a.csv", Row::Large)), (Tier::Disk, Tier::Disk, true));
    for row in [Row::Small, Row::Middle, Row::Large] {
        assert_eq!(places(of("s/a.tif", row)), (Tier::Memory, Tier::Disk, false), "scratch");
        assert_eq!(places(of("m/a.tif", row)), (Tier::Memory, Tier::Disk, false), "not auto");
    }
    assert!(
        told.explain(&of("p/a.tif", Row::Middle))
            .contains("of middle size; fsync makes it durable; written behind at once")
    );
    assert!(told.explain(&of("p/a.tif", Row::Large)).contains("its dataset is large; sealed after 30s of rest"));
}

#[test]
fn the_built_in_rule_seals_only_where_the_sizes_are_written() {
    for (text, home) in
        [("", Tier::Disk), ("[memory]\nhigh = 0.9", Tier::Disk), ("[auto]\nzarr_above = \"2GiB\"", Tier::Zarr)]
    {
        let told = router(text);
        let decision = told.decide(&path(b"p/a.tif")).in_row(Row::Large, &path(b"p/a.tif"));
        assert_eq!(decision.home, home, "{text}");
        assert_eq!(told.explain(&decision).contains("sealing is off"), home == Tier::Disk, "{text}");
    }
}

#[test]
fn images_are_told_by_their_names() {
    for name in ["a.tif", "p/b.TIFF", "x.ome.tif", "v.npy", "big.BTF"] {
        assert!(is_image(&path(name.as_bytes())), "{name}");
    }
    for name in ["tif", "a.png", "tif/readme", "a.tif.gz", "npy"] {
        assert!(!is_image(&path(name.as_bytes())), "{name}");
    }
}

#[test]
fn the_least_rest_is_that_of_the_most_hasty_rule() {
    let least = |rules: &str| {
        let text = format!("[memory]\nwrite_behind = \"30s\"\n[zarr]\nsettle = \"20s\"\n{rules}");
        router(&text).least_rest()
    };
    let everything = "[[rule]]\nmatch = \"**\"\nbackend = \"memory\"\n";
    assert_eq!(least(everything), Duration::from_millis(500), "the built-in rule is auto");
    let hasty = format!("[[rule]]\nmatch = \"a\"\nbackend = \"disk\"\nwrite_behind = \"100ms\"\n{everything}");
    assert_eq!(least(&hasty), Duration::from_millis(100));
}
