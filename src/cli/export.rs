//! `scopefs export`.

use std::fs;
use std::path::Path;

use super::args::ExportArgs;
use super::failure::{Failure, print, say};
use super::output::{Meter, files, size};
use super::{ask, locate};
use crate::backend::zarr::offline::{Exported, Marked, Offline, export, marked};
use crate::cli::mountinfo::Mount;
use crate::control::{Event, Progress, WirePath};

/// Runs the command.
pub fn run(args: &ExportArgs) -> Result<(), Failure> {
    let store = open(args)?;
    make_dest(&args.dest)?;
    if let Some(mount) = served(&ask::mounts()?, &args.store) {
        say(format_args!(
            "note: the workspace is mounted at {}; files that were changed since they were sealed are newer there",
            mount.point.display()
        ));
    }
    let (total_files, total_bytes) = store.size();
    let mut meter = Meter::new("exporting");
    let done = export(&store, &args.dest, &mut |done_files, done_bytes| {
        meter.event(Event::Progress(Progress { done_files, total_files, done_bytes, total_bytes, current: None }));
        true
    });
    drop(meter);
    let failed = failures(&store, &done);
    failed.iter().for_each(|line| say(format_args!("scopefs: {line}")));
    print(summary(&done, &args.dest))?;
    if failed.is_empty() { Ok(()) } else { Err(Failure::silent(1)) }
}

fn open(args: &ExportArgs) -> Result<Offline, Failure> {
    let shown = args.store.display();
    let failed = |why: &dyn std::fmt::Display| Failure::failed(format!("cannot read the store {shown}: {why}"));
    if !args.store.is_dir() {
        return Err(Failure::usage(format!("{shown} is no directory; a store is a directory NAME.ome.zarr")));
    }
    if marked(&args.store).map_err(|e| failed(&e))? == Marked::No {
        let remedy = "'scopefs check' lists the stores of a workspace";
        return Err(Failure::usage(format!("{shown} is not a store of scopefs; {remedy}")));
    }
    let inside = match (locate::canonical(&args.store), locate::canonical(&args.dest)) {
        (Ok(store), Ok(dest)) => dest.starts_with(store),
        _ => false,
    };
    if inside {
        return Err(Failure::usage(format!("{} is in the store itself; name another place", args.dest.display())));
    }
    Offline::open(&args.store, None).map_err(|e| failed(&e))
}

fn make_dest(dest: &Path) -> Result<(), Failure> {
    fs::create_dir_all(dest).map_err(|error| {
        Failure::failed(format!("cannot make the directory {}: {error}; name another one", dest.display()))
    })
}

/// The mount that serves the workspace in which the store is.
fn served<'m>(mounts: &'m [Mount], store: &Path) -> Option<&'m Mount> {
    let store = locate::canonical(store).ok()?;
    let ours = |mount: &&Mount| mount.is_scopefs();
    mounts.iter().filter(ours).find(|mount| store.starts_with(&mount.source) || store.starts_with(&mount.point))
}

/// A line for everything that could not be given back.
fn failures(store: &Offline, done: &Exported) -> Vec<String> {
    let remedy = match store.found.dues.is_empty() {
        true => "the chunks may be sound in a copy of the store",
        false => "sealing it may have been cut short: 'scopefs check --repair' on the workspace finishes that",
    };
    let line = |(name, why): &(_, String)| {
        let name: &crate::model::RelPath = name;
        let remedy = if why.contains("is there already") { "move it away and export again" } else { remedy };
        format!("{} was not exported: {why}; {remedy}", WirePath::from(name.as_path()))
    };
    let mut lines: Vec<String> = done.failed.iter().map(line).collect();
    if !store.found.flaws.is_empty() {
        lines.push(
            "a part of the store's table is damaged, so there may be files in it whose names are not known; 'scopefs \
             check' tells more"
                .to_owned(),
        );
    }
    lines
}

fn summary(done: &Exported, dest: &Path) -> String {
    let mut text = format!("exported {}, {}, to {}", files(done.files), size(done.bytes), dest.display());
    if !done.failed.is_empty() {
        text += &format!("; {} could not be", done.failed.len());
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::zarr::array::Version;
    use crate::backend::zarr::offline::{Made, made};
    use crate::cli::mountinfo::for_tests;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    fn args(made: &Made) -> ExportArgs {
        ExportArgs { store: made.root(), dest: made.dir.path().join("out/here") }
    }

    #[test]
    fn every_original_is_given_back() {
        for (version, sharded) in [(Version::V2, false), (Version::V3, true)] {
            let made = made(version, sharded);
            run(&args(&made)).unwrap();
            for (name, bytes) in &made.files {
                assert!(fs::read(args(&made).dest.join(OsStr::from_bytes(name))).unwrap() == *bytes);
            }
        }
    }

    #[test]
    fn what_is_there_stays_and_the_rest_is_exported_all_the_same() {
        let made = made(Version::V2, false);
        let args = args(&made);
        fs::create_dir_all(&args.dest).unwrap();
        fs::write(args.dest.join("rgb.tif"), "mine").unwrap();
        let store = open(&args).unwrap();
        let failure = run(&args).unwrap_err();
        assert_eq!(failure, Failure::silent(1));
        assert_eq!(fs::read(args.dest.join("rgb.tif")).unwrap(), b"mine");
        assert!(args.dest.join("long.tif").exists() && args.dest.join("B/a.tif").exists());
        let again = export(&store, &args.dest, &mut |_, _| true);
        assert_eq!((again.files, again.failed.len()), (0, made.files.len()));
        let lines = failures(&store, &again);
        assert!(lines.iter().all(|line| line.contains("stays as it is; move it away")), "{lines:?}");
        assert!(summary(&again, Path::new("out")).ends_with("to out; 5 could not be\n"), "{again:?}");
    }

    #[test]
    fn a_damaged_chunk_costs_one_file_and_is_told_with_what_to_do() {
        let made = made(Version::V2, false);
        fs::remove_file(made.chunk(3)).unwrap();
        assert_eq!(run(&args(&made)).unwrap_err().code, 1);
        assert!(!args(&made).dest.join("noise.npy").exists());
        assert!(args(&made).dest.join("rgb.tif").exists());
        let store = open(&args(&made)).unwrap();
        let lines = failures(&store, &export(&store, &made.dir.path().join("again"), &mut |_, _| true));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("noise.npy was not exported: ") && lines[0].contains("copy of the store"));
    }

    #[test]
    fn places_that_make_no_sense_are_wrong_usage() {
        let made = made(Version::V2, false);
        let wrong = [
            ExportArgs { store: made.dir.path().join("nowhere"), ..args(&made) },
            ExportArgs { store: made.dir.path().to_owned(), ..args(&made) },
            ExportArgs { dest: made.root().join("out"), ..args(&made) },
        ];
        for args in wrong {
            let failure = run(&args).unwrap_err();
            assert_eq!(failure.code, 2, "{}", failure.message);
            assert!(!args.dest.exists());
        }
        let file = made.dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(run(&ExportArgs { dest: file.join("out"), ..args(&made) }).unwrap_err().code, 1);
    }

    #[test]
    fn a_store_of_a_mounted_workspace_is_known_to_be_one() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().canonicalize().unwrap();
        let mounts = for_tests(&[("/m", "fuse.scopefs", at.to_str().unwrap())]);
        assert_eq!(served(&mounts, &at.join("P1.ome.zarr")).map(|mount| mount.point.as_path()), Some(Path::new("/m")));
        assert_eq!(served(&mounts, Path::new("/usr")), None);
    }
}
