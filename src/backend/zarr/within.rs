//! Whether a path lies in a store, and whether it is ours there.

use std::os::unix::ffi::OsStrExt;

use super::choose::ENDING;
use super::labels;
use super::marker::Kind;
use super::metadata::SERIES;
use super::registry::Registry;
use super::remove::is_document;
use super::store::{OWN, State, Store};
use super::stores::Within;
use crate::model::RelPath;

/// Where `path` stands.
pub(super) fn within(registry: &Registry, path: &RelPath) -> Within {
    let mut dir = RelPath::root();
    let mut parts = path.components();
    while let Some(part) = parts.next() {
        if part.as_bytes().ends_with(ENDING.as_bytes()) {
            let place = dir.join(part);
            let stores = registry.list(&dir).unwrap_or_default();
            if let Some(store) =
                stores.iter().find(|store| store.place() == place && (store.is_created() || store.is_in_work()))
            {
                let rest: Option<Vec<&str>> = parts.map(|part| part.to_str()).collect();
                return rest.map_or(Within::Foreign, |rest| in_store(store, &rest));
            }
        }
        dir.push(part);
    }
    Within::Outside
}

fn in_store(store: &Store, rest: &[&str]) -> Within {
    let Some(first) = rest.first() else { return Within::Store };
    if *first == OWN || (rest.len() == 1 && is_document(first, store.version)) {
        return Within::Ours;
    }
    let state = store.state.lock();
    if store.kind != Kind::Plate && *first == SERIES && !state.images.contains_key("") {
        return if rest.get(1).is_none_or(|name| is_document(name, store.version)) {
            Within::Ours
        } else {
            Within::Foreign
        };
    }
    // Groups on the way to images, then what is in an image.
    let path = |len: usize| rest.get(..len).unwrap_or_default().join("/");
    for len in 0..=rest.len().min(3) {
        if state.images.contains_key(&path(len)) {
            return match rest.get(len) {
                None => Within::Ours,
                Some(name) if is_document(name, store.version) || name.parse::<u32>().is_ok() => Within::Ours,
                Some(_) => in_labels(store, &state, rest, len),
            };
        }
    }
    let above = format!("{}/", path(rest.len()));
    let leads =
        |path: &str| state.images.range(path.to_owned()..).next().is_some_and(|(image, _)| image.starts_with(path));
    let document = rest.last().is_some_and(|name| is_document(name, store.version));
    let group = format!("{}/", path(rest.len() - 1));
    if leads(&above) || (document && leads(&group)) { Within::Ours } else { Within::Foreign }
}

/// Where a path stands that leads from the image that its first `len` parts are: into labels of ours, or to something of
/// others. They list theirs in the same group, whose attributes are therefore writable.
fn in_labels(store: &Store, state: &State, rest: &[&str], len: usize) -> Within {
    let path = |len: usize| rest.get(..len).unwrap_or_default().join("/");
    if rest.len() == len + 1 {
        let group = format!("{}/", path(len + 1));
        let first = state.images.range(group.clone()..).next();
        let leads = first.is_some_and(|(image, _)| image.starts_with(&group) && labels::parse(image).is_some());
        return if leads { Within::Ours } else { Within::Foreign };
    }
    let group = path(len + 2);
    if labels::parse(&group).is_none() || !state.images.contains_key(&group) {
        return Within::Foreign;
    }
    match rest.get(len + 2) {
        None => Within::Ours,
        Some(name) if is_document(name, store.version) || name.parse::<u32>().is_ok() => Within::Ours,
        Some(_) => Within::Foreign,
    }
}
