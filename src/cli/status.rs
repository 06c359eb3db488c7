//! `scopefs status`.

mod text;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use super::args::StatusArgs;
use super::ask::mounts;
use super::failure::{Failure, print, say};
use super::locate::{self, Unreachable};
use super::mountinfo::Mount;
use super::output::colours;
use crate::control::{Outcome, Reply, Request, Status};

/// Between two looks of `--watch`.
const TURN: Duration = Duration::from_secs(1);

/// Runs the command.
pub fn run(args: &StatusArgs) -> Result<(), Failure> {
    if !args.watch {
        return show(args);
    }
    watch(args)
}

/// Shows it again every second until a signal comes or nothing is mounted any more.
fn watch(args: &StatusArgs) -> Result<(), Failure> {
    let (tell, told) = channel();
    let no_signals = |error: std::io::Error| Failure::failed(format!("cannot wait for signals: {error}"));
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).map_err(no_signals)?;
    let handle = signals.handle();
    let waiting = std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || signals.forever().take(1).for_each(|_| tell.send(()).unwrap_or_default()))
        .map_err(no_signals)?;
    let clear = if colours() && !args.json { "\x1b[H\x1b[2J" } else { "" };
    let shown = loop {
        if let Err(failure) = print(clear).and_then(|()| show(args)) {
            break Err(failure);
        }
        if told.recv_timeout(TURN) != Err(RecvTimeoutError::Timeout) {
            break Ok(());
        }
    };
    handle.close();
    // It only waits and sends.
    let _ = waiting.join();
    shown
}

fn show(args: &StatusArgs) -> Result<(), Failure> {
    let all = mounts()?;
    let Some(mountpoint) = &args.mountpoint else { return show_all(&all, args.json) };
    let mount = match locate::mount(&all, mountpoint) {
        Ok(mount) => mount,
        // Any path in a mount will do.
        Err(failure) => locate::file(&all, mountpoint).map(|located| located.mount).map_err(|_| failure)?,
    };
    let status = of(&mount).map_err(|unreachable| Failure::from((unreachable, &mount)))?;
    if args.json { json(&status) } else { print(text::status(&status, colours())) }
}

fn show_all(all: &[Mount], as_json: bool) -> Result<(), Failure> {
    let ours = all.iter().filter(|mount| mount.is_scopefs() && mount.root == std::path::Path::new("/"));
    let (mut found, mut failed) = (Vec::new(), 0);
    for mount in ours {
        match of(mount) {
            Ok(status) => found.push(status),
            Err(unreachable) => {
                failed += 1;
                Failure::from((unreachable, mount)).report();
            }
        }
    }
    if as_json {
        json(&found)?;
    } else if found.is_empty() && failed == 0 {
        say("nothing is mounted; 'scopefs mount --help' shows how");
    } else {
        let texts: Vec<String> = found.iter().map(|status| text::status(status, colours())).collect();
        print(texts.join("\n"))?;
    }
    if failed > 0 { Err(Failure::silent(1)) } else { Ok(()) }
}

/// Asks the daemon itself, and where only its owner may, reads what the mount shows.
fn of(mount: &Mount) -> Result<Status, Unreachable> {
    if let Ok(mut client) = locate::connect(mount)
        && let Ok(Reply::Done(Outcome::Status(status))) = client.call(&Request::Status, &mut |_| {})
    {
        return Ok(*status);
    }
    locate::status(mount)
}

fn json<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::failed(error.to_string()))?;
    print(text + "\n")
}
