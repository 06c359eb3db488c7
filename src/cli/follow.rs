//! Following a job of the daemon: progress, Ctrl-C, and what came of it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use super::ask;
use super::failure::{Failure, print, say};
use super::mountinfo::Mount;
use super::output::{Meter, count, files, size};
use crate::control::{Event, JobStatus, JobTrouble, JobVerb, Outcome, Reply, Request, WirePath};
use crate::materialize::jobs::{Busy, State, Why};

/// Files of one kind that are named; the rest is counted.
const NAMED: usize = 20;

/// How a job is to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Show {
    /// A JSON object a line.
    pub json: bool,
    /// Do not wait for its end.
    pub detach: bool,
}

/// Asks for a job and follows it; how it stands at the end. `None` if it was refused, which was said.
pub fn follow(mount: &Mount, request: &Request, show: Show) -> Result<Option<JobStatus>, Failure> {
    // Who only looks at a job, or has ended it, leaves it at that.
    let looks_on = matches!(request, Request::Job { verb: JobVerb::Follow | JobVerb::Cancel, .. });
    let interrupt = if show.detach || looks_on { None } else { Some(Interrupt::start(mount)?) };
    let mut meter = Meter::new("moving");
    let mut printed = Ok(());
    let reply = ask::ask(mount, request, &mut |event| match event {
        Event::Job(job) => {
            if let Some(interrupt) = &interrupt {
                interrupt.job.store(job.id, Ordering::Release);
            }
            if show.json && job.state.is_active() {
                printed = json(&job);
            } else if !show.json {
                meter.event(Event::Progress(job.progress()));
            }
        }
        other => meter.event(other),
    });
    drop(meter);
    if let Some(interrupt) = interrupt {
        interrupt.stop();
    }
    printed?;
    match ask::settle(mount, reply?) {
        (Some(Outcome::Job(job)), _) => Ok(Some(*job)),
        _ => Ok(None),
    }
}

/// One line for a script.
pub fn json(job: &JobStatus) -> Result<(), Failure> {
    let line = serde_json::to_string(job).map_err(|error| Failure::failed(error.to_string()))?;
    print(line + "\n")
}

/// Tells what came of a job; whether all of it is as it was asked for. `named` are paths that were named themselves.
pub fn tell(mount: &Mount, job: &JobStatus, show: Show, named: &[WirePath]) -> Result<bool, Failure> {
    if show.json {
        json(job)?;
    } else if show.detach && job.state.is_active() {
        print(format!("job {} has begun; 'scopefs jobs follow {}' shows how far it is\n", job.id, job.id))?;
    } else {
        troubles(mount, &job.troubles, job);
        print(summary(job) + "\n")?;
        remedy(job).into_iter().for_each(say);
    }
    let refused = |trouble: &&JobTrouble| trouble.why == Why::Stays && named.contains(&trouble.path);
    Ok(match job.state {
        State::Done => job.troubles.iter().filter(refused).count() == 0,
        State::RolledBack => true,
        state => show.detach && state.is_active(),
    })
}

/// The files that are not where they should be, by kind.
fn troubles(mount: &Mount, troubles: &[JobTrouble], job: &JobStatus) {
    for (why, all) in [(Why::Stays, job.counts.stays), (Why::Held, job.counts.held), (Why::Failed, job.counts.failed)] {
        for line in named(&mount.point, troubles, why, all) {
            say(line);
        }
    }
}

/// A line for each of the first files of a kind, and one for the others.
pub fn named(point: &Path, troubles: &[JobTrouble], why: Why, all: u64) -> Vec<String> {
    let of_kind = troubles.iter().filter(|trouble| trouble.why == why);
    let line = |trouble: &JobTrouble| {
        let path = WirePath(point.join(trouble.path.as_path()));
        let tier = trouble.tier.map(|tier| format!(" (in {tier})")).unwrap_or_default();
        format!("{path}{tier}: {}", trouble.cause)
    };
    let mut lines: Vec<String> = of_kind.take(NAMED).map(line).collect();
    let more = all.saturating_sub(lines.len() as u64);
    if more > 0 && !lines.is_empty() {
        lines.push(format!("and {} more of the kind; --json names a thousand", count(more)));
    }
    lines
}

/// What was done, in a line.
pub fn summary(job: &JobStatus) -> String {
    let to = job.to.map(|tier| format!(", to {tier}")).unwrap_or_default();
    let (verb, to) = if job.back { ("brought back", String::new()) } else { ("moved", to) };
    let mut text = format!("{verb} {}, {}{to}", files(job.counts.moved_files), size(job.counts.moved_bytes));
    let mut add = |number: u64, what: &str| {
        if number > 0 {
            text += &format!("; {} {what}", count(number));
        }
    };
    add(job.counts.already, if job.back { "need no way back" } else { "were there already" });
    add(job.counts.gone, "vanished meanwhile");
    add(job.counts.stays, "cannot be there and stay as they are");
    add(job.counts.held, "are open or mapped and stay where they are");
    add(job.counts.failed, "failed and are where they were");
    match job.state {
        State::Cancelled => text += "; cancelled",
        State::Interrupted => text += "; interrupted, because the mount ends",
        _ => {}
    }
    text
}

/// What a person can do now.
fn remedy(job: &JobStatus) -> Vec<String> {
    let mut lines: Vec<String> = job.cause.iter().map(|cause| format!("scopefs: {cause}")).collect();
    let id = job.id;
    let way = match (job.recorded, job.back) {
        (true, false) => {
            format!("'scopefs jobs resume {id}' goes on, 'scopefs jobs rollback {id}' brings back what was moved")
        }
        (true, true) => format!("'scopefs jobs rollback {id}' goes on"),
        (false, _) => "ask again to go on".to_owned(),
    };
    match job.state {
        State::Incomplete if job.counts.held > 0 => {
            lines.push(format!("close the programs that have them open; {way}; --wait waits for them"));
        }
        State::Incomplete | State::Cancelled | State::Interrupted => lines.push(way),
        _ => {}
    }
    lines
}

/// Listens to Ctrl-C while a job is followed: the first asks the daemon to end it, the second ends us.
struct Interrupt {
    job: Arc<AtomicU64>,
    handle: Handle,
    thread: JoinHandle<()>,
}

impl Interrupt {
    fn start(mount: &Mount) -> Result<Interrupt, Failure> {
        let failed = |error: std::io::Error| Failure::failed(format!("cannot listen to signals: {error}"));
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
        let handle = signals.handle();
        let job = Arc::new(AtomicU64::new(0));
        let (mount, id, heard) = (mount.clone(), job.clone(), AtomicUsize::new(0));
        let listen = move || {
            for _ in signals.forever() {
                let first = heard.fetch_add(1, Ordering::Relaxed) == 0;
                let id = id.load(Ordering::Acquire);
                if !first || id == 0 {
                    // What the daemon was told, it does; nobody waits for it any more.
                    std::process::exit(130);
                }
                cancel(&mount, id);
            }
        };
        let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map_err(failed)?;
        Ok(Interrupt { job, handle, thread })
    }

    fn stop(self) {
        self.handle.close();
        // It holds nothing.
        let _ = self.thread.join();
    }
}

fn cancel(mount: &Mount, id: u64) {
    say(format_args!("\ncancelling job {id} after the files in hand; Ctrl-C again leaves it to that"));
    let request = Request::Job { id, verb: JobVerb::Cancel, busy: Busy::Tell, detach: true };
    match ask::ask(mount, &request, &mut |_| {}) {
        Ok(Reply::Done(_)) => {}
        Ok(reply) => drop(ask::settle(mount, reply)),
        Err(failure) => failure.report(),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::materialize::jobs::Counts;
    use crate::model::Tier;

    /// A job that moved ten files.
    pub fn example(state: State) -> JobStatus {
        JobStatus {
            id: 7,
            task: "migrate".into(),
            to: Some(Tier::Disk),
            paths: vec!["plate".into()],
            state,
            back: false,
            recorded: true,
            counts: Counts {
                files: 12,
                bytes: 3 << 20,
                of_files: 14,
                of_bytes: 4 << 20,
                moved_files: 10,
                moved_bytes: 2 << 20,
                already: 2,
                waiting: 0,
                held: 1,
                stays: 0,
                failed: 0,
                gone: 0,
            },
            bytes_per_second: 1 << 20,
            eta_seconds: Some(1),
            elapsed_seconds: 3,
            current: None,
            cause: None,
            troubles: vec![JobTrouble {
                path: "plate/a.tif".into(),
                tier: Some(Tier::Memory),
                why: Why::Held,
                cause: "the file is open".into(),
            }],
        }
    }

    #[test]
    fn the_summary_tells_what_moved_what_was_there_and_what_did_not() {
        let job = example(State::Incomplete);
        assert_eq!(
            summary(&job),
            "moved 10 files, 2.0 MiB, to disk; 2 were there already; 1 are open or mapped and stay where they are"
        );
        let mut back = JobStatus { back: true, ..example(State::Cancelled) };
        back.counts.held = 0;
        assert_eq!(summary(&back), "brought back 10 files, 2.0 MiB; 2 need no way back; cancelled");
    }

    #[test]
    fn what_did_not_move_is_named_with_its_tier_and_its_reason() {
        let job = example(State::Incomplete);
        let lines = named(Path::new("/m"), &job.troubles, Why::Held, 31);
        assert_eq!(
            lines,
            ["/m/plate/a.tif (in memory): the file is open", "and 30 more of the kind; --json names a thousand"]
        );
        assert!(named(Path::new("/m"), &job.troubles, Why::Failed, 0).is_empty());
    }

    #[test]
    fn whoever_has_to_do_something_is_told_what() {
        let lines = remedy(&example(State::Incomplete));
        assert!(lines[0].contains("close the programs") && lines[0].contains("jobs resume 7"), "{lines:?}");
        let lines = remedy(&JobStatus { back: true, cause: Some("disk full".into()), ..example(State::Cancelled) });
        assert_eq!(lines, ["scopefs: disk full", "'scopefs jobs rollback 7' goes on"]);
        assert!(remedy(&example(State::Done)).is_empty());
    }
}
