//! The life of a mount from the moment it can be used to its end, and all the ways to that end.
//!
//! | asked by | what happens |
//! | --- | --- |
//! | `scopefs unmount` | flush; fails: the mount stays. Unmount; in use: the mount stays. Flush what came meanwhile |
//! | SIGTERM, SIGINT | the same, but a mount in use is taken out of sight, and flushed when it is not in use any more |
//! | a bare umount | it is gone already: flush |
//!
//! What cannot be written at the last flush stays in the tmpfs for the next mount.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::control::{Counts, Event, FileError, Outcome, Reply, Request, Service, WirePath};

/// A mounted file system, as its life sees it.
pub trait Served: Send + Sync {
    /// Answers everything but [`Request::Unmount`].
    fn handle(&self, request: Request, events: &mut dyn FnMut(Event)) -> Reply;

    /// Unseals what is at and below `plain`, if that is given, then brings everything home. New files go to disk from
    /// now on. Fails with all files that could not be brought home; they stay where they are.
    fn flush(&self, plain: Option<&WirePath>, events: &mut dyn FnMut(Event)) -> Result<Counts, Vec<FileError>>;

    /// The mount stays after all: new files may go to memory again.
    fn resume(&self);

    /// Returns when the kernel has let go of the mount, in whatever way that came.
    fn wait(&self);
}

/// Takes the mount away; `lazy`: even if it is in use, else EBUSY then.
pub type Detach<'d> = &'d dyn Fn(bool) -> io::Result<()>;

/// What may end a mount.
pub enum Ending {
    /// Somebody asked over the control socket.
    Unmount(Asked),
    /// A signal that asks us to end.
    Signal,
    /// The kernel has let go of the mount.
    Gone,
}

/// A request to unmount that waits for its reply.
pub struct Asked {
    /// See [`Request::Unmount`].
    pub plain: Option<WirePath>,
    /// See [`Request::Unmount`].
    pub lazy: bool,
    tell: SyncSender<Told>,
}

enum Told {
    Event(Event),
    Reply(Reply),
}

impl Asked {
    fn event(&self, event: Event) {
        // Whoever asked may be gone; the work goes on.
        let _ = self.tell.send(Told::Event(event));
    }

    /// The last word.
    pub fn reply(self, reply: Reply) {
        let _ = self.tell.send(Told::Reply(reply));
    }
}

/// How a mount has ended.
#[derive(Default)]
pub struct End {
    /// Files that are only in memory still.
    pub left: Vec<FileError>,
    /// What the last flush and those before it have brought home.
    pub counts: Counts,
    /// Who asked for it and waits until everything is put away.
    pub asked: Option<Asked>,
    /// Whether the kernel has let go of it; not if a second signal has cut the wait for open files short.
    pub gone: bool,
}

impl End {
    /// Tells who asked how it has ended; `trouble` is what went wrong in putting things away.
    pub fn tell(self, trouble: Vec<FileError>) {
        let errors: Vec<FileError> = self.left.into_iter().chain(trouble).collect();
        let Some(asked) = self.asked else { return };
        let outcome = Outcome::Moved(self.counts);
        asked.reply(match errors.is_empty() {
            true => Reply::Done(outcome),
            false => Reply::Failed { errors, done: Some(outcome) },
        });
    }
}

/// Carries the mount to its end. Returns when the kernel has let go of it and all that can be is brought home.
pub fn run(served: &dyn Served, endings: &Receiver<Ending>, detach: Detach<'_>) -> End {
    let mut end = End::default();
    end.gone = loop {
        // An error means that nobody can end us any more in any other way.
        match endings.recv().unwrap_or(Ending::Gone) {
            Ending::Gone => break true,
            Ending::Signal => {
                if leave(served, detach, &mut end) {
                    break wait_until_gone(endings, &mut end);
                }
            }
            Ending::Unmount(asked) => {
                if let Some(asked) = unmount(served, asked, detach, &mut end) {
                    end.asked = Some(asked);
                    break wait_until_gone(endings, &mut end);
                }
            }
        }
    };
    let asked = end.asked.take();
    let flushed = served.flush(None, &mut |event| {
        if let Some(asked) = &asked {
            asked.event(event);
        }
    });
    end.asked = asked;
    match flushed {
        Ok(counts) => add(&mut end.counts, counts),
        Err(errors) => {
            log_failures(&errors);
            end.left = errors;
        }
    }
    end
}

/// Does what was asked, or says why not; the request comes back if the mount is taken away.
fn unmount(served: &dyn Served, asked: Asked, detach: Detach<'_>, end: &mut End) -> Option<Asked> {
    match served.flush(asked.plain.as_ref(), &mut |event| asked.event(event)) {
        Ok(counts) => add(&mut end.counts, counts),
        Err(errors) => {
            served.resume();
            asked.reply(Reply::Failed { errors, done: None });
            return None;
        }
    }
    let detached = match detach(false) {
        Err(error) if is_busy(&error) && asked.lazy => {
            asked.event(Event::Message(
                "programs hold files open; what they still write is flushed when they end".into(),
            ));
            detach(true)
        }
        other => other,
    };
    match detached {
        Ok(()) => Some(asked),
        Err(error) => {
            served.resume();
            asked.reply(if is_busy(&error) { Reply::Busy } else { Reply::failed(format!("cannot unmount: {error}")) });
            None
        }
    }
}

/// As [`unmount`], for a signal: whether the mount is taken away.
fn leave(served: &dyn Served, detach: Detach<'_>, end: &mut End) -> bool {
    match served.flush(None, &mut |_| {}) {
        Ok(counts) => add(&mut end.counts, counts),
        Err(errors) => {
            tracing::error!("the mount stays, because these files could not be brought to disk");
            log_failures(&errors);
            served.resume();
            return false;
        }
    }
    let detached = detach(false).or_else(|error| {
        if !is_busy(&error) {
            return Err(error);
        }
        tracing::warn!("the mount is in use: it is taken out of sight, and flushed when it is not in use any more");
        detach(true)
    });
    if let Err(error) = &detached {
        tracing::error!("the mount stays, because it cannot be unmounted: {error}");
        served.resume();
    }
    detached.is_ok()
}

/// A mount that was taken away while in use lives until its last file is closed. A signal ends the wait: what those
/// programs still write is lost to them, as with any file system that is taken away, but nothing written before is.
/// Whether the kernel has let go.
fn wait_until_gone(endings: &Receiver<Ending>, end: &mut End) -> bool {
    loop {
        match endings.recv() {
            Ok(Ending::Gone) | Err(_) => return true,
            Ok(Ending::Signal) => {
                tracing::warn!("told to end while files are still open: ending now");
                return false;
            }
            Ok(Ending::Unmount(asked)) => match &end.asked {
                Some(_) => asked.reply(Reply::failed("the mount is ending already")),
                None => end.asked = Some(asked),
            },
        }
    }
}

fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBUSY)
}

fn log_failures(errors: &[FileError]) {
    errors.iter().for_each(|error| tracing::error!("{error}"));
}

fn add(sum: &mut Counts, counts: Counts) {
    sum.files += counts.files;
    sum.bytes += counts.bytes;
    sum.already += counts.already;
}

/// What answers on the control socket while the mount lives.
pub struct ControlService {
    /// Taken out at the end, when every request that has begun is answered.
    served: parking_lot::RwLock<Option<Arc<dyn Served>>>,
    endings: SyncSender<Ending>,
    /// For messages.
    mountpoint: PathBuf,
}

impl ControlService {
    /// Answers for `served`; requests to unmount go to `endings`.
    pub fn new(served: Arc<dyn Served>, endings: SyncSender<Ending>, mountpoint: PathBuf) -> ControlService {
        ControlService { served: parking_lot::RwLock::new(Some(served)), endings, mountpoint }
    }

    /// Waits until all requests that have begun are answered, and lets go of the file system.
    pub fn close(&self) {
        self.served.write().take();
    }

    fn unmount(&self, plain: Option<WirePath>, lazy: bool, events: &mut dyn FnMut(Event)) -> Reply {
        let (tell, told) = sync_channel(64);
        if self.endings.send(Ending::Unmount(Asked { plain, lazy, tell })).is_err() {
            return self.ended();
        }
        loop {
            match told.recv() {
                Ok(Told::Event(event)) => events(event),
                Ok(Told::Reply(reply)) => return reply,
                Err(_) => return self.ended(),
            }
        }
    }

    fn ended(&self) -> Reply {
        Reply::failed(format!("the mount on {} has ended", self.mountpoint.display()))
    }
}

impl Service for ControlService {
    fn handle(&self, request: Request, events: &mut dyn FnMut(Event)) -> Reply {
        match request {
            Request::Unmount { plain, lazy } => self.unmount(plain, lazy, events),
            request => match self.served.read().as_ref() {
                Some(served) => served.handle(request, events),
                None => self.ended(),
            },
        }
    }
}

#[cfg(test)]
mod tests;
