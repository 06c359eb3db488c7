//! Holds the sources to the tables in `docs/architecture.md`: who may look into which room, which crate lives where,
//! where unsafe code stands, and how long files and functions may be.

mod rules;
mod source;
mod table;

use std::fs;
use std::path::Path;

use rules::{FILE_MOST, FUNCTION_MOST, faults};
use source::{blank, prepare};
use table::Tables;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document() -> Tables {
    Tables::read(&fs::read_to_string(project().join("docs/architecture.md")).expect("docs/architecture.md"))
}

#[test]
fn the_house_is_as_its_plan_says() {
    let found = faults(&source::read(project()), &document());
    assert!(found.is_empty(), "see the tables in docs/architecture.md:\n{}", found.join("\n"));
}

#[test]
fn every_dependency_has_a_room_and_a_reason() {
    let manifest = fs::read_to_string(project().join("Cargo.toml")).expect("Cargo.toml");
    let decisions = fs::read_to_string(project().join("docs/decisions.md")).expect("docs/decisions.md");
    let tables = document();
    let mut known = Vec::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = ["[dependencies]", "[dev-dependencies]"].contains(&line.trim());
        } else if inside && let Some((name, _)) = line.split_once('=') {
            known.push(name.trim().to_owned());
        }
    }
    assert!(known.len() > 10, "the manifest was not understood");
    for name in &known {
        assert!(tables.crates.contains_key(name), "{name} has no room in docs/architecture.md");
        assert!(decisions.contains(&format!("`{name}`")), "docs/decisions.md does not say why {name} is there");
    }
    for name in tables.crates.keys() {
        assert!(known.contains(name), "docs/architecture.md speaks of {name}, which is no dependency");
    }
}

const PLAN: &str = "
| level | room |
| --- | --- |
| 0 | `ground` |
| 1 | `hall` |
| 2 | `roof` |

| crate | rooms |
| --- | --- |
| `wood` | hall |
| `nails` | all |
| `paint-box` | tests |

| unsafe |
| --- |
| `src/ground/wire.rs` |

| long file | why |
| --- | --- |
| `src/roof/long.rs` | one trait |

| long function | why |
| --- | --- |
| `src/roof/beam.rs span` | one step |
";

const WIRE: &str =
    "pub fn wire() {\n    // SAFETY: nothing is touched.\n    unsafe { core::hint::unreachable_unchecked() }\n}\n";

fn function(name: &str, steps: usize) -> String {
    format!("pub(super) fn {name}() {{\n{}}}\n", "    step();\n".repeat(steps))
}

fn built(changes: &[(&str, &str)]) -> Vec<String> {
    let long = "// one line\n".repeat(FILE_MOST);
    let mut files = vec![
        ("src/lib.rs".to_owned(), "pub mod ground;\n".to_owned()),
        ("src/ground/mod.rs".to_owned(), "//! crate::roof is only named here.\nuse nails::Nail;\n".to_owned()),
        ("src/ground/wire.rs".to_owned(), WIRE.to_owned()),
        ("src/hall.rs".to_owned(), "use crate::ground::Floor;\nuse wood::Board;\n".to_owned()),
        ("src/roof/mod.rs".to_owned(), "mod beam;\nuse crate::hall::Wall;\n#[cfg(test)]\nmod tests;\n".to_owned()),
        ("src/roof/beam.rs".to_owned(), format!("use super::Roof;\n{}", function("span", FUNCTION_MOST))),
        ("src/roof/tests.rs".to_owned(), "use paint_box::Red;\nfn t() { x.unwrap() }\n".to_owned()),
        ("src/roof/long.rs".to_owned(), long),
    ];
    for (path, text) in changes {
        files.retain(|(known, _)| known != path);
        files.push(((*path).to_owned(), (*text).to_owned()));
    }
    faults(&prepare(files), &Tables::read(PLAN))
}

#[test]
fn a_sound_house_has_no_faults() {
    assert_eq!(built(&[]), Vec::<String>::new());
}

#[test]
fn every_kind_of_fault_is_noticed() {
    let long_function = function("long", FUNCTION_MOST);
    let long_file = "// one line\n".repeat(FILE_MOST);
    let cases: &[(&str, &str, &str)] = &[
        ("src/ground/mod.rs", "use crate::roof::Tile;\n", "looks into 'roof'"),
        ("src/hall.rs", "fn f() { crate::roof::tile() }\n", "looks into 'roof'"),
        ("src/hall.rs", "use crate::{\n    ground::Floor, roof::Tile};\n", "looks into ''"),
        ("src/cellar.rs", "\n", "is not in the table"),
        ("src/roof/mod.rs", "use super::hall::Wall;\n", "super leads out"),
        ("src/roof/mod.rs", "use wood::Board;\n", "'wood' does not belong in roof"),
        ("src/roof/mod.rs", "fn f(b: &wood::Board) {}\n", "'wood' does not belong in roof"),
        ("src/roof/mod.rs", "use paint_box::Red;\n", "'paint_box' does not belong"),
        ("src/hall.rs", WIRE, "unsafe code outside"),
        ("src/ground/wire.rs", "fn w() { unsafe { x() } }\n", "without its SAFETY line"),
        ("src/ground/mod.rs", &long_file, "split files by"),
        ("src/roof/long.rs", "\n", "in the table of long files"),
        ("src/ground/mod.rs", &long_function, "long has 52 lines"),
        ("src/roof/beam.rs", "use super::Roof;\n", "is in the table of long functions"),
        ("src/ground/mod.rs", "fn f() {\n\n    x.unwrap();\n}\n", "unwrap or expect"),
        ("src/ground/mod.rs", "fn f() {\n\n    x.expect(\"// no\");\n}\n", "unwrap or expect"),
        ("src/ground/mod.rs", "fn f() { std::thread::sleep(d) }\n", "waits by sleeping"),
    ];
    for (path, text, wanted) in cases {
        let found = built(&[(path, text)]);
        assert!(found.iter().any(|fault| fault.starts_with(path) && fault.contains(wanted)), "{wanted}: {found:?}");
    }
}

#[test]
fn what_stands_in_comments_and_strings_is_no_code() {
    let text =
        "let a = \"x \\\" // y\"; // crate::roof\nlet b = r#\"fn \" z\"#; let c = '\"'; let d: &'a str = /* \" */ e;\n";
    let code = blank(text);
    assert_eq!(code.lines().count(), 2);
    for gone in ["x", "y", "roof", "fn", "z"] {
        assert!(!code.contains(gone), "{gone} in {code}");
    }
    for kept in ["let a", "let b", "let c", "let d: &'a str", "e;"] {
        assert!(code.contains(kept), "{kept} not in {code}");
    }
}
