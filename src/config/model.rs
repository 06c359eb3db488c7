//! A configuration that has passed its checks, and what holds where it is silent.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::{Durability, OnUnmount};

/// A dirty byte that `write_behind` covers reaches disk at the latest this long after it was written, however busy the
/// file is.
pub const WRITE_BEHIND_LATEST: Duration = Duration::from_secs(5 * 60);

const GIB: u64 = 1 << 30;

/// A validated configuration. The default is no configuration at all: every file under `auto`, sealing off.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// How much memory is used, and how long bytes may be only there.
    pub memory: Memory,
    /// Where `auto` draws its lines.
    pub auto: Auto,
    /// How images are sealed.
    pub zarr: Zarr,
    /// The rules as written, in order; a path that none of them matches falls to the built-in rule, backend `auto`.
    pub rules: Vec<Rule>,
    /// The file that this was read from, for messages.
    pub file: Option<PathBuf>,
}

/// The section `[memory]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    /// What daemon and memory tier together may hold.
    pub limit: Limit,
    /// Pressure above which files leave memory, as a share of the limit in (0, 1].
    pub high: f64,
    /// Pressure down to which they leave, below `high`.
    pub low: f64,
    /// Idle time after which dirty bytes are written to disk; `None`: not before pressure, `fsync` or unmount.
    pub write_behind: Option<Duration>,
    /// Where the memory tier may end with a job or a login session: the time in which everything dirty must be able to
    /// reach the disk.
    pub stop_within: Duration,
    /// Whether files that are read come up into memory unasked.
    pub promote: Promote,
}

/// Whether files that are read come up into memory unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Promote {
    /// Sealed files that are read again and again; files on disk where that is measured to be slow.
    #[default]
    Auto,
    /// Whatever the disk.
    Always,
    /// Nothing.
    Never,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            limit: Limit::Default,
            high: 0.80,
            low: 0.70,
            write_behind: Some(Duration::from_secs(30)),
            stop_within: Duration::from_secs(20),
            promote: Promote::Auto,
        }
    }
}

/// How large the memory tier may grow. Cgroup and RAM lower it further, never raise it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Limit {
    /// Half of what is available at mount.
    #[default]
    Default,
    /// So many bytes.
    Bytes(u64),
    /// This share, in (0, 1], of what is available at mount.
    Share(f64),
}

/// The section `[auto]`: sizes of a dataset, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Auto {
    /// Smaller datasets are kept in memory.
    pub memory_below: u64,
    /// Images of larger datasets are sealed.
    pub zarr_above: u64,
}

impl Default for Auto {
    fn default() -> Auto {
        Auto { memory_below: GIB, zarr_above: 10 * GIB }
    }
}

/// The section `[zarr]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Zarr {
    /// Whether the built-in rule may seal: where the section `[auto]` is written. A written rule `auto` always may.
    pub sealing: bool,
    /// Version of OME-NGFF.
    pub ngff: Ngff,
    /// Compressor of the chunks.
    pub codec: Codec,
    /// Filter in front of the compressor.
    pub filter: Filter,
    /// Idle time after the last close before a file is sealed.
    pub settle: Duration,
    /// Whether chunks are gathered in shards.
    pub shards: Shards,
    /// Names of plate images besides the known ones; whether they are well formed is checked where rules become
    /// decisions.
    pub plates: Vec<PlatePattern>,
}

/// One entry of `[zarr] plates`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatePattern {
    /// A regular expression with named groups.
    pub regex: String,
    /// Its line in the file, from 1; 0 if it comes from no file.
    pub line: usize,
}

impl Zarr {
    /// The patterns of [`Zarr::plates`], as a recogniser of plates takes them.
    pub fn plate_patterns(&self) -> Vec<String> {
        self.plates.iter().map(|plate| plate.regex.clone()).collect()
    }
}

impl Default for Zarr {
    fn default() -> Zarr {
        Zarr {
            sealing: false,
            ngff: Ngff::V04,
            codec: Codec::Lz4,
            filter: Filter::Auto,
            settle: Duration::from_secs(30),
            shards: Shards::None,
            plates: Vec::new(),
        }
    }
}

/// Version of OME-NGFF that stores are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ngff {
    /// 0.4, on Zarr v2.
    V04,
    /// 0.5, on Zarr v3.
    V05,
}

/// Compressor of chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// A Blosc frame around LZ4.
    Lz4,
}

/// Filter in front of the compressor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Chosen for each chunk.
    Auto,
    /// None.
    None,
    /// Bytes of equal significance together.
    Shuffle,
    /// Bits of equal significance together.
    Bitshuffle,
}

/// Whether chunks are gathered in shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shards {
    /// A file per chunk.
    None,
    /// A file per field and level; NGFF 0.5 only.
    Field,
}

/// What becomes of a file that was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Originals {
    /// The store takes its place.
    #[default]
    Replace,
    /// It stays beside the store.
    Keep,
}

/// What a sealed image is in its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SealAs {
    /// An image of its own.
    #[default]
    Image,
    /// Labels (a segmentation) of another image, below that one's `labels/`.
    Labels,
}

/// One `[[rule]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Glob over paths relative to the workspace (`match`).
    pub pattern: String,
    /// Name of a backend, or `auto`; whether it exists is checked where rules become decisions.
    pub backend: String,
    /// What `fsync` and `close` promise.
    pub durability: Durability,
    /// Overrides `[memory] write_behind` if given; the inner `None` is `off`.
    pub write_behind: Option<Option<Duration>>,
    /// What becomes of scratch files at unmount.
    pub on_unmount: OnUnmount,
    /// What becomes of sealed originals.
    pub originals: Originals,
    /// Whether the rule acts on files found at mount as well.
    pub adopt: bool,
    /// Glob of the directories that are one dataset each; `None`: the top-level directory.
    pub dataset: Option<String>,
    /// What its sealed images are (`as`); anything but an image only with backend `zarr`.
    pub seal_as: SealAs,
    /// Glob of the images whose labels they are (`of`); only with [`SealAs::Labels`].
    pub of: Option<String>,
    /// Line of the rule in its file, from 1; 0 if it comes from no file.
    pub line: usize,
}

impl Default for Rule {
    fn default() -> Rule {
        Rule {
            pattern: "**".to_string(),
            backend: "auto".to_string(),
            durability: Durability::default(),
            write_behind: None,
            on_unmount: OnUnmount::default(),
            originals: Originals::default(),
            adopt: false,
            dataset: None,
            seal_as: SealAs::default(),
            of: None,
            line: 0,
        }
    }
}

impl Rule {
    /// Whether the rule matches every path, so that no rule after it is ever asked.
    pub fn catches_all(&self) -> bool {
        matches!(self.pattern.as_str(), "**" | "**/*" | "**/**")
    }
}
