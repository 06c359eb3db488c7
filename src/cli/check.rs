//! `scopefs check`.

mod find;
mod report;
mod text;

use super::args::CheckArgs;
use super::ask;
use super::failure::{Failure, print, say};
use super::mountinfo::Mount;
use super::output::{Meter, colours};
use crate::backend::zarr::offline::{Finding, Offline, Verdict, accept, check, repair};
use crate::backend::zarr::table::TableError;
use crate::control::{Event, Progress};
use find::{Candidate, Hold};
use report::{Mended, Report, Whole};

/// Runs the command.
pub fn run(args: &CheckArgs) -> Result<(), Failure> {
    run_with(args, &ask::mounts()?).map(drop)
}

fn run_with(args: &CheckArgs, mounts: &[Mount]) -> Result<Whole, Failure> {
    let scope = find::stores(mounts, &args.workspace)?;
    let hold = Hold::take(&scope.workspace, args.repair || args.accept)?;
    let mut whole = Whole::new(&scope);
    for store in &scope.stores {
        let report = look(args, store, &hold);
        if !args.json {
            print(text::report(&report, colours()))?;
        }
        whole.stores.push(report);
    }
    hold.leave()?;
    scope.unread.iter().for_each(|line| say(format_args!("scopefs: not checked: {line}")));
    whole.sound = scope.unread.is_empty() && whole.stores.iter().all(|report| report.sound);
    if args.json {
        let json = serde_json::to_string_pretty(&whole).map_err(|error| Failure::failed(error.to_string()))?;
        print(json + "\n")?;
    } else {
        print(text::summary(&whole, colours()))?;
    }
    if whole.sound { Ok(whole) } else { Err(Failure::silent(1)) }
}

/// Checks one store, mends what may be mended, and then says what it is like.
fn look(args: &CheckArgs, candidate: &Candidate, hold: &Hold) -> Report {
    let mut mended = Mended::default();
    match mend(args, candidate, hold, &mut mended) {
        Ok(verdict) => Report::new(candidate, verdict, mended),
        Err(error) => Report::unread(candidate, &error.to_string(), mended),
    }
}

fn mend(args: &CheckArgs, candidate: &Candidate, hold: &Hold, mended: &mut Mended) -> Result<Verdict, TableError> {
    let open = || Offline::open(&candidate.path, hold.staging());
    let mut verdict = look_once(&open()?, candidate);
    let is_left = |finding: &Finding| matches!(finding, Finding::Due(_) | Finding::Orphan { .. });
    let is_changed = |finding: &Finding| matches!(finding, Finding::Changed { .. });
    // What is undone comes first: chunks that seem to be missing may only wait for their names.
    if args.repair && verdict.findings.iter().any(is_left) {
        mended.repaired(repair(&open()?)?);
        verdict = look_once(&open()?, candidate);
    }
    if args.accept && verdict.findings.iter().any(is_changed) {
        mended.accepted(accept(&open()?)?, candidate);
        verdict = look_once(&open()?, candidate);
        // What was accepted may have left its old description behind.
        if args.repair && verdict.findings.iter().any(is_left) {
            mended.repaired(repair(&open()?)?);
            verdict = look_once(&open()?, candidate);
        }
    }
    Ok(verdict)
}

fn look_once(store: &Offline, candidate: &Candidate) -> Verdict {
    let (total_files, total_bytes) = store.size();
    let current = candidate.path.file_name().map(|name| name.into());
    let mut meter = Meter::new("checking");
    check(store, &mut |done_files, done_bytes| {
        let current = current.clone();
        meter.event(Event::Progress(Progress { done_files, total_files, done_bytes, total_bytes, current }));
        true
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::backend::zarr::array::Version;
    use crate::backend::zarr::blosc::{Filter, FilterChoice};
    use crate::backend::zarr::offline::{Made, made, made_with, plane};
    use crate::backend::zarr::table::Due;

    fn args(made: &Made) -> CheckArgs {
        CheckArgs { workspace: made.dir.path().to_owned(), repair: false, accept: false, json: false }
    }

    /// What `check` ends with, and what it would say of the only store.
    fn checked(args: &CheckArgs) -> (Result<(), u8>, Report) {
        let ended = run_with(args, &[]).map(drop).map_err(|failure| failure.code);
        let scope = find::stores(&[], &args.workspace).unwrap();
        let hold = Hold::take(&scope.workspace, false).unwrap();
        let plain = CheckArgs { repair: false, accept: false, ..args.clone() };
        (ended, look(&plain, &scope.stores[0], &hold))
    }

    fn kinds(report: &Report) -> Vec<&'static str> {
        report.findings.iter().map(|finding| finding.kind).collect()
    }

    /// Somebody else's plane in the first chunk of `long.tif`.
    fn change(made: &Made) {
        let array = made.open().arrays.array("B/03/0/0").unwrap();
        let bytes = array.encode(&plane(99, false), FilterChoice::Always(Filter::Shuffle)).unwrap().bytes;
        fs::write(made.chunk(4), bytes).unwrap();
    }

    fn cut(path: &Path) {
        fs::File::options().write(true).open(path).unwrap().set_len(20).unwrap();
    }

    #[test]
    fn sound_stores_end_with_success_and_are_not_touched() {
        for (version, sharded) in [(Version::V2, false), (Version::V3, false), (Version::V3, true)] {
            let made = made(version, sharded);
            let (ended, report) = checked(&args(&made));
            assert_eq!((ended, report.sound), (Ok(()), true), "{report:?}");
            assert_eq!(report.files, made.files.len() as u64);
            assert!(!made.dir.path().join(".scopefs").exists());
            let whole = run_with(&CheckArgs { json: true, workspace: made.root(), ..args(&made) }, &[]).unwrap();
            assert_eq!((whole.sound, whole.stores.len()), (true, 1));
        }
    }

    #[test]
    fn a_changed_chunk_is_told_from_a_damaged_one() {
        let made = made(Version::V2, false);
        change(&made);
        cut(&made.chunk(3));
        let (ended, report) = checked(&args(&made));
        assert_eq!(ended, Err(1));
        assert_eq!(kinds(&report), ["changed", "damaged"], "{report:?}");
        let changed = &report.findings[0];
        assert!(changed.file.as_ref().unwrap().as_path().ends_with("long.tif"), "{changed:?}");
        assert!(changed.remedy.contains("--accept") && !report.findings[1].remedy.contains("--accept"));
        assert_eq!(changed.chunk.as_deref(), Some("B/03/0/0 [4, 0, 0, 0]"));
    }

    #[test]
    fn changes_are_accepted_only_when_asked_for_and_damage_never_is() {
        let made = made(Version::V2, false);
        change(&made);
        assert_eq!(checked(&CheckArgs { repair: true, ..args(&made) }).0, Err(1), "a repair accepts nothing");
        assert_eq!(kinds(&checked(&args(&made)).1), ["changed"]);
        let both = CheckArgs { repair: true, accept: true, ..args(&made) };
        let (ended, report) = checked(&both);
        assert_eq!((ended, report.sound), (Ok(()), true), "{report:?}");
        cut(&made.chunk(3));
        let (ended, report) = checked(&both);
        assert_eq!((ended, kinds(&report)), (Err(1), vec!["damaged"]));
        assert!(!made.dir.path().join(".scopefs").exists());
    }

    #[test]
    fn a_repair_finishes_what_a_killed_daemon_had_begun() {
        let dues = [
            Due::Rename { staged: "1-0".into(), path: "B/03/0/0/0/0/0/0".into() },
            Due::Remove { path: "B/03/0/0/7/1/0/0".into() },
        ];
        let made = made_with(Version::V2, false, dues.to_vec());
        let own = made.dir.path().join(".scopefs");
        fs::create_dir_all(own.join("chunks")).unwrap();
        fs::write(own.join("lock"), "").unwrap();
        fs::rename(made.chunk(0), own.join("chunks/1-0")).unwrap();
        let leftover = made.root().join("B/03/0/0/7/1/0/0");
        fs::create_dir_all(leftover.parent().unwrap()).unwrap();
        fs::write(&leftover, "x").unwrap();
        let (ended, report) = checked(&args(&made));
        assert_eq!((ended, kinds(&report)), (Err(1), vec!["missing", "undone", "undone"]), "{report:?}");
        let (ended, report) = checked(&CheckArgs { repair: true, ..args(&made) });
        assert_eq!((ended, report.sound), (Ok(()), true), "{report:?}");
        assert!(made.chunk(0).exists() && !leftover.exists());
    }

    #[test]
    fn a_store_that_has_lost_its_marker_or_its_table_is_found_all_the_same() {
        let made = made(Version::V2, false);
        fs::remove_file(made.root().join("scopefs/.zattrs")).unwrap();
        let (ended, report) = checked(&args(&made));
        assert_eq!((ended, kinds(&report)), (Err(1), vec!["marker"]), "{report:?}");
        fs::write(made.root().join("scopefs/tables/.zarray"), "{").unwrap();
        let (ended, report) = checked(&args(&made));
        assert_eq!((ended, kinds(&report)), (Err(1), vec!["marker", "unreadable"]), "{report:?}");
    }

    #[test]
    fn what_is_no_directory_is_wrong_usage_and_a_place_without_stores_is_sound() {
        let dir = tempfile::tempdir().unwrap();
        let args = |workspace| CheckArgs { workspace, repair: false, accept: false, json: false };
        assert_eq!(run_with(&args(dir.path().join("nowhere")), &[]).unwrap_err().code, 2);
        fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(run_with(&args(dir.path().join("file")), &[]).unwrap_err().code, 2);
        assert!(run_with(&args(dir.path().to_owned()), &[]).unwrap().stores.is_empty());
    }
}
