//! What the known stores hold, for questions about all of them at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::backend::Zarr;
use super::store::{Entry, Store, whole};
use super::stores::{SealedFile, SealedId, StoreTotal};
use crate::model::RelPath;

impl Zarr {
    /// The stores that are on disk now, each looked for where it was.
    fn standing(&self) -> Vec<Arc<Store>> {
        let mut stores = self.registry.all();
        for store in &stores {
            // A store that somebody has removed is found to be gone.
            if let Err(e) = self.registry.list(&store.base()) {
                tracing::debug!("stores beside {} cannot be looked for: {e}", store.place());
            }
        }
        stores.retain(|store| store.is_created() && !store.is_gone());
        stores
    }

    pub(super) fn store_totals(&self) -> Vec<StoreTotal> {
        let total = |store: Arc<Store>| StoreTotal {
            place: store.place(),
            files: store.totals.files.load(Ordering::Relaxed),
            bytes: store.totals.bytes.load(Ordering::Relaxed),
            stored_bytes: store.totals.stored.load(Ordering::Relaxed),
        };
        self.standing().into_iter().map(total).collect()
    }

    pub(super) fn visit_sealed(&self, under: &[RelPath], visit: &mut dyn FnMut(SealedFile) -> bool) {
        for store in self.standing() {
            let base = store.base();
            if !under.is_empty() && !under.iter().any(|path| path.starts_with(&base) || base.starts_with(path)) {
                continue;
            }
            for (record, name, entry) in newest(&store) {
                let file = SealedFile {
                    id: SealedId { store: store.id, record },
                    name: whole(&base, &name),
                    size: entry.size,
                    stored_bytes: entry.stored,
                    mtime: entry.attributes.mtime,
                };
                if !visit(file) {
                    return;
                }
            }
        }
    }
}

/// Each record with the first of the names that no newer record has.
fn newest(store: &Store) -> Vec<(u64, RelPath, Arc<Entry>)> {
    let state = store.state.lock();
    let named = |(record, entry): (&u64, &Arc<Entry>)| {
        let name = entry.names.iter().find(|name| state.by_name.get(*name) == Some(record))?;
        Some((*record, name.clone(), entry.clone()))
    };
    state.entries.iter().filter_map(named).collect()
}
