//! What datasets add up to must be what is in the tree.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::run::Model;

/// Files and bytes by dataset: the directory at the top, empty for files there.
type Sums = BTreeMap<String, (u64, u64)>;

impl Model {
    /// Counts everything, as a daemon does after a mount.
    pub fn count(&self) {
        self.kernel().vfs.count_tree(&AtomicBool::new(false));
    }

    /// Counts again if a file has had several names since: what is not known of the others is told by a count only.
    fn count_links(&mut self, now: bool) {
        if std::mem::replace(&mut self.linked, now) {
            self.count();
        }
    }

    /// Compares the sums that were kept with the reference, once what is in doubt was counted again.
    pub fn check_sizes(&mut self) -> Result<(), String> {
        // What the kernel writes by itself counts with the close.
        if self.world.setup.passthrough && self.slots.iter().any(Option::is_some) {
            return Ok(());
        }
        let mut wanted = Sums::new();
        let mut names: HashMap<u64, HashSet<String>> = HashMap::new();
        let linked = add(self.reference.root(), None, &mut wanted, &mut names);
        self.count_links(linked);
        if names.values().any(|datasets| datasets.len() > 1) {
            // A file with names in two datasets counts in both, and grows in one.
            return Ok(());
        }
        let vfs = &self.kernel().vfs;
        vfs.follow_datasets(&AtomicBool::new(false));
        let views = vfs.datasets();
        let kept: Sums = views.iter().map(|view| (name_of(&view.name), (view.files, view.bytes))).collect();
        if kept == wanted { Ok(()) } else { Err(format!("the datasets are {kept:?}, but should be {wanted:?}")) }
    }
}

fn name_of(path: &scopefs::model::RelPath) -> String {
    if path.is_root() { String::new() } else { path.to_string() }
}

/// Adds up a directory; tells whether there are files of several names.
fn add(dir: &Path, dataset: Option<&str>, sums: &mut Sums, names: &mut HashMap<u64, HashSet<String>>) -> bool {
    let mut linked = false;
    for entry in std::fs::read_dir(dir).expect("the reference lists") {
        let entry = entry.expect("the reference lists");
        let meta = entry.metadata().expect("the reference stats");
        let name = entry.file_name().to_string_lossy().into_owned();
        if meta.is_dir() {
            linked |= add(&entry.path(), Some(dataset.unwrap_or(&name)), sums, names);
        } else if meta.is_file() {
            linked |= meta.nlink() > 1;
            let dataset = dataset.unwrap_or_default().to_owned();
            let known = names.entry(meta.ino()).or_default();
            if known.insert(dataset.clone()) {
                let sum = sums.entry(dataset).or_default();
                *sum = (sum.0 + 1, sum.1 + meta.len());
            }
        }
    }
    linked
}
