//! The file system against a plain directory: random operations, closes, moves, pressure and restarts.
//!
//! `SCOPEFS_MODEL_CASES` sets the number of cases. A case that failed is kept in `regressions.txt`, and run first.

mod check;
mod index;
mod moves;
mod op;
mod reference;
mod run;
mod sizes;
#[path = "../support/mod.rs"]
mod support;

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRunner};

use op::Op;
use run::Model;
use support::Setup;

/// Every so many steps the bytes are compared too.
const FULL: usize = 12;

fn cases() -> u32 {
    std::env::var("SCOPEFS_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256)
}

fn setup(passthrough: bool, sealing: bool) -> impl Strategy<Value = Setup> {
    // So small that files outgrow it, or so large that they do not.
    let limit = prop_oneof![1 => Just(256u64 << 10), 1 => Just(64 << 20)];
    let in_part = prop_oneof![1 => Just(1), 1 => Just(u64::MAX)];
    (limit, in_part).prop_map(move |(limit, unseal_in_part_from)| Setup {
        limit,
        passthrough,
        rules: if sealing { op::SEALING_RULES } else { op::RULES },
        sealing,
        unseal_in_part_from,
        short_lived: false,
    })
}

/// Steps, shown one to a line.
struct Steps(Vec<Op>);

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().enumerate().try_for_each(|(at, op)| write!(f, "\n    {at}: {op:?}"))
    }
}

/// Runs one case; the error tells the step.
fn run(setup: &Setup, every: usize, ops: &[Op]) -> Result<(), String> {
    let Some(mut model) = Model::new(setup.clone()) else { return Ok(()) };
    let at = |step: usize, op: &Op, e: String| format!("after step {step} ({op:?}): {e}");
    for (step, op) in ops.iter().enumerate() {
        model.step(op).map_err(|e| at(step, op, e))?;
        if step % every == every - 1 {
            model.check(step % FULL == FULL - 1).map_err(|e| at(step, op, e))?;
        }
    }
    model.check(true).map_err(|e| format!("after the last step: {e}"))?;
    model.restart(true).map_err(|e| format!("at the end: {e}"))
}

fn agree(passthrough: bool, sealing: bool) {
    let regressions = "tests/model/regressions.txt";
    let config = Config {
        cases: cases() / 4,
        max_shrink_iters: 4000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(regressions))),
        ..Config::default()
    };
    let strategy = (
        setup(passthrough, sealing),
        prop_oneof![Just(1usize), Just(5)],
        prop::collection::vec(op::op(), 1..80).prop_map(Steps),
    );
    let found = TestRunner::new(config)
        .run(&strategy, |(setup, every, ops)| run(&setup, every, &ops.0).map_err(TestCaseError::fail));
    if let Err(e) = found {
        panic!("{e}");
    }
}

#[test]
fn whatever_happens_the_tree_is_that_of_a_plain_directory() {
    agree(false, false);
}

#[test]
fn whatever_happens_the_tree_is_that_of_a_plain_directory_where_the_kernel_serves_files() {
    agree(true, false);
}

#[test]
fn whatever_happens_the_tree_is_that_of_a_plain_directory_where_files_are_sealed() {
    agree(false, true);
}

#[test]
fn whatever_happens_the_tree_is_that_of_a_plain_directory_where_files_are_sealed_and_the_kernel_serves_some() {
    agree(true, true);
}
