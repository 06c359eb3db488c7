//! What a file name says.

/// What a name says about its file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Recognised {
    /// Files with the same key, in the same base directory, are one plate (if type and size of their planes agree).
    pub key: PlateKey,
    /// Where in the plate.
    pub position: Position,
    /// How many components at the end of the path belong to the plate below its base directory: 1 for a file that
    /// lies in it, 2 for `TimePoint_3/A01_s1_w1.tif`, 3 with `ZStep_N` below that.
    pub depth: usize,
}

/// What sets plates of one directory apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlateKey {
    /// Name of the convention: `imagexpress`, `phenix`, `cellvoyager`, `cq1`, `incell`, `incarta`, `incucyte`, or that
    /// of a pattern from the configuration.
    pub convention: String,
    /// Literal text in front of the part that varies; for ImageXpress usually the plate's name.
    pub prefix: String,
    /// Literal text behind it, without the extension: `_mask`. A GUID is no part of it.
    pub suffix: String,
    /// Extension with its dot, as written: `.tif`.
    pub extension: String,
    /// Names carry a time point.
    pub has_time: bool,
    /// Names carry a focal plane.
    pub has_depth: bool,
}

/// Where in a plate a plane is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The well.
    pub well: WellPosition,
    /// Field (site) as the name counts it; 1 where names have none.
    pub field: u32,
    /// The channel; `Number(1)` where names have none.
    pub channel: ChannelKey,
    /// Focal plane as the name counts it.
    pub depth: Option<u32>,
    /// Time point as the name counts it (for Incucyte: minutes).
    pub time: Option<u32>,
}

/// A well of a physical plate, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WellPosition {
    /// Row: A is 0, AF is 31.
    pub row: u32,
    /// Column: 1 in names is 0.
    pub column: u32,
}

/// A channel as names give it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChannelKey {
    /// A number as written.
    Number(u32),
    /// Text (InCell): `DAPI - DAPI`.
    Name(String),
}
