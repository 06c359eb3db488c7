//! From what a name says to indices along the axes of a plate, which stay the same while the plate grows.

use super::marker::PlateMarker;
use super::ngff::PlaneAt;
use crate::plate::{ChannelKey, PlateSize, Position, WellPosition, row_name};
use crate::view::Refusal;

/// The convention whose time points are minutes.
const MINUTES: &str = "incucyte";

/// Where a file's first plane is in its plate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    pub well: WellPosition,
    pub field: u64,
    pub plane: PlaneAt,
}

impl Placed {
    /// Path of the field's group in the store.
    pub fn path(&self) -> String {
        format!("{}/{}", well_path(self.well), self.field)
    }
}

/// Path of a well's group in the store, `B/03`.
pub(super) fn well_path(well: WellPosition) -> String {
    format!("{}/{:02}", row_name(well.row), well.column + 1)
}

/// A well and field by the path of the field's group.
pub(super) fn parse_field(path: &str) -> Option<(WellPosition, u64)> {
    let mut parts = path.split('/');
    let (row, column, field) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
    let well = crate::plate::parse_well(&format!("{row}{column}"))?;
    (well_path(well) == format!("{row}/{column}") && parts.next().is_none()).then_some((well, field))
}

impl PlateMarker {
    /// Sets what the names count from. `position` is the first that is seen; most conventions count from 1.
    pub fn set_bases<'p>(&mut self, positions: impl Iterator<Item = &'p Position>) {
        for position in positions {
            let zero = |number: Option<u32>, base: &mut u32| *base = (*base).min(number.unwrap_or(1));
            zero(Some(position.field), &mut self.field_base);
            zero(position.depth, &mut self.depth_base);
            zero(position.time, &mut self.time_base);
            if let ChannelKey::Number(number) = position.channel {
                zero(Some(number), &mut self.channel_base);
            }
        }
    }

    /// Where the file with this position is. Channels that names give as text, and times in minutes, get the next free
    /// index when they are first seen.
    pub fn place(&mut self, position: &Position) -> Result<Placed, Refusal> {
        let field = counted("field", position.field, self.field_base)?;
        let depth = position.depth.map_or(Ok(0), |depth| counted("focal plane", depth, self.depth_base))?;
        let channel = match &position.channel {
            ChannelKey::Number(number) => counted("channel", *number, self.channel_base)?,
            ChannelKey::Name(name) => next_free(&mut self.channel_names, name.clone()),
        };
        let time = match position.time {
            None => 0,
            Some(minutes) if self.convention == MINUTES => next_free(&mut self.times, minutes),
            Some(time) => counted("time point", time, self.time_base)?,
        };
        Ok(Placed { well: position.well, field, plane: PlaneAt { time, channel, depth } })
    }

    /// Makes the physical plate large enough for a well; whether it changed. Without other knowledge it has 96 wells or more.
    pub fn hold(&mut self, well: WellPosition) -> bool {
        let now = PlateSize { rows: self.rows, columns: self.columns };
        if now.holds(well) {
            return false;
        }
        let corner = WellPosition { row: well.row.max(7), column: well.column.max(11) };
        let size = PlateSize::holding(corner);
        (self.rows, self.columns) = (size.rows.max(self.rows), size.columns.max(self.columns));
        true
    }
}

/// The index of a number that a name counts from `base`.
fn counted(what: &str, number: u32, base: u32) -> Result<u64, Refusal> {
    number.checked_sub(base).map(u64::from).ok_or_else(|| {
        Refusal::Unsupported(format!("its name says {what} {number}, but the plate counts them from {base}"))
    })
}

fn next_free<K: Ord>(known: &mut std::collections::BTreeMap<K, u64>, key: K) -> u64 {
    let next = known.values().max().map_or(0, |most| most + 1);
    *known.entry(key).or_insert(next)
}

#[cfg(test)]
mod tests {
    use super::super::marker::PlateShape;
    use super::*;
    use crate::plate::PlateKey;
    use crate::view::Dtype;

    fn plate(convention: &str) -> PlateMarker {
        let key = PlateKey {
            convention: convention.into(),
            prefix: String::new(),
            suffix: String::new(),
            extension: ".tif".into(),
            has_time: true,
            has_depth: false,
        };
        let shape =
            PlateShape { key, dtype: Dtype::U16, samples: 1, height: 8, width: 8, chunk: [8, 8], inner: Vec::new() };
        PlateMarker::new(&shape, None)
    }

    fn position(field: u32, channel: ChannelKey, time: u32) -> Position {
        Position { well: WellPosition { row: 1, column: 2 }, field, channel, depth: None, time: Some(time) }
    }

    #[test]
    fn numbers_are_indices_whatever_came_first() {
        let mut plate = plate("imagexpress");
        let placed = plate.place(&position(4, ChannelKey::Number(3), 2)).unwrap();
        assert_eq!(placed.path(), "B/03/3");
        assert_eq!(placed.plane, PlaneAt { time: 1, channel: 2, depth: 0 });
        assert_eq!(parse_field("B/03/3"), Some((WellPosition { row: 1, column: 2 }, 3)));
        assert_eq!(parse_field("B/3/3"), None);
    }

    #[test]
    fn text_channels_and_minutes_are_counted_as_they_come() {
        let mut plate = plate("incucyte");
        let name = |text: &str| ChannelKey::Name(text.into());
        assert_eq!(plate.place(&position(1, name("FITC"), 240)).unwrap().plane.channel, 0);
        let second = plate.place(&position(1, name("DAPI"), 0)).unwrap().plane;
        assert_eq!((second.channel, second.time), (1, 1));
        assert_eq!(plate.place(&position(1, name("FITC"), 240)).unwrap().plane, PlaneAt::default());
    }

    #[test]
    fn a_plate_that_counts_from_0_is_seen_at_its_first_file() {
        let mut plate = plate("custom");
        let (zero, one) = (position(0, ChannelKey::Number(1), 1), position(1, ChannelKey::Number(1), 1));
        assert!(plate.clone().place(&zero).unwrap_err().to_string().contains("counts them from 1"));
        plate.set_bases([&one, &zero].into_iter());
        assert_eq!((plate.place(&zero).unwrap().field, plate.place(&one).unwrap().field), (0, 1));
    }

    #[test]
    fn the_physical_plate_grows_to_the_next_standard_size() {
        let mut plate = plate("imagexpress");
        assert!(plate.hold(WellPosition { row: 1, column: 2 }));
        assert_eq!((plate.rows, plate.columns), (8, 12));
        assert!(!plate.hold(WellPosition { row: 7, column: 11 }));
        assert!(plate.hold(WellPosition { row: 8, column: 2 }));
        assert_eq!((plate.rows, plate.columns), (16, 24));
    }
}
