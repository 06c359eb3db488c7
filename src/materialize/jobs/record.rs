//! The record of a job, which outlives the daemon: lines of text in `.scopefs/job-N`, appended as it goes.
//!
//! | line | says |
//! | --- | --- |
//! | `scopefs job 1` | what this file is |
//! | `task migrate TIER` | what is done |
//! | `tree PATH`, `glob GLOB` | with what |
//! | `from TIER PATH` | this file is about to be moved, and where it is now |
//! | `state WORD` | how the job ended, until the next `from` |
//!
//! A line is written before the files of a batch move, so none that was moved is missing, and one that says too much
//! does no harm: what is found where it was needs no way back. Paths are words (`%` and two hexadecimal digits for all
//! but printable ASCII). Nothing waits for the disk: a record must outlive the daemon; of a machine that lost power,
//! the last lines may be missing. A torn line at the end is none.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{self as sys, AtFlags, Mode, OFlags};

use super::order::{Busy, Order, State, Target, Task};
use crate::model::{RelPath, Tier, path_to_word, word_to_path};
use crate::route::PathGlob;

const FIRST: &str = "scopefs job 1";
const PREFIX: &str = "job-";

/// A record that is being written.
#[derive(Debug)]
pub struct Record {
    file: File,
    name: String,
}

/// What a record says.
#[derive(Debug)]
pub struct Read {
    /// What was asked for.
    pub order: Order,
    /// How it ended; `None` if it did not.
    pub state: Option<State>,
}

impl Record {
    /// Begins the record of job `id` in the directory `dir`.
    pub fn create(dir: impl AsFd, id: u64, order: &Order) -> io::Result<Record> {
        let name = format!("{PREFIX}{id}");
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(sys::openat(&dir, &name, flags, Mode::RUSR | Mode::WUSR)?);
        let mut record = Record { file, name };
        let mut text = format!("{FIRST}\ntask {}\n", task_words(order.task));
        for target in &order.targets {
            text += &match target {
                Target::Tree(path) => format!("tree {}\n", path_to_word(path)),
                // A glob is text with no line in it, or it would not have been compiled from one.
                Target::Glob(glob) => format!("glob {}\n", glob.as_str().replace('\n', "?")),
            };
        }
        match record.file.write_all(text.as_bytes()) {
            Ok(()) => Ok(record),
            Err(e) => {
                record.remove(dir)?;
                Err(e)
            }
        }
    }

    /// Goes on with the record of job `id`.
    pub fn resume(dir: impl AsFd, id: u64) -> io::Result<Record> {
        let name = format!("{PREFIX}{id}");
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut record = Record { file: File::from(sys::openat(dir, &name, flags, Mode::empty())?), name };
        // What a killed daemon had begun to write must not run into what follows.
        record.file.write_all(b"\n")?;
        Ok(record)
    }

    /// These files are about to be moved.
    pub fn moving<'p>(&mut self, files: impl Iterator<Item = (&'p RelPath, Tier)>) -> io::Result<()> {
        let lines: String = files.map(|(path, from)| format!("from {from} {}\n", path_to_word(path))).collect();
        self.file.write_all(lines.as_bytes())
    }

    /// The job has ended so.
    pub fn ended(&mut self, state: State) -> io::Result<()> {
        self.file.write_all(format!("state {}\n", state.as_str()).as_bytes())
    }

    /// Takes it away.
    pub fn remove(&self, dir: impl AsFd) -> io::Result<()> {
        Ok(sys::unlinkat(dir, &self.name, AtFlags::empty())?)
    }
}

/// The numbers of all jobs that have a record in `dir`.
pub fn list(dir: BorrowedFd<'_>) -> io::Result<Vec<u64>> {
    let mut ids = Vec::new();
    let fd = sys::openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    for entry in sys::Dir::read_from(&fd)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        ids.extend(name.strip_prefix(PREFIX).and_then(|id| id.parse::<u64>().ok()));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Takes the record of a job away.
pub fn remove(dir: BorrowedFd<'_>, id: u64) -> io::Result<()> {
    let name = OsString::from(format!("{PREFIX}{id}"));
    Ok(sys::unlinkat(dir, &name, AtFlags::empty())?)
}

/// What the record of a job says; `None` if it is none of ours.
pub fn read(dir: BorrowedFd<'_>, id: u64) -> io::Result<Option<Read>> {
    let mut lines = lines(dir, id)?;
    if lines.next().transpose()?.as_deref() != Some(FIRST) {
        return Ok(None);
    }
    let (mut task, mut targets, mut state) = (None, Vec::new(), None);
    for line in lines {
        let line = line?;
        let Some((word, rest)) = line.split_once(' ') else { continue };
        match word {
            "task" => task = parse_task(rest),
            "tree" => targets.extend(word_to_path(rest).map(Target::Tree)),
            "glob" => targets.extend(PathGlob::new(rest).ok().map(Target::Glob)),
            "from" => state = None,
            "state" => state = State::ALL.into_iter().find(|state| state.as_str() == rest),
            _ => {}
        }
    }
    Ok(task.map(|task| Read { order: Order { task, targets, busy: Busy::Tell }, state }))
}

/// Calls `visit` with each file that a job was about to move and the tier where it was, until that answers `false`.
pub fn moved(dir: BorrowedFd<'_>, id: u64, visit: &mut dyn FnMut(RelPath, Tier) -> bool) -> io::Result<()> {
    for line in lines(dir, id)? {
        let line = line?;
        let words = line.strip_prefix("from ").and_then(|rest| rest.split_once(' '));
        let Some((tier, path)) = words else { continue };
        if let (Ok(tier), Some(path)) = (tier.parse(), word_to_path(path))
            && !visit(path, tier)
        {
            break;
        }
    }
    Ok(())
}

/// Whole lines; bytes that are no text are none of ours.
fn lines(dir: BorrowedFd<'_>, id: u64) -> io::Result<impl Iterator<Item = io::Result<String>>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(sys::openat(dir, format!("{PREFIX}{id}"), flags, Mode::empty())?);
    let mut reader = BufReader::new(file);
    Ok(std::iter::from_fn(move || {
        let mut line = Vec::new();
        match reader.read_until(b'\n', &mut line) {
            Err(e) => Some(Err(e)),
            // Cut off at the end: it was being written when the daemon was killed.
            Ok(_) if line.pop() != Some(b'\n') => None,
            Ok(_) => Some(Ok(String::from_utf8_lossy(&line).into_owned())),
        }
    }))
}

fn task_words(task: Task) -> String {
    match task {
        Task::Migrate(tier) => format!("migrate {tier}"),
        Task::Raise => "raise".to_owned(),
        Task::Leave => "leave".to_owned(),
    }
}

fn parse_task(words: &str) -> Option<Task> {
    match words.split_once(' ') {
        Some(("migrate", tier)) => tier.parse().ok().map(Task::Migrate),
        None if words == "raise" => Some(Task::Raise),
        None if words == "leave" => Some(Task::Leave),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;
    use std::path::Path;

    fn rel(text: &str) -> RelPath {
        RelPath::from_path(Path::new(text)).expect("relative")
    }

    fn order() -> Order {
        let glob = Target::Glob(PathGlob::new("p/*.tif").expect("a glob"));
        Order { task: Task::Migrate(Tier::Disk), targets: vec![Target::Tree(rel("a b")), glob], busy: Busy::Skip }
    }

    fn dir() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().expect("a directory");
        let fd = File::open(dir.path()).expect("opens").into();
        (dir, fd)
    }

    fn all(fd: &OwnedFd) -> Vec<(String, Tier)> {
        let mut found = Vec::new();
        moved(fd.as_fd(), 3, &mut |path, tier| {
            found.push((path.to_string(), tier));
            true
        })
        .expect("reads");
        found
    }

    #[test]
    fn a_record_tells_what_was_asked_what_moved_and_how_it_ended() {
        let (_dir, fd) = dir();
        let mut record = Record::create(&fd, 3, &order()).expect("begins");
        record.moving([(&rel("a b/x\ny"), Tier::Memory)].into_iter()).expect("notes");
        let read_now = || read(fd.as_fd(), 3).expect("reads").expect("ours");
        assert_eq!(read_now().state, None);
        record.ended(State::Cancelled).expect("notes");
        let now = read_now();
        assert_eq!((now.order.task, now.order.targets.len()), (Task::Migrate(Tier::Disk), 2));
        assert_eq!(now.state, Some(State::Cancelled));
        assert_eq!(all(&fd), [("a b/x\ny".to_owned(), Tier::Memory)]);
        let mut record = Record::resume(&fd, 3).expect("goes on");
        record.moving([(&rel("c"), Tier::Zarr)].into_iter()).expect("notes");
        assert_eq!(read_now().state, None, "a job that went on has not ended");
        assert_eq!(list(fd.as_fd()).expect("lists"), [3]);
        remove(fd.as_fd(), 3).expect("removes");
        assert!(list(fd.as_fd()).expect("lists").is_empty());
    }

    #[test]
    fn a_line_that_a_killed_daemon_had_begun_is_none_and_hides_nothing() {
        let (dir, fd) = dir();
        Record::create(&fd, 3, &order()).expect("begins");
        let path = dir.path().join("job-3");
        for torn in ["from disk whole\nfrom mem", "from disk plate/a.t", "state do"] {
            let mut file = File::options().append(true).open(&path).expect("opens");
            file.write_all(torn.as_bytes()).expect("writes");
            let mut record = Record::resume(&fd, 3).expect("goes on");
            record.moving([(&rel("next"), Tier::Disk)].into_iter()).expect("notes");
        }
        let found = all(&fd);
        assert!(found.contains(&("whole".to_owned(), Tier::Disk)), "{found:?}");
        assert_eq!(found.iter().filter(|(path, _)| path == "next").count(), 3, "{found:?}");
        assert!(read(fd.as_fd(), 3).expect("reads").expect("ours").state.is_none());
    }

    #[test]
    fn a_file_of_somebody_else_is_no_record() {
        let (dir, fd) = dir();
        std::fs::write(dir.path().join("job-3"), "something else\n").expect("writes");
        std::fs::write(dir.path().join("job-x"), "").expect("writes");
        assert!(read(fd.as_fd(), 3).expect("reads").is_none());
        assert_eq!(list(fd.as_fd()).expect("lists"), [3]);
    }
}
