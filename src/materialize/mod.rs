//! Background moves: making room under pressure, writing behind, sealing; and counting, by which `auto` decides.
//!
//! Named threads, each fed by a channel that also ends it: one watches memory and frees it, one brings home what has been
//! idle or dirty for too long, one seals what has rested, one brings up what is read, one counts. A panic in any is
//! noticed by whoever stops them.

mod backing;
mod count;
mod promote;

pub mod jobs;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::config::Promote;
use crate::pressure::{Level, MemoryProbe, Monitor, Watermarks, pressure};
use crate::vfs::Vfs;
use promote::Heard;
pub use promote::Reads;

/// How often memory is looked at when nobody says that it is short.
const WATCH: Duration = Duration::from_millis(250);
/// How often files are looked at for writing behind.
const BEHIND: Duration = Duration::from_secs(1);
/// The same where the memory tier may end with a job or a session.
const BEHIND_SOON: Duration = Duration::from_millis(250);
/// How often files are looked at for sealing.
const SEAL: Duration = Duration::from_secs(1);
/// A look at all files that finds nothing to do is followed by a rest of so many times what it took: looking takes no
/// more than a hundredth of a CPU's time.
const REST: u32 = 100;
/// But of no more than this.
const REST_MOST: Duration = Duration::from_secs(10);
/// Nobody waits for what has rested to be sealed; where memory is needed, others seal it.
const SEAL_PRIORITY: i32 = 10;
/// A dirty byte reaches the disk at the latest after this, whatever happens to its file.
const LATEST: Duration = Duration::from_secs(300);

/// What a worker is told.
enum Message {
    /// There is something to do: look now.
    Look,
    /// The mount ends.
    Stop,
}

/// Tells the worker that memory is short, from any thread, without waiting.
#[derive(Debug, Clone)]
pub struct Alarm(SyncSender<Message>);

impl Alarm {
    /// Memory is short.
    pub fn ring(&self) {
        // A full channel means that it has been told already.
        let _ = self.0.try_send(Message::Look);
    }
}

/// The channel for an [`Alarm`], made before the file system that rings it.
#[derive(Debug)]
pub struct AlarmBell {
    alarm: Alarm,
    heard: Receiver<Message>,
}

impl Default for AlarmBell {
    fn default() -> Self {
        let (send, heard) = sync_channel(1);
        AlarmBell { alarm: Alarm(send), heard }
    }
}

impl AlarmBell {
    /// What rings it.
    pub fn alarm(&self) -> Alarm {
        self.alarm.clone()
    }
}

/// The running workers.
#[derive(Debug)]
pub struct Workers {
    stops: Vec<SyncSender<Message>>,
    stop_promoting: SyncSender<Heard>,
    threads: Vec<JoinHandle<()>>,
    /// Tells a count that takes long to end early.
    stopping: Arc<AtomicBool>,
}

impl Workers {
    /// Starts all threads.
    pub fn start(
        vfs: Arc<Vfs>,
        probe: Arc<dyn MemoryProbe>,
        bell: AlarmBell,
        (reads, wanted): (Reads, Promote),
    ) -> io::Result<Workers> {
        let stopping = Arc::new(AtomicBool::new(false));
        let mut workers = Workers {
            stops: vec![bell.alarm.0.clone()],
            stop_promoting: reads.send.clone(),
            threads: Vec::new(),
            stopping: stopping.clone(),
        };
        let watched = vfs.clone();
        let evict = Builder::new().name("scopefs-evict".to_owned());
        workers.threads.push(evict.spawn(move || watch_memory(&watched, &*probe, &bell.heard))?);
        if wanted != Promote::Never {
            vfs.listen_to_reads();
            let read = vfs.clone();
            let promote = move || promote::promote(&read, &reads.heard, wanted);
            workers.threads.push(Builder::new().name("scopefs-promote".to_owned()).spawn(promote)?);
        }
        workers.spawn("scopefs-behind", &vfs, write_behind)?;
        workers.spawn("scopefs-seal", &vfs, seal)?;
        workers.spawn_for_leaving(&vfs)?;
        workers.spawn("scopefs-count", &vfs, move |vfs, heard| count::follow(vfs, heard, &stopping))?;
        Ok(workers)
    }

    fn spawn(
        &mut self,
        name: &str,
        vfs: &Arc<Vfs>,
        work: impl FnOnce(&Vfs, &Receiver<Message>) + Send + 'static,
    ) -> io::Result<()> {
        let (stop, heard) = sync_channel(1);
        let vfs = vfs.clone();
        self.threads.push(Builder::new().name(name.to_owned()).spawn(move || work(&vfs, &heard))?);
        self.stops.push(stop);
        Ok(())
    }

    /// The worker that removes from stores what was deleted.
    fn spawn_for_leaving(&mut self, vfs: &Arc<Vfs>) -> io::Result<()> {
        self.spawn("scopefs-clear", vfs, clear)?;
        if let Some(wake) = self.stops.last().cloned() {
            vfs.listen_to_leaving(Box::new(move || {
                // A full channel means that it has been told already.
                let _ = wake.try_send(Message::Look);
            }));
        }
        Ok(())
    }

    /// Ends all threads and waits for them; an error if one of them had panicked.
    pub fn stop(self) -> io::Result<()> {
        self.stopping.store(true, Ordering::Relaxed);
        for stop in &self.stops {
            // A worker that has ended no longer listens; joining tells why.
            let _ = stop.send(Message::Stop);
        }
        // Nobody listens where nothing is promoted.
        let _ = self.stop_promoting.send(Heard::Stop);
        let mut died = false;
        for thread in self.threads {
            died |= thread.join().is_err();
        }
        if died { Err(io::Error::other("a background worker panicked; see the log")) } else { Ok(()) }
    }
}

fn watch_memory(vfs: &Vfs, probe: &dyn MemoryProbe, heard: &Receiver<Message>) {
    let (high, low) = vfs.budget().marks();
    let mut monitor = Monitor::new(Watermarks { high, low });
    loop {
        match heard.recv_timeout(WATCH) {
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(Message::Look) | Err(RecvTimeoutError::Timeout) => {}
        }
        let budget = vfs.budget();
        let sample = probe.sample();
        let level = monitor.observe(pressure(budget.held(), budget.limit(), &sample));
        let pressed = level == Level::High || (budget.is_pressed() && budget.above_low() > 0);
        budget.set_pressed(pressed);
        if pressed {
            relieve(vfs, &sample);
        }
    }
}

/// Frees what lies above the low mark: of our own limit, or of the machine's or cgroup's memory if that is fuller.
fn relieve(vfs: &Vfs, sample: &crate::pressure::Sample) {
    let budget = vfs.budget();
    let (_, low) = budget.marks();
    let outer = sample.tightest().map_or_else(
        || {
            sample
                .machine_total
                .saturating_sub(sample.machine_available)
                .saturating_sub((sample.machine_total as f64 * low) as u64)
        },
        |group| group.used.saturating_sub((group.limit as f64 * low) as u64),
    );
    let wanted = budget.above_low().max(outer.min(budget.tmpfs()));
    if wanted == 0 {
        return;
    }
    let relief = vfs.relieve(wanted);
    if relief.files > 0 || relief.refused > 0 {
        tracing::debug!(
            "memory pressure: {} files ({} bytes) left memory, {} could not",
            relief.files,
            relief.bytes,
            relief.refused
        );
    }
}

fn write_behind(vfs: &Vfs, heard: &Receiver<Message>) {
    if vfs.may_end()
        && let Err(e) = vfs.probe_disk()
    {
        tracing::warn!("how fast the workspace's disk is could not be tried: {e}");
    }
    let (every, most) = if vfs.may_end() { (BEHIND_SOON, BEHIND) } else { (BEHIND, REST_MOST) };
    let mut pause = every;
    while waits(heard, pause) {
        let began = Instant::now();
        let written = vfs.write_behind(LATEST);
        if written > 0 {
            tracing::debug!("wrote {written} files behind");
        }
        pause = rest(written, began, every, most);
    }
}

fn seal(vfs: &Vfs, heard: &Receiver<Message>) {
    step_back(SEAL_PRIORITY);
    let mut pause = SEAL;
    while waits(heard, pause) {
        let began = Instant::now();
        let sealed = vfs.seal_rested();
        if sealed > 0 {
            tracing::debug!("sealed {sealed} files");
        }
        pause = rest(sealed, began, SEAL, REST_MOST);
    }
}

/// How long to wait before the next look at all files: where there are very many, and nothing was to be done, longer.
fn rest(done: usize, began: Instant, every: Duration, most: Duration) -> Duration {
    if done > 0 { every } else { every.max((began.elapsed() * REST).min(most)) }
}

fn clear(vfs: &Vfs, heard: &Receiver<Message>) {
    while let Ok(Message::Look) = heard.recv() {
        vfs.remove_leaving();
    }
    vfs.remove_leaving();
}

/// Waits until it is time to look again; `false` at the end of the mount.
fn waits(heard: &Receiver<Message>, every: Duration) -> bool {
    match heard.recv_timeout(every) {
        Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => false,
        Ok(Message::Look) | Err(RecvTimeoutError::Timeout) => true,
    }
}

/// The calling thread, and those that it starts, let others go first. On Linux a nice value belongs to a thread.
fn step_back(nice: i32) {
    let thread = rustix::thread::gettid();
    if let Err(e) = rustix::process::setpriority_process(Some(thread), nice) {
        tracing::debug!("background work runs at ordinary priority: {e}");
    }
}
