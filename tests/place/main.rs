//! Places for the memory tier through the real kernel: root's mount, and an ordinary user's keeper.
//!
//! This binary is three things: the list of tests (it speaks as much of the usual harness's language as `cargo test`
//! and nextest need), the keeper, because a place starts its own binary with that word, and the daemon of the tests
//! (`act WORKSPACE`), which is killed, comes back, and runs as another user.

mod cases;
mod daemon;

use std::path::Path;
use std::process::ExitCode;

use scopefs::backend::memory::place::keeper;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(word) if word == keeper::WORD => keeper::run(args),
        Some(word) if word == "act" => {
            daemon::act(Path::new(&args.next().expect("a workspace")));
            ExitCode::SUCCESS
        }
        first => harness(&first.into_iter().chain(args).map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>()),
    }
}

/// `--list`, or run the tests that are named (all without a name).
fn harness(args: &[String]) -> ExitCode {
    let has = |word: &str| args.iter().any(|a| a == word);
    let names: Vec<&String> = args.iter().filter(|a| !a.starts_with('-') && *a != "terse").collect();
    let named = |test: &str| names.iter().any(|n| if has("--exact") { *n == test } else { test.contains(n.as_str()) });
    if has("--ignored") {
        return ExitCode::SUCCESS;
    }
    for (name, test) in cases::TESTS.iter().filter(|(name, _)| names.is_empty() || named(name)) {
        println!("{name}: test");
        if !has("--list") {
            test();
        }
    }
    ExitCode::SUCCESS
}
