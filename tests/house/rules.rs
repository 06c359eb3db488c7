//! The rules of the house.

use super::source::{Source, block_end};
use super::table::Tables;

/// Lines from which on a file must be split.
pub const FILE_MOST: usize = 500;
/// Lines from which on a function must be split.
pub const FUNCTION_MOST: usize = 50;

/// Everything that breaks a rule, as `file:line: what`.
pub fn faults(sources: &[Source], tables: &Tables) -> Vec<String> {
    let rules = [rooms, crates, no_way_up, unsafe_code, sizes, functions, panics, sleeps];
    let mut faults: Vec<String> =
        sources.iter().flat_map(|source| rules.iter().flat_map(|rule| rule(source, tables))).collect();
    for file in tables.unsafe_files.iter().chain(&tables.long_files) {
        if !sources.iter().any(|source| source.path == *file) {
            faults.push(format!("{file}: is in a table but not there"));
        }
    }
    faults
}

/// Numbered lines of code.
fn lines(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    source.code.lines().enumerate()
}

fn fault(source: &Source, line: usize, what: String) -> String {
    format!("{}:{}: {what}", source.path, line + 1)
}

/// Each `head::` at the beginning of a path, with its second component.
fn paths(line: &str) -> Vec<(&str, &str)> {
    let mut paths = Vec::new();
    let mut rest = 0;
    while let Some(colons) = line[rest..].find("::").map(|at| rest + at) {
        let before = &line[..colons];
        let head = before.rfind(|c: char| !is_word(c)).map_or(before, |at| &before[at + 1..]);
        let start = colons - head.len();
        if !head.is_empty() && !line[..start].ends_with("::") {
            let after = &line[colons + 2..];
            let end = after.find(|c: char| !is_word(c)).unwrap_or(after.len());
            paths.push((head, &after[..end]));
        }
        rest = colons + 2;
    }
    paths
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A room looks only downwards.
fn rooms(source: &Source, tables: &Tables) -> Vec<String> {
    let room = source.room();
    if ["lib", "main"].contains(&room) {
        return Vec::new();
    }
    let Some(level) = tables.levels.get(room) else {
        return vec![fault(source, 0, format!("the room '{room}' is not in the table"))];
    };
    let mut faults = Vec::new();
    for (at, line) in lines(source) {
        for (_, other) in paths(line).into_iter().filter(|(head, _)| *head == "crate") {
            let allowed = other == room || tables.levels.get(other).is_some_and(|below| below < level);
            if !allowed {
                faults.push(fault(source, at, format!("{room} (level {level}) looks into '{other}'")));
            }
        }
    }
    faults
}

/// `super::` does not lead out of a room.
fn no_way_up(source: &Source, _: &Tables) -> Vec<String> {
    let climbs = |line: &str| line.trim_start_matches("pub ").trim_start_matches("use ").matches("super::").count();
    lines(source)
        .filter(|(_, line)| line.starts_with("use super::") || line.starts_with("pub use super::"))
        .filter(|(_, line)| climbs(line) >= source.depth())
        .map(|(at, _)| fault(source, at, "super leads out of the room; say crate::room".to_owned()))
        .collect()
}

/// A crate is used in its rooms only.
fn crates(source: &Source, tables: &Tables) -> Vec<String> {
    let mut faults = Vec::new();
    for (at, line) in lines(source) {
        for (head, _) in paths(line) {
            let Some(rooms) = tables.crates.get(&head.replace('_', "-")).or_else(|| tables.crates.get(head)) else {
                continue;
            };
            let everywhere = rooms.iter().any(|room| room == "all");
            let in_tests = source.test[at] && rooms.iter().any(|room| room == "tests");
            if !everywhere && !in_tests && !rooms.iter().any(|room| room == source.room()) {
                faults.push(fault(source, at, format!("'{head}' does not belong in {}", source.room())));
            }
        }
    }
    faults
}

/// Unsafe code stands in the files that the table names, and says why it is sound.
fn unsafe_code(source: &Source, tables: &Tables) -> Vec<String> {
    let text: Vec<&str> = source.text.lines().collect();
    let mut faults = Vec::new();
    for (at, line) in lines(source) {
        if !line.split(|c: char| !is_word(c)).any(|word| word == "unsafe") {
            continue;
        }
        if !tables.unsafe_files.contains(&source.path) {
            faults.push(fault(source, at, "unsafe code outside the files of the table".to_owned()));
        }
        if !text[at.saturating_sub(4)..=at].iter().any(|line| line.contains("SAFETY")) {
            faults.push(fault(source, at, "unsafe code without its SAFETY line".to_owned()));
        }
    }
    faults
}

fn sizes(source: &Source, tables: &Tables) -> Vec<String> {
    let count = source.text.lines().count();
    let long = tables.long_files.contains(&source.path);
    match (count >= FILE_MOST, long) {
        (true, false) => vec![fault(source, 0, format!("{count} lines; split files by {FILE_MOST}"))],
        (false, true) => vec![fault(source, 0, format!("in the table of long files with {count} lines"))],
        _ => Vec::new(),
    }
}

fn functions(source: &Source, tables: &Tables) -> Vec<String> {
    let code: Vec<&str> = source.code.lines().collect();
    let mut faults = Vec::new();
    let mut long = Vec::new();
    for (at, line) in lines(source) {
        let Some(name) = function_name(line) else { continue };
        let Some(end) = block_end(&code, at).filter(|end| end - at >= FUNCTION_MOST) else { continue };
        let key = format!("{} {name}", source.path);
        if !tables.long_functions.contains(&key) {
            let what = format!("{name} has {} lines; functions are split by {FUNCTION_MOST}", end - at + 1);
            faults.push(fault(source, at, what));
        }
        long.push(key);
    }
    let here = format!("{} ", source.path);
    for stale in tables.long_functions.iter().filter(|key| key.starts_with(&here) && !long.contains(key)) {
        faults.push(fault(source, 0, format!("'{stale}' is in the table of long functions, and is not long")));
    }
    faults
}

/// The name of the function that begins on a line.
fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let begins =
        before.split_whitespace().all(|word| word.starts_with("pub") || ["const", "unsafe", "async"].contains(&word));
    let end = after.find(|c: char| !is_word(c))?;
    (begins && end > 0).then(|| &after[..end])
}

/// `unwrap` and `expect` stand in tests, or under a comment that proves that they cannot fail.
fn panics(source: &Source, _: &Tables) -> Vec<String> {
    let text: Vec<&str> = source.text.lines().collect();
    let above = |at: usize| text[at.saturating_sub(2)..at].iter().any(|line| line.trim_start().starts_with("//"));
    let beside = |at: usize, code: &str| text[at].get(code.trim_end().len()..).is_some_and(|rest| rest.contains("//"));
    lines(source)
        .filter(|(at, line)| !source.test[*at] && (line.contains(".unwrap()") || line.contains(".expect(")))
        .filter(|(at, line)| !above(*at) && !beside(*at, line))
        .map(|(at, _)| fault(source, at, "unwrap or expect without a comment that proves it".to_owned()))
        .collect()
}

/// Nothing waits by sleeping.
fn sleeps(source: &Source, _: &Tables) -> Vec<String> {
    lines(source)
        .filter(|(_, line)| line.contains("thread::sleep") || line.contains("sleep("))
        .map(|(at, _)| fault(source, at, "waits by sleeping".to_owned()))
        .collect()
}
