//! One connection: who it is, its requests, the answers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::{MAX_CONNECTIONS, Service};
use crate::control::protocol::{Answer, Event, Reply, Request};

/// A request longer than this is no request: some 100,000 paths fit.
const LONGEST: u64 = 32 << 20;

/// A client that does not read its answers for so long is taken for gone; an unmount must not wait for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether the peer may ask; the error says why not.
pub(super) fn admit(stream: &UnixStream, owner: u32, served: usize) -> Result<(), String> {
    let peer = rustix::net::sockopt::socket_peercred(stream)
        .map_err(|error| format!("it cannot be told who asks: {error}"))?
        .uid
        .as_raw();
    if !may_ask(peer, owner) {
        return Err(format!("this mount belongs to user {owner}; ask as that user or as root, not as user {peer}"));
    }
    if served >= MAX_CONNECTIONS {
        return Err(format!("{MAX_CONNECTIONS} other requests are being served; try again when one of them has ended"));
    }
    Ok(())
}

/// Root may ask every daemon, everybody else his own.
pub(super) fn may_ask(peer: u32, owner: u32) -> bool {
    peer == owner || peer == 0
}

/// Answers why not, and closes.
pub(super) fn refuse(mut stream: UnixStream, cause: &str) {
    // Nothing is to be done for a client that does not even wait for the reason. The socket's buffer is empty, so
    // this does not block.
    let _ = send(&mut stream, &Answer::Reply(Reply::failed(cause)));
}

/// Serves requests until the client, or the end of the daemon, closes the connection.
pub(super) fn serve(stream: UnixStream, service: &dyn Service) {
    if let Err(error) = serve_all(stream, service) {
        tracing::debug!("a control connection has ended: {error}");
    }
}

fn serve_all(stream: UnixStream, service: &dyn Service) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        reader.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        if line.pop() != Some(b'\n') {
            return send(&mut writer, &Answer::Reply(Reply::failed("the request is cut off or too long")));
        }
        let reply = match serde_json::from_slice(&line) {
            Ok(request) => answer(service, request, &mut writer),
            Err(error) => Reply::failed(format!(
                "the daemon does not understand this request ({error}); it is scopefs {}",
                env!("CARGO_PKG_VERSION")
            )),
        };
        send(&mut writer, &Answer::Reply(reply))?;
    }
}

fn answer(service: &dyn Service, request: Request, writer: &mut UnixStream) -> Reply {
    // One failed write and the client is taken for gone; the work goes on without it.
    let mut there = true;
    let mut events = |event: Event| there = there && send(writer, &Answer::Event(event)).is_ok();
    catch_unwind(AssertUnwindSafe(|| service.handle(request, &mut events))).unwrap_or_else(|_| {
        tracing::error!("a request of the control socket has panicked");
        Reply::failed("the daemon met an error in its own program; its log says where")
    })
}

fn send(writer: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    writer.write_all(&line)
}
