//! `plate`, `well`, and the numbered images of a collection.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::path::PathBuf;

use ome_zarr_metadata::v0_4::{Plate, PlateColumn, PlateRow, PlateWell, Well, WellImage};
use ome_zarr_metadata::v0_5;
use serde_json::{Map, Value, json};

use super::value_of;
use crate::config::Ngff;
use crate::plate::{WellPosition, row_name};

/// What the metadata of a plate says.
#[derive(Debug, Clone)]
pub struct PlateDescription<'a> {
    /// Its name.
    pub name: &'a str,
    /// Rows of the physical plate.
    pub rows: u32,
    /// Columns of the physical plate.
    pub columns: u32,
    /// The most fields that a well has.
    pub fields: u64,
    /// The wells that have images.
    pub wells: &'a BTreeSet<WellPosition>,
}

/// Sets `plate` in `ome`, the attributes of the plate's group.
pub fn describe_plate(ome: &mut Map<String, Value>, plate: &PlateDescription<'_>, version: Ngff) {
    let wells = plate.wells.iter().map(|well| PlateWell {
        path: PathBuf::from(format!("{}/{}", row_name(well.row), column_name(well.column))),
        row_index: well.row as usize,
        column_index: well.column as usize,
    });
    let described = Plate {
        version: Default::default(),
        acquisitions: None,
        columns: (0..plate.columns).map(|column| PlateColumn { name: column_name(column) }).collect(),
        field_count: NonZeroU64::new(plate.fields),
        name: Some(plate.name.to_owned()),
        rows: (0..plate.rows).map(|row| PlateRow { name: row_name(row) }).collect(),
        wells: wells.collect(),
    };
    let mut described = match version {
        Ngff::V04 => value_of(&described),
        Ngff::V05 => value_of(&v0_5::Plate::from(described)),
    };
    // Acquisitions are noted by others; a plate by file names has none.
    if let (Some(theirs), Some(ours)) =
        (ome.get("plate").and_then(|plate| plate.get("acquisitions")), described.as_object_mut())
    {
        ours.insert("acquisitions".into(), theirs.clone());
    }
    ome.insert("plate".into(), described);
}

/// Sets `well` in `ome`, the attributes of a well's group, with the numbers of its fields.
pub fn describe_well(ome: &mut Map<String, Value>, fields: &BTreeSet<u64>, version: Ngff) {
    let image = |field: &u64| WellImage { path: PathBuf::from(field.to_string()), acquisition: None };
    let well = Well { version: Default::default(), images: fields.iter().map(image).collect() };
    let well = match version {
        Ngff::V04 => value_of(&well),
        Ngff::V05 => value_of(&v0_5::Well::from(well)),
    };
    ome.insert("well".into(), well);
}

/// Sets `bioformats2raw.layout` in `ome`, the attributes of a collection's group.
pub fn describe_collection(ome: &mut Map<String, Value>) {
    ome.insert("bioformats2raw.layout".into(), json!(3));
}

/// Sets `series` in `ome`, the attributes of the group `OME` of a collection.
pub fn describe_series(ome: &mut Map<String, Value>, images: &BTreeSet<u64>) {
    let series: Vec<String> = images.iter().map(u64::to_string).collect();
    ome.insert("series".into(), json!(series));
}

fn column_name(column: u32) -> String {
    format!("{:02}", column + 1)
}

#[cfg(test)]
mod tests {
    use ome_zarr_metadata::Validate;
    use ome_zarr_metadata::v0_4::OmeFields;

    use super::*;

    #[test]
    fn a_plate_is_valid_and_its_wells_refer_to_the_physical_plate() {
        let wells = BTreeSet::from([WellPosition { row: 1, column: 2 }, WellPosition { row: 31, column: 47 }]);
        let plate = PlateDescription { name: "P1", rows: 32, columns: 48, fields: 2, wells: &wells };
        let mut ome = Map::new();
        describe_plate(&mut ome, &plate, Ngff::V04);
        assert_eq!(ome["plate"]["wells"][0], json!({"path": "B/03", "rowIndex": 1, "columnIndex": 2}));
        assert_eq!(ome["plate"]["wells"][1]["path"], "AF/48");
        let fields: OmeFields = serde_json::from_value(Value::Object(ome)).unwrap();
        fields.validate().unwrap();
    }

    #[test]
    fn fields_may_have_gaps() {
        let mut ome = Map::new();
        describe_well(&mut ome, &BTreeSet::from([0, 3]), Ngff::V05);
        assert_eq!(ome["well"], json!({"images": [{"path": "0"}, {"path": "3"}]}));
    }
}
