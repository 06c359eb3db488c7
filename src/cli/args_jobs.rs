//! The words of the command line about moving files: migrate, jobs, pin.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::materialize::jobs::Busy;
use crate::model::Tier;

const MIGRATE_EXAMPLES: &str = "\
Examples:
  scopefs migrate /mnt/screen/plate --to memory
  scopefs migrate '/mnt/screen/**/*.tif' --to zarr        a glob in quotes: the daemon looks for the files
  scopefs migrate /mnt/screen/intermediates --to disk --dry-run
  scopefs migrate /mnt/screen/plate --to disk --wait=10min
  scopefs migrate /mnt/screen/plate --to zarr --detach    prints the job's number and returns

The move is a job of the daemon. Each file is copied, compared and made durable before its source goes, and is whole
in one place at any moment; programs may read and write the files meanwhile. Ctrl-C asks the daemon to end the job
after the files in hand: what was moved stays moved, 'scopefs jobs resume ID' goes on, 'scopefs jobs rollback ID'
brings it back. If this program is killed, the job goes on.

Files that are open or mapped in a way that holds them are tried again when the others are done, then listed; so are
those that failed: exit code 1. Files that cannot be there (what is no image stays out of stores) stay as they are and
are listed; that is no failure unless one was named itself.";

/// `scopefs migrate`
#[derive(Debug, Clone, Args)]
#[command(after_help = MIGRATE_EXAMPLES)]
pub struct MigrateArgs {
    /// Files, directories with all that is below them, or globs
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// memory, disk or zarr
    #[arg(long, value_name = "TIER")]
    pub to: Tier,
    /// Only say what would move, what would have to wait and what cannot move
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    /// What becomes of files that are open or mapped.
    pub busy: BusyArgs,
    /// Return when the job has begun, and print its number
    #[arg(long, visible_alias = "background", conflicts_with = "dry_run")]
    pub detach: bool,
    /// For scripts: a JSON object a line while it works, the last one as it ended
    #[arg(long)]
    pub json: bool,
}

/// What becomes of files that are open or mapped so that they cannot move.
#[derive(Debug, Clone, Default, Args)]
pub struct BusyArgs {
    /// Wait for files that are open or mapped, without end or for so long (90s, 10min)
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, value_parser = duration)]
    pub wait: Option<Option<Duration>>,
    /// Pass over files that are open or mapped
    #[arg(long, conflicts_with = "wait")]
    pub skip_busy: bool,
}

impl BusyArgs {
    /// In the words of the daemon.
    pub fn busy(&self) -> Busy {
        match self.wait {
            Some(most) => Busy::Wait(most),
            None if self.skip_busy => Busy::Skip,
            None => Busy::Tell,
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::config::parse_duration(text)
}

const JOBS_EXAMPLES: &str = "\
Examples:
  scopefs jobs                     all jobs of all mounts
  scopefs jobs /mnt/screen --json
  scopefs jobs follow 7            show how far it is until it has ended
  scopefs jobs cancel 7            end it after the files in hand; what was moved stays moved
  scopefs jobs resume 7            go on with one that was cancelled, interrupted or left files behind
  scopefs jobs rollback 7          bring what it moved back to where it was

A job that was at work when its daemon was killed, or its mount ended, is 'interrupted' at the next mount. It does not
start again by itself. Jobs that have come to their end are forgotten when the mount ends.";

/// `scopefs jobs`
#[derive(Debug, Clone, Args)]
#[command(after_help = JOBS_EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct JobsArgs {
    /// Where it is mounted; without it, all mounts
    pub mountpoint: Option<PathBuf>,
    /// For scripts: an array of JSON objects
    #[arg(long)]
    pub json: bool,
    /// What is to be done about one.
    #[command(subcommand)]
    pub command: Option<JobCommand>,
}

/// What is to be done about a job.
#[derive(Debug, Clone, Subcommand)]
pub enum JobCommand {
    /// Show how far a job is until it has ended
    Follow(JobArgs),
    /// End a job after the files in hand
    Cancel(JobArgs),
    /// Go on with a job that was cancelled, interrupted or left files behind
    Resume(JobArgs),
    /// Bring what a job has moved back to the tier where it was
    Rollback(JobArgs),
}

/// Which job, and how.
#[derive(Debug, Clone, Args)]
pub struct JobArgs {
    /// The job's number
    pub id: u64,
    /// Where it is mounted; needed only if there are several mounts
    pub mountpoint: Option<PathBuf>,
    #[command(flatten)]
    /// What becomes of files that are open or mapped.
    pub busy: BusyArgs,
    /// Return when it has begun
    #[arg(long, visible_alias = "background")]
    pub detach: bool,
    /// For scripts: a JSON object a line while it works, the last one as it ended
    #[arg(long)]
    pub json: bool,
}

const PIN_EXAMPLES: &str = "\
Examples:
  scopefs pin /mnt/screen/models              brought into memory, and not evicted
  scopefs pin --never /mnt/screen/archive     out of memory, and not let in
  scopefs pin --list

A pin of a directory holds for files that are made below it later. It counts against the memory limit: what does not
fit is refused. Pinned files are written behind as any other. A pin follows its file through a rename, goes with its
deletion, and holds again at the next mount.";

/// `scopefs pin`
#[derive(Debug, Clone, Args)]
#[command(after_help = PIN_EXAMPLES)]
pub struct PinArgs {
    /// Files, or directories with all that is below them; with --list, where it is mounted
    #[arg(required_unless_present = "list", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// They may never enter memory
    #[arg(long, conflicts_with = "list")]
    pub never: bool,
    /// Show what is pinned
    #[arg(long)]
    pub list: bool,
    /// For scripts: JSON
    #[arg(long)]
    pub json: bool,
}

/// `scopefs unpin`
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  scopefs unpin /mnt/screen/models\n\nTakes the pins at and below each path away.")]
pub struct UnpinArgs {
    /// Files or directories
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command};
    use clap::Parser;

    fn parse(words: &[&str]) -> Result<Command, clap::Error> {
        Cli::try_parse_from([&["scopefs"], words].concat()).map(|cli| cli.command)
    }

    #[test]
    fn waiting_for_busy_files_takes_a_time_or_none() {
        let busy = |words: &[&str]| match parse(&[&["migrate", "a", "--to", "disk"], words].concat()) {
            Ok(Command::Migrate(args)) => args.busy.busy(),
            other => panic!("{other:?}"),
        };
        assert_eq!(busy(&[]), Busy::Tell);
        assert_eq!(busy(&["--skip-busy"]), Busy::Skip);
        assert_eq!(busy(&["--wait"]), Busy::Wait(None));
        assert_eq!(busy(&["--wait=90s"]), Busy::Wait(Some(Duration::from_secs(90))));
        for wrong in [&["--wait=soon"][..], &["--wait", "--skip-busy"], &["--detach", "--dry-run"]] {
            let error = parse(&[&["migrate", "a", "--to", "disk"], wrong].concat()).expect_err("wrong");
            assert_eq!(error.exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn jobs_are_listed_or_one_is_dealt_with() {
        let Ok(Command::Jobs(args)) = parse(&["jobs", "/m", "--json"]) else { panic!("not jobs") };
        assert!(args.json && args.command.is_none() && args.mountpoint.is_some());
        let Ok(Command::Jobs(args)) = parse(&["jobs", "rollback", "7", "/m"]) else { panic!("not jobs") };
        assert!(matches!(args.command, Some(JobCommand::Rollback(JobArgs { id: 7, .. }))));
        assert_eq!(parse(&["jobs", "cancel", "seven"]).expect_err("no number").exit_code(), 2);
    }

    #[test]
    fn a_pin_needs_a_path_unless_pins_are_listed() {
        assert!(parse(&["pin", "--list"]).is_ok() && parse(&["pin", "--never", "a"]).is_ok());
        assert_eq!(parse(&["pin"]).expect_err("no path").exit_code(), 2);
    }
}
