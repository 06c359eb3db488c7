//! The thread that counts the workspace, and follows its datasets as they grow.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::{Message, step_back, waits};
use crate::vfs::Vfs;

/// How often it looks for what is in doubt, and for datasets that have become large.
const FOLLOW: Duration = Duration::from_secs(1);

/// It runs when nobody else wants to.
const PRIORITY: i32 = 19;

/// Counts all of it once, finds what rules adopt, and stays.
pub(super) fn follow(vfs: &Vfs, heard: &Receiver<Message>, stopping: &AtomicBool) {
    step_back(PRIORITY);
    vfs.count_tree(stopping);
    vfs.adopt(stopping);
    while waits(heard, FOLLOW) {
        vfs.follow_datasets(stopping);
    }
}
