//! The mounted file system as the life of a mount sees it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Condvar, Mutex};

use super::life::Served;
use super::workspace::Counted;
use crate::control::{Answers, conflicts, failures, progress_of};
use crate::control::{Counts, Event, FileError, Reply, Request, WirePath};
use crate::fuse::{Mounted, Options, OwnFiles};
use crate::materialize::Workers;
use crate::materialize::jobs::Jobs;
use crate::model::RelPath;
use crate::vfs::{self, Vfs};

/// A [`Vfs`] that the kernel has mounted.
pub struct MountedVfs {
    vfs: Arc<Vfs>,
    answers: Arc<Answers>,
    session: Mutex<Option<Mounted>>,
    workers: Mutex<Option<Workers>>,
    jobs: Arc<Jobs>,
    counted: Option<Counted>,
    gone: Mutex<bool>,
    went: Condvar,
    /// Nobody can have anything open any more: what is flushed now may leave memory too.
    over: AtomicBool,
}

impl MountedVfs {
    /// Mounts; the mount can be used when this returns.
    pub fn start(
        vfs: Arc<Vfs>,
        answers: Arc<Answers>,
        (workers, jobs, counted): (Workers, Arc<Jobs>, Option<Counted>),
        mountpoint: &Path,
        options: &Options,
        own: OwnFiles,
    ) -> io::Result<MountedVfs> {
        let session = match Mounted::start(vfs.clone(), mountpoint, options, own) {
            Ok(session) => session,
            Err(error) => {
                workers.stop()?;
                return Err(error);
            }
        };
        jobs.raise_pins();
        Ok(MountedVfs {
            vfs,
            answers,
            session: Mutex::new(Some(session)),
            workers: Mutex::new(Some(workers)),
            jobs,
            counted,
            gone: Mutex::new(false),
            went: Condvar::new(),
            over: AtomicBool::new(false),
        })
    }
}

impl MountedVfs {
    /// What was counted is there for the next mount.
    fn keep_counted(&self) {
        if let (Some(counted), Some(totals)) = (&self.counted, self.vfs.disk_totals())
            && let Err(e) = counted.keep(totals)
        {
            tracing::debug!("the next mount counts from nothing: {e}");
        }
    }
}

impl Served for MountedVfs {
    fn handle(&self, request: Request, events: &mut dyn FnMut(Event)) -> Reply {
        self.answers.answer(request, events)
    }

    fn flush(&self, plain: Option<&WirePath>, events: &mut dyn FnMut(Event)) -> Result<Counts, Vec<FileError>> {
        self.vfs.set_draining(true);
        // What they have moved stays moved; they can be resumed at the next mount.
        self.jobs.suspend();
        let mut last = vfs::Progress::default();
        let mut tell = |progress: &vfs::Progress| {
            last = progress.clone();
            events(Event::Progress(progress_of(progress)));
        };
        let mut errors = match plain {
            Some(plain) => unseal(&self.vfs, plain, &mut tell),
            None => Vec::new(),
        };
        let failed = if self.over.load(Ordering::Acquire) {
            self.vfs.drain(&mut tell, &AtomicBool::new(false))
        } else {
            self.vfs.flush_all(&mut tell)
        };
        errors.extend(failures(&failed));
        if let Err(e) = self.vfs.finish_stores() {
            errors.push(FileError::general(format!("a store could not be put in order: {e}")));
        }
        if self.over.load(Ordering::Acquire) {
            self.vfs.forget_stubs();
            self.keep_counted();
            self.jobs.forget_ended();
        }
        if let Err(e) = self.vfs.sync_disk() {
            errors.push(FileError::general(format!("the workspace's disk cannot be synced: {e}")));
        }
        let counts = Counts { files: last.files, bytes: last.bytes, already: 0 };
        if errors.is_empty() { Ok(counts) } else { Err(errors) }
    }

    fn conflicts(&self) -> Vec<FileError> {
        conflicts(&self.vfs)
    }

    fn resume(&self) {
        self.vfs.set_draining(false);
    }

    fn wait(&self) {
        let session = self.session.lock().take();
        match session {
            Some(session) => {
                if let Err(e) = session.wait() {
                    tracing::error!("the kernel's side of the mount ended with an error: {e}");
                }
                if let Some(workers) = self.workers.lock().take()
                    && let Err(e) = workers.stop()
                {
                    tracing::error!("{e}");
                }
                self.over.store(true, Ordering::Release);
                *self.gone.lock() = true;
                self.went.notify_all();
            }
            None => {
                let mut gone = self.gone.lock();
                while !*gone {
                    self.went.wait(&mut gone);
                }
            }
        }
    }
}

/// Makes what is sealed below `plain` plain files again.
fn unseal(vfs: &Vfs, plain: &WirePath, tell: &mut dyn FnMut(&vfs::Progress)) -> Vec<FileError> {
    let Some(under) = RelPath::from_path(plain.as_path()) else {
        return vec![FileError::general(format!("{} is not a path inside the mount", plain.as_path().display()))];
    };
    match vfs.unseal_below(&under, tell) {
        Ok(failed) => failures(&failed),
        Err(e) => vec![FileError::general(format!("{under} cannot be unsealed: {e}"))],
    }
}
