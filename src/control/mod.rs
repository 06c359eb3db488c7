//! What a person or a script says to a running daemon, and how it answers: JSON lines over a Unix socket.
//!
//! The socket lies in a directory that only the owner of the daemon can enter, and each connection's peer is checked
//! again: the same user, or root. A client writes one [`Request`] a line; the daemon answers with any number of
//! [`Event`]s and then one [`Reply`], each a line. A connection carries any number of requests, one after the other.

mod advise;
mod answers;
mod client;
mod find;
mod jobs;
mod metrics;
mod pins;
mod protocol;
mod server;
pub mod status;
mod wire_path;

pub use advise::{Advice, Advised};
pub use answers::{Answers, conflicts, failures, progress_of, status_of};
pub use client::{Client, ClientError};
pub use find::{Find, FoundAll, FoundFile, FoundStore, FoundStores, Order};
pub use jobs::{JobStatus, JobTrouble, JobVerb, Plan};
pub use metrics::metrics;
pub use pins::Pinned;
pub use protocol::{Answer, Counts, Event, FileError, Outcome, Progress, Reply, Request};
pub use server::{MAX_CONNECTIONS, Server, Service};
pub use status::{Explained, Status};
pub use wire_path::WirePath;
