//! Files that are labels of images: those are sealed first, so that the labels find them.

use std::sync::Arc;

use super::inode::{Inode, Reason};
use super::{Goal, MoveError, Vfs};
use crate::backend::zarr::{LabelsOf, StoredAt};
use crate::config::SealAs;
use crate::model::RelPath;

type Moved = std::result::Result<(), MoveError>;

impl Vfs {
    /// Seals files together, labels behind their images; their bytes leave memory. With [`Goal::Clean`] it is no failure
    /// if they cannot, because the kernel holds them. Fails with `Refused` for those that stay as they are.
    pub(super) fn seal_batch(&self, inodes: &[Arc<Inode>], goal: Goal, reason: Reason, wait: bool) -> Vec<Moved> {
        let labels: Vec<bool> = inodes.iter().map(|inode| self.are_labels(inode)).collect();
        if labels.iter().all(|is| labels.first() == Some(is)) {
            return self.seal_together(inodes, goal, reason, wait);
        }
        let [images, labelled] = [false, true].map(|wanted| {
            let chosen = inodes.iter().zip(&labels).filter(|(_, is)| **is == wanted).map(|(inode, _)| inode.clone());
            self.seal_together(&chosen.collect::<Vec<_>>(), goal, reason, wait)
        });
        let (mut images, mut labelled) = (images.into_iter(), labelled.into_iter());
        let next = |is: bool| if is { labelled.next() } else { images.next() };
        labels.into_iter().map(next).map(|moved| moved.unwrap_or(Err(MoveError::NotThere))).collect()
    }

    /// Brings images to the front.
    pub(super) fn images_first<T>(&self, files: &mut [T], inode: impl Fn(&T) -> &Arc<Inode>) {
        files.sort_by_cached_key(|file| self.are_labels(inode(file)));
    }

    fn are_labels(&self, inode: &Inode) -> bool {
        let _names = self.namespace.read();
        inode.path().is_some_and(|path| self.router.decide(&path).seal_as == SealAs::Labels)
    }

    /// Which images a file is the labels of, if its rule says that it is labels.
    pub(super) fn labels_of(&self, path: &RelPath) -> Option<LabelsOf> {
        let decision = self.router.decide(path);
        let router = self.router.clone();
        let named = router.rule(decision.rule).of.is_some();
        let may_be = Arc::new(move |image: &RelPath| router.are_labels_of(decision.rule, image));
        (decision.seal_as == SealAs::Labels).then_some(LabelsOf { named, may_be })
    }

    /// What a sealed file is in its store, where its rule says that it is labels.
    pub(super) fn role_of(&self, path: &RelPath, at: &StoredAt) -> Option<String> {
        if let Some((name, image)) = at.labels() {
            let image = if image.is_empty() { String::new() } else { format!("/{image}") };
            return Some(format!("labels '{name}' of {}{image}", at.store));
        }
        (self.router.decide(path).seal_as == SealAs::Labels).then(|| {
            "an image of its own, though its rule says labels: when it was sealed, no image was that its name goes with, \
             or it has another size, floating point, or several samples or channels"
                .to_owned()
        })
    }
}
