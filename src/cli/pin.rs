//! `scopefs pin` and `scopefs unpin`.

use super::args::{PinArgs, UnpinArgs};
use super::ask::{self, Group};
use super::failure::{Failure, print, say};
use super::follow::{self, Show};
use super::locate;
use super::mountinfo::Mount;
use super::output::{count, files, size};
use crate::control::{JobStatus, Outcome, Pinned, Request, WirePath};
use crate::materialize::jobs::State;

/// Runs `scopefs pin`.
pub fn run(args: &PinArgs) -> Result<(), Failure> {
    if args.list {
        return list(args);
    }
    let (groups, mut failed) = groups(&args.paths)?;
    for group in groups {
        let request = Request::Pin { paths: group.inside.clone(), never: args.never };
        let show = Show { json: args.json, detach: false };
        match follow::follow(&group.mount, &request, show)? {
            Some(job) if args.json => {
                follow::json(&job)?;
                failed += usize::from(job.state != State::Done);
            }
            Some(job) => failed += usize::from(!tell(&group, &job, args.never)?),
            None => failed += 1,
        }
    }
    if failed > 0 { Err(Failure::silent(1)) } else { Ok(()) }
}

/// Paths by mount; the number of those that are in none, which was said.
fn groups(paths: &[std::path::PathBuf]) -> Result<(Vec<Group>, usize), Failure> {
    let (groups, wrong) = ask::group(&ask::mounts()?, paths);
    wrong.iter().for_each(|message| say(format_args!("scopefs: {message}")));
    Ok((groups, wrong.len()))
}

/// What came of a pin; whether all files are where it wants them.
fn tell(group: &Group, job: &JobStatus, never: bool) -> Result<bool, Failure> {
    for trouble in job.troubles.iter().take(20) {
        say(format_args!("{}: {}", group.mount.point.join(trouble.path.as_path()).display(), trouble.cause));
    }
    print(summary(job, never) + "\n")?;
    Ok(job.state == State::Done)
}

fn summary(job: &JobStatus, never: bool) -> String {
    let moved = format!("{}, {}", files(job.counts.moved_files), size(job.counts.moved_bytes));
    let mut text = match never {
        true => format!("pinned never to enter memory; {moved} left it"),
        false => format!("pinned in memory; {moved} were brought there"),
    };
    let not = job.counts.held + job.counts.stays + job.counts.failed;
    if not > 0 {
        text += &format!("; {} could not move now: the pin holds, and pinning again tries again", count(not));
    }
    match job.state {
        State::Cancelled | State::Interrupted => text += "; the rest did not move, the pin holds all the same",
        _ => {}
    }
    text
}

/// Runs `scopefs unpin`.
pub fn unpin(args: &UnpinArgs) -> Result<(), Failure> {
    let (groups, mut failed) = groups(&args.paths)?;
    let mut taken = 0;
    for group in groups {
        let reply = ask::ask(&group.mount, &Request::Unpin { paths: group.inside }, &mut |_| {})?;
        let (outcome, errors) = ask::settle(&group.mount, reply);
        failed += errors;
        if let Some(Outcome::Moved(counts)) = outcome {
            taken += counts.files;
        }
    }
    print(if taken == 1 { "1 pin is gone\n".to_owned() } else { format!("{} pins are gone\n", count(taken)) })?;
    if failed > 0 { Err(Failure::silent(1)) } else { Ok(()) }
}

fn list(args: &PinArgs) -> Result<(), Failure> {
    let all = ask::mounts()?;
    let mounts: Vec<Mount> = match args.paths.as_slice() {
        [] => all.iter().filter(|m| m.is_scopefs() && m.root == std::path::Path::new("/")).cloned().collect(),
        paths => paths.iter().map(|path| locate::file(&all, path).map(|at| at.mount)).collect::<Result<_, _>>()?,
    };
    let mut found: Vec<Pinned> = Vec::new();
    for mount in mounts {
        let reply = ask::ask(&mount, &Request::Pins, &mut |_| {})?;
        if let (Some(Outcome::Pins(pins)), _) = ask::settle(&mount, reply) {
            let shown = |pin: Pinned| Pinned { path: WirePath(mount.point.join(pin.path.as_path())), ..pin };
            found.extend(pins.into_iter().map(shown));
        }
    }
    if args.json {
        let text = serde_json::to_string_pretty(&found).map_err(|error| Failure::failed(error.to_string()))?;
        return print(text + "\n");
    }
    if found.is_empty() {
        say("nothing is pinned");
    }
    print(found.iter().map(line).collect::<String>())
}

fn line(pin: &Pinned) -> String {
    format!("{:7} {}\n", if pin.never { "never" } else { "memory" }, pin.path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::follow::tests::example;
    use crate::materialize::jobs::Counts;

    #[test]
    fn a_pin_tells_what_it_moved_and_what_not() {
        let job = example(State::Incomplete);
        assert_eq!(
            summary(&job, false),
            "pinned in memory; 10 files, 2.0 MiB were brought there; 1 could not move now: the pin holds, and pinning \
             again tries again"
        );
        let done = JobStatus { counts: Counts::default(), ..example(State::Done) };
        assert_eq!(summary(&done, true), "pinned never to enter memory; 0 files, 0 B left it");
    }

    #[test]
    fn pins_are_listed_with_what_they_do() {
        let pin = Pinned { path: "/m/hot".into(), never: false };
        assert_eq!(line(&pin), "memory  /m/hot\n");
        assert_eq!(line(&Pinned { never: true, ..pin }), "never   /m/hot\n");
    }
}
