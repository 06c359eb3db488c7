//! `scopefs sync`.

use std::path::PathBuf;

use super::args::SyncArgs;
use super::ask;
use super::failure::{Failure, say};
use super::mountinfo::Mount;
use super::output::Meter;
use crate::control::Request;

/// Runs the command.
pub fn run(args: &SyncArgs) -> Result<(), Failure> {
    let mounts = ask::mounts()?;
    let paths = if args.paths.is_empty() { roots(&mounts) } else { args.paths.clone() };
    let (groups, wrong) = ask::group(&mounts, &paths);
    for message in &wrong {
        say(format_args!("scopefs: {message}"));
    }
    let mut failed = wrong.len();
    for group in groups {
        let mut meter = Meter::new("writing");
        let asked = ask::ask(&group.mount, &Request::Sync { paths: group.inside }, &mut |event| meter.event(event));
        drop(meter);
        match asked {
            Ok(reply) => failed += ask::settle(&group.mount, reply).1,
            Err(failure) => {
                // The other mounts are to be synced all the same.
                failure.report();
                failed += 1;
            }
        }
    }
    if failed > 0 { Err(Failure::silent(1)) } else { Ok(()) }
}

fn roots(mounts: &[Mount]) -> Vec<PathBuf> {
    let whole = mounts.iter().filter(|mount| mount.is_scopefs() && mount.root.as_os_str() == "/");
    whole.map(|mount| mount.point.clone()).collect()
}
