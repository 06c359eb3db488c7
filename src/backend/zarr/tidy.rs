//! Work that waits until there is time.

use std::io;
use std::sync::Arc;

use super::store::Store;

/// Brings the metadata of a plate to rest: the time axis is as long as the series, display windows are those of all
/// planes.
pub(super) fn tidy(store: &Arc<Store>) -> io::Result<()> {
    let mut state = store.state.lock();
    // Under the lock: the last file may be leaving just now, and the store with it.
    if !store.is_created() || store.is_gone() {
        return Ok(());
    }
    if state.entries.is_empty() {
        // The last file left while another was planned, and that one has not come.
        return super::remove::drop_if_empty(store, &mut state);
    }
    if state.leaving.is_some() {
        // What failed when files left is tried again.
        super::companions::drop_unused(store, &mut state)?;
        state.has_left();
    }
    let Some(mut plate) = state.marker.plate.clone() else { return Ok(()) };
    let longer = plate.extent_t.filter(|extent| *extent > state.times_used.max(1));
    if longer.is_none() && !state.windows_moved {
        return Ok(());
    }
    if longer.is_some() {
        plate.extent_t = Some(state.times_used.max(1));
        store.put_fields_arrays(&plate, state.images.keys(), std::iter::empty())?;
    }
    state.marker.plate = Some(plate.clone());
    store.put_marker(&state)?;
    state.images.keys().try_for_each(|path| store.put_field(&plate, path))?;
    state.windows_moved = false;
    Ok(())
}
