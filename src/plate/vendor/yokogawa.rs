//! `MeasurementData.mlf` and `MeasurementDetail.mrf` of CellVoyager: XML in the namespace `bts`, all in attributes.

use super::PlateMeta;
use super::gather::{Gather, Taken};
use super::text::seconds;
use super::xml::{Element, Node, walk};

/// Root element of the mlf.
pub(super) const DATA: &str = "MeasurementData";
/// Root element of the mrf.
pub(super) const DETAIL: &str = "MeasurementDetail";

/// Reads an mlf: fields and steps. `None` if it has another root.
pub(super) fn read_data(text: &str) -> Option<PlateMeta> {
    let (mut meta, mut images, mut known) = (PlateMeta::default(), Gather::default(), false);
    walk(text, |node| {
        let Node::Open(element) = node else { return };
        known |= element.name() == DATA;
        if element.name() == "MeasurementRecord" {
            if let Some(image) = record(&element) {
                images.note(image, &mut meta);
            }
        }
    });
    images.finish(&mut meta);
    known.then_some(meta)
}

/// An image; `None` where the microscope noted an error instead.
fn record(element: &Element<'_>) -> Option<Taken> {
    if element.attribute("Type")? != "IMG" {
        return None;
    }
    Some(Taken {
        well: (element.count("Row")?, element.count("Column")?),
        field: element.count("FieldIndex")?,
        channel: element.count("Ch").unwrap_or(0),
        depth: element.count("ZIndex").unwrap_or(0),
        time: element.count("TimePoint").unwrap_or(0),
        at_um: element.number("X").zip(element.number("Y")),
        height_um: element.number("Z"),
        moment_s: element.attribute("Time").as_deref().and_then(seconds),
    })
}

/// Reads an mrf: plate and pixel size. `None` if it has another root.
pub(super) fn read_detail(text: &str) -> Option<PlateMeta> {
    let (mut meta, mut known) = (PlateMeta::default(), false);
    walk(text, |node| {
        let Node::Open(element) = node else { return };
        match element.name() {
            DETAIL => {
                known = true;
                meta.size(element.count("RowCount"), element.count("ColumnCount"));
            }
            "MeasurementSamplePlate" => meta.named(&element.attribute("Name").unwrap_or_default()),
            "MeasurementChannel" => {
                meta.pixel(element.number("HorizontalPixelDimension"), element.number("VerticalPixelDimension"));
            }
            _ => {}
        }
    });
    known.then_some(meta)
}
