//! `Index.idx.xml` of Harmony: plates, then (from version 6) maps of what the channels share, then every image.

use super::super::ChannelKey;
use super::PlateMeta;
use super::gather::{Gather, Taken};
use super::text::{micrometres, number, seconds};
use super::xml::{Element, Node, walk};

/// The root element.
pub(super) const ROOT: &str = "EvaluationInputData";

/// Reads it; `None` if it has another root.
pub(super) fn read(text: &str) -> Option<PlateMeta> {
    let mut index = Index::default();
    walk(text, |node| match node {
        Node::Open(element) => index.open(&element),
        Node::Close(name, text) => index.close(name, text),
    });
    index.known.then(|| index.finish())
}

#[derive(Default)]
struct Index {
    known: bool,
    in_plate: bool,
    rows: Option<u32>,
    columns: Option<u32>,
    plate_id: Option<String>,
    /// Unit of the element that began last.
    unit: Option<String>,
    entry: Entry,
    meta: PlateMeta,
    images: Gather,
}

/// An image, or an entry of the map of channels.
#[derive(Default)]
struct Entry {
    channel: Option<u32>,
    channel_name: Option<String>,
    pixel: (Option<f64>, Option<f64>),
    row: Option<u32>,
    column: Option<u32>,
    field: Option<u32>,
    plane: u32,
    time: u32,
    x: Option<f64>,
    y: Option<f64>,
    z: Option<f64>,
    offset: Option<f64>,
    moment: Option<f64>,
}

impl Index {
    fn open(&mut self, element: &Element<'_>) {
        match element.name() {
            name if name == ROOT => self.known = true,
            "Plate" => self.in_plate = true,
            "Image" | "Entry" => {
                self.entry = Entry { channel: element.count("ChannelID"), ..Entry::default() };
            }
            _ => self.unit = element.attribute("Unit"),
        }
    }

    fn close(&mut self, name: &str, text: &str) {
        let count = || text.trim().parse().ok();
        let length = || micrometres(number(text)?, self.unit.as_deref());
        match name {
            "Plate" => self.in_plate = false,
            "PlateRows" => self.rows = self.rows.or(count()),
            "PlateColumns" => self.columns = self.columns.or(count()),
            "Name" if self.in_plate => self.meta.named(text),
            "PlateID" if self.in_plate => self.plate_id = Some(text.to_string()),
            "ChannelID" => self.entry.channel = count(),
            "ChannelName" => self.entry.channel_name = Some(text.to_string()),
            "ImageResolutionX" => self.entry.pixel.0 = length(),
            "ImageResolutionY" => self.entry.pixel.1 = length(),
            "Row" => self.entry.row = count(),
            "Col" => self.entry.column = count(),
            "FieldID" => self.entry.field = count(),
            "PlaneID" => self.entry.plane = count().unwrap_or(0),
            "TimepointID" => self.entry.time = count().unwrap_or(0),
            "PositionX" => self.entry.x = length(),
            "PositionY" => self.entry.y = length(),
            "PositionZ" => self.entry.z = length(),
            "MeasurementTimeOffset" => self.entry.offset = number(text),
            "AbsTime" => self.entry.moment = seconds(text),
            "Image" | "Entry" => self.note(),
            _ => {}
        }
    }

    /// An image or entry is complete.
    fn note(&mut self) {
        let entry = std::mem::take(&mut self.entry);
        let (x, y) = entry.pixel;
        self.meta.pixel(x, y);
        if let (Some(channel), Some(name)) = (entry.channel, entry.channel_name) {
            let index = usize::try_from(channel.saturating_sub(1)).unwrap_or(0);
            self.meta.channel_named(ChannelKey::Number(channel), &name, index);
        }
        if let (Some(row), Some(column), Some(field)) = (entry.row, entry.column, entry.field) {
            let image = Taken {
                well: (row, column),
                field,
                channel: entry.channel.unwrap_or(0),
                depth: entry.plane,
                time: entry.time,
                at_um: entry.x.zip(entry.y),
                height_um: entry.z,
                moment_s: entry.offset.or(entry.moment),
            };
            self.images.note(image, &mut self.meta);
        }
    }

    fn finish(self) -> PlateMeta {
        let mut meta = self.meta;
        meta.size(self.rows, self.columns);
        meta.named(&self.plate_id.unwrap_or_default());
        self.images.finish(&mut meta);
        meta
    }
}
