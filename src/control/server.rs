//! The side of the control socket that answers.

mod connection;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use parking_lot::Mutex;

use super::protocol::{Event, Reply, Request};

/// Connections served at a time; one more is told to come later.
pub const MAX_CONNECTIONS: usize = 32;

/// What answers. Called from several threads at once.
pub trait Service: Send + Sync {
    /// Does what is asked, telling `events` how far it is. A caller that is gone does not stop the work.
    fn handle(&self, request: Request, events: &mut dyn FnMut(Event)) -> Reply;
}

/// A listening control socket with its threads.
pub struct Server {
    path: PathBuf,
    listener: Arc<UnixListener>,
    accepting: Option<JoinHandle<()>>,
    connections: Arc<Connections>,
}

/// What the threads share.
struct Connections {
    service: Arc<dyn Service>,
    /// The user whose requests are served, besides root's.
    owner: u32,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    /// A second handle on each connection's socket, to wake its thread, and the thread.
    threads: HashMap<u64, (UnixStream, JoinHandle<()>)>,
    /// Ended by themselves; still to be joined.
    ended: Vec<JoinHandle<()>>,
}

impl Server {
    /// Listens at `path`, with mode 0600, for this process's user and root. A socket left by a dead daemon is replaced:
    /// whoever holds the workspace's lock is the only one to listen here.
    pub fn start(path: &Path, service: Arc<dyn Service>) -> io::Result<Server> {
        Server::start_for(path, service, rustix::process::geteuid().as_raw())
    }

    fn start_for(path: &Path, service: Arc<dyn Service>, owner: u32) -> io::Result<Server> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Between bind and chmod the directory's own mode keeps others out, and each peer is checked besides.
        let listener = Arc::new(UnixListener::bind(path)?);
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let connections = Arc::new(Connections { service, owner, open: Mutex::default() });
        let accepting = Builder::new().name("control".to_owned()).spawn({
            let (listener, connections) = (listener.clone(), connections.clone());
            move || accept(&listener, &connections)
        })?;
        Ok(Server { path: path.to_path_buf(), listener, accepting: Some(accepting), connections })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the socket away: nobody new can come, while those who are connected are still served.
    pub fn close(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        // Removed first, so that nobody connects to a socket at which nobody will accept.
        let _ = fs::remove_file(&self.path);
        // Wakes the thread out of accept(2), which then fails with EINVAL.
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
        join(accepting);
    }

    /// Closes, waits until every request that has begun is answered, and joins all threads.
    pub fn stop(mut self) {
        self.close();
        self.connections.finish();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
    }
}

fn accept(listener: &UnixListener, connections: &Arc<Connections>) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => connections.begin(stream),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return,
            Err(error) if matches!(error.raw_os_error(), Some(libc::ECONNABORTED)) => {}
            Err(error) => {
                tracing::error!("the control socket takes no more requests: {error}");
                return;
            }
        }
    }
}

impl Connections {
    /// Serves one connection in a thread of its own, if it may and there is room.
    fn begin(self: &Arc<Self>, stream: UnixStream) {
        let mut open = self.open.lock();
        open.ended.drain(..).for_each(join);
        if let Err(cause) = connection::admit(&stream, self.owner, open.threads.len()) {
            drop(open);
            connection::refuse(stream, &cause);
            return;
        }
        let id = open.next;
        open.next += 1;
        let spawned = stream.try_clone().and_then(|waker| {
            let connections = self.clone();
            // It ends by taking its own entry out, for which it must wait until we have put that in.
            let thread = Builder::new().name(format!("control-{id}")).spawn(move || {
                connection::serve(stream, &*connections.service);
                connections.end(id);
            })?;
            Ok((waker, thread))
        });
        match spawned {
            Ok(entry) => drop(open.threads.insert(id, entry)),
            Err(error) => tracing::warn!("a control request could not be served: {error}"),
        }
    }

    fn end(&self, id: u64) {
        let mut open = self.open.lock();
        if let Some((_, thread)) = open.threads.remove(&id) {
            open.ended.push(thread);
        }
    }

    /// Lets every connection finish what it is at, and joins its thread.
    fn finish(&self) {
        let open = std::mem::take(&mut *self.open.lock());
        for (waker, thread) in open.threads.into_values() {
            // Only the reading side: the reply to a request that has begun still goes out.
            let _ = waker.shutdown(Shutdown::Read);
            join(thread);
        }
        open.ended.into_iter().for_each(join);
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the control socket has panicked");
    }
}

#[cfg(test)]
mod tests;
