//! What is measured. Each operation gets a directory, does its work there and returns the seconds of the part that
//! counts; what it needs beforehand is not in the figure.

use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::map::Map;

use Caches::{Any, Cold, Warm};

/// The file that the large reads and writes use; it is left there for the next operation.
pub const LARGE: &str = "large";
const LISTED: &str = "listed";
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";
const BLOCK: usize = 1 << 20;
const PAGE: usize = 4096;

/// How much each operation does.
#[derive(Clone, Copy)]
pub struct Load {
    /// Size of the large file.
    pub file_bytes: usize,
    /// Random reads or writes from a warm cache, and appends.
    pub small_operations: usize,
    /// Random reads from a cold cache, each of which a disk really does.
    pub cold_reads: usize,
    /// Files made, written and closed.
    pub files: usize,
    /// Files in the directory that is listed.
    pub listed: usize,
}

impl Default for Load {
    fn default() -> Self {
        Self { file_bytes: 256 << 20, small_operations: 20_000, cold_reads: 2_000, files: 1_000, listed: 10_000 }
    }
}

/// How a figure is shown.
#[derive(Clone, Copy)]
pub enum Unit {
    /// The whole large file was moved: MB/s.
    Throughput,
    /// So many operations: µs for one.
    Each(fn(&Load) -> usize),
    /// The whole of it: ms.
    Whole,
}

/// What the kernel's caches hold when an operation begins.
#[derive(Clone, Copy, PartialEq)]
pub enum Caches {
    /// Nothing: they are dropped first (those of every place, so a warm row has to warm up by itself).
    Cold,
    /// All of it: the operation has just been done once.
    Warm,
    /// Whatever is there: the operation makes what it needs.
    Any,
}

/// One row of the table.
pub struct Operation {
    /// What it does.
    pub name: &'static str,
    /// How its figure is shown.
    pub unit: Unit,
    /// What the kernel's caches hold when it begins.
    pub caches: Caches,
    run: fn(&Path, &Load) -> Result<f64>,
}

const fn row(name: &'static str, caches: Caches, unit: Unit, run: fn(&Path, &Load) -> Result<f64>) -> Operation {
    Operation { name, unit, caches, run }
}

/// All rows.
pub static OPERATIONS: &[Operation] = &[
    row("write 1 MiB blocks, new file", Any, Unit::Throughput, write_new),
    row("write 1 MiB blocks, over it", Any, Unit::Throughput, overwrite),
    row("read 1 MiB blocks, cold", Cold, Unit::Throughput, read_sequential),
    row("read 1 MiB blocks, warm", Warm, Unit::Throughput, read_sequential),
    row("read through mmap, cold", Cold, Unit::Throughput, read_mapped),
    row("read through mmap, warm", Warm, Unit::Throughput, read_mapped),
    row("random 4 KiB read, cold", Cold, Unit::Each(|load| load.cold_reads), |at, load| {
        read_random(at, load, load.cold_reads)
    }),
    row("random 4 KiB read, warm", Warm, Unit::Each(|load| load.small_operations), |at, load| {
        read_random(at, load, load.small_operations)
    }),
    row("random 4 KiB write", Any, Unit::Each(|load| load.small_operations), write_random),
    row("append 100 B", Any, Unit::Each(|load| load.small_operations), append),
    row("create, write 4 KiB, close", Any, Unit::Each(|load| load.files), |at, load| create(at, load, 4 << 10)),
    row("create, write 64 KiB, close", Any, Unit::Each(|load| load.files), |at, load| create(at, load, 64 << 10)),
    row("unlink", Any, Unit::Each(|load| load.files), unlink),
    row("list 10,000, cold", Cold, Unit::Whole, |at, load| list(at, load, false)),
    row("list 10,000, warm", Warm, Unit::Whole, |at, load| list(at, load, false)),
    row("list and stat 10,000, cold", Cold, Unit::Whole, |at, load| list(at, load, true)),
    row("list and stat 10,000, warm", Warm, Unit::Whole, |at, load| list(at, load, true)),
    row("stat one of 10,000 by name", Warm, Unit::Each(|load| load.listed), stat_by_name),
];

impl Operation {
    /// The seconds that it took in this directory.
    pub fn measure(&self, directory: &Path, load: &Load) -> Result<f64> {
        match self.caches {
            Cold => drop_caches()?,
            // Random reads of a part would leave the rest cold: the whole file is read.
            Warm => {
                read_sequential(directory, load)?;
                (self.run)(directory, load)?;
            }
            Any => {}
        }
        (self.run)(directory, load)
    }
}

/// Makes what is measured in every turn and is costly to make: the directory of many files, and the large file.
pub fn prepare(directory: &Path, load: &Load) -> Result<()> {
    let listed = directory.join(LISTED);
    fs::create_dir_all(&listed)?;
    for number in 0..load.listed {
        fs::write(listed.join(format!("image_{number:05}.tif")), b"an image")?;
    }
    write_new(directory, load)?;
    Ok(())
}

/// Whether we may empty the kernel's caches (root may).
pub fn can_drop_caches() -> bool {
    OpenOptions::new().write(true).open(DROP_CACHES).is_ok()
}

fn drop_caches() -> Result<()> {
    rustix::fs::sync();
    fs::write(DROP_CACHES, "3").context("cannot drop the kernel's caches")
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64())
}

/// Bytes that neither compress nor repeat within a block.
fn noise(length: usize) -> Vec<u8> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    (0..length.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).take(length).collect()
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The offset of a page within the file.
    fn page(&mut self, file_bytes: usize) -> u64 {
        self.next() % (file_bytes / PAGE) as u64 * PAGE as u64
    }
}

fn write_blocks(mut file: File, load: &Load) -> Result<f64> {
    let block = noise(BLOCK);
    timed(|| {
        for _ in 0..load.file_bytes / BLOCK {
            file.write_all(&block)?;
        }
        drop(file);
        Ok(())
    })
}

fn write_new(directory: &Path, load: &Load) -> Result<f64> {
    let path = directory.join(LARGE);
    if path.exists() {
        fs::remove_file(&path)?;
    }
    // What other operations left to be written back is not to be paid for here.
    rustix::fs::sync();
    write_blocks(File::create(&path)?, load)
}

fn overwrite(directory: &Path, load: &Load) -> Result<f64> {
    rustix::fs::sync();
    write_blocks(OpenOptions::new().write(true).open(directory.join(LARGE))?, load)
}

fn read_sequential(directory: &Path, load: &Load) -> Result<f64> {
    let mut block = vec![0; BLOCK];
    timed(|| {
        let mut file = File::open(directory.join(LARGE))?;
        let mut total = 0;
        loop {
            match file.read(&mut block)? {
                0 => break,
                count => total += count,
            }
        }
        ensure!(total == load.file_bytes, "read {total} bytes of {}", load.file_bytes);
        Ok(())
    })
}

fn read_mapped(directory: &Path, load: &Load) -> Result<f64> {
    timed(|| {
        let file = File::open(directory.join(LARGE))?;
        black_box(Map::new(&file, load.file_bytes)?.sum());
        Ok(())
    })
}

fn read_random(directory: &Path, load: &Load, count: usize) -> Result<f64> {
    let file = File::open(directory.join(LARGE))?;
    let (mut page, mut random) = ([0; PAGE], Random(88_172_645_463_325_252));
    timed(|| {
        for _ in 0..count {
            file.read_exact_at(&mut page, random.page(load.file_bytes))?;
        }
        Ok(())
    })
}

fn write_random(directory: &Path, load: &Load) -> Result<f64> {
    let file = OpenOptions::new().write(true).open(directory.join(LARGE))?;
    let (page, mut random) = (noise(PAGE), Random(88_172_645_463_325_252));
    timed(|| {
        for _ in 0..load.small_operations {
            file.write_all_at(&page, random.page(load.file_bytes))?;
        }
        Ok(())
    })
}

fn append(directory: &Path, load: &Load) -> Result<f64> {
    let path = directory.join("appended");
    let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
    let line = noise(100);
    let seconds = timed(|| {
        for _ in 0..load.small_operations {
            file.write_all(&line)?;
        }
        Ok(())
    })?;
    fs::remove_file(path)?;
    Ok(seconds)
}

fn create(directory: &Path, load: &Load, size: usize) -> Result<f64> {
    let folder = directory.join("created");
    fs::create_dir(&folder)?;
    let (data, names) = (noise(size), names(&folder, load.files));
    let seconds = timed(|| {
        for name in &names {
            File::create_new(name)?.write_all(&data)?;
        }
        Ok(())
    })?;
    fs::remove_dir_all(folder)?;
    Ok(seconds)
}

fn unlink(directory: &Path, load: &Load) -> Result<f64> {
    let folder = directory.join("unlinked");
    fs::create_dir(&folder)?;
    let names = names(&folder, load.files);
    for name in &names {
        fs::write(name, noise(PAGE))?;
    }
    let seconds = timed(|| {
        for name in &names {
            fs::remove_file(name)?;
        }
        Ok(())
    })?;
    fs::remove_dir(folder)?;
    Ok(seconds)
}

fn names(folder: &Path, count: usize) -> Vec<std::path::PathBuf> {
    (0..count).map(|number| folder.join(format!("image_{number:05}.tif"))).collect()
}

fn list(directory: &Path, load: &Load, with_attributes: bool) -> Result<f64> {
    let folder = directory.join(LISTED);
    timed(|| {
        let mut count = 0;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if with_attributes {
                black_box(entry.metadata()?);
            }
            count += 1;
        }
        ensure!(count == load.listed, "{count} names were listed, {} are there", load.listed);
        Ok(())
    })
}

fn stat_by_name(directory: &Path, load: &Load) -> Result<f64> {
    let names = names(&directory.join(LISTED), load.listed);
    timed(|| {
        for name in &names {
            black_box(fs::symlink_metadata(name)?);
        }
        Ok(())
    })
}
