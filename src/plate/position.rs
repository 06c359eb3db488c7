//! What a file name says.

use crate::model::RelPath;

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
    /// The well's index along the rows, from 0, where the name gives nothing else (CQ1). The position is then that on a
    /// plate of 12 columns; [`Recognised::on_plate_of`] corrects it once the plate is known.
    pub linear_well: Option<u32>,
}

impl Recognised {
    /// The same on a plate that has this many columns. Changes only wells that names give by index alone.
    ///
    /// Without this, all files of a plate are on one of 12 columns, so that each well has a place of its own whatever
    /// the plate; beyond 384 wells that is below the rows of any standard plate ([`super::PlateSize::holding`]).
    pub fn on_plate_of(mut self, columns: u32) -> Recognised {
        if let Some(index) = self.linear_well {
            self.position.well = WellPosition::of_index(index, columns);
        }
        self
    }

    /// The base directory of the plate, where its store belongs. `path` is that of the file.
    pub fn base(&self, path: &RelPath) -> RelPath {
        let mut base = path.clone();
        for _ in 0..self.depth {
            base = base.split().map(|(directory, _)| directory).unwrap_or_default();
        }
        base
    }
}

/// What sets plates of one directory apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlateKey {
    /// Name of the convention: `imagexpress`, `phenix`, `cellvoyager`, `cq1`, `incell`, `incarta`, `incucyte`, or the
    /// text of a pattern from the configuration.
    pub convention: String,
    /// Literal text in front of the part that varies; for ImageXpress usually the plate's name.
    pub prefix: String,
    /// Literal text behind it, without the extension: `_mask`. A GUID is no part of it.
    pub suffix: String,
    /// Extension with its dot, as written: `.tif`, `.ome.tif`.
    pub extension: String,
    /// Names, or folders of the plate, carry a time point.
    pub has_time: bool,
    /// Names, or folders of the plate, carry a focal plane.
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
    /// Text (InCell): `DAPI - DAPI`; for Opera Phenix names with a record, `rc2-ch1`.
    Name(String),
}
