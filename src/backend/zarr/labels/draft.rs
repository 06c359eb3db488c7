//! Where a file of labels goes.

use std::io;

use super::super::Zarr;
use super::super::batch::{Draft, Held, claim, names_below};
use super::super::choose::{Target, TargetKind};
use super::super::ground::{below, chunk_path};
use super::super::ngff::Extents;
use super::super::plan::Plan;
use super::super::standing::Standing;
use super::super::store::{State, Store, hash};
use super::super::stores::{SealError, Subject};
use super::home::{Image, Labels, Shape};
use super::{LabelSet, names, parse, path_of};
use crate::plate::Recognised;
use crate::view::Layout;

/// Finds the image that a file is the labels of, and a place below it. `None`: its rule makes no labels of it, they are
/// none that NGFF knows, or no image of it is there; then it is an image of its own.
pub(in super::super) fn draft(
    zarr: &Zarr,
    subject: &Subject,
    layout: &Layout,
    target: &Target,
) -> Result<Option<Draft>, SealError> {
    let Some(labels) = Labels::of(subject, layout) else { return Ok(None) };
    if let TargetKind::Plate(_, recognised) = &target.kind
        && let Some((held, name)) = labels.plate(zarr, &target.base, recognised)?
    {
        return in_plate(&labels, held, name, recognised).map(Some);
    }
    match labels.image(zarr)? {
        Some((held, image)) => below_image(&labels, held, &image),
        None => Ok(None),
    }
}

fn in_plate(labels: &Labels<'_>, mut held: Held, name: String, recognised: &Recognised) -> Result<Draft, SealError> {
    let store = held.store.clone();
    let names = names_below(&store.base(), &labels.subject.names)?;
    let mut guard = store.state.lock();
    let state = &mut *guard;
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let plate = state.marker.plate.as_mut().ok_or_else(invalid)?;
    let recognised = match plate.linear_columns {
        Some(columns) => recognised.clone().on_plate_of(columns),
        None => recognised.clone(),
    };
    let mut placed = plate.place(&recognised.position)?;
    let channel = std::mem::take(&mut placed.plane.channel);
    let word = names::channel_word(&recognised.position.channel, channel);
    let name = if word.is_empty() { name } else { format!("{name}_{word}") };
    let (field, images) = (placed.path(), &state.images);
    let taken = |name: &str| {
        let path = path_of(&field, name);
        !images.contains_key(&path) && is_there(&store, &path)
    };
    let (name, new) = plate.name_labels(LabelSet::of(name, &recognised.key, channel, labels.array), taken);
    let extents = Extents { channels: None, ..plate.extents() };
    state.labels_new |= new;
    let plan = Plan::in_plate(labels.layout, placed, path_of(&field, &name), extents).ok_or_else(invalid)?;
    claim(state, &mut held, labels.layout, &plan, (labels.subject, &names))?;
    drop(guard);
    let standing = Standing::of(&store, labels.subject, &names);
    Ok(Draft { held, names, plan, placed: Some(placed), standing })
}

fn below_image(labels: &Labels<'_>, mut held: Held, image: &Image) -> Result<Option<Draft>, SealError> {
    let store = held.store.clone();
    let names = names_below(&store.base(), &labels.subject.names)?;
    let shape = match Shape::read(&store, &image.group) {
        Ok(shape) => shape,
        Err(e) => {
            tracing::warn!("an image in {} gets no labels, because its metadata cannot be read: {e}", store.place());
            None
        }
    };
    let Some(shape) = shape else { return Ok(None) };
    let Some(extents) = labels.extents_on(&shape) else { return Ok(None) };
    let plan = |name: &str| {
        let plan = Plan::of_labels(labels.layout, path_of(&image.group, name), extents, shape.calibration)?;
        // NGFF demands as many levels as the image has.
        (plan.images.first()?.levels.len() == shape.levels).then_some(plan)
    };
    let standing = Standing::of(&store, labels.subject, &names);
    let own = standing.as_ref().and_then(|standing| {
        let (group, name) = parse(standing.group()?)?;
        let plan = plan(name).filter(|_| group == image.group)?;
        standing.fits(plan.images.first()?).then_some(plan)
    });
    let mut state = store.state.lock();
    let numbered = (2_u64..).map(|number| format!("{}-{number}", image.name));
    let mut free =
        std::iter::once(image.name.clone()).chain(numbered).filter(|name| is_free(&store, &state, image, name));
    let Some(plan) = own.or_else(|| plan(&free.next()?)) else { return Ok(None) };
    drop(free);
    claim(&mut state, &mut held, labels.layout, &plan, (labels.subject, &names))?;
    drop(state);
    Ok(Some(Draft { held, names, plan, placed: None, standing }))
}

/// Whether no labels of an image have a name, nor are about to get it.
fn is_free(store: &Store, state: &State, image: &Image, name: &str) -> bool {
    let path = path_of(&image.group, name);
    // Of a file that is on its way only chunks are known: one of its first plane, whatever the axes.
    let first = (2..=5).map(|axes| chunk_path(store.version, &format!("{path}/0"), &vec![0; axes]));
    let claimed = first.into_iter().any(|chunk| state.claims.contains_key(&hash(&chunk)));
    !claimed && !state.images.contains_key(&path) && !is_there(store, &path)
}

fn is_there(store: &Store, path: &str) -> bool {
    store.ground.files.tree().find(&below(&store.place(), path)).ok().flatten().is_some()
}
