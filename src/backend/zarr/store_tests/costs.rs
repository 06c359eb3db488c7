//! What sealing costs, printed for those who ask; the room may be kept and looked at by other programs.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Instant;

use super::*;

/// Side of the planes; without optimisation there would be nothing to learn from large ones.
const SIDE: u32 = if cfg!(debug_assertions) { 600 } else { 1080 };

/// Names, bytes, and the inodes of a directory tree.
fn census(dir: &Path, seen: &mut std::collections::HashSet<u64>) -> (u64, u64) {
    let (mut names, mut bytes) = (0, 0);
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let meta = entry.metadata().unwrap();
        names += 1;
        if seen.insert(meta.ino()) {
            bytes += if meta.is_file() { meta.len() } else { 0 };
        }
        if meta.is_dir() {
            let (more, also) = census(&entry.path(), seen);
            names += more;
            bytes += also;
        }
    }
    (names, bytes)
}

/// Seals a plate of 1080 × 1080 pixels in batches; with `SCOPEFS_ROOM` below that directory, which stays.
fn seal_plate(room: &Room, dir: &str, (wells, sites, channels): (u32, u32, u32)) {
    fs::create_dir_all(room.dir.path().join(dir)).unwrap();
    let (mut files, mut seconds, mut raw) = (Vec::new(), 0.0, 0);
    for well in 0..wells {
        for site in 1..=sites {
            for channel in 1..=channels {
                let seed = u64::from(well << 16 | site << 8 | channel);
                let (row, column) = (char::from(b'B' + (well / 10) as u8), well % 10 + 2);
                let name = format!("{dir}/{dir}_{row}{column:02}_s{site}_w{channel}.tif");
                files.push((name, tiff(seed, SIDE, SIDE)));
            }
        }
    }
    for batch in files.chunks(32) {
        let batch: Vec<(&str, &[u8])> = batch.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        raw += batch.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        let begin = Instant::now();
        room.seal_all(&batch).into_iter().for_each(|answer| assert!(answer.is_ok()));
        seconds += begin.elapsed().as_secs_f64();
    }
    let begin = Instant::now();
    let entries = room.zarr.listing(&path(dir)).unwrap();
    entries.iter().for_each(|entry| drop(room.read(entry.id).unwrap()));
    let read = begin.elapsed().as_secs_f64();
    let mut seen = std::collections::HashSet::new();
    let (names, bytes) = census(&room.dir.path().join(dir), &mut seen);
    let count = files.len() as f64;
    println!(
        "{dir}: {count} files, {:.1} MB/s sealed, {:.2} ms a file, {:.1} MB/s read, {:.3} of the size, {:.2} inodes and \
         {:.2} names a file",
        raw as f64 / seconds / 1e6,
        seconds * 1e3 / count,
        raw as f64 / read / 1e6,
        bytes as f64 / raw as f64,
        seen.len() as f64 / count,
        names as f64 / count,
    );
    for (name, bytes) in &files {
        let original = room.dir.path().join("originals").join(name);
        fs::create_dir_all(original.parent().unwrap()).unwrap();
        fs::write(original, bytes).unwrap();
    }
}

#[test]
fn sealing_has_its_costs() {
    if std::env::var_os("SCOPEFS_COSTS").is_none() && std::env::var_os("SCOPEFS_ROOM").is_none() {
        eprintln!("skipped: it measures for minutes; set SCOPEFS_COSTS to have it print what sealing costs");
        return;
    }
    for (version, name) in [(Ngff::V04, "v04"), (Ngff::V05, "v05")] {
        let mut room = Room::new(version);
        if let Some(kept) = std::env::var_os("SCOPEFS_ROOM") {
            let kept = PathBuf::from(kept).join(name);
            fs::create_dir_all(&kept).unwrap();
            room = Room::over(tempfile::Builder::new().disable_cleanup(true).tempdir_in(kept).unwrap(), version, None);
        }
        seal_plate(&room, "two", (if cfg!(debug_assertions) { 3 } else { 24 }, 2, 2));
        seal_plate(&room, "five", (if cfg!(debug_assertions) { 1 } else { 6 }, 4, 5));
        room.seal("big.tif", &tiff(1, 3000, 2500)).unwrap();
        room.seal("stack.npy", &npy(1, &[5, 600, 700])).unwrap();
        room.zarr.finish().unwrap();
    }
}
