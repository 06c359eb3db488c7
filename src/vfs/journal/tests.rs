//! What is appended reads back, and nothing else.

use std::path::Path;

use super::*;

fn identity(ino: u64) -> Identity {
    let time = Timestamp { secs: -3, nanos: 999_999_999 };
    Identity { dev: 1, ino, size: 1 << 40, mtime: time, ctime: time }
}

fn samples() -> Vec<Record> {
    let path = |p: &str| RelPath::from_path(Path::new(p)).expect("relative");
    vec![
        Record::Over { memory: 7, dir: 2, name: "a.tif".into(), over: Some(identity(9)) },
        Record::Over { memory: 7, dir: 2, name: OsString::from_vec(vec![0xff, b'\n']), over: None },
        Record::Clean { memory: identity(7) },
        Record::Dirty { memory: 7 },
        Record::Publishing { memory: identity(7), dev: 2, ino: 3 },
        Record::Rename(Box::new(RenameIntent {
            exchange: true,
            from: path("a/b"),
            to: path("c"),
            disk: (1, 0),
            memory: (0, 5),
        })),
        Record::Renamed,
        Record::Left { memory: 7 },
        Record::Sealed { memory: identity(7), id: SealedId { store: u128::MAX - 1, record: 12 }, absent: true },
        Record::Dropping { id: SealedId { store: 1 << 100, record: 3 } },
        Record::Updating { id: SealedId { store: 5, record: 0 } },
        Record::Waiting { path: path("a/b"), ino: 9 },
        Record::Unnamed { path: path("a/b") },
        Record::Partial { memory: 7, id: SealedId { store: 1 << 99, record: 4 }, upto: 1 << 33 },
        Record::Written { memory: 7, start: 8, end: 12 },
        Record::Whole { memory: 7 },
        Record::Found { memory: 7 },
    ]
}

#[test]
fn records_read_back_as_they_were_written() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let top = File::open(dir.path()).expect("opens");
    let (journal, old) = Journal::open(std::os::fd::AsFd::as_fd(&top)).expect("new journal");
    assert!(old.is_empty());
    for record in samples() {
        journal.append(&record).expect("appends");
    }
    let (_, read) = Journal::open(std::os::fd::AsFd::as_fd(&top)).expect("journal");
    assert_eq!(read, samples());
}

#[test]
fn a_torn_or_damaged_tail_ends_the_reading_at_the_last_whole_record() {
    let mut bytes = Vec::new();
    for record in samples() {
        encode(&record, &mut bytes);
    }
    for cut in 0..bytes.len() {
        let read = decode_all(&bytes[..cut]);
        assert_eq!(read[..], samples()[..read.len()]);
    }
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert_eq!(decode_all(&bytes).len(), samples().len() - 1);
}

#[test]
fn a_rewritten_journal_holds_only_what_it_was_given() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let top = File::open(dir.path()).expect("opens");
    let (journal, _) = Journal::open(std::os::fd::AsFd::as_fd(&top)).expect("new journal");
    journal.append(&Record::Dirty { memory: 1 }).expect("appends");
    journal.rewrite(|| [Record::Renamed]).expect("rewrites");
    journal.append(&Record::Dirty { memory: 2 }).expect("appends");
    let (_, read) = Journal::open(std::os::fd::AsFd::as_fd(&top)).expect("journal");
    assert_eq!(read, vec![Record::Renamed, Record::Dirty { memory: 2 }]);
}
