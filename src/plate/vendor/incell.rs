//! `*.xdce` of InCell and INCarta: the protocol of the acquisition, then every image. Indices in it count from 0, those
//! in names from 1.

use super::super::ChannelKey;
use super::PlateMeta;
use super::gather::{Gather, Taken};
use super::meta::short;
use super::text::micrometres;
use super::xml::{Element, Node, walk};

/// The root element.
pub(super) const ROOT: &str = "ImageStack";

/// Reads it; `None` if it has another root.
pub(super) fn read(text: &str) -> Option<PlateMeta> {
    let mut stack = Stack::default();
    walk(text, |node| match node {
        Node::Open(element) => stack.open(&element),
        Node::Close(name, _) => stack.close(name),
    });
    if !stack.known {
        return None;
    }
    let mut meta = stack.meta;
    meta.named(&stack.holder);
    stack.images.finish(&mut meta);
    Some(meta)
}

#[derive(Default)]
struct Stack {
    known: bool,
    meta: PlateMeta,
    images: Gather,
    /// What the plate is called if it has no identifier.
    holder: String,
    wavelength: Option<Wavelength>,
    image: Option<Taken>,
}

#[derive(Default)]
struct Wavelength {
    index: u32,
    excitation: String,
    emission: String,
}

impl Stack {
    fn open(&mut self, element: &Element<'_>) {
        match element.name() {
            ROOT => {
                self.known = true;
                self.meta.named(&element.attribute("PlateID").unwrap_or_default());
            }
            "Plate" => {
                self.meta.size(element.count("rows"), element.count("columns"));
                self.holder = element.attribute("name").unwrap_or_default();
            }
            "ObjectiveCalibration" => {
                let unit = element.attribute("unit");
                let size = |name| micrometres(element.number(name)?, unit.as_deref());
                self.meta.pixel(size("pixel_width"), size("pixel_height"));
            }
            "offset_point" => {
                if let (Some(index), Some(x), Some(y)) =
                    (element.count("index"), element.number("x"), element.number("y"))
                {
                    self.meta.field_at(index.saturating_add(1), x, y);
                }
            }
            // Waves that are computed from others have no images of their own.
            "Wavelength" if element.attribute("fusion_wave").as_deref() != Some("true") => {
                self.wavelength = element.count("index").map(|index| Wavelength { index, ..Wavelength::default() });
            }
            "Image" => {
                let moment = element.number("timestamp_sec");
                let moment = moment.or_else(|| Some(element.number("acquisition_time_ms")? / 1000.0));
                self.image = Some(Taken { moment_s: moment, ..Taken::default() });
            }
            name => self.inner(name, element),
        }
    }

    /// What stands within a wavelength or an image.
    fn inner(&mut self, name: &str, element: &Element<'_>) {
        let called = || element.attribute("name").unwrap_or_default();
        match (name, &mut self.wavelength, &mut self.image) {
            ("ExcitationFilter", Some(wavelength), None) => wavelength.excitation = short(&called()),
            ("EmissionFilter", Some(wavelength), None) => wavelength.emission = short(&called()),
            ("Row", _, Some(image)) => image.well.0 = element.count("number").unwrap_or(0),
            ("Column", _, Some(image)) => image.well.1 = element.count("number").unwrap_or(0),
            ("FocusPosition", _, Some(image)) => image.height_um = element.number("z"),
            ("Identifier", _, Some(image)) => {
                let count = |name| element.count(name).unwrap_or(0);
                image.field = count("field_index").saturating_add(1);
                image.channel = count("wave_index");
                image.depth = count("z_index");
                image.time = count("time_index");
            }
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "Image" => {
                if let Some(image) = self.image.take() {
                    self.images.note(image, &mut self.meta);
                }
            }
            "Wavelength" => {
                if let Some(Wavelength { index, excitation, emission }) = self.wavelength.take() {
                    let name = if emission.is_empty() { &excitation } else { &emission };
                    let place = usize::try_from(index).unwrap_or(0);
                    // INCarta's names give the number, InCell's the two filters.
                    self.meta.channel_named(ChannelKey::Number(index.saturating_add(1)), name, place);
                    self.meta.channel_named(ChannelKey::Name(format!("{excitation} - {emission}")), name, place);
                }
            }
            _ => {}
        }
    }
}
