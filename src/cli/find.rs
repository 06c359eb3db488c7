//! `scopefs find`.

mod show;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::ask::{self, Group};
use super::failure::{Failure, say};
use super::locate;
use crate::config;
use crate::control::{Event, Find, FoundFile, Order, Outcome, Request};
use crate::model::{State, Tier};
use show::Shower;

const EXAMPLES: &str = "\
Examples:
  scopefs find --state dirty                          what of mine is still only in memory?
  scopefs find /mnt/screen/P1 --tier disk --size +1GiB --older 30d -l
  scopefs find --name '*.tif' --tier memory --sort size --limit 20 -l
  scopefs find --state dirty --rule 2 -0 | xargs -0 ls -l
  scopefs find --stores --sort size --limit 20        the 20 largest sealed stores

What is in memory, dirty or sealed is known to the daemon. Files on disk are looked for in the directories at and below
the paths. Sizes are lengths as read; those of stores are what they take on disk.";

/// `scopefs find`
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct FindArgs {
    /// Files or directories in a mount; without any, all mounts
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The whole of this mount
    #[arg(long, value_name = "MOUNTPOINT")]
    pub mountpoint: Vec<PathBuf>,
    /// memory, disk or zarr
    #[arg(long, value_name = "TIER")]
    pub tier: Option<Tier>,
    /// dirty (only in memory), clean or sealed
    #[arg(long, value_name = "STATE")]
    pub state: Option<State>,
    /// +10MiB: at least so much; -1GiB: at most. Twice for both
    #[arg(long, value_name = "+SIZE|-SIZE", allow_hyphen_values = true, value_parser = bound)]
    pub size: Vec<Bound>,
    /// Not changed for so long: 30s, 5m, 2h, 30d, 4w
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older: Option<Duration>,
    /// Changed within the last so long
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub newer: Option<Duration>,
    /// A rule of the configuration: its number, its glob, or 'default'
    #[arg(long, value_name = "NAME|N")]
    pub rule: Option<String>,
    /// A dataset: its directory, relative to the mount
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<PathBuf>,
    /// A glob of the file's name or, if there is a slash in it, of its path in the mount
    #[arg(long, value_name = "GLOB")]
    pub name: Option<String>,
    /// What comes first: the largest, the oldest, or by path
    #[arg(long)]
    pub sort: Option<SortBy>,
    /// No more than so many
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Stores, not files
    #[arg(long, conflicts_with_all = ["tier", "state", "older", "newer", "rule", "dataset"])]
    pub stores: bool,
    /// Tier, state, size and age beside each path
    #[arg(short, long, conflicts_with_all = ["null", "json"])]
    pub long: bool,
    /// A NUL after each path instead of a new line
    #[arg(short = '0', long, conflicts_with = "json")]
    pub null: bool,
    /// For scripts: one JSON object
    #[arg(long)]
    pub json: bool,
}

/// A bound of the size, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// At least.
    Least(u64),
    /// At most.
    Most(u64),
}

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SortBy {
    /// The largest.
    Size,
    /// The oldest.
    Age,
    /// By path.
    Path,
}

fn bound(text: &str) -> Result<Bound, String> {
    match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(size), _) => config::parse_size(size).map(Bound::Least),
        (_, Some(size)) => config::parse_size(size).map(Bound::Most),
        _ => Err(format!("write +{text} for at least so much, -{text} for at most")),
    }
}

/// As everywhere, and days and weeks.
fn age(text: &str) -> Result<Duration, String> {
    const DAY: u64 = 24 * 3600;
    for (unit, seconds) in [('d', DAY), ('w', 7 * DAY)] {
        if let Some(number) = text.trim().strip_suffix(unit) {
            let days = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(seconds));
            return days.map(Duration::from_secs).ok_or_else(|| format!("'{text}' is no age; write 30d or 4w"));
        }
    }
    config::parse_duration(text).map_err(|e| format!("{e}; or days and weeks, as in 30d or 4w"))
}

/// Runs the command.
pub fn run(args: &FindArgs) -> Result<(), Failure> {
    let mounts = ask::mounts()?;
    let mut paths = args.paths.clone();
    for point in &args.mountpoint {
        paths.push(locate::mount(&mounts, point)?.point);
    }
    if paths.is_empty() {
        let whole = mounts.iter().filter(|mount| mount.is_scopefs() && mount.root.as_os_str() == "/");
        paths = whole.map(|mount| mount.point.clone()).collect();
        if paths.is_empty() {
            say("nothing is mounted; 'scopefs mount --help' shows how");
        }
    }
    let (groups, wrong) = ask::group(&mounts, &paths);
    for message in &wrong {
        say(format_args!("scopefs: {message}"));
    }
    let mut failed = wrong.len();
    let mut shower = Shower::new(args);
    for group in groups {
        if shower.is_full() {
            break;
        }
        match find(args, group, &mut shower) {
            Ok(errors) => failed += errors,
            // Whoever reads what we write wants no more.
            Err(failure) if failure.code == 0 => return Err(failure),
            Err(failure) => {
                // The other mounts are to be asked all the same.
                failure.report();
                failed += 1;
            }
        }
    }
    shower.finish()?;
    if failed > 0 { Err(Failure::silent(1)) } else { Ok(()) }
}

/// Asks one mount; the number of errors.
fn find(args: &FindArgs, group: Group, shower: &mut Shower<'_>) -> Result<usize, Failure> {
    let request = Request::Find(Box::new(question(args, &group)));
    let point = group.mount.point.clone();
    let mut shown = Ok(());
    let reply = ask::ask(&group.mount, &request, &mut |event| {
        if let (Event::Found(files), Ok(())) = (event, &shown) {
            let absolute = |file: FoundFile| FoundFile { path: point.join(file.path.as_path()).into(), ..file };
            shown = shower.files(files.into_iter().map(absolute).collect());
        }
    })?;
    shown?;
    let (outcome, errors) = ask::settle(&group.mount, reply);
    let complete = match outcome {
        Some(Outcome::Found(all)) => all.complete,
        Some(Outcome::Stores(found)) => {
            shower.stores(found.stores);
            found.complete
        }
        _ => true,
    };
    if !complete {
        shower.incomplete();
        say(format_args!(
            "scopefs: {}: the workspace is still being walked; what is sealed in directories that nobody has looked into \
             may be missing",
            point.display()
        ));
    }
    Ok(errors)
}

fn question(args: &FindArgs, group: &Group) -> Find {
    let least = |bound: &Bound| if let Bound::Least(size) = bound { Some(*size) } else { None };
    let most = |bound: &Bound| if let Bound::Most(size) = bound { Some(*size) } else { None };
    let millis = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    // The root of the mount stands for everything.
    let whole = group.inside.iter().any(|path| path.as_path().as_os_str().is_empty());
    Find {
        paths: if whole { Vec::new() } else { group.inside.clone() },
        tier: args.tier,
        state: args.state,
        at_least: args.size.iter().filter_map(least).max(),
        at_most: args.size.iter().filter_map(most).min(),
        older_ms: args.older.map(millis),
        newer_ms: args.newer.map(millis),
        rule: args.rule.clone(),
        dataset: args.dataset.clone().map(Into::into),
        name: args.name.clone(),
        sort: args.sort.map(|sort| match sort {
            SortBy::Size => Order::Size,
            SortBy::Age => Order::Age,
            SortBy::Path => Order::Path,
        }),
        limit: args.limit,
        stores: args.stores,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Command};

    fn read(words: &[&str]) -> FindArgs {
        let line = ["scopefs", "find"].iter().chain(words);
        let Command::Find(args) = Cli::try_parse_from(line).expect("reads").command else { panic!("not find") };
        *args
    }

    #[test]
    fn sizes_have_a_direction_and_ages_a_unit() {
        let args = read(&["/m", "--size", "+10M", "--size", "-1GiB", "--older", "2w", "--newer", "90d"]);
        assert_eq!(args.size, [Bound::Least(10 << 20), Bound::Most(1 << 30)]);
        assert_eq!(args.older, Some(Duration::from_secs(14 * 86_400)));
        assert_eq!(args.newer, Some(Duration::from_secs(90 * 86_400)));
        for wrong in [["--size", "10M"], ["--older", "3x"], ["--state", "wet"], ["--tier", "tape"]] {
            let line = ["scopefs", "find"].iter().chain(&wrong);
            assert_eq!(Cli::try_parse_from(line).expect_err("is wrong").exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_asked_of_stores_is_only_what_they_have() {
        assert!(read(&["--stores", "--sort", "size", "--limit", "20"]).stores);
        assert!(Cli::try_parse_from(["scopefs", "find", "--stores", "--state", "dirty"]).is_err());
    }
}
