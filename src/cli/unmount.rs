//! `scopefs unmount`.

use std::path::Path;

use super::args::UnmountArgs;
use super::ask;
use super::busy;
use super::failure::{Failure, say};
use super::locate::{self, Unreachable};
use super::mount::detach;
use super::mountinfo::Mount;
use super::output::Meter;
use crate::control::{Reply, Request};

/// Processes named; the rest is counted.
const NAMED: usize = 10;

/// Runs the command.
pub fn run(args: &UnmountArgs) -> Result<(), Failure> {
    let mounts = ask::mounts()?;
    let mount = locate::mount(&mounts, &args.mountpoint)?;
    let plain = args.plain.as_deref().map(|path| inside(&mounts, &mount, path)).transpose()?;
    let mut client = match locate::connect(&mount) {
        Ok(client) => client,
        Err(Unreachable::Dead) => return clean_up(&mount),
        Err(Unreachable::Because(failure)) => return Err(failure),
    };
    let mut meter = Meter::new("writing");
    let request = Request::Unmount { plain: plain.map(Into::into), lazy: args.lazy };
    let reply = client.call(&request, &mut |event| meter.event(event));
    drop(meter);
    match reply.map_err(|error| Failure::failed(error.to_string()))? {
        Reply::Done(_) => {
            // The daemon's last act: now its lock is free and the workspace can be mounted again.
            client.wait_for_end();
            Ok(())
        }
        Reply::Busy => Err(busy_message(&mounts, &mount)),
        Reply::Failed { errors, .. } => {
            let list: Vec<String> = errors.iter().map(|error| format!("\n  {}", ask::shown(&mount, error))).collect();
            Err(Failure::failed(format!("{} was not unmounted cleanly:{}", mount.point.display(), list.concat())))
        }
    }
}

fn inside(mounts: &[Mount], mount: &Mount, path: &Path) -> Result<std::path::PathBuf, Failure> {
    let located = locate::file(mounts, path)?;
    if located.mount.id != mount.id {
        return Err(Failure::usage(format!("--plain {} is not in {}", path.display(), mount.point.display())));
    }
    Ok(located.inside)
}

/// Takes a dead mount away. That is a failure if bytes are only in memory: unmounted does not mean durable then.
fn clean_up(mount: &Mount) -> Result<(), Failure> {
    let (point, source) = (mount.point.display(), mount.source.display());
    detach::detach(&mount.point, true)
        .map_err(|error| Failure::failed(format!("the daemon of {point} is gone; cannot unmount it: {error}")))?;
    // A mount over the workspace itself hid this until now.
    if mount.source.join(".scopefs/IN-MEMORY").exists() {
        return Err(Failure::failed(format!(
            "the daemon of {point} was gone; the dead mount is taken away. Nothing is lost, but files may still be \
             only in memory: mount the workspace again and unmount it, as in 'scopefs mount {source} {point}'"
        )));
    }
    say(format_args!("the daemon of {point} was gone; the dead mount is taken away"));
    Ok(())
}

fn busy_message(mounts: &[Mount], mount: &Mount) -> Failure {
    let mut text =
        format!("{} is in use, so it stays mounted; everything written so far is on disk.", mount.point.display());
    let holders = busy::holders(mount);
    for holder in holders.iter().take(NAMED) {
        text += &format!("\n  {holder}");
    }
    if holders.len() > NAMED {
        text += &format!("\n  and {} more processes", holders.len() - NAMED);
    }
    for below in mounts.iter().filter(|other| other.parent == mount.id) {
        text += &format!("\n  mounted in it: {} ({})", below.point.display(), below.fstype);
    }
    if holders.is_empty() && !mounts.iter().any(|other| other.parent == mount.id) {
        text += "\n  who holds it cannot be seen by this user; root can";
    }
    text += "\nEnd these, or leave the directory, and try again; --lazy takes it out of sight at once and flushes when they \
             have ended.";
    Failure::failed(text)
}
