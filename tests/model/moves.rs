//! Moves between the tiers, which nobody may notice, and the end of a mount.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use scopefs::model::{Attr, RelPath, Tier};
use scopefs::vfs::{Error, MoveError};

use super::check::is_same;
use super::op::{Op, PATHS, SLOTS};
use super::run::{Model, agree, mounted};

impl Model {
    pub fn apply_move(&mut self, op: &Op) -> Result<(), String> {
        let vfs = self.kernel().vfs.clone();
        let none_failed = |failed: Vec<(RelPath, MoveError)>| match failed.into_iter().find(|(_, e)| !is_excuse(e)) {
            Some((path, e)) => Err(format!("{path}: could not be brought home: {e}")),
            None => Ok(()),
        };
        match *op {
            Op::Fsync(slot) => match &self.slots[slot] {
                Some(open) => agree(self.kernel().fsync(&open.handle), Ok(())),
                None => Ok(()),
            },
            Op::Migrate(path, tier) => self.migrate(PATHS[path], tier),
            Op::Promote(path) => {
                if let Ok(attr) = self.kernel().stat(PATHS[path]) {
                    vfs.promote(attr.ino);
                }
                Ok(())
            }
            Op::Relieve(bytes) => {
                vfs.relieve(bytes);
                Ok(())
            }
            Op::WriteBehind => {
                vfs.write_behind(Duration::from_secs(100));
                vfs.seal_rested();
                vfs.remove_leaving();
                Ok(())
            }
            Op::FlushAll => none_failed(vfs.flush_all(&mut |_| {})),
            Op::SyncBelow(path) => {
                let path = RelPath::from_path(std::path::Path::new(PATHS[path])).expect("relative");
                none_failed(vfs.sync_below(&path, &mut |_| {}).map_err(|e| e.to_string())?)
            }
            Op::Pressed(pressed) => {
                vfs.budget().set_pressed(pressed);
                Ok(())
            }
            Op::Advance(secs) => {
                self.world.clock.advance(Duration::from_secs(secs));
                Ok(())
            }
            Op::Forget => {
                let keep: Vec<u64> = self.slots.iter().flatten().map(|open| open.handle.ino).collect();
                self.kernel().forget(&keep);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn migrate(&self, path: &str, tier: Tier) -> Result<(), String> {
        match self.kernel().migrate(path, tier) {
            Ok(()) if self.kernel().tier(path) != tier.as_str() => Err(format!("{path}: not moved to {tier}")),
            Err(e) if !is_excuse(&e) => Err(format!("{path}: moving to {tier} fails: {e}")),
            _ => Ok(()),
        }
    }

    /// The daemon ends, and the next one begins; programs lose their handles either way.
    pub fn restart(&mut self, clean: bool) -> Result<(), String> {
        self.maps.clear();
        if clean {
            (0..SLOTS).for_each(|slot| self.close(slot));
        } else {
            self.slots.iter_mut().for_each(|slot| drop(slot.take()));
        }
        let before = self.picture()?;
        if clean {
            self.kernel().forget(&[]);
            self.end(&before)?;
        }
        self.kernel = None;
        self.kernel = Some(mounted(&self.world));
        self.inos.clear();
        self.seen.clear();
        let after = self.picture()?;
        self.count();
        for (path, attr) in &before {
            let now = after.get(path).ok_or(format!("{path}: did not survive the restart"))?;
            // Numbers and ctimes end with the mount.
            if !is_same(attr, &Attr { ino: attr.ino, ctime: attr.ctime, ..*now }) {
                return Err(format!("{path}: times changed over the restart: {attr:?} became {now:?}"));
            }
        }
        self.check(true)
    }

    /// The end of a mount: memory is empty, and the workspace alone is the reference.
    fn end(&self, before: &BTreeMap<String, Attr>) -> Result<(), String> {
        let vfs = &self.kernel().vfs;
        if let Some((path, e)) = vfs.drain(&mut |_| {}, &AtomicBool::new(false)).into_iter().next() {
            return Err(format!("{path}: could not be brought home at the end: {e}"));
        }
        let figures = vfs.figures();
        if figures.memory_files + figures.dirty_bytes + figures.open_handles != 0 || vfs.budget().clean() != 0 {
            return Err(format!("something is left after the end: {figures:?}, clean {}", vfs.budget().clean()));
        }
        if self.world.setup.sealing {
            vfs.forget_stubs();
        }
        match self.world.in_memory().into_iter().chain(self.world.leftovers()).next() {
            Some(path) => Err(format!("{path}: left behind after the end")),
            // Sealed files are not there as plain ones; the next mount shows them.
            None if self.world.setup.sealing => Ok(()),
            None => self.check_workspace(before),
        }
    }
}

/// Reasons for which a file may stay where it is.
fn is_excuse(e: &MoveError) -> bool {
    match e {
        MoveError::Held | MoveError::NotThere => true,
        MoveError::Failed(Error::Io(_)) => false,
        MoveError::Failed(_) => true,
    }
}
