//! A daemon that only opens a place and does what it is told, and the handle by which a test holds it.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::fs::{AtFlags, Mode, OFlags};
use scopefs::backend::memory::place::{Place, PlaceKind, WorkspaceId, open_or_create};

pub const MIB: u64 = 1 << 20;

/// The daemon's side: a line in, a line out.
pub fn act(workspace: &Path) {
    let id = WorkspaceId::of(File::open(workspace).expect("workspace")).expect("id");
    let mut place: Option<Place> = None;
    for line in io::stdin().lines() {
        let line = line.expect("a command");
        let (verb, value) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = match verb {
            "open" => match open_or_create(&id, mib(value)) {
                Ok(opened) => {
                    let answer = in_a_line(&opened);
                    place = Some(opened);
                    answer
                }
                Err(error) => format!("error: {error}"),
            },
            "remove" => place.take().map_or("error: not open".to_owned(), |place| told(place.remove().map(|()| "ok"))),
            _ => place.as_ref().map_or("error: not open".to_owned(), |place| on(place, verb, value)),
        };
        println!("{answer}");
    }
}

fn on(place: &Place, verb: &str, value: &str) -> String {
    match verb {
        "used" => told(place.used_bytes()),
        "resize" => told(place.resize(mib(value)).map(|()| "ok")),
        "write" => told(write(place, value).map(|()| "ok")),
        "unlink" => told(rustix::fs::unlinkat(&place.root, value, AtFlags::empty()).map(|()| "ok")),
        _ => format!("error: no {verb}"),
    }
}

fn mib(text: &str) -> u64 {
    text.parse::<u64>().expect("MiB") * MIB
}

fn write(place: &Place, name: &str) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    File::from(rustix::fs::openat(&place.root, name, flags, Mode::RUSR | Mode::WUSR)?).write_all(&[7; MIB as usize])
}

fn in_a_line(place: &Place) -> String {
    let kind = match place.kind {
        PlaceKind::HostTmpfs => "host".to_owned(),
        PlaceKind::Keeper { pid } => pid.to_string(),
        PlaceKind::SharedMemory => "shared".to_owned(),
    };
    let found = if place.found { "found" } else { "new" };
    format!("{kind}\t{found}\t{}\t{}", place.shown_as.display(), place.runtime_dir.display())
}

fn told<T: Display, E: Display>(result: Result<T, E>) -> String {
    result.map_or_else(|error| format!("error: {error}"), |value| value.to_string())
}

/// What the daemon says of an opened place.
#[derive(Debug, Clone)]
pub struct Opened {
    pub kind: String,
    pub found: bool,
    pub shown_as: PathBuf,
    pub runtime_dir: PathBuf,
}

impl Opened {
    /// The keeper's process, if it is kept by one.
    pub fn keeper(&self) -> Option<i32> {
        self.kind.parse().ok()
    }
}

/// The test's side.
pub struct Daemon {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Daemon {
    pub fn start(mut command: Command) -> Daemon {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the daemon starts");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Daemon { child, input, output }
    }

    pub fn ask(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").expect("the daemon lives");
        let mut answer = String::new();
        self.output.read_line(&mut answer).expect("the daemon answers");
        answer.trim_end().to_owned()
    }

    pub fn open(&mut self, mib: u64) -> Result<Opened, String> {
        let answer = self.ask(&format!("open {mib}"));
        let fields: Vec<&str> = answer.split('\t').collect();
        match fields[..] {
            [kind, found, shown_as, runtime_dir] => Ok(Opened {
                kind: kind.to_owned(),
                found: found == "found",
                shown_as: shown_as.into(),
                runtime_dir: runtime_dir.into(),
            }),
            _ => Err(answer),
        }
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("collected");
    }
}
