//! The words of the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use super::advise::AdviseArgs;
pub use super::args_jobs::{JobCommand, JobsArgs, MigrateArgs, PinArgs, UnpinArgs};
pub use super::find::FindArgs;

const EXAMPLES: &str = "\
Examples:
  scopefs mount /data/screen                 over the directory itself: same paths, faster
  scopefs mount /data/screen /mnt/screen -c screen.toml --memory-limit 16GiB
  scopefs status /mnt/screen --watch         watch memory fill and be relieved
  scopefs explain /mnt/screen/results/*.tif  where each file is, and why
  scopefs find --state dirty                 what is still only in memory?
  scopefs advise /mnt/screen                 what would have saved time or space?
  scopefs sync /mnt/screen/results           return when these are durable
  scopefs unmount /mnt/screen                bring everything to disk, then unmount
  scopefs check /data/screen                 unmounted: is every sealed image sound?
  scopefs export P1.ome.zarr /data/out       the original files out of a store, with no mount

Exit codes: 0 done, 1 failed, 2 wrong usage.";

/// One directory for an imaging workspace: each file is kept where it is best kept, in memory or on disk, under the
/// same plain path.
#[derive(Debug, Parser)]
#[command(name = "scopefs", version, after_help = EXAMPLES, max_term_width = 110, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Mount a workspace; returns when it can be used
    Mount(MountArgs),
    /// Bring everything to disk, then unmount
    Unmount(UnmountArgs),
    /// Show what is where, and how full memory is
    Status(StatusArgs),
    /// Show for each file its rule, tier and state, where its bytes are, and why
    Explain(ExplainArgs),
    /// List the files in a tier or state, of a size, an age, a rule or a dataset; or the largest stores
    Find(Box<FindArgs>),
    /// Say which rule, limit or threshold would have saved time or space so far
    Advise(AdviseArgs),
    /// Bring files to another tier, or back
    Migrate(MigrateArgs),
    /// List jobs: moves of whole trees; cancel, resume or roll one back
    Jobs(JobsArgs),
    /// Keep files in memory, or out of it
    Pin(PinArgs),
    /// Let files come and go again as their rules say
    Unpin(UnpinArgs),
    /// Return when files are durable on disk
    Sync(SyncArgs),
    /// Look at every chunk, recipe and hash of the stores of a workspace that is not mounted
    Check(CheckArgs),
    /// Write the original files of a store somewhere, with no mount
    Export(ExportArgs),
    /// Work with configuration files
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the completions of a shell
    #[command(after_help = "Example:\n  scopefs completions bash > /etc/bash_completion.d/scopefs")]
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(after_help = "Examples:\n  scopefs man | man -l -\n  scopefs man --dir /usr/local/share/man/man1")]
    Man {
        /// Write the pages of all commands into this directory instead
        #[arg(long, value_name = "DIRECTORY")]
        dir: Option<PathBuf>,
    },
}

const MOUNT_EXAMPLES: &str = "\
Examples:
  scopefs mount /data/screen
      Over the workspace itself: the paths are the same, mounted and not.
  scopefs mount /data/screen /mnt/screen -c screen.toml -o allow_other
      Elsewhere, by the rules of a file, for all users.
  mount -t scopefs /data/screen /mnt/screen -o config=/etc/screen.toml,memory_limit=16GiB
      The same through mount(8) and /etc/fstab.

Options (-o): allow_other, ro, rw, suid, nosuid, dev, nodev, exec, noexec, atime, noatime, default_permissions,
attr_timeout=SECONDS, entry_timeout=SECONDS, show_stores, config=FILE, memory_limit=SIZE.
Default: nosuid, nodev, permissions checked by the kernel, timeouts of 1 second.";

/// `scopefs mount`
#[derive(Debug, Clone, Args)]
#[command(after_help = MOUNT_EXAMPLES)]
pub struct MountArgs {
    /// The directory with the files
    pub workspace: PathBuf,
    /// An existing directory in which they are to be seen; without it, the workspace itself
    pub mountpoint: Option<PathBuf>,
    /// Rules and limits (TOML); without it, everything is kept in memory as long as it fits
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Mount options, separated by commas
    #[arg(short, value_name = "OPT[,OPT…]")]
    pub options: Vec<String>,
    /// What daemon and files in memory may hold together: 16GiB, or 50% of what is available
    #[arg(long, value_name = "SIZE")]
    pub memory_limit: Option<String>,
    /// Stay in the foreground and log to standard error
    #[arg(long)]
    pub foreground: bool,
    /// We are the background process that `mount` has started; its standard output is a pipe to the one that waits
    #[arg(long, hide = true)]
    pub daemon: bool,
    /// Only check whether it could be mounted
    #[arg(long, hide = true)]
    pub fake: bool,
}

/// `scopefs unmount`
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  scopefs unmount /mnt/screen\n\n\
    If a file cannot be brought to disk, or programs hold files open, it is named and the mount stays.")]
pub struct UnmountArgs {
    /// Where it is mounted
    pub mountpoint: PathBuf,
    /// Turn sealed images at and below this path into plain files first
    #[arg(long, value_name = "PATH")]
    pub plain: Option<PathBuf>,
    /// Do not refuse while files are open: take the mount out of sight at once, and flush when they are closed
    #[arg(long)]
    pub lazy: bool,
}

/// `scopefs status`
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  scopefs status\n  scopefs status /mnt/screen --json | jq .memory.pressure")]
pub struct StatusArgs {
    /// Where it is mounted; without it, all mounts
    pub mountpoint: Option<PathBuf>,
    /// For scripts: one JSON object for a mount point, an array of them without
    #[arg(long)]
    pub json: bool,
    /// Show it again every second until interrupted
    #[arg(long)]
    pub watch: bool,
}

/// `scopefs explain`
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  scopefs explain /mnt/screen/results/*.tif --json")]
pub struct ExplainArgs {
    /// Files in a mount
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// For scripts: one JSON object for one path, an array of them for several
    #[arg(long)]
    pub json: bool,
}

/// `scopefs sync`
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  scopefs sync /mnt/screen/results\n  scopefs sync")]
pub struct SyncArgs {
    /// Files or directories; without any, all mounts
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

const CHECK_EXAMPLES: &str = "\
Examples:
  scopefs check /data/screen
  scopefs check /data/screen/P1/P1.ome.zarr --json
  scopefs check /data/screen --repair        finish what was begun, remove what nothing uses

Exit codes: 0 all is sound, 1 something was found (or could not be looked at), 2 wrong usage.";

/// `scopefs check`
#[derive(Debug, Clone, Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub struct CheckArgs {
    /// A workspace, a directory in one, or one store; not mounted
    pub workspace: PathBuf,
    /// Do what was left undone and remove left-over chunks; no file is ever given up
    #[arg(long)]
    pub repair: bool,
    /// Take chunks that another program has changed as what their files hold from now on
    #[arg(long)]
    pub accept: bool,
    /// For scripts: one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `scopefs export`
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  scopefs export /data/screen/P1/P1.ome.zarr /data/originals\n\n\
    Each file is compared by its hash before it gets its name. Files that are there already stay as they are.")]
pub struct ExportArgs {
    /// The store: a directory NAME.ome.zarr
    pub store: PathBuf,
    /// A directory; made if it is missing
    pub dest: PathBuf,
}

/// `scopefs config`
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Say whether a configuration is right and, if not, where and how to mend it
    #[command(after_help = "Example:\n  scopefs config check screen.toml")]
    Check {
        /// The configuration (TOML)
        file: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_mount_point_a_configuration_and_options_are_read() {
        let cli = Cli::try_parse_from([
            "scopefs",
            "mount",
            "/w",
            "/m",
            "-c",
            "a.toml",
            "-o",
            "ro,atime",
            "-o",
            "suid",
            "--memory-limit",
            "1GiB",
        ]);
        let Command::Mount(args) = cli.unwrap().command else { panic!("not mount") };
        assert_eq!(args.mountpoint.as_deref(), Some(std::path::Path::new("/m")));
        assert_eq!(args.options, ["ro,atime", "suid"]);
        assert!(!args.foreground);
    }

    #[test]
    fn what_is_checked_and_how_is_read() {
        let cli = Cli::try_parse_from(["scopefs", "check", "/w", "--repair", "--accept"]).unwrap();
        let Command::Check(args) = cli.command else { panic!("not check") };
        assert_eq!((args.workspace.to_str(), args.repair, args.accept, args.json), (Some("/w"), true, true, false));
        assert_eq!(Cli::try_parse_from(["scopefs", "export", "a.ome.zarr"]).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn an_unknown_tier_is_wrong_usage_that_lists_the_tiers() {
        let error = Cli::try_parse_from(["scopefs", "migrate", "a", "--to", "tape"]).unwrap_err();
        assert!(error.to_string().contains("memory, disk and zarr"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
