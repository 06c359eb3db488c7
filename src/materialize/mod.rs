//! Background moves: making room under pressure, and writing behind.
//!
//! Named threads, each fed by a channel that also ends it: one watches memory and frees it, one brings home what has been
//! idle or dirty for too long, one brings up what is read. A panic in any is noticed by whoever stops them.

mod backing;
mod promote;

pub mod jobs;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::config::Promote;
use crate::pressure::{Level, MemoryProbe, Monitor, Watermarks, pressure};
use crate::vfs::Vfs;
use promote::Heard;
pub use promote::Reads;

/// How often memory is looked at when nobody says that it is short.
const WATCH: Duration = Duration::from_millis(250);
/// How often files are looked at for writing behind.
const BEHIND: Duration = Duration::from_secs(1);
/// A dirty byte reaches the disk at the latest after this, whatever happens to its file.
const LATEST: Duration = Duration::from_secs(300);

/// What a worker is told.
enum Message {
    /// Memory is short: look now.
    Short,
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
        let _ = self.0.try_send(Message::Short);
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
}

impl Workers {
    /// Starts all threads.
    pub fn start(
        vfs: Arc<Vfs>,
        probe: Arc<dyn MemoryProbe>,
        bell: AlarmBell,
        (reads, wanted): (Reads, Promote),
    ) -> io::Result<Workers> {
        let (send_behind, behind) = sync_channel(1);
        let stops = vec![bell.alarm.0.clone(), send_behind];
        let watched = vfs.clone();
        let evict = Builder::new()
            .name("scopefs-evict".to_owned())
            .spawn(move || watch_memory(&watched, &*probe, &bell.heard))?;
        let (read, stop_promoting) = (vfs.clone(), reads.send.clone());
        let mut threads = vec![evict];
        if wanted != Promote::Never {
            vfs.listen_to_reads();
            let promote = move || promote::promote(&read, &reads.heard, wanted);
            threads.push(Builder::new().name("scopefs-promote".to_owned()).spawn(promote)?);
        }
        let behind = Builder::new().name("scopefs-behind".to_owned()).spawn(move || write_behind(&vfs, &behind))?;
        threads.push(behind);
        Ok(Workers { stops, stop_promoting, threads })
    }

    /// Ends all threads and waits for them; an error if one of them had panicked.
    pub fn stop(self) -> io::Result<()> {
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
            Ok(Message::Short) | Err(RecvTimeoutError::Timeout) => {}
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
    loop {
        match heard.recv_timeout(BEHIND) {
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(Message::Short) | Err(RecvTimeoutError::Timeout) => {}
        }
        let written = vfs.write_behind(LATEST);
        if written > 0 {
            tracing::debug!("wrote {written} files behind");
        }
        let sealed = vfs.seal_rested();
        if sealed > 0 {
            tracing::debug!("sealed {sealed} files");
        }
    }
}
