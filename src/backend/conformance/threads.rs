//! Several threads at once.

use std::sync::Barrier;
use std::thread;

use super::source::{Sparse, pattern};
use super::{Check, Fault, Harness, Outcome, ensure, rel};
use crate::backend::{Backend, Expected, PublishError};
use crate::model::{Attr, RelPath};

pub(super) static CHECKS: &[Check] = &[
    Check { name: "threads that publish different names do not disturb one another", run: different_names },
    Check { name: "of threads that publish the same name exactly one wins", run: same_name },
    Check { name: "of threads that replace the same version one wins, and the name never vanishes", run: same_version },
];

const THREADS: usize = 6;
const TURNS: usize = 12;

/// One thread's try; `None` is a conflict.
fn try_publish(backend: &dyn Backend, bytes: &[u8], path: &RelPath, expected: Expected) -> Outcome<Option<Attr>> {
    let staged = backend.stage(&Sparse::dense(bytes))?;
    match backend.publish(staged, path, expected) {
        Ok(attr) => Ok(Some(attr)),
        Err(PublishError::Conflict(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Runs `act` in all threads at the same moment; gives what each of them answered.
fn all_at_once<T: Send>(act: impl Fn(usize) -> Outcome<T> + Sync) -> Outcome<Vec<T>> {
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        let (start, act) = (&start, &act);
        let threads: Vec<_> = (0..THREADS)
            .map(|n| {
                scope.spawn(move || {
                    start.wait();
                    act(n)
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err(Fault("a thread panicked".to_owned())))).collect()
    })
}

fn different_names(on: &Harness) -> Outcome {
    let backend = &*on.backend;
    let name = |n: usize, turn: usize| rel([format!("{n}-{turn}.tif")]);
    all_at_once(|n| {
        for turn in 0..TURNS {
            try_publish(backend, &pattern(1000 * n + turn), &name(n, turn), Expected::Absent)?
                .ok_or_else(|| Fault("a conflict over a name that only one thread wants".to_owned()))?;
        }
        Ok(())
    })?;
    for n in 0..THREADS {
        for turn in 0..TURNS {
            on.holds(&name(n, turn), &pattern(1000 * n + turn))?;
        }
    }
    Ok(())
}

fn same_name(on: &Harness) -> Outcome {
    let backend = &*on.backend;
    for turn in 0..TURNS {
        let path = rel([format!("{turn}.tif")]);
        race(on, &path, |n| try_publish(backend, &pattern(1000 + n), &path, Expected::Absent))?;
    }
    Ok(())
}

fn same_version(on: &Harness) -> Outcome {
    let backend = &*on.backend;
    let path = rel(["a.tif"]);
    let mut version = on.put(&pattern(50), &path)?.identity();
    for _ in 0..TURNS {
        race(on, &path, |n| {
            let won = try_publish(backend, &pattern(1000 + n), &path, Expected::Version(version))?;
            backend.stat(&path).map_err(|e| Fault(format!("the name vanished for a moment: {e}")))?;
            Ok(won)
        })?;
        version = on.backend.stat(&path)?.identity();
    }
    Ok(())
}

/// Lets all threads try: one wins, its bytes are there, and nothing else is left.
fn race(on: &Harness, path: &RelPath, act: impl Fn(usize) -> Outcome<Option<Attr>> + Sync) -> Outcome {
    let won = all_at_once(act)?;
    let winners: Vec<usize> = (0..THREADS).filter(|n| won[*n].is_some()).collect();
    let [winner] = winners[..] else {
        return Err(Fault(format!("{} threads were told that they won", winners.len())));
    };
    on.holds(path, &pattern(1000 + winner))?;
    let temporary = (on.temporary)()?;
    ensure(temporary == 0, || format!("{temporary} temporary files are left"))
}
