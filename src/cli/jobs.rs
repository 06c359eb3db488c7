//! `scopefs jobs`.

use std::path::PathBuf;

use super::args::{JobCommand, JobsArgs};
use super::args_jobs::JobArgs;
use super::ask;
use super::failure::{Failure, print, say};
use super::follow::{self, Show, summary};
use super::locate;
use super::mountinfo::Mount;
use super::output::{count, size};
use crate::control::{JobStatus, JobVerb, Outcome, Request, WirePath};
use crate::materialize::jobs::State;

/// Runs the command.
pub fn run(args: &JobsArgs) -> Result<(), Failure> {
    match &args.command {
        None => list(args),
        Some(JobCommand::Follow(job)) => about(job, JobVerb::Follow),
        Some(JobCommand::Cancel(job)) => about(job, JobVerb::Cancel),
        Some(JobCommand::Resume(job)) => about(job, JobVerb::Resume),
        Some(JobCommand::Rollback(job)) => about(job, JobVerb::Rollback),
    }
}

fn about(args: &JobArgs, verb: JobVerb) -> Result<(), Failure> {
    let mount = one_mount(&ask::mounts()?, args.mountpoint.as_ref())?;
    let request = Request::Job { id: args.id, verb, busy: args.busy.busy(), detach: args.detach };
    let show = Show { json: args.json, detach: args.detach };
    let Some(job) = follow::follow(&mount, &request, show)? else { return Err(Failure::silent(1)) };
    let good = follow::tell(&mount, &job, show, &[])?;
    let cancelled = verb == JobVerb::Cancel && job.state == State::Cancelled;
    if good || cancelled { Ok(()) } else { Err(Failure::silent(1)) }
}

/// The mount that is named, or the only one there is.
fn one_mount(all: &[Mount], named: Option<&PathBuf>) -> Result<Mount, Failure> {
    if let Some(path) = named {
        return locate::mount(all, path).or_else(|e| locate::file(all, path).map(|at| at.mount).map_err(|_| e));
    }
    let mut ours = ours(all);
    match (ours.next(), ours.next()) {
        (Some(mount), None) => Ok(mount.clone()),
        (None, _) => Err(Failure::failed("nothing is mounted; 'scopefs mount --help' shows how")),
        (Some(one), Some(two)) => Err(Failure::usage(format!(
            "there are several mounts ({}, {}, …), and each counts its jobs: name one behind the number",
            one.point.display(),
            two.point.display()
        ))),
    }
}

fn ours(all: &[Mount]) -> impl Iterator<Item = &Mount> {
    all.iter().filter(|mount| mount.is_scopefs() && mount.root == std::path::Path::new("/"))
}

fn list(args: &JobsArgs) -> Result<(), Failure> {
    let all = ask::mounts()?;
    let mounts: Vec<Mount> = match &args.mountpoint {
        Some(_) => vec![one_mount(&all, args.mountpoint.as_ref())?],
        None => ours(&all).cloned().collect(),
    };
    let (mut failed, mut found) = (0, Vec::new());
    for mount in mounts {
        let reply = ask::ask(&mount, &Request::Jobs, &mut |_| {})?;
        let (outcome, errors) = ask::settle(&mount, reply);
        failed += errors;
        if let Some(Outcome::Jobs(jobs)) = outcome {
            found.push((mount, jobs));
        }
    }
    if args.json {
        json(&found)?
    } else {
        show(&found)?
    }
    if failed > 0 { Err(Failure::silent(1)) } else { Ok(()) }
}

/// A job with its mount, for scripts.
#[derive(serde::Serialize)]
struct Listed<'j> {
    mountpoint: WirePath,
    #[serde(flatten)]
    job: &'j JobStatus,
}

fn json(found: &[(Mount, Vec<JobStatus>)]) -> Result<(), Failure> {
    let listed: Vec<Listed<'_>> = found
        .iter()
        .flat_map(|(mount, jobs)| jobs.iter().map(|job| Listed { mountpoint: mount.point.clone().into(), job }))
        .collect();
    let text = serde_json::to_string_pretty(&listed).map_err(|error| Failure::failed(error.to_string()))?;
    print(text + "\n")
}

fn show(found: &[(Mount, Vec<JobStatus>)]) -> Result<(), Failure> {
    if found.iter().all(|(_, jobs)| jobs.is_empty()) {
        say("there are no jobs");
        return Ok(());
    }
    for (mount, jobs) in found.iter().filter(|(_, jobs)| !jobs.is_empty()) {
        let lines: Vec<String> = jobs.iter().map(line).collect();
        print(format!("{}\n{}\n", mount.point.display(), lines.join("\n")))?;
    }
    Ok(())
}

/// A job in a line or two.
fn line(job: &JobStatus) -> String {
    let what = match (job.task.as_str(), job.to, job.back) {
        (_, _, true) => "roll back".to_owned(),
        ("migrate", Some(to), _) => format!("migrate to {to}"),
        ("raise", ..) => "pin in memory".to_owned(),
        _ => "pin out of memory".to_owned(),
    };
    let mut paths = job.paths.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    if job.paths.len() > 3 {
        paths += &format!(" and {} more", job.paths.len() - 3);
    }
    let paths = WirePath::from(paths);
    let head = format!("  {:>3}  {:11}  {what}: {paths}", job.id, job.state.as_str());
    match job.state {
        State::Running => format!("{head}\n       {}", progress(job)),
        State::Queued | State::Interrupted => head,
        _ if job.elapsed_seconds == 0 && job.counts.files == 0 => head,
        _ => format!("{head}\n       {}", summary(job)),
    }
}

fn progress(job: &JobStatus) -> String {
    let mut text = format!(
        "{} of {} files, {} of {}, {}/s",
        count(job.counts.files),
        count(job.counts.of_files),
        size(job.counts.bytes),
        size(job.counts.of_bytes),
        size(job.bytes_per_second)
    );
    if let Some(left) = job.eta_seconds {
        text += &format!(", {} left", super::output::age(left as f64));
    }
    if job.counts.waiting > 0 {
        text += &format!("; {} wait until they are closed", count(job.counts.waiting));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::follow::tests::example;
    use crate::cli::mountinfo::for_tests;

    #[test]
    fn a_job_at_work_tells_how_far_it_is() {
        let mut job = example(State::Running);
        job.counts.waiting = 2;
        assert_eq!(
            line(&job),
            "    7  running      migrate to disk: plate\n       12 of 14 files, 3.0 MiB of 4.0 MiB, 1.0 MiB/s, 1 s left; \
             2 wait until they are closed"
        );
        let job = JobStatus { back: true, ..example(State::Interrupted) };
        assert_eq!(line(&job), "    7  interrupted  roll back: plate");
    }

    #[test]
    fn a_number_alone_is_enough_where_there_is_one_mount() {
        let mounts = for_tests(&[("/m", "fuse.scopefs", "/w")]);
        assert_eq!(one_mount(&mounts, None).unwrap().point, PathBuf::from("/m"));
        let mounts = for_tests(&[("/m", "fuse.scopefs", "/w"), ("/n", "fuse.scopefs", "/x")]);
        let failure = one_mount(&mounts, None).unwrap_err();
        assert!(failure.code == 2 && failure.message.contains("/m, /n"), "{}", failure.message);
    }
}
