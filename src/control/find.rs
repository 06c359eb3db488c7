//! Questions about many files: what is asked, what is answered, and how one becomes the other.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::answers::{error, relative, wire};
use super::{Event, FileError, Outcome, Reply, Status, WirePath};
use crate::model::{State, Tier};
use crate::route::NameGlob;
use crate::vfs::{self, Query, Sort, Vfs};

/// What is asked for. What is not given is not asked about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Find {
    /// At and below these, relative to the mount; none: everywhere.
    pub paths: Vec<WirePath>,
    /// Where the bytes are.
    pub tier: Option<Tier>,
    /// Whether the home has them.
    pub state: Option<State>,
    /// At least so many bytes.
    pub at_least: Option<u64>,
    /// At most so many bytes.
    pub at_most: Option<u64>,
    /// Last changed at least so many milliseconds ago.
    pub older_ms: Option<u64>,
    /// Last changed at most so many milliseconds ago.
    pub newer_ms: Option<u64>,
    /// The rule that decides: its number, glob or name.
    pub rule: Option<String>,
    /// The dataset, by its directory relative to the mount.
    pub dataset: Option<WirePath>,
    /// A glob of the name or, with a slash in it, of the path.
    pub name: Option<String>,
    /// Which come first; without a limit the order is the caller's to make.
    pub sort: Option<Order>,
    /// No more than so many.
    pub limit: Option<u64>,
    /// Stores are asked for, not files; of the rest, `paths`, sizes, `name`, `sort` and `limit` count.
    pub stores: bool,
}

/// Which come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The largest; of stores, those that take most on disk.
    Size,
    /// Those that have not been changed for longest.
    Age,
    /// By path.
    Path,
}

/// One file: a line of `scopefs find --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundFile {
    /// Relative to the mount.
    pub path: WirePath,
    /// Where its bytes are.
    pub tier: Tier,
    /// Whether the home has them.
    pub state: State,
    /// Length in bytes as read.
    pub size: u64,
    /// Bytes that it takes where it is kept.
    pub stored_size: u64,
    /// Last change of the contents, in seconds since 1970.
    pub mtime: i64,
    /// The rule that decides, as it is called.
    pub rule: String,
    /// The directory of the dataset that it belongs to, relative to the mount.
    pub dataset: WirePath,
}

/// What was found in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FoundAll {
    /// Files.
    pub files: u64,
    /// Their lengths in bytes.
    pub bytes: u64,
    /// Whether everything that could be meant is known: the workspace has been walked since it was mounted.
    pub complete: bool,
}

/// One store.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FoundStore {
    /// Its directory in the workspace, absolute.
    pub path: WirePath,
    /// Files in it.
    pub files: u64,
    /// Their lengths as read.
    pub bytes: u64,
    /// What their chunks take.
    pub stored_bytes: u64,
}

/// Stores.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FoundStores {
    /// In the order that was asked for.
    pub stores: Vec<FoundStore>,
    /// Whether these are all.
    pub complete: bool,
}

/// Answers; files go out as events, so that the daemon keeps few of them.
pub(super) fn answer(vfs: &Vfs, facts: &Status, find: &Find, events: &mut dyn FnMut(Event)) -> Reply {
    let query = match query(vfs, find) {
        Ok(query) => query,
        Err(error) => return Reply::Failed { errors: vec![error], done: None },
    };
    if find.stores {
        return Reply::Done(Outcome::Stores(stores(vfs, facts, find, &query)));
    }
    // One by one: the message names the path that is wrong.
    for (path, wire) in query.under.iter().zip(&find.paths) {
        if let Err(e) = vfs.explain(path) {
            return Reply::Failed { errors: vec![error(wire, None, &e.to_string())], done: None };
        }
    }
    let mut tell = |found: Vec<vfs::Found>| {
        events(Event::Found(found.into_iter().map(|file| told(vfs, file)).collect()));
    };
    match vfs.find_files(&query, &mut tell) {
        Ok(all) => Reply::Done(Outcome::Found(FoundAll { files: all.files, bytes: all.bytes, complete: all.complete })),
        Err(e) => Reply::failed(e.to_string()),
    }
}

fn told(vfs: &Vfs, file: vfs::Found) -> FoundFile {
    let router = vfs.router();
    FoundFile {
        rule: router.rule(router.decide(&file.path).rule).name.clone(),
        dataset: wire(&router.dataset_of(&file.path)),
        path: wire(&file.path),
        tier: file.tier,
        state: file.state,
        size: file.size,
        stored_size: file.stored_bytes,
        mtime: file.mtime.secs,
    }
}

fn query(vfs: &Vfs, find: &Find) -> Result<Query, FileError> {
    let general = |message: String| FileError::general(message);
    Ok(Query {
        under: find.paths.iter().map(relative).collect::<Result<_, _>>()?,
        tier: find.tier,
        state: find.state,
        at_least: find.at_least,
        at_most: find.at_most,
        older: find.older_ms.map(Duration::from_millis),
        newer: find.newer_ms.map(Duration::from_millis),
        rule: find.rule.as_ref().map(|word| vfs.router().rule_called(word)).transpose().map_err(general)?,
        dataset: find.dataset.as_ref().map(relative).transpose()?,
        name: find.name.as_ref().map(|glob| NameGlob::new(glob)).transpose().map_err(general)?,
        sort: find.sort.map(|order| match order {
            Order::Size => Sort::Size,
            Order::Age => Sort::Age,
            Order::Path => Sort::Path,
        }),
        limit: find.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
    })
}

fn stores(vfs: &Vfs, facts: &Status, find: &Find, query: &Query) -> FoundStores {
    let (mut stores, complete) = vfs.find_stores();
    stores.retain(|store| {
        let size = store.stored_bytes;
        (query.under.is_empty() || query.under.iter().any(|path| store.place.starts_with(path)))
            && query.name.as_ref().is_none_or(|glob| glob.matches(&store.place))
            && query.at_least.is_none_or(|least| size >= least)
            && query.at_most.is_none_or(|most| size <= most)
    });
    stores.sort_by(|a, b| a.place.cmp(&b.place));
    if find.sort == Some(Order::Size) {
        stores.sort_by_key(|store| std::cmp::Reverse(store.stored_bytes));
    }
    stores.truncate(query.limit.unwrap_or(usize::MAX));
    let told = |store: crate::backend::zarr::StoreTotal| FoundStore {
        path: facts.workspace.as_path().join(store.place.as_path()).into(),
        files: store.files,
        bytes: store.bytes,
        stored_bytes: store.stored_bytes,
    };
    FoundStores { stores: stores.into_iter().map(told).collect(), complete }
}
