//! `scopefs migrate`.

use super::args::MigrateArgs;
use super::ask;
use super::failure::{Failure, print, say};
use super::output::{Meter, count, files, size};
use crate::control::{Counts, Outcome, Request};
use crate::model::Tier;

/// Runs the command.
pub fn run(args: &MigrateArgs) -> Result<(), Failure> {
    let (groups, wrong) = ask::group(&ask::mounts()?, &args.paths);
    for message in &wrong {
        say(format_args!("scopefs: {message}"));
    }
    let mut failed = wrong.len();
    let mut sum = Counts::default();
    for group in groups {
        let request = Request::Migrate { paths: group.inside, to: args.to, dry_run: args.dry_run };
        let mut meter = Meter::new("moving");
        let reply = ask::ask(&group.mount, &request, &mut |event| meter.event(event))?;
        drop(meter);
        let (outcome, errors) = ask::settle(&group.mount, reply);
        failed += errors;
        if let Some(Outcome::Moved(counts)) = outcome {
            sum.files += counts.files;
            sum.bytes += counts.bytes;
            sum.already += counts.already;
        }
    }
    print(summary(&sum, args.to, args.dry_run, failed))?;
    if failed > 0 { Err(Failure::silent(1)) } else { Ok(()) }
}

fn summary(sum: &Counts, to: Tier, dry_run: bool, failed: usize) -> String {
    let verb = if dry_run { "would move" } else { "moved" };
    let mut text = format!("{verb} {}, {}, to {to}", files(sum.files), size(sum.bytes));
    if sum.already > 0 {
        text += &format!("; {} were there already", count(sum.already));
    }
    if failed > 0 {
        text += &format!("; {} failed and are where they were", count(failed as u64));
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_tells_what_moved_what_was_there_and_what_failed() {
        let sum = Counts { files: 12, bytes: 3 << 20, already: 2 };
        assert_eq!(
            summary(&sum, Tier::Disk, false, 1),
            "moved 12 files, 3.0 MiB, to disk; 2 were there already; 1 failed and are where they were\n"
        );
        let none = Counts::default();
        assert_eq!(summary(&none, Tier::Memory, true, 0), "would move 0 files, 0 B, to memory\n");
    }
}
