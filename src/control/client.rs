//! The side of the control socket that asks.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::protocol::{Answer, Event, Reply, Request};

/// A connection to a daemon.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<UnixStream>,
    socket: PathBuf,
}

/// Why the daemon could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("cannot reach the daemon at {}: {source}", socket.display())]
    Connect {
        /// The control socket.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It went away before it had answered.
    #[error("the daemon behind {} went away before it had answered; what was in memory stays there, and the next \
             mount of the workspace has it", socket.display())]
    Gone {
        /// The control socket.
        socket: PathBuf,
    },
    /// It says what we do not understand.
    #[error("the daemon behind {} speaks another version of scopefs: {source}; use the program that mounted it", socket.display())]
    Speech {
        /// The control socket.
        socket: PathBuf,
        /// What could not be read.
        source: serde_json::Error,
    },
}

impl Client {
    /// Connects to the daemon that listens at `socket`.
    pub fn connect(socket: &Path) -> Result<Client, ClientError> {
        let stream = UnixStream::connect(socket)
            .map_err(|source| ClientError::Connect { socket: socket.to_path_buf(), source })?;
        Ok(Client { reader: BufReader::new(stream), socket: socket.to_path_buf() })
    }

    /// Asks, hands on what the daemon tells meanwhile, and returns its reply.
    pub fn call(&mut self, request: &Request, events: &mut dyn FnMut(Event)) -> Result<Reply, ClientError> {
        let mut line = serde_json::to_vec(request).map_err(|source| self.speech(source))?;
        line.push(b'\n');
        // A daemon that refuses us has answered before it closed: read that rather than report the broken pipe.
        let sent = self.reader.get_mut().write_all(&line);
        let mut answer = String::new();
        loop {
            answer.clear();
            match self.reader.read_line(&mut answer) {
                Ok(0) | Err(_) => return Err(self.gone()),
                Ok(_) => {}
            }
            match serde_json::from_str(&answer).map_err(|source| self.speech(source))? {
                Answer::Event(event) => events(event),
                Answer::Reply(reply) if sent.is_ok() || matches!(reply, Reply::Failed { .. }) => return Ok(reply),
                Answer::Reply(_) => return Err(self.gone()),
            }
        }
    }

    /// Returns when the daemon has closed the connection, as its last act.
    pub fn wait_for_end(mut self) {
        let mut rest = String::new();
        while matches!(self.reader.read_line(&mut rest), Ok(n) if n > 0) {
            rest.clear();
        }
    }

    fn gone(&self) -> ClientError {
        ClientError::Gone { socket: self.socket.clone() }
    }

    fn speech(&self, source: serde_json::Error) -> ClientError {
        ClientError::Speech { socket: self.socket.clone(), source }
    }
}
