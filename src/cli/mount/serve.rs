//! Where the rooms are put together: the daemon of one mount, from its configuration to its end.
//!
//! The order matters. The workspace is opened and locked before its memory is looked for, because one daemon at a time
//! works on that; the root is opened before the mount, because the mount may cover it; signals are listened to before
//! anything is made, so that one that comes early still ends cleanly.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use super::assemble;
use super::background::Announce;
use super::life::{self, ControlService, Ending, Served};
use super::preflight::{self, Checked, Surroundings};
use super::workspace::Workspace;
use super::{MountRequest, detach, process};
use crate::backend::memory::place::{self, Place, PlaceError, WorkspaceId};
use crate::cli::config;
use crate::cli::failure::Failure;
use crate::cli::mount::options::MountOptions;
use crate::config::{Config, Limit};
use crate::control::status::Session;
use crate::control::{FileError, Server, Status};
use crate::pressure::{self, MemoryProbe, SystemProbe};
use crate::route::Router;

/// Endings that may wait to be looked at; more than there are connections and signals in all likelihood.
const ENDINGS: usize = 64;

/// What a mounted file system is made of.
pub struct Parts<'p> {
    /// Open and locked.
    pub workspace: &'p Workspace,
    /// The tmpfs; `None` where there is no memory tier (read-only, or none to be had).
    pub place: Option<&'p Place>,
    /// Where the workspace is and where it is to be seen.
    pub checked: &'p Checked,
    /// Mount options.
    pub options: &'p MountOptions,
    /// Marks and other figures.
    pub config: &'p Config,
    /// The rules.
    pub router: Router,
    /// What daemon and memory tier together may hold; 0 bytes without a memory tier.
    pub limit: pressure::Limit,
    /// Status with everything in it that does not change: paths, limit, marks, process, notes.
    pub facts: Status,
}

/// Serves a workspace until the mount ends. Errors before the mount can be used undo what was made; afterwards an error
/// means that files are left in memory.
pub fn run(request: MountRequest, announce: &Announce) -> Result<(), Failure> {
    process::prepare_to_serve().map_err(|error| Failure::failed(format!("cannot work in /: {error}")))?;
    let (config, router) = config::load(request.config.as_deref())?;
    config.warnings().iter().for_each(|warning| announce.note(&format!("warning: {warning}")));
    let (tell, endings) = sync_channel(ENDINGS);
    let signals = SignalThread::start(tell.clone())?;
    let checked = preflight::check(&request, &Surroundings::here()?, &mut |note| announce.note(&note))?;
    let ground = Ground::open(&request, &config, checked, announce)?;

    let facts = ground.facts(&config, request.options.read_only);
    let started = ground.start(&request, &config, router, facts);
    let (served, service, mut server) = match started.and_then(|served| ground.listen(served, tell.clone())) {
        Ok(running) => running,
        Err(failure) => {
            ground.put_away(true);
            return Err(failure);
        }
    };
    let waiting = wait_for_the_kernel(served.clone(), tell)?;
    announce.ready(&ground.checked.mountpoint);

    let mountpoint = ground.checked.mountpoint.clone();
    let end = life::run(&*served, &endings, &|lazy| detach::detach(&mountpoint, lazy));
    // Requests to unmount that nobody will look at any more.
    drop(endings);
    server.close();
    service.close();
    if end.gone {
        // It has sent its last word already.
        let _ = waiting.join();
    }
    let conflicts = served.conflicts();
    drop(served);

    let clean = end.left.is_empty();
    let trouble = ground.put_away(clean);
    let failed = !clean || !trouble.is_empty();
    end.tell(trouble.into_iter().chain(conflicts).collect());
    server.stop();
    signals.stop();
    match failed {
        true => Err(Failure::failed(format!("{} has ended with files left in memory", mountpoint.display()))),
        false => Ok(()),
    }
}

/// What the file system stands on.
struct Ground {
    checked: Checked,
    workspace: Workspace,
    place: Option<Place>,
    runtime_dir: PathBuf,
    limit: pressure::Limit,
    notes: Vec<String>,
}

impl Ground {
    /// Opens and locks the workspace, and finds or makes its place in memory.
    fn open(request: &MountRequest, config: &Config, checked: Checked, announce: &Announce) -> Result<Ground, Failure> {
        let mut notes = Vec::new();
        let read_only = request.options.read_only;
        let mut note = |text: String| {
            announce.note(&text);
            notes.push(text);
        };
        let workspace = Workspace::open(&checked.workspace, &checked.mountpoint, read_only, &mut note)?;
        let opened = open_memory(&workspace, request, config, &mut note);
        let (place, limit, runtime_dir) = match opened {
            Ok(opened) => opened,
            Err(failure) => {
                leave(workspace, true);
                return Err(failure);
            }
        };
        if let Err(error) = announce.log_to(&runtime_dir.join(LOG)) {
            note(format!("there is no log, because {} cannot be written: {error}", runtime_dir.join(LOG).display()));
        }
        if let Some(place) = &place
            && let Err(error) = workspace.note_memory(&place.shown_as, &checked.mountpoint)
        {
            tracing::warn!("cannot write .scopefs/IN-MEMORY: {error}");
        }
        Ok(Ground { checked, workspace, place, runtime_dir, limit, notes })
    }

    fn facts(&self, config: &Config, read_only: bool) -> Status {
        let mut status = Status {
            workspace: self.checked.workspace.clone().into(),
            mountpoint: self.checked.mountpoint.clone().into(),
            read_only,
            tmpfs: self.place.as_ref().map(|place| place.shown_as.clone().into()),
            pid: std::process::id(),
            control: Some(self.socket().into()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            notes: self.notes.clone(),
            ..Status::default()
        };
        status.memory.limit_bytes = self.limit.bytes;
        status.memory.limit_because = self.limit.because.clone();
        (status.memory.high, status.memory.low) = (config.memory.high, config.memory.low);
        let threat = self.place.as_ref().and_then(|place| place.may_end_with.clone());
        status.session = threat.map(|may_end_with| Session {
            may_end_with,
            stop_within_seconds: config.memory.stop_within.as_secs_f64(),
            bound_bytes: None,
        });
        status
    }

    fn start(
        &self,
        request: &MountRequest,
        config: &Config,
        router: Router,
        facts: Status,
    ) -> Result<Arc<dyn Served>, Failure> {
        assemble::start(Parts {
            workspace: &self.workspace,
            place: self.place.as_ref(),
            checked: &self.checked,
            options: &request.options,
            config,
            router,
            limit: self.limit.clone(),
            facts,
        })
    }

    /// Opens the control socket. If that fails, the mount is taken away again.
    fn listen(&self, served: Arc<dyn Served>, tell: SyncSender<Ending>) -> Result<Running, Failure> {
        let service = Arc::new(ControlService::new(served.clone(), tell, self.checked.mountpoint.clone()));
        match Server::start(&self.socket(), service.clone()) {
            Ok(server) => Ok((served, service, server)),
            Err(error) => {
                // Nobody has been told of it yet, so nobody is in it.
                let taken = detach::detach(&self.checked.mountpoint, true);
                taken.unwrap_or_else(|error| tracing::error!("cannot unmount: {error}"));
                Err(Failure::failed(format!("cannot open the control socket {}: {error}", self.socket().display())))
            }
        }
    }

    fn socket(&self) -> PathBuf {
        self.runtime_dir.join("control.sock")
    }

    /// Gives back the tmpfs and lets go of the workspace; what could not be done. A tmpfs with files in it stays.
    fn put_away(self, clean: bool) -> Vec<FileError> {
        let mut trouble = Vec::new();
        let mut empty = clean;
        match self.place {
            Some(place) if clean => {
                let shown_as = place.shown_as.clone();
                if let Err(error) = assemble::clear(&place).and_then(|()| place.remove()) {
                    empty = false;
                    let cause = format!("the memory of the workspace in {} is kept: {error}", shown_as.display());
                    tracing::error!("{cause}");
                    trouble.push(FileError::general(cause).with_remedy("mount the workspace again, then unmount it"));
                }
            }
            _ => {}
        }
        if empty {
            remove_runtime_dir(&self.runtime_dir);
        }
        leave(self.workspace, empty);
        trouble
    }
}

type Running = (Arc<dyn Served>, Arc<ControlService>, Server);

/// Inside the runtime directory: never inside the mount.
const LOG: &str = "daemon.log";

/// What we have put there; a record of somebody else's keeps the directory.
fn remove_runtime_dir(dir: &Path) {
    for removed in [std::fs::remove_file(dir.join(LOG)), std::fs::remove_dir(dir)] {
        if let Err(e) = removed {
            tracing::debug!("something stays in {}: {e}", dir.display());
        }
    }
}

/// Lets go of the workspace; `empty`: nothing is in memory, so nothing of ours need stay.
fn leave(workspace: Workspace, empty: bool) {
    if !empty {
        return;
    }
    let shown = workspace.path().to_path_buf();
    if let Err(error) = workspace.leave() {
        tracing::warn!("{}/.scopefs is left behind: {error}; it can be deleted", shown.display());
    }
}

/// Size of the tmpfs that holds names alone, in bytes; none of its pages is ever used by a file.
const NAMES_SIZE: u64 = 16 << 20;

type Memory = (Option<Place>, pressure::Limit, PathBuf);

/// The place in memory with its limit, and the directory for the socket, which a mount without memory has too.
fn open_memory(
    workspace: &Workspace,
    request: &MountRequest,
    config: &Config,
    note: &mut dyn FnMut(String),
) -> Result<Memory, Failure> {
    let failed = |error: PlaceError| Failure::failed(error.to_string());
    let id = WorkspaceId::of(workspace.root()).map_err(|error| {
        Failure::failed(format!("cannot tell the workspace {} from others: {error}", workspace.path().display()))
    })?;
    let none = |because: &str| -> Result<Memory, Failure> {
        let limit = pressure::Limit { bytes: 0, because: because.to_owned() };
        Ok((None, limit, place::runtime_dir(&id).map_err(failed)?))
    };
    if request.options.read_only {
        let (_, limit, runtime_dir) = none("mounted read-only")?;
        return Ok((place_for_names(&id, note), limit, runtime_dir));
    }
    let (bytes, share) = match request.memory_limit.unwrap_or(config.memory.limit) {
        Limit::Default => (None, None),
        Limit::Bytes(bytes) => (Some(bytes), None),
        Limit::Share(share) => (None, Some(share)),
    };
    let sample = SystemProbe::new().sample();
    let limit = pressure::memory_limit(bytes, share, &sample);
    let place = match place::open_or_create(&id, limit.bytes) {
        Ok(place) => place,
        Err(error @ PlaceError::None { .. }) => {
            note(error.to_string());
            return none("there is no memory for files here");
        }
        Err(error) => return Err(failed(error)),
    };
    place.notes.iter().for_each(|text| note(text.clone()));
    let runtime_dir = place.runtime_dir.clone();
    let held = place.used_bytes().unwrap_or_default();
    if !place.found || held == 0 {
        return Ok((Some(place), limit, runtime_dir));
    }
    note(format!("an earlier mount has left {} in memory; it is taken over", crate::cli::output::size(held)));
    // What was left counts against this same limit, and must not make it smaller.
    let limit = pressure::memory_limit(bytes, share, &sample.without(held));
    if let Err(error) = place.resize(limit.bytes.max(held)) {
        tracing::warn!("the tmpfs keeps its size: {error}");
    }
    Ok((Some(place), limit, runtime_dir))
}

/// A place for the names of sealed files in a read-only mount; no file's bytes come there.
fn place_for_names(id: &WorkspaceId, note: &mut dyn FnMut(String)) -> Option<Place> {
    match place::open_or_create(&id.for_reading(), NAMES_SIZE) {
        Ok(place) => Some(place),
        Err(error) => {
            note(format!("files in OME-Zarr stores are not shown: {error}"));
            None
        }
    }
}

/// Sends [`Ending::Gone`] when the kernel has let go of the mount.
fn wait_for_the_kernel(served: Arc<dyn Served>, tell: SyncSender<Ending>) -> Result<JoinHandle<()>, Failure> {
    let wait = move || {
        served.wait();
        drop(served);
        // Nobody listens if a second signal has cut it short.
        let _ = tell.send(Ending::Gone);
    };
    Builder::new()
        .name("mount-wait".to_owned())
        .spawn(wait)
        .map_err(|error| Failure::failed(format!("cannot start a thread: {error}")))
}

/// Turns signals into endings.
struct SignalThread {
    handle: Handle,
    thread: JoinHandle<()>,
}

impl SignalThread {
    fn start(tell: SyncSender<Ending>) -> Result<SignalThread, Failure> {
        let failed = |error: std::io::Error| Failure::failed(format!("cannot listen to signals: {error}"));
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(failed)?;
        let handle = signals.handle();
        let listen = move || {
            for signal in signals.forever() {
                tracing::info!("signal {signal}: unmounting");
                if tell.send(Ending::Signal).is_err() {
                    return;
                }
            }
        };
        let thread = Builder::new().name("signals".to_owned()).spawn(listen).map_err(failed)?;
        Ok(SignalThread { handle, thread })
    }

    fn stop(self) {
        self.handle.close();
        // It holds nothing.
        let _ = self.thread.join();
    }
}
