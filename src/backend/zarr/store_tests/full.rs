//! A disk without room, for real: a small ext4 of our own.

use std::process::Command;

use super::*;
use crate::backend::zarr::offline;

/// A mounted ext4; it goes with the value.
struct Ext4 {
    dir: TempDir,
}

impl Ext4 {
    /// `None`, said aloud, where none can be mounted.
    fn new(mebibytes: u64, inodes: u32) -> Option<Ext4> {
        let dir = TempDir::new().unwrap();
        let image = dir.path().join("image");
        fs::File::create(&image).unwrap().set_len(mebibytes << 20).unwrap();
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        let (image, root) = (image.to_str().unwrap(), root.to_str().unwrap());
        let inodes = inodes.to_string();
        let made = run("mkfs.ext4", &["-q", "-F", "-m", "0", "-N", &inodes, image]);
        let mounted = made.and_then(|()| run("mount", &["-t", "ext4", "-o", "loop", image, root]));
        match mounted {
            Ok(()) => Some(Ext4 { dir }),
            Err(e) => {
                eprintln!("SKIPPED: no ext4 can be mounted here ({e}); run as root");
                None
            }
        }
    }

    fn root(&self) -> std::path::PathBuf {
        self.dir.path().join("root")
    }

    fn room(&self) -> Zarr {
        let staging = open_dir(&self.root().join(".scopefs/sealing"));
        Zarr::new(open_dir(&self.root()), Some(staging), &config::Zarr::default(), &[]).unwrap()
    }

    /// Takes all inodes but so many.
    fn leave_inodes(&self, left: u64) {
        let dir = self.root().join("filler");
        fs::create_dir_all(&dir).unwrap();
        let free = rustix::fs::statvfs(self.root()).unwrap().f_favail;
        (left..free).for_each(|n| drop(fs::File::create(dir.join(n.to_string())).unwrap()));
    }

    /// Takes all blocks but so many bytes.
    fn leave_bytes(&self, left: u64) {
        let dir = self.root().join("filler");
        fs::create_dir_all(&dir).unwrap();
        let free = || {
            let stat = rustix::fs::statvfs(self.root()).unwrap();
            stat.f_bavail * stat.f_frsize
        };
        let file = fs::File::create(dir.join("bytes")).unwrap();
        let mut size = 0;
        while free() > left {
            let more = (free() - left).next_multiple_of(4096);
            match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), size, more) {
                Ok(()) => size += more,
                Err(_) if more <= 4096 => break,
                Err(_) => {
                    let half = (more / 2).next_multiple_of(4096);
                    if rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), size, half).is_err() {
                        break;
                    }
                    size += half;
                }
            }
        }
    }

    fn give_back(&self) {
        fs::remove_dir_all(self.root().join("filler")).unwrap();
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        if let Err(e) = run("umount", &[self.root().to_str().unwrap()]) {
            eprintln!("an ext4 of a test stays mounted: {e}");
        }
    }
}

fn run(program: &str, words: &[&str]) -> io::Result<()> {
    let done = Command::new(program).args(words).output()?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    if done.status.success() { Ok(()) } else { Err(io::Error::other(said)) }
}

/// Each store in the workspace is sound by the offline check.
fn assert_sound(root: &Path, what: &str) {
    for store in ["", "P", "Q"].iter().filter_map(|dir| fs::read_dir(root.join(dir)).ok()).flatten() {
        let store = store.unwrap().path();
        if !store.to_str().unwrap().ends_with(".ome.zarr") {
            continue;
        }
        assert_eq!(offline::marked(&store).unwrap(), offline::Marked::Ours, "{what}: {:?}", walk(&store));
        let verdict = offline::check(&offline::Offline::open(&store, None).unwrap(), &mut |_, _| true);
        assert!(verdict.is_sound(), "{what}: {store:?}: {verdict:?}");
    }
}

/// Files of a plate and a collection meet a full disk between planning and commit.
fn meets(disk: &Ext4, shrink: impl FnOnce(), what: &str) {
    let zarr = disk.room();
    fs::create_dir_all(disk.root().join("P")).unwrap();
    let first = tiff(1, 600, 60);
    let sealed = |names: &[&str], shrink: Box<dyn FnOnce() + '_>| {
        let batch = zarr.begin();
        let tickets: Vec<Ticket> =
            names.iter().map(|name| batch.add(subject(name, &first), &first.as_slice()).unwrap()).collect();
        shrink();
        let mut answers = batch.commit();
        answers.sort_by_key(|(ticket, _)| *ticket);
        assert_eq!(answers.iter().map(|(ticket, _)| *ticket).collect::<Vec<_>>(), tickets, "{what}");
        answers.into_iter().map(|(_, answer)| answer).collect::<Vec<_>>()
    };
    let before = sealed(&["P/P_B03_s1_w1.tif", "a.tif"], Box::new(|| {}));
    let names = ["P/P_B03_s1_w2.tif", "P/P_C04_s1_w1.tif", "b.tif", "Q/c.tif"];
    fs::create_dir_all(disk.root().join("Q")).unwrap();
    let answers = sealed(&names, Box::new(shrink));
    let good = answers.iter().filter(|answer| answer.is_ok()).count();
    println!("{what}: {good} of {} sealed", names.len());
    for (name, answer) in names.iter().zip(&answers) {
        match answer {
            Ok(id) => assert!(read_all(&zarr.open(*id).unwrap()).unwrap() == first, "{what}: {name}"),
            Err(SealError::NoSpace) => {}
            Err(e) => panic!("{what}: {name}: {e}"),
        }
    }
    for answer in &before {
        assert!(read_all(&zarr.open(*answer.as_ref().unwrap()).unwrap()).unwrap() == first, "{what}");
    }
    assert_sound(&disk.root(), what);
    disk.give_back();
    drop(zarr);
    let zarr = disk.room();
    assert_eq!(fs::read_dir(disk.root().join(".scopefs/sealing")).unwrap().count(), 0, "{what}");
    let batch = zarr.begin();
    let added = names.iter().filter(|name| batch.add(subject(name, &first), &first.as_slice()).is_ok()).count();
    assert_eq!(added, names.len(), "{what}");
    batch.commit().into_iter().for_each(|(_, answer)| assert!(answer.is_ok(), "{what}: {answer:?}"));
    assert_sound(&disk.root(), what);
    for dir in ["", "P", "Q"] {
        let dir = if dir.is_empty() { RelPath::root() } else { path(dir) };
        for entry in zarr.listing(&dir).unwrap() {
            assert!(read_all(&zarr.open(entry.id).unwrap()).unwrap() == first, "{what}");
            zarr.remove(entry.id).unwrap();
        }
    }
    let left: Vec<_> = walk(&disk.root()).into_iter().filter(|name| name.contains(".ome.zarr")).collect();
    assert_eq!(left, Vec::<String>::new(), "{what}");
}

fn walk(dir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        all.push(entry.path().to_str().unwrap().to_owned());
        if entry.file_type().unwrap().is_dir() {
            all.extend(walk(&entry.path()));
        }
    }
    all
}

#[test]
fn without_inodes_files_stay_plain_and_stores_sound() {
    let Some(disk) = Ext4::new(64, 600) else { return };
    for left in [0, 4, 8, 12, 15, 17, 18, 19, 20, 21, 23, 40] {
        meets(&disk, || disk.leave_inodes(left), &format!("{left} inodes left"));
    }
}

#[test]
fn without_bytes_files_stay_plain_and_stores_sound() {
    let Some(disk) = Ext4::new(64, 2000) else { return };
    for left in [0, 4, 12, 30, 60, 120, 400] {
        meets(&disk, || disk.leave_bytes(left << 10), &format!("{left} KiB left"));
    }
}

#[test]
fn a_disk_that_fills_up_while_chunks_are_staged_refuses_that_file_alone() {
    let Some(disk) = Ext4::new(64, 2000) else { return };
    let zarr = disk.room();
    let bytes = tiff(1, 600, 600);
    let batch = zarr.begin();
    batch.add(subject("a.tif", &bytes), &bytes.as_slice()).unwrap();
    // Fuller than anybody thought, in the middle of a file.
    struct Filling<'a>(&'a [u8], &'a Ext4);
    impl ByteSource for Filling<'_> {
        fn size(&self) -> io::Result<u64> {
            self.0.size()
        }
        fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
            if buf.len() > 100_000 {
                self.1.leave_bytes(200 << 10);
            }
            self.0.read_at(buf, offset)
        }
        fn next_data(&self, offset: u64) -> io::Result<Option<std::ops::Range<u64>>> {
            self.0.next_data(offset)
        }
    }
    let refused = batch.add(subject("b.tif", &bytes), &Filling(&bytes, &disk)).unwrap_err();
    assert!(matches!(refused, SealError::NoSpace), "{refused:?}");
    let sealed = batch.commit().remove(0).1.unwrap();
    assert!(read_all(&zarr.open(sealed).unwrap()).unwrap() == bytes);
    assert_sound(&disk.root(), "a full disk");
}
