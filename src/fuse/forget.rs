//! Asking the kernel to forget names, so that what we remember for it stays small.
//!
//! The kernel keeps every inode that it has ever looked up until it is short of memory itself, and as long as it does,
//! so must we. In a thread of its own, because such a request may wait for one that a handler is answering.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use fuser::{INodeNo, Notifier};

use crate::vfs::Vfs;

/// How often the tables are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// The running thread.
#[derive(Debug)]
pub(super) struct Forgetter {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Forgetter {
    /// Starts it.
    pub fn start(vfs: Arc<Vfs>, notifier: Notifier) -> io::Result<Forgetter> {
        let (stop, stopped) = sync_channel(1);
        let thread = Builder::new().name("scopefs-forget".to_owned()).spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(EVERY) {
                for (parent, name) in vfs.names_to_forget() {
                    if notifier.inval_entry(INodeNo(parent), &name).is_err() {
                        // The kernel has forgotten it already, and so may we.
                        vfs.drop_if_forgotten(parent, &name);
                    }
                }
            }
        })?;
        Ok(Forgetter { stop, thread })
    }

    /// Ends it.
    pub fn stop(self) {
        let _ = self.stop.try_send(());
        if self.thread.join().is_err() {
            tracing::error!("the thread that makes the kernel forget had panicked");
        }
    }
}
