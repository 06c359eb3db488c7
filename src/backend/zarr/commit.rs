//! The commit of a batch: metadata, then pages, then the places of chunks.
//!
//! Until its page is written a file is not sealed, whatever else is on disk; from then on it is, and whoever opens the
//! store makes the renames that are left.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;

use super::batch::{Held, Planned, no_space};
use super::ground::{StagedChunk, below};
use super::marker::Kind;
use super::plan::ImagePlan;
use super::remove::{self, remove_record};
use super::reshard::{Reshard, StagedShard};
use super::standing::files_of;
use super::store::{Claim, State, Store, hash};
use super::stores::{SealError, SealedId, Ticket};
use super::table::{Due, Page, RecordId};
use super::{Zarr, due};
use crate::model::RelPath;
use crate::view::Refusal;

type Answer = (Ticket, Result<SealedId, SealError>);

/// Record numbers are set aside in the marker by so many.
const SET_ASIDE: u64 = 4096;
/// Bytes of paths that are due in one page; a file that needs more puts its chunks in place first.
const DUE_MOST: usize = 256 << 10;

/// A file on its way through the commit.
struct Going {
    ticket: Ticket,
    planned: Planned,
    /// What its page will say is due.
    dues: Vec<Due>,
    id: RecordId,
    /// Records of the same page that it replaces, and the files that only they had.
    old: Vec<RecordId>,
    gone: Vec<String>,
}

/// Commits all of a batch.
pub(super) fn commit(zarr: &Zarr, planned: Vec<(Ticket, Planned)>) -> Vec<Answer> {
    if planned.is_empty() {
        return Vec::new();
    }
    let mut stores: BTreeMap<u128, Arc<Store>> = BTreeMap::new();
    let mut files: BTreeMap<u128, Vec<(Ticket, Planned)>> = BTreeMap::new();
    for (ticket, planned) in planned {
        let store = planned.held.store.clone();
        files.entry(store.id).or_default().push((ticket, planned));
        stores.insert(store.id, store);
    }
    let begun = zarr.ground.files.sync_all();
    let groups = |store: &Store| groups_of(files.get(&store.id).into_iter().flatten());
    let changed = stores.values().map(|store| (store.place(), groups(store)));
    let note = begun.and_then(|()| due::note(&zarr.ground, changed));
    let note = match note {
        Ok(note) => note,
        Err(e) => {
            let tickets = files.values().flatten().map(|(ticket, _)| *ticket);
            return tickets.map(|ticket| (ticket, Err(again(&e)))).collect();
        }
    };
    let (mut answers, mut replaced, mut held) = (Vec::new(), Vec::new(), Vec::new());
    for (store, files) in stores.values().zip(files.into_values()) {
        answers.extend(commit_store(store, files, &mut replaced, &mut held));
    }
    drop(held);
    let ended = zarr.ground.hook.is_some();
    for store in stores.values().filter(|_| !ended) {
        if let Err(e) = remove::drop_unused(store) {
            tracing::warn!("the store {}, in which nothing is, stays: {e}", store.place());
        }
    }
    remove_replaced(zarr, replaced);
    stores.values().for_each(|store| zarr.registry.forget_unused(store));
    if let Err(e) = zarr.ground.files.sync_all() {
        return answers.into_iter().map(|(ticket, answer)| (ticket, answer.and(Err(again(&e))))).collect();
    }
    // What failed has been taken back; only a test that stops in the middle leaves something due.
    if zarr.ground.hook.is_none() || answers.iter().all(|(_, answer)| answer.is_ok()) {
        note.done();
    }
    answers.sort_by_key(|(ticket, _)| *ticket);
    answers
}

/// Groups of the images that files go to.
fn groups_of<'a>(files: impl Iterator<Item = &'a (Ticket, Planned)>) -> Vec<String> {
    let mut groups: Vec<String> =
        files.flat_map(|(_, planned)| planned.plan.images.iter().map(|image| image.path.clone())).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// What was in another page or store goes only now that its successor is in place.
fn remove_replaced(zarr: &Zarr, replaced: Vec<SealedId>) {
    for id in replaced {
        if let Some(store) = zarr.registry.get(id.store)
            && let Err(e) = remove_record(&store, RecordId(id.record))
        {
            tracing::warn!("an older version of a file stays in the store {}: {e}", store.place());
        }
    }
}

/// The same error for another file.
fn again(e: &io::Error) -> SealError {
    no_space(SealError::Io(same(e)))
}

fn same(e: &io::Error) -> io::Error {
    match e.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(e.kind(), e.to_string()),
    }
}

fn commit_store(
    store: &Arc<Store>,
    files: Vec<(Ticket, Planned)>,
    replaced: &mut Vec<SealedId>,
    held: &mut Vec<Held>,
) -> Vec<Answer> {
    let mut state = store.state.lock();
    let mut answers = Vec::new();
    let prepared = prepare(store, &mut state, &files);
    let mut images = Vec::new();
    let mut pages: BTreeMap<String, Vec<Going>> = BTreeMap::new();
    let mut replacing = HashSet::new();
    for (ticket, mut planned) in files {
        // By its name a file may go on with the version of another that was changed and renamed, and goes on with it too.
        let is_first = planned.standing.is_none_or(|id| replacing.insert(id));
        let outcome = match &prepared {
            Err(e) => Err(again(e)),
            Ok(()) if !is_first => Err(removed_meanwhile().into()),
            Ok(()) => put_in_place(store, &state, &mut planned).map_err(|e| no_space(e.into())),
        };
        match outcome {
            Err(e) => {
                take_away(store, &planned);
                answers.push((ticket, Err(e)));
                held.push(planned.held);
            }
            Ok(dues) => {
                if planned.standing.is_some() && store.kind != Kind::Plate {
                    images.push((ticket, planned.plan.images.clone()));
                }
                let id = RecordId(state.next_record);
                state.next_record += 1;
                planned.sealed.record.id = id;
                let owner = planned.owner.clone();
                let going = Going { ticket, planned, dues, id, old: Vec::new(), gone: Vec::new() };
                pages.entry(owner).or_default().push(going);
            }
        }
    }
    for (owner, files) in pages {
        commit_owner(store, &mut state, &owner, files, replaced, held, &mut answers);
    }
    drop_phantoms(store, &mut state);
    trim(store, images, &answers);
    answers
}

/// Arrays of files that replaced others may be smaller now.
fn trim(store: &Store, images: Vec<(Ticket, Vec<ImagePlan>)>, answers: &[Answer]) {
    let sealed = |ticket| answers.iter().any(|(other, answer)| *other == ticket && answer.is_ok());
    let images: Vec<_> = images.into_iter().filter(|(ticket, _)| sealed(*ticket)).flat_map(|(_, all)| all).collect();
    if let Err(e) = super::grow::trim_images(store, &images) {
        tracing::warn!("an array of the store {} says that it is larger than it is: {e}", store.place());
    }
}

/// Makes what the files need: the store, arrays, groups.
fn prepare(store: &Store, state: &mut State, files: &[(Ticket, Planned)]) -> io::Result<()> {
    if store.is_gone() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the store was removed meanwhile"));
    }
    store.ground.reached("prepare")?;
    if state.next_record + files.len() as u64 >= state.marker.next_record || !store.is_created() {
        state.marker.next_record = state.next_record + files.len() as u64 + SET_ASIDE;
        if store.is_created() {
            store.put_marker(state)?;
        }
    }
    store.create(state)?;
    store.declare_literals(state)?;
    match store.kind {
        Kind::Plate => super::grow::prepare_plate(store, state, files),
        _ => super::grow::prepare_images(store, state, files),
    }?;
    store.ground.reached("prepared")
}

/// Whoever hears of it plans anew.
fn removed_meanwhile() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the version that it replaces was removed meanwhile")
}

/// Chunks that replace none get their places before the page is written; what is due for the others.
fn put_in_place(store: &Store, state: &State, planned: &mut Planned) -> io::Result<Vec<Due>> {
    if planned.standing.is_some_and(|id| !state.entries.contains_key(&id.0)) {
        // Its chunks are gone with it.
        return Err(removed_meanwhile());
    }
    let place = store.place();
    let mut early = std::mem::take(&mut planned.sealed.literals);
    let due: usize = planned.sealed.chunks.iter().map(|chunk| chunk.path.len() + 32).sum();
    let replaces_none = store.kind != Kind::Plate && planned.standing.is_none();
    if replaces_none || (store.kind == Kind::Plate && store.sharding.is_none() && due > DUE_MOST) {
        early.append(&mut planned.sealed.chunks);
    }
    for chunk in early {
        planned.sealed.early.push(chunk.path.clone());
        chunk.publish(&place)?;
    }
    if store.sharding.is_some() {
        // The others go into shards, which are written with the page.
        return Ok(Vec::new());
    }
    let mut dues = Vec::new();
    for chunk in &planned.sealed.chunks {
        // The rename that follows the commit must not fail for want of a directory.
        if let Some((dir, _)) = below(&place, &chunk.path).split() {
            store.ground.files.make_dirs(&dir)?;
        }
        let staged = chunk.name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidData)?;
        dues.push(Due::Rename { staged: staged.to_owned(), path: chunk.path.clone() });
    }
    Ok(dues)
}

/// Writes the pages of one owner, and puts the chunks of their records in place.
fn commit_owner(
    store: &Arc<Store>,
    state: &mut State,
    owner: &str,
    files: Vec<Going>,
    replaced: &mut Vec<SealedId>,
    held: &mut Vec<Held>,
    answers: &mut Vec<Answer>,
) {
    let place = store.place();
    let mut left = files;
    let mut number = state.pages.filling(owner);
    while !left.is_empty() {
        let mut reshard = Reshard::of(store);
        let (mut page, fits) = match fill(store, state, &place, (owner, number), &mut left, &mut reshard) {
            Ok(filled) => filled,
            Err(e) => {
                fail(store, left, &e, held, answers);
                return;
            }
        };
        if fits.is_empty() && page.is_vacant() {
            // It is too long even for a page of its own.
            let going = left.remove(0);
            take_away(store, &going.planned);
            let refusal = Refusal::TooComplex("its record does not fit into a page".into());
            answers.push((going.ticket, Err(refusal.into())));
            held.push(going.planned.held);
            continue;
        }
        if !fits.is_empty() {
            let version = store.version;
            let written = write_shards(reshard, &fits).and_then(|shards| {
                store.ground.reached("page")?;
                state.pages.write(&store.ground, &place, version, number, &mut page)?;
                Ok(shards)
            });
            match written {
                Ok(shards) => settle(store, state, (fits, shards), replaced, held, answers),
                Err(e) => fail(store, fits, &e, held, answers),
            }
        }
        number = state.pages.unused();
    }
}

/// Writes the shards that the files of a page change.
fn write_shards(reshard: Option<Reshard<'_>>, files: &[Going]) -> io::Result<Vec<StagedShard>> {
    let Some(reshard) = reshard else { return Ok(Vec::new()) };
    let changes = files.iter().flat_map(|going| {
        let come = going.planned.sealed.chunks.iter().map(|chunk| (chunk.path.as_str(), Some(chunk)));
        come.chain(going.gone.iter().map(|path| (path.as_str(), None)))
    });
    reshard.write(&changes.collect::<Vec<_>>())
}

/// The files are not sealed.
fn fail(store: &Store, files: Vec<Going>, e: &io::Error, held: &mut Vec<Held>, answers: &mut Vec<Answer>) {
    for going in files {
        take_away(store, &going.planned);
        answers.push((going.ticket, Err(again(e))));
        held.push(going.planned.held);
    }
}

/// Of a file that is not sealed, chunks that had got their places go, and directories that were made for the others.
fn take_away(store: &Store, planned: &Planned) {
    let (place, sealed) = (store.place(), &planned.sealed);
    let files = &store.ground.files;
    let early = sealed.early.iter().map(|path| files.remove(&below(&place, path), &place).map(drop));
    let later = sealed.chunks.iter().map(|chunk| files.remove_empty(&below(&place, &chunk.path), &place));
    for e in early.chain(later).filter_map(Result::err) {
        tracing::warn!("what was written for a file that is not sealed stays in the store {place}: {e}");
    }
}

/// Puts as many records into the page as it has room for, in place of those that they replace.
fn fill(
    store: &Store,
    state: &State,
    place: &RelPath,
    (owner, number): (&str, u64),
    left: &mut Vec<Going>,
    reshard: &mut Option<Reshard<'_>>,
) -> io::Result<(Page, Vec<Going>)> {
    let mut page = state.pages.read(&store.ground, place, store.version, number)?;
    if page.is_vacant() || page.owner.is_none() {
        page.owner = Some(owner.to_owned());
    }
    page.dues.clear();
    let (mut fits, mut rest) = (Vec::new(), Vec::new());
    let mut files = std::mem::take(left).into_iter();
    while let Some(mut going) = files.next() {
        let before = page.clone();
        take_out_replaced(store, &mut page, &mut going);
        page.dues.extend(going.dues.iter().cloned());
        match reshard {
            Some(reshard) => {
                going.gone.retain(|path| may_go(state, path, &going.old));
                let chunks = going.planned.sealed.chunks.iter().map(|chunk| chunk.path.as_str());
                if let Err(e) = reshard.note(chunks, &going.gone, &mut page.dues) {
                    left.extend(fits.into_iter().chain([going]).chain(files).chain(rest));
                    return Err(e);
                }
            }
            None => page.dues.extend(going.gone.iter().map(|path| Due::Remove { path: path.clone() })),
        }
        if rest.is_empty() && page.put(going.id, going.planned.sealed.record.encode()) {
            fits.push(going);
        } else {
            page = before;
            (going.old, going.gone) = (Vec::new(), Vec::new());
            rest.push(going);
        }
    }
    *left = rest;
    Ok((page, fits))
}

/// Whether nobody has a chunk but the records `old`.
fn may_go(state: &State, path: &str, old: &[RecordId]) -> bool {
    match state.claims.get(&hash(path)) {
        Some(Claim::Record(record)) => old.contains(&RecordId(*record)),
        Some(Claim::Pending(_)) => false,
        None => true,
    }
}

/// Takes the records that a file replaces out of its page, if they are in it.
fn take_out_replaced(store: &Store, page: &mut Page, going: &mut Going) {
    let sealed = &going.planned.sealed;
    let staying: HashSet<String> = files_of(store.version, &sealed.record, &sealed.recipe).collect();
    for old in going.planned.replaces.iter().filter(|old| old.store == store.id).map(|old| RecordId(old.record)) {
        let paths = remove::paths_of(store, page, old);
        if page.remove(old) {
            going.old.push(old);
            going.gone.extend(paths.into_iter().filter(|path| !staying.contains(path)));
        }
    }
}

/// The page is written: the files are sealed. Their chunks get their places.
fn settle(
    store: &Arc<Store>,
    state: &mut State,
    (files, shards): (Vec<Going>, Vec<StagedShard>),
    replaced: &mut Vec<SealedId>,
    held: &mut Vec<Held>,
    answers: &mut Vec<Answer>,
) {
    let place = store.place();
    let stopped = store.ground.reached("renames").err();
    let mut failed = Vec::new();
    let sharded = publish_shards(store, shards, stopped.is_some());
    for mut going in files {
        let mut chunks = std::mem::take(&mut going.planned.sealed.chunks);
        // Elsewhere their bytes are in the shards.
        chunks.retain(|_| store.sharding.is_none());
        let outcome = match stopped.as_ref().or(sharded.as_ref().err()) {
            // As if the process had ended here: all stays due.
            Some(e) => {
                chunks.into_iter().for_each(StagedChunk::keep);
                Err(same(e))
            }
            None => chunks.into_iter().try_for_each(|chunk| chunk.publish(&place)),
        };
        remove::after_page(store, state, &going.old, &going.gone);
        replaced.extend(
            going
                .planned
                .replaces
                .iter()
                .filter(|id| id.store != store.id || !going.old.contains(&RecordId(id.record))),
        );
        let Planned { held: kept, sealed, .. } = going.planned;
        held.push(kept);
        match &outcome {
            Ok(()) => state.take_in(store.version, &sealed.record, Some(&sealed.recipe)),
            Err(_) if stopped.is_none() => failed.push(going.id),
            Err(_) => {}
        }
        let id = SealedId { store: store.id, record: going.id.0 };
        answers.push((going.ticket, outcome.map(|()| id).map_err(|e| no_space(e.into()))));
    }
    if !failed.is_empty()
        && let Err(e) = take_back(store, state, &failed)
    {
        tracing::error!("files that were not sealed stay listed in the store {place}: {e}");
    }
}

/// Gives shards their places; `kept` if they are to stay due.
fn publish_shards(store: &Store, shards: Vec<StagedShard>, kept: bool) -> io::Result<()> {
    if kept {
        shards.into_iter().for_each(StagedShard::keep);
        return Ok(());
    }
    shards.into_iter().try_for_each(|shard| shard.publish(store))
}

/// Takes records out again whose chunks did not get their places; the files stay as they were.
fn take_back(store: &Store, state: &mut State, ids: &[RecordId]) -> io::Result<()> {
    let place = store.place();
    for id in ids {
        let Some(number) = state.pages.home(*id) else { continue };
        let mut page = state.pages.read(&store.ground, &place, store.version, number)?;
        page.remove(*id);
        state.pages.write(&store.ground, &place, store.version, number, &mut page)?;
    }
    Ok(())
}

/// Groups that were made for files that were not sealed after all.
fn drop_phantoms(store: &Store, state: &mut State) {
    if let Err(e) = super::companions::drop_unused(store, state) {
        tracing::warn!("an empty image stays in the store {}: {e}", store.place());
    }
}
