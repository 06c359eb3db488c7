//! Files that are sealed together: each is planned and staged by itself.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Zarr;
use super::choose::{Target, TargetKind, choose};
use super::commit::commit;
use super::numbering::{Placed, well_path};
use super::plan::{Plan, are_labels};
use super::seal::{Sealed, Sealing};
use super::standing::Standing;
use super::store::{Claim, State, Store, hash, relative};
use super::stores::{Batch, SealError, SealedId, Subject, Ticket};
use super::table::{Recipe, RecordId};
use super::vendor;
use crate::model::{ByteSource, RelPath};
use crate::plate::{ChannelKey, Recognised};
use crate::view::{self, Layout, Refusal};

/// A file that is staged and not committed.
pub(super) struct Planned {
    pub held: Held,
    pub sealed: Sealed,
    pub plan: Plan,
    /// Whose page its record goes to: a well, or nobody in particular.
    pub owner: String,
    /// For a plate: where its first plane is.
    pub placed: Option<Placed>,
    /// The version in the same store whose place it takes and whose chunks it may go on with.
    pub standing: Option<RecordId>,
    /// Records that this one replaces.
    pub replaces: Vec<SealedId>,
}

/// A store that a file is reserved in, with the chunks that it claims there. Dropping it gives both back.
pub(super) struct Held {
    pub store: Arc<Store>,
    pub claims: Vec<u64>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.store.release();
        let mut state = self.store.state.lock();
        for claim in &self.claims {
            if matches!(state.claims.get(claim), Some(Claim::Pending(_))) {
                state.claims.remove(claim);
            }
        }
    }
}

/// A batch of a workspace.
pub(super) struct Sealer<'z> {
    zarr: &'z Zarr,
    planned: Mutex<Vec<Option<Planned>>>,
}

impl<'z> Sealer<'z> {
    pub fn new(zarr: &'z Zarr) -> Sealer<'z> {
        Sealer { zarr, planned: Mutex::default() }
    }

    fn plan(&self, subject: &Subject, source: &dyn ByteSource) -> Result<Planned, SealError> {
        let name = subject.names.first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let layout = view::layout(source)?;
        self.zarr.has_room(&layout)?;
        let mut target = choose(name, &layout, &self.zarr.recogniser);
        if subject.labels.is_some() && target.stems.len() > 1 {
            // The plain name is for the images, should they come later.
            target.stems.remove(0);
        }
        let labels = subject.labels.is_some();
        let Draft { held, names, mut plan, placed, standing } = self.draft(subject, &layout, &target)?;
        let file = name.split().map(|(_, file)| file.to_string_lossy().into_owned()).unwrap_or_default();
        plan.images.iter_mut().for_each(|image| image.labels = labels || are_labels(&file, image.dtype));
        let sealing = Sealing {
            ground: &self.zarr.ground,
            version: held.store.version,
            layout: &layout,
            plan: &plan,
            literal: &|| next_literal(&held.store),
            standing: standing.as_ref(),
        };
        let mut sealed = sealing.run(subject, source)?;
        let replaces = replaced(&held.store, subject, &names);
        sealed.record.names = names;
        let owner = placed.as_ref().map_or(String::new(), |placed| well_path(placed.well));
        let standing = standing.map(|standing| standing.id);
        Ok(Planned { held, sealed, plan, owner, placed, standing, replaces })
    }

    /// Finds the store for a file and a place in it: the one that it has, if there is a version of it.
    fn draft(&self, subject: &Subject, layout: &Layout, target: &Target) -> Result<Draft, SealError> {
        if let Some(draft) = super::labels::draft(self.zarr, subject, layout, target)? {
            return Ok(draft);
        }
        if let Some((standing, plan)) = Standing::image(self.zarr, target, subject, layout) {
            let held = Held { store: standing.store().clone(), claims: Vec::new() };
            let names = names_below(&held.store.base(), &subject.names)?;
            return Ok(Draft { held, names, plan, placed: None, standing: Some(standing) });
        }
        let mut held = Held { store: self.zarr.registry.reserve(target)?, claims: Vec::new() };
        let names = names_below(&target.base, &subject.names)?;
        let TargetKind::Plate(_, recognised) = &target.kind else {
            let plan = plan_images(&held.store, layout, matches!(target.kind, TargetKind::Image))?;
            return Ok(Draft { held, names, plan, placed: None, standing: None });
        };
        let (plan, placed) = plan_in_plate(&mut held, layout, recognised, (subject, &names))?;
        let standing = Standing::of(&held.store, subject, &names);
        Ok(Draft { held, names, plan, placed: Some(placed), standing })
    }
}

/// Where a file goes.
pub(super) struct Draft {
    pub held: Held,
    pub names: Vec<RelPath>,
    pub plan: Plan,
    pub placed: Option<Placed>,
    pub standing: Option<Standing>,
}

impl Batch for Sealer<'_> {
    fn add(&self, subject: Subject, source: &dyn ByteSource) -> Result<Ticket, SealError> {
        self.zarr.check_writable()?;
        let planned = self.plan(&subject, source).map_err(no_space)?;
        let mut all = self.planned.lock();
        all.push(Some(planned));
        Ok(Ticket(all.len() - 1))
    }

    fn abandon(&self, ticket: Ticket) {
        let planned = self.planned.lock().get_mut(ticket.0).and_then(Option::take);
        drop(planned);
    }

    fn commit(self: Box<Self>) -> Vec<(Ticket, Result<SealedId, SealError>)> {
        let planned = std::mem::take(&mut *self.planned.lock());
        let tickets = planned.into_iter().enumerate().filter_map(|(at, planned)| Some((Ticket(at), planned?)));
        commit(self.zarr, tickets.collect())
    }
}

impl Drop for Sealer<'_> {
    fn drop(&mut self) {
        let stores: Vec<Arc<Store>> = self.planned.lock().iter().flatten().map(|p| p.held.store.clone()).collect();
        self.planned.lock().clear();
        stores.iter().for_each(|store| self.zarr.registry.forget_unused(store));
    }
}

/// A full disk is an answer of its own.
pub(super) fn no_space(e: SealError) -> SealError {
    match e {
        SealError::Io(e) if matches!(e.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT)) => SealError::NoSpace,
        e => e,
    }
}

/// All names relative to the store's base, where they have to be.
pub(super) fn names_below(base: &RelPath, names: &[RelPath]) -> Result<Vec<RelPath>, SealError> {
    let inside = |name: &RelPath| {
        relative(base, name).ok_or_else(|| {
            Refusal::Unsupported(format!("its name {name} lies outside of {base}, where its store would be")).into()
        })
    };
    names.iter().map(inside).collect()
}

fn plan_in_plate(
    held: &mut Held,
    layout: &Layout,
    recognised: &Recognised,
    (subject, names): (&Subject, &[RelPath]),
) -> Result<(Plan, Placed), SealError> {
    let store = held.store.clone();
    let mut state = store.state.lock();
    let fresh = !store.is_created() && state.claims.is_empty();
    let plate = state.marker.plate.as_mut().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    if fresh {
        plate.set_bases([&recognised.position].into_iter());
        let beside = subject.names.first().and_then(|name| name.split()).map(|(dir, _)| dir).unwrap_or_default();
        let mut dirs = vec![store.base(), beside];
        dirs.dedup();
        plate.learn(&vendor::read_in(&store.ground, &dirs));
    }
    let recognised = match plate.linear_columns {
        Some(columns) => recognised.clone().on_plate_of(columns),
        None => recognised.clone(),
    };
    let placed = plate.place(&recognised.position)?;
    if let ChannelKey::Name(name) = &recognised.position.channel {
        plate.name_channel(placed.plane.channel, name);
    }
    let plan = Plan::in_plate(layout, placed, placed.path(), plate.extents())
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    claim(&mut state, held, layout, &plan, (subject, names))?;
    Ok((plan, placed))
}

/// Claims the planes of a file, if nobody has them but the file that it replaces.
pub(super) fn claim(
    state: &mut State,
    held: &mut Held,
    layout: &Layout,
    plan: &Plan,
    (subject, names): (&Subject, &[RelPath]),
) -> Result<(), SealError> {
    let (store, base) = (held.store.clone(), held.store.base());
    let replaced = subject.replaces.filter(|id| id.store == store.id).map(|id| id.record);
    let own = Arc::new(subject.names.first().cloned().unwrap_or_default());
    for chunk in Recipe::chunk_order(layout) {
        let Some(part) = plan.arrays.get(chunk.array as usize) else { continue };
        let Some(image) = plan.images.get(part.image) else { continue };
        let path = super::ground::chunk_path(store.version, &image.array_path(part.level), &part.chunk(chunk));
        let key = hash(&path);
        match state.claims.get(&key) {
            Some(Claim::Pending(other)) => return Err(SealError::Claimed((**other).clone())),
            Some(Claim::Record(record)) if Some(*record) != replaced => {
                let other = state.entries.get(record).and_then(|entry| entry.names.first()).cloned();
                let other = other.unwrap_or_default();
                if !names.contains(&other) {
                    return Err(SealError::Claimed(super::store::whole(&base, &other)));
                }
            }
            Some(Claim::Record(_)) => {}
            None => {
                state.claims.insert(key, Claim::Pending(own.clone()));
                held.claims.push(key);
            }
        }
    }
    Ok(())
}

/// New groups for the images of a file; the only image of a store of its own is the root.
fn plan_images(store: &Store, layout: &Layout, alone: bool) -> Result<Plan, SealError> {
    let mut state = store.state.lock();
    let first = state.next_image;
    let numbered = |index: u64| (first + index).to_string();
    let unusable = || SealError::from(Refusal::Malformed("a reduced level belongs to no image".into()));
    let plan = Plan::of_images(layout, numbered).ok_or_else(unusable)?;
    if alone && plan.images.len() == 1 {
        return Plan::of_images(layout, |_| String::new()).ok_or_else(unusable);
    }
    state.next_image += plan.images.len() as u64;
    Ok(plan)
}

fn next_literal(store: &Store) -> u64 {
    let mut state = store.state.lock();
    state.next_literal += 1;
    state.next_literal - 1
}

/// What goes when this file is sealed: the version it was made from, and any other file of its names.
fn replaced(store: &Store, subject: &Subject, names: &[RelPath]) -> Vec<SealedId> {
    let state = store.state.lock();
    let same = names.iter().filter_map(|name| state.by_name.get(name));
    let mut ids: Vec<SealedId> = same.map(|record| SealedId { store: store.id, record: *record }).collect();
    ids.extend(subject.replaces);
    ids.sort_unstable_by_key(|id| (id.store, id.record));
    ids.dedup();
    ids
}
