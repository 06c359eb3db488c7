//! Stores made by hand: exported, checked, mended, and restored by Python.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use super::super::blosc::{Filter, FilterChoice};
use super::super::table::{Due, Flaw};
use super::*;

impl Made {
    /// Runs restore.py; `None`, said aloud, if there is no Python.
    fn restore(&self, words: &[&str]) -> Option<(i32, String)> {
        let run = Command::new("python3").arg(self.root().join("restore.py")).args(words).output();
        let Ok(run) = run else {
            eprintln!("SKIPPED: there is no python3 to run restore.py");
            return None;
        };
        let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        Some((run.status.code().unwrap_or(-1), said))
    }

    fn assert_restored(&self, dest: &Path, but: &[u8]) {
        for (number, (name, bytes)) in (1..).zip(&self.files) {
            let path = dest.join(std::ffi::OsStr::from_bytes(name));
            if name == but {
                assert!(!path.exists(), "{path:?} is damaged");
                continue;
            }
            assert!(fs::read(&path).unwrap() == *bytes, "{path:?}");
            let attributes = fs::metadata(&path).unwrap();
            assert_eq!((attributes.mtime(), attributes.mtime_nsec()), (1_500_000_000 + number, 123_456_789));
            assert_eq!(attributes.permissions().mode() & 0o7777, 0o640);
        }
    }
}

const KINDS: [(Version, bool); 3] = [(Version::V2, false), (Version::V3, false), (Version::V3, true)];

#[test]
fn a_sound_store_is_found_sound_and_exported_byte_for_byte() {
    for (version, sharded) in KINDS {
        let made = made(version, sharded);
        assert_eq!(made.check(), [], "{version:?}");
        let dest = made.dir.path().join("out");
        let done = export(&made.open(), &dest, &mut |_, _| true);
        assert_eq!(done.failed, []);
        assert_eq!(done.files, made.files.len() as u64 + 1);
        made.assert_restored(&dest, b"");
        let inode = |name: &str| fs::metadata(dest.join(name)).unwrap().ino();
        assert_eq!(inode("B/a.tif"), inode("links/second.tif"));
    }
}

#[test]
fn python_restores_every_original() {
    for (version, sharded) in KINDS {
        let made = made(version, sharded);
        let dest = made.dir.path().join("out");
        let Some((code, said)) = made.restore(&[made.root().to_str().unwrap(), dest.to_str().unwrap()]) else { return };
        assert_eq!(code, 0, "{version:?} {sharded}: {said}");
        made.assert_restored(&dest, b"");
        assert_eq!(fs::read(dest.join("links/second.tif")).unwrap(), made.files[0].1);
    }
}

#[test]
fn python_lists_verifies_and_takes_names() {
    let made = made(Version::V2, false);
    let Some((code, said)) = made.restore(&["--list"]) else { return };
    assert_eq!((code, said.lines().count()), (0, 7), "the name with a line break has two: {said}");
    let (code, said) = made.restore(&["--verify"]).unwrap();
    assert_eq!(code, 0, "{said}");
    let dest = made.dir.path().join("out");
    let (code, said) = made.restore(&[made.root().to_str().unwrap(), dest.to_str().unwrap(), "B"]).unwrap();
    assert_eq!((code, fs::read_dir(&dest).unwrap().count()), (0, 1), "{said}");
}

#[test]
fn a_damaged_chunk_costs_its_file_alone() {
    let made = made(Version::V2, false);
    let mut bytes = fs::read(made.chunk(1)).unwrap();
    // The length of the first split: nothing fits any more.
    let at = u32::from_le_bytes(bytes[16..20].try_into().unwrap()) as usize;
    bytes[at] ^= 0x10;
    fs::write(made.chunk(1), &bytes).unwrap();
    let name = RelPath::from_bytes(&made.files[1].0).unwrap();
    assert!(matches!(&made.check()[..], [Finding::Damaged { name: of, .. }] if *of == name), "{:?}", made.check());
    let dest = made.dir.path().join("out");
    assert_eq!(export(&made.open(), &dest, &mut |_, _| true).failed.len(), 1);
    made.assert_restored(&dest, &made.files[1].0);
    let dest = made.dir.path().join("out2");
    let Some((code, said)) = made.restore(&[made.root().to_str().unwrap(), dest.to_str().unwrap()]) else { return };
    assert_eq!(code, 1, "{said}");
    made.assert_restored(&dest, &made.files[1].0);
}

#[test]
fn lost_bits_are_damage_wherever_they_are_in_a_compressed_chunk() {
    let made = made(Version::V2, false);
    let whole = fs::read(made.chunk(4)).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 8) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        fs::write(made.chunk(4), &bytes).unwrap();
        let found = made.check();
        assert!(matches!(&found[..], [Finding::Damaged { .. }]), "byte {at} of {}: {found:?}", whole.len());
    }
    let done = accept(&made.open()).unwrap();
    assert_eq!((done.files.len(), done.refused.len()), (0, 1), "{done:?}");
}

#[test]
fn pixels_that_do_not_compress_count_as_changed_when_they_differ() {
    let made = made(Version::V2, false);
    let mut bytes = fs::read(made.chunk(3)).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(made.chunk(3), &bytes).unwrap();
    assert!(matches!(&made.check()[..], [Finding::Changed { .. }]), "{:?}", made.check());
}

#[test]
fn a_missing_chunk_is_told_and_not_accepted() {
    let made = made(Version::V3, false);
    fs::remove_file(made.chunk(3)).unwrap();
    assert!(matches!(&made.check()[..], [Finding::Missing { .. }]), "{:?}", made.check());
    let done = accept(&made.open()).unwrap();
    assert!(done.files.is_empty());
    assert_eq!(done.refused.len(), 1);
}

#[test]
fn a_chunk_that_was_changed_from_outside_can_be_accepted() {
    let made = made(Version::V2, false);
    let array = made.open().arrays.array("B/03/0/0").unwrap();
    let other = plane(99, false);
    fs::write(made.chunk(4), array.encode(&other, FilterChoice::Always(Filter::Shuffle)).unwrap().bytes).unwrap();
    assert!(matches!(&made.check()[..], [Finding::Changed { .. }]), "{:?}", made.check());
    let done = accept(&made.open()).unwrap();
    assert_eq!((done.files.len(), done.refused.len()), (1, 0), "{:?}", done.refused);
    let left = made.check();
    assert!(left.iter().all(|finding| !finding.is_loss()), "{left:?}");
    // The recipe lay outside of its page: the old one is a leftover now.
    assert!(matches!(&left[..], [Finding::Orphan { .. }]), "{left:?}");
    assert_eq!(repair(&made.open()).unwrap().removed.len(), 1);
    assert_eq!(made.check(), []);
    let source = made.open();
    let (id, _) = source.table.find(&RelPath::from_bytes(b"long.tif").unwrap()).unwrap();
    let mut read = vec![0; other.len()];
    let file = source.source(&source.table.record(id).unwrap()).unwrap();
    file.read_at(&mut read, 1_500_000).unwrap();
    assert!(read == other);
}

#[test]
fn a_repair_does_what_is_due_and_removes_leftovers_only() {
    let due = [
        Due::Rename { staged: "1-0".into(), path: "B/03/0/0/0/0/0/0".into() },
        Due::Remove { path: "B/03/0/0/1/0/0/0".into() },
        Due::Remove { path: "B/03/0/0/7/1/0/0".into() },
    ];
    let made = made_with(Version::V2, false, due.to_vec());
    fs::rename(made.chunk(0), made.dir.path().join("staging/1-0")).unwrap();
    let leftover = |at: &str| {
        let path = made.root().join(at);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, b"x").unwrap();
        path
    };
    let gone = [leftover("B/03/0/0/7/0/0/0"), leftover("B/03/0/0/7/1/0/0"), leftover("scopefs/literals/19")];
    let kept = [leftover("labels/0/0/0"), leftover("B/03/0/0/notes.txt")];
    assert_eq!(made.check().iter().filter(|f| matches!(f, Finding::Missing { .. })).count(), 1);
    let done = repair(&made.open()).unwrap();
    assert_eq!((done.redone, done.removed.len(), done.kept_leftovers), (2, 2, false));
    assert!(gone.iter().all(|path| !path.exists()));
    assert!(kept.iter().all(|path| path.exists()));
    assert!(made.check().iter().all(|f| !f.is_loss()), "{:?}", made.check());
    made.restore(&["--verify"]).inspect(|(code, said)| assert_eq!(*code, 0, "{said}"));
}

#[test]
fn leftovers_stay_while_a_record_cannot_be_read() {
    let made = made(Version::V2, false);
    let table = made.root().join("scopefs/tables/0");
    let array = made.open().arrays.array(TABLES).unwrap();
    let mut page = made.open().arrays.read_page(0).unwrap();
    let at = page.windows(5).position(|w| w == b"rgb.t").unwrap();
    page[at] ^= 1;
    fs::write(table, array.encode(&page, FilterChoice::Always(Filter::None)).unwrap().bytes).unwrap();
    assert!(matches!(&made.check()[..], [Finding::Table(_)]), "{:?}", made.check());
    let done = repair(&made.open()).unwrap();
    assert!(done.kept_leftovers && done.removed.is_empty());
    let dest = made.dir.path().join("out");
    let Some((code, said)) = made.restore(&[made.root().to_str().unwrap(), dest.to_str().unwrap()]) else { return };
    assert_eq!(code, 1, "{said}");
    made.assert_restored(&dest, b"rgb.tif");
}

#[test]
fn a_page_that_cannot_be_read_costs_its_files_alone() {
    let made = made(Version::V2, false);
    fs::copy(made.root().join("scopefs/tables/0"), made.root().join("scopefs/tables/1")).unwrap();
    File::options().write(true).open(made.root().join("scopefs/tables/0")).unwrap().set_len(10).unwrap();
    let store = made.open();
    assert!(matches!(&store.found.flaws[..], [Flaw::Unread { page: 0, .. }]), "{:?}", store.found.flaws);
    assert_eq!(store.table.entries().len(), made.files.len());
    let dest = made.dir.path().join("out");
    let Some((code, said)) = made.restore(&[made.root().to_str().unwrap(), dest.to_str().unwrap()]) else { return };
    assert_eq!(code, 1, "{said}");
    made.assert_restored(&dest, b"");
}
