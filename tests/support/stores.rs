//! Stores that hold files whole, in a table: what the file system needs of stores without images or chunks.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use scopefs::backend::zarr::{
    Batch, SealError, SealedEntry, SealedFile, SealedId, StoreFigures, StoreTotal, StoredAt, Stores, Subject, Ticket,
    Within,
};
use scopefs::model::{ByteSource, Identity, RelPath};
use scopefs::view::Refusal;

/// Files that begin with this are not images.
pub const NOT_AN_IMAGE: &[u8] = b"text";

#[derive(Debug, Clone)]
struct Kept {
    /// The directory in which the store stands.
    base: RelPath,
    entry: SealedEntry,
    bytes: Arc<Vec<u8>>,
}

/// What happens once.
#[derive(Default)]
struct Hook(Option<Box<dyn FnOnce() + Send>>);

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hook({})", self.0.is_some())
    }
}

/// What outlives a daemon.
#[derive(Debug, Default)]
pub struct Shelf {
    behind_commit: Mutex<Hook>,
    while_reading: Mutex<Hook>,
    files: Mutex<BTreeMap<u64, Kept>>,
    next: std::sync::atomic::AtomicU64,
    /// Changes until the daemon is killed; 0: it is not.
    lives: std::sync::atomic::AtomicU64,
}

impl Shelf {
    /// The daemon is killed (it panics) when it has made `changes` further changes and begins another.
    pub fn kill_behind(&self, changes: u64) {
        self.lives.store(changes + 1, std::sync::atomic::Ordering::Relaxed);
    }

    /// Nobody is killed any more; whether somebody was.
    pub fn was_killed(&self) -> bool {
        self.lives.swap(0, std::sync::atomic::Ordering::Relaxed) == 0
    }

    fn change(&self) {
        use std::sync::atomic::Ordering::Relaxed;
        if self.lives.fetch_update(Relaxed, Relaxed, |lives| lives.checked_sub(1)) == Ok(1) {
            panic!("killed");
        }
    }

    /// The names of all sealed files, sorted.
    pub fn names(&self) -> Vec<String> {
        let files = self.files.lock();
        let mut names: Vec<String> =
            files.values().flat_map(|kept| kept.entry.names.iter().map(|name| name.to_string())).collect();
        names.sort();
        names
    }

    /// Somebody removes all stores.
    pub fn clear(&self) {
        self.files.lock().clear();
    }

    /// Calls `what` when the next commit is done and nobody knows of it yet.
    pub fn behind_commit(&self, what: impl FnOnce() + Send + 'static) {
        self.behind_commit.lock().0 = Some(Box::new(what));
    }

    /// Calls `what` when half of the next file that is sealed has been read.
    pub fn while_reading(&self, what: impl FnOnce() + Send + 'static) {
        self.while_reading.lock().0 = Some(Box::new(what));
    }

    /// What the store has of a name.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let files = self.files.lock();
        let kept = files.values().find(|kept| kept.entry.names.iter().any(|n| n.to_string() == name));
        kept.map(|kept| kept.bytes.to_vec())
    }

    fn dir_renamed(&self, from: &RelPath, to: &RelPath) {
        // Nothing on disk: stores stand in the directories that were renamed. Here it is done in any case.
        for kept in self.files.lock().values_mut() {
            let Some(base) = kept.base.below(from, to) else { continue };
            kept.base = base;
            for name in &mut kept.entry.names {
                if let Some(new) = name.below(from, to) {
                    *name = new;
                }
            }
        }
    }

    /// A record of which no journal tells: as if the daemon had been killed right behind the commit.
    pub fn commit(&self, name: &str, bytes: &[u8], like: &SealedEntry) {
        let path = RelPath::from_path(name.as_ref()).expect("relative");
        let record = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let base = path.split().map(|(dir, _)| dir).unwrap_or_default();
        let entry = SealedEntry {
            id: SealedId { store: 7, record },
            names: vec![path],
            size: bytes.len() as u64,
            ..like.clone()
        };
        self.files.lock().insert(record, Kept { base, entry, bytes: Arc::new(bytes.to_vec()) });
    }

    /// The power was lost before a plain file was removed (`found` is it), and what was sealed of it is `bytes`.
    pub fn cut_short(&self, name: &str, found: Identity, bytes: Vec<u8>) {
        let mut files = self.files.lock();
        let kept = files.values_mut().find(|kept| kept.entry.names.iter().any(|n| n.to_string() == name));
        let kept = kept.expect("it is sealed");
        (kept.entry.found, kept.bytes) = (Some(found), Arc::new(bytes));
    }

    /// What a store's table says of a name.
    pub fn entry(&self, name: &str) -> Option<SealedEntry> {
        let files = self.files.lock();
        files
            .values()
            .find(|kept| kept.entry.names.iter().any(|n| n.to_string() == name))
            .map(|kept| kept.entry.clone())
    }
}

/// Access of one daemon to the shelf.
pub struct ShelfStores(pub Arc<Shelf>);

impl ShelfStores {
    pub fn boxed(shelf: &Arc<Shelf>) -> Box<dyn Stores> {
        Box::new(ShelfStores(shelf.clone()))
    }

    fn find(&self, id: SealedId) -> io::Result<Kept> {
        self.0.files.lock().get(&id.record).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

struct Bytes(Arc<Vec<u8>>);

impl ByteSource for Bytes {
    fn size(&self) -> io::Result<u64> {
        self.0.as_slice().size()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.as_slice().read_at(buf, offset)
    }
    fn next_data(&self, offset: u64) -> io::Result<Option<std::ops::Range<u64>>> {
        self.0.as_slice().next_data(offset)
    }
}

/// Where the store of a new file would stand.
fn base_of(subject: &Subject) -> RelPath {
    subject.names[0].split().map(|(dir, _)| dir).unwrap_or_default()
}

/// A file and its bytes, unless it was abandoned.
type Added = Option<(Subject, Vec<u8>)>;

struct ShelfBatch<'a> {
    shelf: &'a Shelf,
    added: Mutex<Vec<Added>>,
}

impl Batch for ShelfBatch<'_> {
    fn add(&self, subject: Subject, source: &dyn ByteSource) -> Result<Ticket, SealError> {
        let mut bytes = vec![0; source.size()? as usize];
        let half = bytes.len() / 2;
        let mut got = source.read_at(&mut bytes[..half], 0)?;
        let hook = self.shelf.while_reading.lock().0.take();
        if let Some(what) = hook {
            what();
        }
        got += source.read_at(&mut bytes[half..], half as u64)?;
        bytes.truncate(got);
        if bytes.is_empty() || bytes.starts_with(NOT_AN_IMAGE) {
            return Err(Refusal::NotAnImage.into());
        }
        let base = base_of(&subject);
        if let Some(name) = subject.names.iter().find(|name| !name.starts_with(&base)) {
            return Err(Refusal::Unsupported(format!("its name {name} lies outside of {base}")).into());
        }
        let mut added = self.added.lock();
        added.push(Some((subject, bytes)));
        Ok(Ticket(added.len() - 1))
    }

    fn abandon(&self, ticket: Ticket) {
        self.added.lock()[ticket.0] = None;
    }

    fn commit(self: Box<Self>) -> Vec<(Ticket, Result<SealedId, SealError>)> {
        let added = self.added.into_inner();
        let mut files = self.shelf.files.lock();
        let mut sealed = Vec::new();
        for (n, file) in added.into_iter().enumerate() {
            let Some((subject, bytes)) = file else { continue };
            let record = self.shelf.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let id = SealedId { store: 7, record };
            if let Some(old) = subject.replaces {
                files.remove(&old.record);
            }
            // An older version of the same file, which nobody remembered.
            files.retain(|_, kept| !kept.entry.names.contains(&subject.names[0]));
            let base = base_of(&subject);
            let attr = subject.attr;
            let entry = SealedEntry {
                id,
                names: subject.names,
                size: bytes.len() as u64,
                perm: attr.perm,
                uid: attr.uid,
                gid: attr.gid,
                atime: attr.atime,
                mtime: attr.mtime,
                xattrs: subject.xattrs,
                found: subject.found,
            };
            files.insert(record, Kept { base, entry, bytes: Arc::new(bytes) });
            sealed.push((Ticket(n), Ok(id)));
        }
        drop(files);
        let behind = self.shelf.behind_commit.lock().0.take();
        if let Some(behind) = behind {
            behind();
        }
        sealed
    }
}

impl Stores for ShelfStores {
    fn begin(&self) -> Box<dyn Batch + '_> {
        Box::new(ShelfBatch { shelf: &self.0, added: Mutex::default() })
    }

    fn listing(&self, dir: &RelPath) -> io::Result<Vec<SealedEntry>> {
        let files = self.0.files.lock();
        let mut listed: Vec<SealedEntry> =
            files.values().filter(|kept| kept.base == *dir).map(|kept| kept.entry.clone()).collect();
        // Of two that claim one name the newer has it.
        for entry in &mut listed {
            let newer = |name: &RelPath| files.range(entry.id.record + 1..).any(|(_, k)| k.entry.names.contains(name));
            entry.names.retain(|name| !newer(name));
        }
        Ok(listed)
    }

    fn revision(&self, dir: &RelPath) -> io::Result<u64> {
        let files = self.0.files.lock();
        Ok(files.values().filter(|kept| kept.base == *dir).count().min(1) as u64)
    }

    fn open(&self, id: SealedId) -> io::Result<Arc<dyn ByteSource>> {
        Ok(Arc::new(Bytes(self.find(id)?.bytes)))
    }

    fn holds_name(&self, id: SealedId, name: &RelPath) -> bool {
        self.find(id).is_ok_and(|kept| name.starts_with(&kept.base) && *name != kept.base)
    }

    fn update(&self, entry: &SealedEntry) -> io::Result<()> {
        self.0.change();
        let mut files = self.0.files.lock();
        let kept = files.get_mut(&entry.id.record).ok_or(io::ErrorKind::NotFound)?;
        kept.entry = SealedEntry { found: kept.entry.found, ..entry.clone() };
        Ok(())
    }

    fn remove(&self, id: SealedId) -> io::Result<()> {
        self.0.change();
        self.0.files.lock().remove(&id.record);
        Ok(())
    }

    fn clear(&self, _dir: &RelPath) -> io::Result<()> {
        Ok(())
    }

    fn rename_dirs(&self, from: &RelPath, to: &RelPath, exchange: bool, act: &mut dyn FnMut() -> bool) {
        if !act() {
            return;
        }
        let aside = RelPath::root().join(std::ffi::OsStr::new("\0"));
        let steps = if exchange { vec![(from, &aside), (to, from), (&aside, to)] } else { vec![(from, to)] };
        steps.into_iter().for_each(|(old, new)| self.0.dir_renamed(old, new));
    }

    fn within(&self, _path: &RelPath) -> Within {
        Within::Outside
    }

    fn stored_at(&self, id: SealedId) -> Option<StoredAt> {
        let kept = self.find(id).ok()?;
        let store = kept.base.join("shelf.ome.zarr".as_ref());
        Some(StoredAt { store, array: "0".into(), stored_bytes: kept.bytes.len() as u64 })
    }

    fn totals(&self) -> Vec<StoreTotal> {
        let figures = self.figures();
        let StoreFigures { files, bytes, stored_bytes, .. } = figures;
        let place = RelPath::root().join("shelf.ome.zarr".as_ref());
        vec![StoreTotal { place, files, bytes, stored_bytes }]
    }

    fn visit_sealed(&self, _under: &[RelPath], visit: &mut dyn FnMut(SealedFile) -> bool) {
        let files: Vec<Kept> = self.0.files.lock().values().cloned().collect();
        for kept in files.into_iter().filter(|kept| !kept.entry.names.is_empty()) {
            let SealedEntry { id, names, size, mtime, .. } = kept.entry;
            let file = SealedFile { id, name: names[0].clone(), size, stored_bytes: size, mtime };
            if !visit(file) {
                return;
            }
        }
    }

    fn figures(&self) -> StoreFigures {
        let files = self.0.files.lock();
        let bytes = files.values().map(|kept| kept.bytes.len() as u64).sum();
        StoreFigures { stores: 1, files: files.len() as u64, bytes, stored_bytes: bytes }
    }

    fn tidy(&self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_cache(&self, _bytes: u64) {}
}
