//! `scopefs migrate`.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::args::MigrateArgs;
use super::ask::{self, Group};
use super::failure::{Failure, print, say};
use super::follow::{self, Show};
use super::locate::{self, Located};
use super::mountinfo::Mount;
use super::output::{files, size};
use crate::control::{Outcome, Plan, Request};
use crate::materialize::jobs::Why;
use crate::route::is_glob;

/// Runs the command.
pub fn run(args: &MigrateArgs) -> Result<(), Failure> {
    let mounts = ask::mounts()?;
    let (globs, paths): (Vec<PathBuf>, Vec<PathBuf>) = args.paths.iter().cloned().partition(|path| is_pattern(path));
    let (groups, mut wrong) = ask::group(&mounts, &paths);
    let mut asked: Vec<Asked> = groups.into_iter().map(|group| Asked { group, globs: Vec::new() }).collect();
    for glob in &globs {
        match pattern(&mounts, glob) {
            Ok((mount, glob)) => add_glob(&mut asked, mount, glob),
            Err(failure) => wrong.push(failure.message),
        }
    }
    wrong.iter().for_each(|message| say(format_args!("scopefs: {message}")));
    let mut good = wrong.is_empty();
    for Asked { group, globs } in asked {
        good &= if args.dry_run { plan(&group, globs, args)? } else { migrate(&group, globs, args)? };
    }
    if good { Ok(()) } else { Err(Failure::silent(1)) }
}

/// What is asked of one mount.
struct Asked {
    group: Group,
    globs: Vec<String>,
}

fn add_glob(asked: &mut Vec<Asked>, mount: Mount, glob: String) {
    match asked.iter_mut().find(|asked| asked.group.mount.id == mount.id) {
        Some(asked) => asked.globs.push(glob),
        None => {
            let group = Group { mount, written: Vec::new(), inside: Vec::new() };
            asked.push(Asked { group, globs: vec![glob] });
        }
    }
}

fn request(group: &Group, globs: Vec<String>, args: &MigrateArgs) -> Request {
    let (paths, busy) = (group.inside.clone(), args.busy.busy());
    Request::Migrate { paths, globs, to: args.to, dry_run: args.dry_run, busy, detach: args.detach }
}

fn migrate(group: &Group, globs: Vec<String>, args: &MigrateArgs) -> Result<bool, Failure> {
    let show = Show { json: args.json, detach: args.detach };
    match follow::follow(&group.mount, &request(group, globs, args), show)? {
        Some(job) => follow::tell(&group.mount, &job, show, &group.inside),
        None => Ok(false),
    }
}

fn plan(group: &Group, globs: Vec<String>, args: &MigrateArgs) -> Result<bool, Failure> {
    let reply = ask::ask(&group.mount, &request(group, globs, args), &mut |_| {})?;
    let (outcome, errors) = ask::settle(&group.mount, reply);
    let Some(Outcome::Plan(plan)) = outcome else { return Ok(false) };
    if args.json {
        let text = serde_json::to_string_pretty(&*plan).map_err(|error| Failure::failed(error.to_string()))?;
        print(text + "\n")?;
    } else {
        let mut lines = outlook(&plan);
        for (why, all) in [(Why::Held, plan.waits.files), (Why::Stays, plan.stays.files)] {
            lines.extend(follow::named(&group.mount.point, &plan.troubles, why, all));
        }
        print(lines.join("\n") + "\n")?;
    }
    Ok(errors == 0)
}

/// What would become of the files, a line for each kind that there is.
fn outlook(plan: &Plan) -> Vec<String> {
    let mut lines = vec![format!("would move {}, {}, to {}", files(plan.moves.files), size(plan.moves.bytes), plan.to)];
    if let Some(room) = plan.room.filter(|room| *room < plan.moves.bytes) {
        lines.push(format!("memory has room for {} of it; the rest only if other files can make way", size(room)));
    }
    let kinds = [
        (plan.already, "there already"),
        (plan.waits, "open or mapped, and would have to wait"),
        (plan.stays, "cannot be there and would stay as they are"),
    ];
    let some = kinds.iter().filter(|(amount, _)| amount.files > 0);
    lines.extend(some.map(|(amount, what)| format!("{}, {}: {what}", files(amount.files), size(amount.bytes))));
    lines
}

/// Whether something that was typed is a glob: no file is called so, and it reads as one.
fn is_pattern(path: &Path) -> bool {
    path.symlink_metadata().is_err() && path.to_str().is_some_and(is_glob)
}

/// The mount that a glob is about, and the glob relative to it.
fn pattern(mounts: &[Mount], typed: &Path) -> Result<(Mount, String), Failure> {
    let plain: PathBuf = typed.components().take_while(|part| !is_pattern_part(part.as_os_str())).collect();
    let rest = typed.strip_prefix(&plain).unwrap_or(typed).to_string_lossy().into_owned();
    let plain = if plain.as_os_str().is_empty() { Path::new(".") } else { &plain };
    let Located { mount, inside } = locate::file(mounts, plain)?;
    let Some(inside) = inside.to_str() else {
        return Err(Failure::usage(format!("{}: a glob cannot be used below a name that is no text", typed.display())));
    };
    let glob = if inside.is_empty() { rest } else { format!("{}/{rest}", literally(inside)) };
    Ok((mount, glob))
}

fn is_pattern_part(part: &std::ffi::OsStr) -> bool {
    std::str::from_utf8(part.as_bytes()).is_ok_and(is_glob)
}

/// A path as a glob that matches it alone.
fn literally(path: &str) -> String {
    let mut glob = String::with_capacity(path.len());
    for c in path.chars() {
        if is_glob(c.encode_utf8(&mut [0; 4])) || "]}!,".contains(c) {
            glob.push('\\');
        }
        glob.push(c);
    }
    glob
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::mountinfo::for_tests;
    use crate::control::status::Amount;
    use crate::model::{RelPath, Tier};
    use crate::route::PathGlob;

    #[test]
    fn a_glob_is_asked_for_relative_to_its_mount() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(at.join("odd [1]")).unwrap();
        let mounts = for_tests(&[(at.to_str().unwrap(), "fuse.scopefs", "/w")]);
        assert!(is_pattern(&at.join("*.tif")) && !is_pattern(&at.join("odd [1]")) && !is_pattern(&at.join("none")));
        assert_eq!(pattern(&mounts, &at.join("**/*.tif")).unwrap().1, "**/*.tif");
        // A directory whose name reads like a glob belongs to the glob, where it does not match itself: it is escaped
        // only where the plain part ends behind it.
        let glob = PathGlob::new(&format!("{}/*.tif", literally("odd [1]"))).unwrap();
        assert!(glob.matches(&RelPath::from_path(Path::new("odd [1]/a.tif")).unwrap()));
    }

    #[test]
    fn a_dry_run_says_what_would_move_wait_and_stay() {
        let amount = |files| Amount { files, bytes: files << 20 };
        let plan = Plan {
            to: Tier::Memory,
            moves: amount(12),
            already: amount(2),
            waits: amount(1),
            stays: amount(0),
            room: Some(4 << 20),
            troubles: Vec::new(),
        };
        assert_eq!(
            outlook(&plan),
            [
                "would move 12 files, 12.0 MiB, to memory",
                "memory has room for 4.0 MiB of it; the rest only if other files can make way",
                "2 files, 2.0 MiB: there already",
                "1 file, 1.0 MiB: open or mapped, and would have to wait",
            ]
        );
    }
}
