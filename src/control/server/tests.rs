use std::io::{Read, Write};
use std::sync::mpsc;

use super::*;
use crate::control::{Client, ClientError, Counts, Outcome, Progress};

/// Answers `sync` at once with progress, `status` when it is told to, and panics at `explain`.
struct Double {
    gate: Mutex<mpsc::Receiver<()>>,
    begun: mpsc::SyncSender<()>,
}

impl Service for Double {
    fn handle(&self, request: Request, events: &mut dyn FnMut(Event)) -> Reply {
        match request {
            Request::Sync { paths } => {
                for done_files in 0..3 {
                    events(Event::Progress(Progress { done_files, total_files: 3, ..Progress::default() }));
                }
                Reply::Done(Outcome::Moved(Counts { files: paths.len() as u64, ..Counts::default() }))
            }
            Request::Status => {
                self.begun.send(()).unwrap();
                self.gate.lock().recv().unwrap();
                Reply::failed("late")
            }
            _ => panic!("as the test asks"),
        }
    }
}

struct Running {
    server: Server,
    path: PathBuf,
    open_gate: mpsc::Sender<()>,
    begun: mpsc::Receiver<()>,
    _dir: tempfile::TempDir,
}

fn running_for(owner: u32) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    fs::write(&path, "left by a dead daemon").unwrap();
    let (open_gate, gate) = mpsc::channel();
    let (tell, begun) = mpsc::sync_channel(8);
    let server = Server::start_for(&path, Arc::new(Double { gate: Mutex::new(gate), begun: tell }), owner).unwrap();
    Running { server, path, open_gate, begun, _dir: dir }
}

fn running() -> Running {
    running_for(rustix::process::geteuid().as_raw())
}

fn sync(client: &mut Client) -> Reply {
    client.call(&Request::Sync { paths: vec!["a".into()] }, &mut |_| {}).unwrap()
}

#[test]
fn one_connection_carries_several_requests_with_their_events_in_order() {
    let running = running();
    let mut client = Client::connect(&running.path).unwrap();
    for _ in 0..2 {
        let mut seen = Vec::new();
        let request = Request::Sync { paths: vec!["a".into(), "b".into()] };
        let reply = client.call(&request, &mut |event| seen.push(event)).unwrap();
        assert_eq!(reply, Reply::Done(Outcome::Moved(Counts { files: 2, ..Counts::default() })));
        let done: Vec<_> = seen.iter().map(|e| matches!(e, Event::Progress(p) if p.total_files == 3)).collect();
        assert_eq!(done, [true; 3]);
    }
    running.server.stop();
    client.wait_for_end();
}

#[test]
fn only_its_owner_can_open_the_socket() {
    let running = running();
    assert_eq!(fs::metadata(&running.path).unwrap().permissions().mode() & 0o777, 0o600);
    running.server.stop();
    assert!(!running.path.exists(), "the socket is taken away at the end");
}

#[test]
fn the_owner_and_root_may_ask_and_nobody_else() {
    assert!(connection::may_ask(1000, 1000) && connection::may_ask(0, 1000));
    assert!(!connection::may_ask(1001, 1000) && !connection::may_ask(1000, 0));
}

#[test]
fn a_connection_is_judged_by_who_the_kernel_says_its_peer_is() {
    let me = rustix::process::geteuid().as_raw();
    let (stream, _other) = UnixStream::pair().unwrap();
    assert!(connection::admit(&stream, me, 0).is_ok());
    // As root nobody is foreign: then only the rule above speaks for this.
    assert_eq!(connection::admit(&stream, me + 1, 0).is_err(), me != 0);
}

#[test]
fn more_than_so_many_connections_are_told_to_come_later() {
    let running = running();
    let mut served: Vec<Client> = (0..MAX_CONNECTIONS).map(|_| Client::connect(&running.path).unwrap()).collect();
    served.iter_mut().for_each(|client| drop(sync(client)));
    let mut refused = Client::connect(&running.path).unwrap();
    assert!(matches!(sync(&mut refused), Reply::Failed { errors, .. } if errors[0].cause.contains("try again")));
    running.server.stop();
}

#[test]
fn a_request_that_has_begun_is_answered_before_the_server_ends() {
    let Running { server, path, open_gate, begun, _dir } = running();
    let asking = std::thread::spawn({
        let path = path.clone();
        move || Client::connect(&path).unwrap().call(&Request::Status, &mut |_| {}).unwrap()
    });
    begun.recv().unwrap();
    let stopping = std::thread::spawn(move || server.stop());
    open_gate.send(()).unwrap();
    assert_eq!(asking.join().unwrap(), Reply::failed("late"));
    stopping.join().unwrap();
    assert!(matches!(Client::connect(&path), Err(ClientError::Connect { .. })));
}

#[test]
fn a_client_that_goes_away_does_not_disturb_the_others() {
    let running = running();
    let mut gone = UnixStream::connect(&running.path).unwrap();
    gone.write_all(b"{\"sync\":{\"paths\":[]}}\n").unwrap();
    drop(gone);
    assert!(matches!(sync(&mut Client::connect(&running.path).unwrap()), Reply::Done(_)));
    running.server.stop();
}

#[test]
fn nonsense_and_a_panic_are_answered_and_the_connection_goes_on() {
    let running = running();
    let mut raw = UnixStream::connect(&running.path).unwrap();
    raw.write_all(b"nonsense\n{\"explain\":{\"paths\":[]}}\n").unwrap();
    raw.shutdown(Shutdown::Write).unwrap();
    let mut answers = String::new();
    raw.read_to_string(&mut answers).unwrap();
    let lines: Vec<&str> = answers.lines().collect();
    assert_eq!(lines.len(), 2, "{answers}");
    assert!(lines[0].contains("does not understand") && lines[1].contains("its own program"), "{answers}");
    assert!(matches!(sync(&mut Client::connect(&running.path).unwrap()), Reply::Done(_)));
    running.server.stop();
}
