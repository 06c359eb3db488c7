//! Which process the keeper is, told so that no other can be mistaken for it.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};

use super::RECORD;

/// One process of this machine since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) pid: u32,
    /// Clock ticks after boot (field 22 of `/proc/PID/stat`, proc(5)).
    pub(super) started: u64,
}

impl Record {
    /// This process.
    pub(super) fn of_self() -> io::Result<Record> {
        let pid = std::process::id();
        let started = started(&proc_dir(pid)?)?;
        Ok(Record { pid, started })
    }

    /// Writes the record into `dir`, whole or not at all.
    pub(super) fn write(self, dir: impl AsFd) -> io::Result<()> {
        const NEW: &str = "keeper.new";
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = std::fs::File::from(rustix::fs::openat(&dir, NEW, flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all(format!("{} {}\n", self.pid, self.started).as_bytes())?;
        rustix::fs::renameat(&dir, NEW, &dir, RECORD)?;
        Ok(())
    }

    /// Reads the record in `dir`; `None` if there is none or it makes no sense.
    pub(super) fn read(dir: impl AsFd) -> Option<Record> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = std::fs::File::from(rustix::fs::openat(dir, RECORD, flags, Mode::empty()).ok()?);
        let mut text = String::new();
        file.take(64).read_to_string(&mut text).ok()?;
        Record::parse(&text)
    }

    fn parse(text: &str) -> Option<Record> {
        let (pid, started) = text.strip_suffix('\n')?.split_once(' ')?;
        Some(Record { pid: pid.parse().ok()?, started: started.parse().ok()? })
    }

    /// The process's directory in `/proc`, if that process is still there. The directory goes on meaning this process
    /// and no other: what is opened below it fails once the process is gone.
    pub(super) fn alive(self) -> Option<OwnedFd> {
        let dir = proc_dir(self.pid).ok()?;
        (started(&dir).ok()? == self.started).then_some(dir)
    }
}

fn proc_dir(pid: u32) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, format!("/proc/{pid}"), flags, Mode::empty())?)
}

/// When the process of this `/proc` directory was started.
pub(super) fn started(dir: impl AsFd) -> io::Result<u64> {
    let mut stat = Vec::new();
    std::fs::File::from(rustix::fs::openat(dir, "stat", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
        .read_to_end(&mut stat)?;
    started_in(&stat).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unexpected form of /proc/PID/stat"))
}

/// Field 22. The name in field 2 may hold blanks and parentheses; the last `)` ends it.
fn started_in(stat: &[u8]) -> Option<u64> {
    let end = stat.iter().rposition(|&b| b == b')')?;
    std::str::from_utf8(stat.get(end + 1..)?).ok()?.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_finds_its_process_and_no_other_with_the_same_number() {
        let dir = tempfile::tempdir().unwrap();
        let fd = std::fs::File::open(dir.path()).unwrap();
        let me = Record::of_self().unwrap();
        me.write(&fd).unwrap();
        assert_eq!(Record::read(&fd), Some(me));
        assert!(me.alive().is_some());
        assert!(Record { started: me.started + 1, ..me }.alive().is_none());
    }

    #[test]
    fn half_a_record_is_none() {
        assert_eq!(Record::parse("123 456\n"), Some(Record { pid: 123, started: 456 }));
        for text in ["", "123", "123 45", "123 \n", "x 1\n"] {
            assert_eq!(Record::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_process_with_an_odd_name_is_read_right() {
        let rest = (3..=21).map(|i| i.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(started_in(format!("7 (a) b) {rest} 4711 23\n").as_bytes()), Some(4711));
    }
}
