//! Rows, columns and the standard plates.

use super::WellPosition;

/// Rows that names may count: A to AF, those of a 1536-well plate.
const ROWS: u32 = 32;
/// Columns of a 1536-well plate.
const COLUMNS: u32 = 48;

/// How many rows and columns of wells a plate has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlateSize {
    /// Rows.
    pub rows: u32,
    /// Columns.
    pub columns: u32,
}

impl PlateSize {
    /// The plates of the trade, smallest first: 6, 12, 24, 48, 96, 384 and 1536 wells (ANSI SLAS 4-2004 for the last
    /// three, common use for the others).
    pub const STANDARD: [PlateSize; 7] = [
        PlateSize { rows: 2, columns: 3 },
        PlateSize { rows: 3, columns: 4 },
        PlateSize { rows: 4, columns: 6 },
        PlateSize { rows: 6, columns: 8 },
        PlateSize { rows: 8, columns: 12 },
        PlateSize { rows: 16, columns: 24 },
        PlateSize { rows: ROWS, columns: COLUMNS },
    ];

    /// The smallest standard plate that holds the well; a plate that just holds it where none does.
    ///
    /// For several wells: of the largest row and the largest column among them.
    pub fn holding(well: WellPosition) -> PlateSize {
        PlateSize::STANDARD.into_iter().find(|size| size.holds(well)).unwrap_or(PlateSize {
            rows: well.row.saturating_add(1).max(ROWS),
            columns: well.column.saturating_add(1).max(COLUMNS),
        })
    }

    /// The standard plate of this many wells.
    pub fn of_wells(wells: u32) -> Option<PlateSize> {
        PlateSize::STANDARD.into_iter().find(|size| size.wells() == wells)
    }

    /// Whether the well is on the plate.
    pub fn holds(&self, well: WellPosition) -> bool {
        well.row < self.rows && well.column < self.columns
    }

    /// Number of wells.
    pub fn wells(&self) -> u32 {
        self.rows.saturating_mul(self.columns)
    }
}

impl WellPosition {
    /// The well with this index, counted along the rows from 0, of a plate with `columns` columns (taken for 1 where 0).
    pub fn of_index(index: u32, columns: u32) -> WellPosition {
        let columns = columns.max(1);
        WellPosition { row: index / columns, column: index % columns }
    }
}

/// As names write it with two digits: `B03`.
impl std::fmt::Display for WellPosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{:02}", row_name(self.row), u64::from(self.column) + 1)
    }
}

/// Name of a row counted from 0: A to Z, then AA, AB and so on, without end.
pub fn row_name(row: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = u64::from(row) + 1;
    while rest > 0 {
        rest -= 1;
        letters.push(char::from(b'A' + (rest % 26) as u8));
        rest /= 26;
    }
    letters.iter().rev().collect()
}

/// A row from its name, in either case, from 0; `None` beyond AF.
pub fn parse_row(name: &str) -> Option<u32> {
    let letter = |b: u8| b.is_ascii_alphabetic().then(|| u32::from(b.to_ascii_uppercase() - b'A'));
    let row = match *name.as_bytes() {
        [only] => letter(only)?,
        [first, second] => (letter(first)? + 1) * 26 + letter(second)?,
        _ => return None,
    };
    (row < ROWS).then_some(row)
}

/// A column from its number as names write it (from 1), padded or not; from 0. `None` beyond 48.
pub(super) fn parse_column(number: &str) -> Option<u32> {
    let column = parse_number(number)?.checked_sub(1)?;
    (column < COLUMNS).then_some(column)
}

/// A well from its name: `B3`, `b03`, `AF48`.
pub fn parse_well(name: &str) -> Option<WellPosition> {
    let digits = name.find(|c: char| c.is_ascii_digit())?;
    let (row, column) = name.split_at(digits);
    Some(WellPosition { row: parse_row(row)?, column: parse_column(column)? })
}

/// A number of nothing but digits.
pub(super) fn parse_number(digits: &str) -> Option<u32> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well(row: u32, column: u32) -> WellPosition {
        WellPosition { row, column }
    }

    #[test]
    fn rows_are_named_from_a_to_af_and_read_back() {
        for (row, name) in [(0, "A"), (7, "H"), (25, "Z"), (26, "AA"), (31, "AF")] {
            assert_eq!(row_name(row), name);
            assert_eq!(parse_row(name), Some(row));
            assert_eq!(parse_row(&name.to_lowercase()), Some(row));
        }
        assert_eq!(row_name(32), "AG");
        assert_eq!(row_name(701), "ZZ");
        assert_eq!(row_name(702), "AAA");
        assert!(row_name(u32::MAX).len() > 3);
        for wrong in ["", "AG", "ZZ", "AAA", "1", "Ä", "A ", "é"] {
            assert_eq!(parse_row(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn wells_are_read_padded_or_not_and_only_where_a_plate_has_them() {
        assert_eq!(parse_well("B3"), Some(well(1, 2)));
        assert_eq!(parse_well("b003"), Some(well(1, 2)));
        assert_eq!(parse_well("AF48"), Some(well(31, 47)));
        for wrong in ["B0", "B49", "AG1", "B", "3", "B3x", "", "B-3", "B99999999999"] {
            assert_eq!(parse_well(wrong), None, "{wrong:?}");
        }
        assert_eq!(well(1, 2).to_string(), "B03");
        assert_eq!(well(31, 47).to_string(), "AF48");
    }

    #[test]
    fn the_smallest_plate_that_holds_a_well_is_found() {
        let sizes = [
            ((1, 2), 6),
            ((2, 2), 12),
            ((0, 3), 12),
            ((3, 5), 24),
            ((5, 7), 48),
            ((0, 8), 96),
            ((7, 11), 96),
            ((8, 0), 384),
            ((15, 23), 384),
            ((16, 0), 1536),
            ((31, 47), 1536),
        ];
        for ((row, column), wells) in sizes {
            assert_eq!(PlateSize::holding(well(row, column)).wells(), wells, "{row} {column}");
            assert_eq!(PlateSize::of_wells(wells).map(|size| size.wells()), Some(wells));
        }
        let beyond = PlateSize::holding(well(40, 3));
        assert_eq!((beyond.rows, beyond.columns), (41, 48));
        assert_eq!(PlateSize::of_wells(100), None);
    }
}
