//! What `scopefs check` says, as plain data.

use std::path::Path;

use serde::Serialize;

use super::find::{Candidate, Scope};
use crate::backend::zarr::offline::{Accepted, Finding, Repaired, Verdict};
use crate::backend::zarr::table::{Due, Flaw};
use crate::control::WirePath;
use crate::model::RelPath;

/// Everything that was looked at.
#[derive(Debug, Serialize)]
pub struct Whole {
    /// The workspace in which it is.
    pub workspace: WirePath,
    /// Whether all of it was looked at and is sound.
    pub sound: bool,
    /// Store by store.
    pub stores: Vec<Report>,
    /// What could not be looked into.
    pub unread: Vec<String>,
}

/// One store.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Its directory.
    pub store: WirePath,
    /// Whether all of it is as it was written.
    pub sound: bool,
    /// Files looked at.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Chunks looked at.
    pub chunks: u64,
    /// What is not as it should be, after what was mended.
    pub findings: Vec<Item>,
    /// What was mended.
    pub mended: Mended,
}

/// Something that is not as it should be.
#[derive(Debug, Serialize)]
pub struct Item {
    /// `table`, `missing`, `damaged`, `changed`, `unsound`, `metadata`, `leftover`, `undone`, `marker` or `unreadable`.
    pub kind: &'static str,
    /// The file it is about.
    pub file: Option<WirePath>,
    /// The chunk: its array and coordinates.
    pub chunk: Option<String>,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub remedy: &'static str,
}

/// What was mended.
#[derive(Debug, Default, Serialize)]
pub struct Mended {
    /// Chunks that got their places, or were removed, as had been begun.
    pub finished: u64,
    /// Left-over files that were removed.
    pub removed: u64,
    /// Leftovers stay, because a part of the table cannot be read and may be about them.
    pub kept_leftovers: bool,
    /// Files that are from now on what their changed chunks say.
    pub accepted: Vec<WirePath>,
    /// Files with changes that cannot be accepted, and why.
    pub refused: Vec<(WirePath, String)>,
}

impl Whole {
    /// Nothing has been looked at yet.
    pub fn new(scope: &Scope) -> Whole {
        let workspace = scope.workspace.clone().into();
        Whole { workspace, sound: false, stores: Vec::new(), unread: scope.unread.clone() }
    }
}

impl Mended {
    /// Adds what a repair did.
    pub fn repaired(&mut self, done: Repaired) {
        self.finished += done.redone;
        self.removed += done.removed.len() as u64;
        self.kept_leftovers |= done.kept_leftovers;
    }

    /// Adds what was accepted.
    pub fn accepted(&mut self, done: Accepted, candidate: &Candidate) {
        self.accepted.extend(done.files.iter().map(|name| file(candidate, name)));
        self.refused.extend(done.refused.into_iter().map(|(name, why)| (file(candidate, &name), why)));
    }
}

impl Report {
    /// What was found in a store that can be read.
    pub fn new(candidate: &Candidate, verdict: Verdict, mended: Mended) -> Report {
        let mut findings: Vec<Item> = marker(candidate).into_iter().collect();
        findings.extend(verdict.findings.iter().map(|finding| item(candidate, finding)));
        Report {
            store: candidate.path.clone().into(),
            sound: findings.is_empty() && verdict.is_sound(),
            files: verdict.files,
            bytes: verdict.bytes,
            chunks: verdict.chunks,
            findings,
            mended,
        }
    }

    /// A store that could not be read.
    pub fn unread(candidate: &Candidate, why: &str, mended: Mended) -> Report {
        let mut findings: Vec<Item> = marker(candidate).into_iter().collect();
        let remedy =
            "bring the group scopefs/ back from a copy of the store; the images can still be opened as OME-Zarr";
        findings.push(plain("unreadable", format!("it cannot be read or mended: {why}"), remedy));
        let store = candidate.path.clone().into();
        Report { store, sound: false, files: 0, bytes: 0, chunks: 0, findings, mended }
    }
}

fn marker(candidate: &Candidate) -> Option<Item> {
    let what =
        "its marker (the attributes of the group scopefs/) is missing or damaged, so a mount shows none of its files";
    let remedy =
        "bring scopefs/.zattrs or scopefs/zarr.json back from a copy; 'scopefs export' gives the files back now";
    (!candidate.marked).then(|| plain("marker", what.to_owned(), remedy))
}

const COPY: &str = "bring it back from a copy of the store; until then its bytes answer EIO, the rest can be read";

fn item(candidate: &Candidate, finding: &Finding) -> Item {
    let of = |kind, name: &RelPath, chunk: Option<&String>, what: String, remedy| Item {
        kind,
        file: Some(file(candidate, name)),
        chunk: chunk.cloned(),
        what,
        remedy,
    };
    match finding {
        Finding::Table(flaw) => plain(
            "table",
            table(flaw),
            "bring scopefs/tables back from a copy of the store; the files that are still named are safe",
        ),
        Finding::Missing { name, chunk } => of("missing", name, Some(chunk), "the chunk is not there".to_owned(), COPY),
        Finding::Damaged { name, chunk, what } => {
            of("damaged", name, Some(chunk), format!("the chunk is damaged: {what}"), COPY)
        }
        Finding::Changed { name, chunk } => of(
            "changed",
            name,
            Some(chunk),
            "the chunk is sound, but another program wrote it".to_owned(),
            "if that was meant, --accept makes it the file's contents; else bring the chunk back from a copy",
        ),
        Finding::Unsound { name, what } => {
            of("unsound", name, None, what.clone(), "bring the file or the store back from a copy")
        }
        Finding::Metadata { array, what } => plain(
            "metadata",
            format!("array {array}: {what}"),
            "bring the array's metadata (.zarray or zarr.json) back from a copy of the store",
        ),
        Finding::Orphan { path } => plain(
            "leftover",
            format!("{} is used by no file", WirePath::from(path.as_path())),
            "--repair removes it; it does no harm but take room",
        ),
        Finding::Due(due) => plain("undone", undone(due), "--repair finishes it, and so does the next mount"),
    }
}

fn plain(kind: &'static str, what: String, remedy: &'static str) -> Item {
    Item { kind, file: None, chunk: None, what, remedy }
}

fn undone(due: &Due) -> String {
    match due {
        Due::Rename { path, .. } => format!("{path} waits for its name since a daemon was killed"),
        Due::Remove { path } => format!("{path} was to be removed when a daemon was killed"),
    }
}

fn table(flaw: &Flaw) -> String {
    match flaw {
        Flaw::Unread { page, what } => format!("page {page} of the table cannot be read: {what}"),
        Flaw::Page { page, error } => format!("page {page} of the table cannot be understood: {error}"),
        Flaw::Bytes { page, damage } => {
            let of = damage.id.map(|id| format!(", which seem to be of record {}", id.0)).unwrap_or_default();
            format!("bytes {} to {} of page {page} of the table are damaged{of}", damage.range.start, damage.range.end)
        }
        Flaw::Lost { page, records } => format!("{records} records of page {page} of the table are gone"),
        Flaw::Record { page, id, error } => format!("record {} in page {page} of the table: {error}", id.0),
    }
}

/// Where a mount shows a file: names are below the directory in which the store stands.
fn file(candidate: &Candidate, name: &RelPath) -> WirePath {
    candidate.path.parent().unwrap_or(Path::new("")).join(name.as_path()).into()
}
