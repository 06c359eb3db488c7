//! The thread that counts the workspace, and follows its datasets as they grow.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::{Message, waits};
use crate::vfs::Vfs;

/// How often it looks for what is in doubt, and for datasets that have become large.
const FOLLOW: Duration = Duration::from_secs(1);

/// Counts all of it once, finds what rules adopt, and stays.
pub(super) fn follow(vfs: &Vfs, heard: &Receiver<Message>, stopping: &AtomicBool) {
    lower_priority();
    vfs.count_tree(stopping);
    vfs.adopt(stopping);
    while waits(heard, FOLLOW) {
        vfs.follow_datasets(stopping);
    }
}

/// The calling thread runs when nobody else wants to. On Linux a nice value belongs to a thread.
fn lower_priority() {
    let thread = rustix::thread::gettid();
    if let Err(e) = rustix::process::setpriority_process(Some(thread), 19) {
        tracing::debug!("counting runs at ordinary priority: {e}");
    }
}
