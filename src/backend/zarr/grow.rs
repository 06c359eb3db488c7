//! A store grows by the files of a commit: first arrays, then what images, wells and plate say.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::batch::Planned;
use super::marker::PlateMarker;
use super::ngff::{ChannelDisplay, Extents};
use super::plan::ImagePlan;
use super::store::{State, Store};
use super::stores::Ticket;
use super::{companions, labels};
use crate::plate::WellPosition;

/// Makes fields, wells and plate for the files. All fields have the same extents: where they grow, the arrays of all
/// fields grow first, so that no reader finds metadata that promises more than there is.
pub(super) fn prepare_plate(store: &Store, state: &mut State, files: &[(Ticket, Planned)]) -> io::Result<()> {
    let Some(before) = state.marker.plate.clone() else { return Err(io::ErrorKind::InvalidData.into()) };
    let mut plate = before.clone();
    let (needed, mut fresh) = take_up(&mut plate, state, files);
    let first = state.images.is_empty();
    if !fresh.is_empty() {
        fresh.extend(companions::lacking(state, &fresh));
    }
    // Known before they are made: should that fail half-way, they are found and taken away.
    for path in fresh.keys() {
        state.images.entry(path.clone()).or_insert(0);
    }
    plate.set_extents(if first { needed } else { in_doublings(before.extents(), needed) });
    let grown = !first && plate.extents() != before.extents();
    let larger = (plate.rows, plate.columns) != (before.rows, before.columns);
    let told = grown
        || first
        || larger
        || state.labels_new
        || plate.channel_names != before.channel_names
        || plate.times != before.times;
    state.marker.plate = Some(plate.clone());
    if grown {
        store.put_fields_arrays(&plate, state.images.keys(), std::iter::empty())?;
    }
    store.put_fields_arrays(&plate, fresh.keys(), state.images.keys())?;
    if told {
        store.put_marker(state)?;
        state.labels_new = false;
    }
    if grown {
        state.images.keys().try_for_each(|path| store.put_field(&plate, path))?;
        state.windows_moved = false;
    }
    fresh.keys().try_for_each(|path| store.put_field(&plate, path))?;
    let wells: BTreeSet<_> = fresh.values().copied().collect();
    wells.into_iter().try_for_each(|well| store.put_well(state, well))?;
    if fresh.is_empty() && !larger { Ok(()) } else { store.put_root(state) }
}

/// Takes over what the files say of their plate: the extents that it needs, and groups that are not there yet.
fn take_up(
    plate: &mut PlateMarker,
    state: &mut State,
    files: &[(Ticket, Planned)],
) -> (Extents, BTreeMap<String, WellPosition>) {
    let (mut needed, mut fresh) = (plate.extents(), BTreeMap::new());
    for (_, planned) in files {
        let (Some(placed), Some(image)) = (planned.placed, planned.plan.images.first()) else { continue };
        needed = union(needed, image.extents);
        plate.hold(placed.well);
        if labels::parse(&image.path).is_none() {
            state.windows_moved |= learn(plate, planned, image, placed.plane.channel);
        } else if !state.images.contains_key(&placed.path()) {
            // Labels need the group of their image, whether it has planes yet or not.
            fresh.insert(placed.path(), placed.well);
        }
        if !state.images.contains_key(&image.path) {
            fresh.insert(image.path.clone(), placed.well);
        }
    }
    (needed, fresh)
}

/// Takes over what an image says of its plate; whether display windows changed.
fn learn(plate: &mut PlateMarker, planned: &Planned, image: &ImagePlan, first: u64) -> bool {
    plate.learn_calibration(&image.calibration);
    for (channel, said) in (first..).zip(&image.channels) {
        said.name.iter().for_each(|name| plate.name_channel(channel, name));
    }
    let widened = |(channel, window)| plate.shown(channel).is_some_and(|shown| shown.widen(window));
    planned.sealed.windows.of(0).map(widened).fold(false, |any, widened| any | widened)
}

/// Makes the images of files that belong to no plate.
pub(super) fn prepare_images(store: &Store, state: &mut State, files: &[(Ticket, Planned)]) -> io::Result<()> {
    for (_, planned) in files {
        let file = planned.sealed.record.names.first().and_then(|name| name.split()).map(|(_, file)| file.to_owned());
        let file = file.unwrap_or_default().to_string_lossy().into_owned();
        for (number, image) in planned.plan.images.iter().enumerate() {
            state.images.entry(image.path.clone()).or_insert(0);
            // An array that is to be smaller serves the version that is there until the commit.
            store.put_arrays(image, planned.standing.is_some())?;
            let name = image.name.clone().unwrap_or_else(|| file.clone());
            store.put_image(image, &name, &displays(planned, number, image))?;
        }
    }
    store.put_root(state)
}

/// Images of files that replaced others have their own extents now.
pub(super) fn trim_images(store: &Store, images: &[ImagePlan]) -> io::Result<()> {
    images.iter().try_for_each(|image| store.put_arrays(image, false))
}

fn displays(planned: &Planned, number: usize, image: &ImagePlan) -> Vec<ChannelDisplay> {
    let count = (image.extents.channels.unwrap_or(1) * image.samples).min(4096) as usize;
    let mut shown = vec![ChannelDisplay::default(); count];
    for (display, said) in shown.iter_mut().zip(&image.channels).filter(|_| image.samples == 1) {
        (display.name, display.colour) = (said.name.clone(), said.colour);
    }
    for (channel, window) in planned.sealed.windows.of(number) {
        if let Some(display) = usize::try_from(channel).ok().and_then(|channel| shown.get_mut(channel)) {
            display.window = Some(window);
        }
    }
    shown
}

fn union(a: Extents, b: Extents) -> Extents {
    let larger = |a: Option<u64>, b: Option<u64>| a.map(|a| a.max(b.unwrap_or(1)));
    Extents { time: larger(a.time, b.time), channels: larger(a.channels, b.channels), depth: larger(a.depth, b.depth) }
}

/// Time grows in doublings: a series that is written a time point at a time would rewrite every array each time.
fn in_doublings(before: Extents, needed: Extents) -> Extents {
    let time = match (before.time, needed.time) {
        (Some(before), Some(needed)) if needed > before => Some(needed.max(before * 2)),
        _ => needed.time,
    };
    Extents { time, ..needed }
}
