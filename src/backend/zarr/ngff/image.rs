//! `multiscales` and `omero` of an image.

use ome_zarr_metadata::v0_4::{
    Axis, AxisType, AxisUnitSpace, AxisUnitTime, Channel, Color, CoordinateTransform, CoordinateTransformScale,
    CoordinateTransformTranslation, MultiscaleImage, MultiscaleImageDataset, Omero, Window as OmeroWindow,
};
use ome_zarr_metadata::v0_5;
use serde_json::{Map, Value, json};

use super::{Extents, value_of};
use crate::config::Ngff;
use crate::view::Calibration;

/// What the metadata of an image says.
#[derive(Debug, Clone)]
pub struct ImageDescription<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its leading axes.
    pub extents: Extents,
    /// Samples of a pixel.
    pub samples: u64,
    /// Its levels, full resolution first.
    pub levels: &'a [Level],
    /// Physical sizes.
    pub calibration: Calibration,
    /// One a channel (and sample), in order; those that are missing get a name and a grey.
    pub channels: &'a [ChannelDisplay],
    /// Pixels are labels: levels come by nearest neighbour.
    pub labels: bool,
}

/// A level of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Pixels of full resolution that a pixel of this level stands for, down and across.
    pub scale: [f64; 2],
    /// Where its first pixel's centre lies, in pixels of full resolution.
    pub offset: [f64; 2],
}

impl Level {
    /// Full resolution.
    pub const FULL: Level = Level { scale: [1.0; 2], offset: [0.0; 2] };

    /// Means of blocks of `factor` × `factor` pixels: the first block's centre is not the first pixel's.
    pub fn of_means(factor: u64) -> Level {
        let shift = (factor as f64 - 1.0) / 2.0;
        Level { scale: [factor as f64; 2], offset: [shift; 2] }
    }
}

/// How a channel is shown.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChannelDisplay {
    /// Its name.
    pub name: Option<String>,
    /// Colour, `0xRRGGBB`.
    pub colour: Option<u32>,
    /// Range of its values.
    pub window: Option<Window>,
}

/// The values of a channel: all of them, and those that are worth showing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
    /// Shown as black.
    pub start: f64,
    /// Shown as full colour.
    pub end: f64,
}

impl Window {
    /// The smallest window that holds both.
    pub fn union(self, other: Window) -> Window {
        Window {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// Colours of channels that have none of their own: of one channel, and of several in turn.
const GREY: u32 = 0xFF_FF_FF;
const COLOURS: [u32; 7] = [0x00_00_FF, 0x00_FF_00, 0xFF_00_00, 0xFF_00_FF, 0x00_FF_FF, 0xFF_FF_00, 0xFF_FF_FF];
const RGB: [u32; 3] = [0xFF_00_00, 0x00_FF_00, 0x00_00_FF];

/// Sets `multiscales` and `omero` in `ome`, the attributes of an image's group.
pub fn describe_image(ome: &mut Map<String, Value>, image: &ImageDescription<'_>, version: Ngff) {
    ome.insert("multiscales".into(), json!([multiscale(image, version)]));
    let mut omero = value_of(&omero(image));
    // What a person set in a viewer (`rdefs`, the image's id) stays beside our channels.
    if let (Some(Value::Object(before)), Value::Object(now)) = (ome.get("omero"), &mut omero) {
        for (key, value) in before {
            now.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    ome.insert("omero".into(), omero);
}

/// Sets `multiscales` and `image-label` in `ome`, the attributes of the group `labels/NAME` of an image. Colours and
/// properties that somebody noted stay.
pub fn describe_labels(ome: &mut Map<String, Value>, image: &ImageDescription<'_>, version: Ngff) {
    ome.insert("multiscales".into(), json!([multiscale(image, version)]));
    let mut said = match ome.remove("image-label") {
        Some(Value::Object(said)) => said,
        _ => Map::new(),
    };
    if version == Ngff::V04 {
        said.insert("version".into(), json!("0.4"));
    }
    said.insert("source".into(), json!({"image": "../../"}));
    ome.insert("image-label".into(), Value::Object(said));
}

fn multiscale(image: &ImageDescription<'_>, version: Ngff) -> Value {
    let multiscale = MultiscaleImage {
        version: Default::default(),
        name: Some(image.name.to_owned()),
        axes: axes(image),
        datasets: datasets(image),
        coordinate_transformations: None,
        r#type: Some(if image.labels { "nearest" } else { "mean" }.to_owned()),
        metadata: None,
    };
    match version {
        Ngff::V04 => value_of(&multiscale),
        Ngff::V05 => value_of(&v0_5::MultiscaleImage::from(multiscale)),
    }
}

fn axes(image: &ImageDescription<'_>) -> Vec<Axis> {
    let axis = |name: &str, kind, unit| Axis { name: name.to_owned(), r#type: Some(kind), unit };
    let calibration = &image.calibration;
    let space = |name, known: Option<f64>| axis(name, AxisType::Space, known.map(|_| AxisUnitSpace::Micrometer.into()));
    let time = axis("t", AxisType::Time, calibration.t.map(|_| AxisUnitTime::Second.into()));
    image.extents.with(
        axis("c", AxisType::Channel, None),
        image.extents.time.map(|_| time),
        image.extents.depth.map(|_| space("z", calibration.z)),
        [space("y", calibration.y), space("x", calibration.x)],
    )
}

fn datasets(image: &ImageDescription<'_>) -> Vec<MultiscaleImageDataset> {
    let size = |value: Option<f64>| value.filter(|v| v.is_finite() && *v > 0.0).unwrap_or(1.0);
    let calibration = &image.calibration;
    let [y, x] = [size(calibration.y), size(calibration.x)];
    let row = |channel: f64, time: f64, depth: f64, plane: [f64; 2]| -> Vec<f32> {
        let (time, depth) = (image.extents.time.map(|_| time), image.extents.depth.map(|_| depth));
        image.extents.with(channel, time, depth, plane).into_iter().map(|v| v as f32).collect()
    };
    let dataset = |(number, level): (usize, &Level)| {
        let scale = row(1.0, size(calibration.t), size(calibration.z), [level.scale[0] * y, level.scale[1] * x]);
        let mut transforms = vec![CoordinateTransform::Scale(CoordinateTransformScale::List { scale })];
        if level.offset != [0.0; 2] {
            let translation = row(0.0, 0.0, 0.0, [level.offset[0] * y, level.offset[1] * x]);
            transforms.push(CoordinateTransform::Translation(CoordinateTransformTranslation::List { translation }));
        }
        MultiscaleImageDataset { path: number.to_string(), coordinate_transformations: transforms }
    };
    image.levels.iter().enumerate().map(dataset).collect()
}

fn omero(image: &ImageDescription<'_>) -> Omero {
    let count = (image.extents.channels.unwrap_or(1) * image.samples) as usize;
    let channels = (0..count).map(|index| channel(image, index, count)).collect();
    Omero { channels, other: Map::new() }
}

fn channel(image: &ImageDescription<'_>, index: usize, count: usize) -> Channel {
    let shown = image.channels.get(index).cloned().unwrap_or_default();
    let colour = shown.colour.unwrap_or(match (image.samples, count) {
        (3 | 4, _) => RGB.get(index % image.samples as usize).copied().unwrap_or(GREY),
        (_, 1) => GREY,
        _ => COLOURS[index % COLOURS.len()],
    });
    let [_, r, g, b] = colour.to_be_bytes();
    let window = shown.window.unwrap_or(Window { min: 0.0, max: 65535.0, start: 0.0, end: 65535.0 });
    let label = shown.name.unwrap_or_else(|| format!("Channel {}", index + 1));
    let mut other = Map::new();
    other.insert("label".into(), json!(label));
    other.insert("active".into(), json!(true));
    Channel {
        color: Color { r, g, b },
        window: OmeroWindow { min: window.min, max: window.max, start: window.start, end: window.end },
        other,
    }
}

#[cfg(test)]
mod tests {
    use ome_zarr_metadata::Validate;
    use ome_zarr_metadata::v0_4::OmeFields;

    use super::*;

    fn described(version: Ngff) -> Map<String, Value> {
        let image = ImageDescription {
            name: "B03",
            extents: Extents { time: Some(2), channels: Some(2), depth: None },
            samples: 1,
            levels: &[Level::FULL, Level::of_means(4)],
            calibration: Calibration { x: Some(0.65), y: Some(0.65), z: None, t: Some(30.0) },
            channels: &[ChannelDisplay { name: Some("DAPI".into()), ..ChannelDisplay::default() }],
            labels: false,
        };
        let mut ome = Map::new();
        ome.insert("omero".into(), json!({"rdefs": {"model": "greyscale"}, "channels": []}));
        describe_image(&mut ome, &image, version);
        ome
    }

    #[test]
    fn an_image_is_described_as_0_4_demands() {
        let ome = described(Ngff::V04);
        let fields: OmeFields = serde_json::from_value(Value::Object(ome.clone())).unwrap();
        fields.validate().unwrap();
        let level = &ome["multiscales"][0]["datasets"][1]["coordinateTransformations"];
        assert_eq!(level[0]["scale"], json!([30.0, 1.0, 2.6, 2.6]));
        assert_eq!(level[1]["translation"], json!([0.0, 0.0, 0.975, 0.975]));
        assert_eq!(ome["multiscales"][0]["axes"][2], json!({"name": "y", "type": "space", "unit": "micrometer"}));
    }

    #[test]
    fn an_image_is_described_as_0_5_demands() {
        let mut ome = described(Ngff::V05);
        assert!(ome["multiscales"][0].get("version").is_none());
        ome.insert("version".into(), json!("0.5"));
        let fields: ome_zarr_metadata::v0_5::OmeFields = serde_json::from_value(Value::Object(ome)).unwrap();
        fields.validate().unwrap();
    }

    #[test]
    fn labels_are_described_as_both_versions_demand_and_keep_their_colours() {
        let extents = Extents { time: None, channels: None, depth: None };
        let levels = &[Level::FULL];
        let calibration = Calibration::default();
        let image =
            ImageDescription { name: "mask", extents, samples: 1, levels, calibration, channels: &[], labels: true };
        let colours = json!([{"label-value": 1, "rgba": [255, 0, 0, 255]}]);
        let mut ome = Map::new();
        ome.insert("image-label".into(), json!({"colors": colours}));
        describe_labels(&mut ome, &image, Ngff::V04);
        assert_eq!(ome["image-label"]["source"]["image"], "../../");
        assert_eq!(ome["image-label"]["colors"], colours);
        assert!(!ome.contains_key("omero"));
        let fields: OmeFields = serde_json::from_value(Value::Object(ome)).unwrap();
        fields.validate().unwrap();
        let mut ome = Map::new();
        describe_labels(&mut ome, &image, Ngff::V05);
        ome.insert("version".into(), json!("0.5"));
        let fields: ome_zarr_metadata::v0_5::OmeFields = serde_json::from_value(Value::Object(ome)).unwrap();
        fields.validate().unwrap();
    }

    #[test]
    fn settings_of_a_viewer_stay_and_every_channel_has_colour_and_window() {
        let ome = described(Ngff::V04);
        assert_eq!(ome["omero"]["rdefs"]["model"], "greyscale");
        assert_eq!(ome["omero"]["channels"].as_array().unwrap().len(), 2);
        assert_eq!(ome["omero"]["channels"][0]["label"], "DAPI");
        assert_eq!(ome["omero"]["channels"][1]["color"], "00FF00");
    }
}
