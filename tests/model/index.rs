//! What is told of all files at once agrees with what each of them tells.

use std::collections::BTreeMap;

use scopefs::model::{FileKind, State, Tier};
use scopefs::vfs::{Found, Query};

use super::run::Model;

/// What one file tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    ino: u64,
    tier: String,
    state: String,
    size: u64,
}

impl Model {
    /// Every file is found once, as what it is; sums are those of the files.
    pub fn check_index(&mut self) -> Result<(), String> {
        let mut files = BTreeMap::new();
        self.tell_below("", &mut files)?;
        let found = self.find(&Query::default());
        for file in &found {
            let path = file.path.as_path().display().to_string();
            let told = files.get(&path).ok_or_else(|| format!("{path}: found, but not there"))?;
            let now = (file.tier.as_str(), file.state.as_str(), file.size);
            if now != (&told.tier, &told.state, told.size) {
                return Err(format!("{path}: found as {now:?}, but it is {told:?}"));
            }
        }
        // A file in memory or in a store is found under one of its names.
        let inos: BTreeMap<u64, &Told> = files.values().map(|told| (told.ino, told)).collect();
        for (path, told) in &files {
            let is_it =
                |file: &Found| files.get(&file.path.as_path().display().to_string()).is_some_and(|f| f.ino == told.ino);
            if !found.iter().any(is_it) {
                return Err(format!("{path}: not found, but it is {told:?}"));
            }
        }
        self.check_sums(&inos)?;
        self.check_states(&found)
    }

    fn check_sums(&self, inos: &BTreeMap<u64, &Told>) -> Result<(), String> {
        let in_memory = || inos.values().filter(|told| told.tier == "memory");
        let dirty = || inos.values().filter(|told| told.state == "dirty");
        let figures = self.kernel().vfs.figures();
        let told = [
            in_memory().count() as u64,
            in_memory().map(|told| told.size).sum(),
            dirty().count() as u64,
            dirty().map(|told| told.size).sum(),
        ];
        let counted = [figures.memory_files, figures.memory_bytes, figures.dirty_files, figures.dirty_bytes];
        if told != counted {
            return Err(format!("status counts {counted:?} in memory and dirty, the files are {told:?}"));
        }
        match figures.oldest_dirty.is_some() == (figures.dirty_files > 0) {
            true => Ok(()),
            false => Err(format!("{} files are dirty, the oldest for {:?}", figures.dirty_files, figures.oldest_dirty)),
        }
    }

    /// Asking for a state finds those of everything that are in it.
    fn check_states(&self, all: &[Found]) -> Result<(), String> {
        for (tier, state) in [
            (Some(Tier::Memory), None),
            (None, Some(State::Dirty)),
            (None, Some(State::Sealed)),
            (Some(Tier::Disk), None),
        ] {
            let found = self.find(&Query { tier, state, ..Query::default() }).len();
            let is_it = |file: &&Found| {
                tier.is_none_or(|tier| file.tier == tier) && state.is_none_or(|state| file.state == state)
            };
            let wanted = all.iter().filter(is_it).count();
            if found != wanted {
                return Err(format!("{found} files are found in {tier:?} {state:?}, but {wanted} are"));
            }
        }
        Ok(())
    }

    fn find(&self, query: &Query) -> Vec<Found> {
        let mut all = Vec::new();
        self.kernel().vfs.find_files(query, &mut |found| all.extend(found)).expect("the root is there");
        all
    }

    fn tell_below(&self, dir: &str, files: &mut BTreeMap<String, Told>) -> Result<(), String> {
        let kernel = self.kernel();
        for (name, _, kind) in kernel.list(dir).map_err(|e| format!("{dir}: listing fails with errno {e}"))? {
            let name = name.to_str().expect("the model's names are text");
            let path = if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
            match kind {
                FileKind::Directory => self.tell_below(&path, files)?,
                FileKind::Regular => {
                    let attr = kernel.stat(&path).map_err(|e| format!("{path}: stat fails with errno {e}"))?;
                    let (tier, state) = (kernel.tier(&path), kernel.state(&path));
                    files.insert(path, Told { ino: attr.ino, tier, state, size: attr.size });
                }
                _ => {}
            }
        }
        Ok(())
    }
}
