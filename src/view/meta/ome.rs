//! OME-XML in the description of the first directory.
//!
//! OME-TIFF specification, <https://docs.openmicroscopy.org/ome-model/latest/ome-tiff/specification.html>. Read as a
//! stream. Axes are taken only where an image's planes are directories one behind the other in `DimensionOrder`, and
//! all of them in this file.

mod image;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::stated::{Stated, StatedImage};
use image::Image;

/// Events that are read at most: what is longer says nothing.
const EVENTS_MOST: usize = 4 << 20;

/// Images, channels and blocks of planes that are read at most: about as many as there may be directories.
const PARTS_MOST: usize = 1 << 18;

/// `None` if the text is not OME-XML, broken, or too long.
pub(super) fn read(text: &str) -> Option<Stated> {
    let mut reader = Reader::from_str(text);
    let mut document = Document::default();
    for _ in 0..EVENTS_MOST {
        if document.parts > PARTS_MOST {
            return None;
        }
        match reader.read_event().ok()? {
            Event::Start(element) => {
                document.element(&element);
                document.in_uuid = element.local_name().as_ref() == b"UUID";
            }
            Event::Empty(element) => document.element(&element),
            Event::Text(text) if document.in_uuid => document.uuid(&String::from_utf8_lossy(&text)),
            Event::End(_) => document.in_uuid = false,
            Event::Eof => return document.stated(),
            _ => {}
        }
    }
    None
}

/// The value of an attribute of an element, unescaped.
pub(super) fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = element.try_get_attribute(name).ok()??;
    Some(attribute.unescape_value().ok()?.into_owned())
}

#[derive(Default)]
struct Document {
    /// The root element was seen.
    ours: bool,
    /// The first identity of a file that is named.
    uuid: Option<String>,
    /// Planes lie in more than one file.
    several_files: bool,
    in_uuid: bool,
    /// How many images, channels and blocks were read.
    parts: usize,
    images: Vec<Image>,
}

impl Document {
    fn element(&mut self, element: &BytesStart<'_>) {
        let name = element.local_name();
        self.parts += usize::from(matches!(name.as_ref(), b"Image" | b"Channel" | b"TiffData"));
        if name.as_ref() == b"OME" {
            self.ours = true;
            if let Some(uuid) = attribute(element, "UUID") {
                self.uuid(&uuid);
            }
        }
        if name.as_ref() == b"Image" {
            self.images.push(Image::named(attribute(element, "Name")));
        }
        let Some(image) = self.images.last_mut() else { return };
        match name.as_ref() {
            b"Pixels" => image.pixels(element),
            b"Channel" => image.channel(element),
            b"TiffData" => image.tiff_data(element),
            _ => {}
        }
    }

    fn uuid(&mut self, uuid: &str) {
        let uuid = uuid.trim();
        if !uuid.is_empty() {
            self.several_files |= self.uuid.get_or_insert_with(|| uuid.to_owned()) != uuid;
        }
    }

    fn stated(self) -> Option<Stated> {
        if !self.ours {
            return None;
        }
        let mut images: Vec<StatedImage> = self.images.into_iter().map(Image::stated).collect();
        images.sort_by_key(StatedImage::starts);
        let apart = images.windows(2).all(|pair| match pair {
            [before, after] => before.directories.as_ref().is_some_and(|directories| directories.end <= after.starts()),
            _ => true,
        });
        let mapped = apart && !self.several_files && images.iter().all(|image| image.directories.is_some());
        match (mapped, &mut images[..]) {
            (true, _) => {}
            // Sizes and channels of the only image hold wherever its planes are.
            (false, [only]) => {
                only.directories = None;
                only.axes.clear();
            }
            (false, _) => images.clear(),
        }
        Some(Stated { images, planes_behind: 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Axis, ChannelMeta};
    use super::*;

    fn ome(inside: &str) -> Stated {
        read(&format!(r#"<?xml version="1.0"?><OME xmlns="x" UUID="urn:uuid:1">{inside}</OME>"#)).unwrap()
    }

    const PIXELS: &str = r#"<Pixels ID="p" DimensionOrder="XYCZT" SizeX="4" SizeY="4" SizeC="2" SizeZ="3" SizeT="4"
        PhysicalSizeX="650" PhysicalSizeXUnit="nm" PhysicalSizeY="0.66" PhysicalSizeZ="2" TimeIncrement="500"
        TimeIncrementUnit="ms">"#;

    #[test]
    fn axes_are_slowest_first_with_their_sizes_and_channels() {
        let stated = ome(&format!(
            r#"<Image ID="i" Name="cells &amp; more">{PIXELS}<Channel Name="DAPI" Color="65535"/><Channel Color="-16776961"/>
            <TiffData IFD="0" PlaneCount="24"/></Pixels></Image>"#
        ));
        let image = &stated.images[0];
        assert_eq!(image.axes, [(Axis::Time, 4), (Axis::Depth, 3), (Axis::Channel, 2)]);
        assert_eq!((image.directories.clone(), image.name.as_deref()), (Some(0..24), Some("cells & more")));
        let size = image.calibration;
        assert_eq!((size.x, size.y, size.z, size.t), (Some(0.65), Some(0.66), Some(2.0), Some(0.5)));
        let blue = ChannelMeta { name: Some("DAPI".to_owned()), colour: Some(0x0000ff) };
        assert_eq!(image.channels, [blue, ChannelMeta { name: None, colour: Some(0xff0000) }]);
    }

    #[test]
    fn an_axis_that_is_named_twice_is_taken_once() {
        let pixels = PIXELS.replace("XYCZT", "XYTTZC");
        let stated = ome(&format!(r#"<Image>{pixels}</Pixels></Image>"#));
        assert_eq!(stated.images[0].axes, [(Axis::Channel, 2), (Axis::Depth, 3), (Axis::Time, 4)]);
    }

    #[test]
    fn planes_given_one_by_one_may_come_in_any_order_of_elements() {
        let planes: String = (0..24)
            .rev()
            .map(|at| {
                let (c, z, t) = (at % 2, at / 2 % 3, at / 6);
                format!(r#"<TiffData IFD="{}" FirstC="{c}" FirstZ="{z}" FirstT="{t}"/>"#, at + 7)
            })
            .collect();
        let stated = ome(&format!("<Image>{PIXELS}{planes}</Pixels></Image>"));
        assert_eq!(stated.images[0].directories, Some(7..31));
    }

    #[test]
    fn planes_out_of_order_have_no_axes() {
        let stated = ome(&format!(
            r#"<Image>{PIXELS}<TiffData IFD="0" PlaneCount="23"/><TiffData IFD="25" FirstC="1" FirstZ="2" FirstT="3"/></Pixels></Image>"#
        ));
        assert_eq!((stated.images[0].axes.len(), stated.images[0].directories.clone()), (0, None));
        assert_eq!(stated.images[0].calibration.x, Some(0.65));
    }

    #[test]
    fn several_images_have_their_own_directories() {
        let image = |ifd| format!(r#"<Image>{PIXELS}<TiffData IFD="{ifd}" PlaneCount="24"/></Pixels></Image>"#);
        let stated = ome(&[image(24), image(0)].concat());
        assert_eq!((stated.image_of(23), stated.image_of(24), stated.image_of(48)), (Some(0), Some(1), None));
        assert_eq!(ome(&[image(23), image(0)].concat()).images, []);
    }

    #[test]
    fn a_set_of_several_files_has_no_axes() {
        let uuid = r#"<TiffData IFD="0" PlaneCount="24"><UUID FileName="b.tif">urn:uuid:2</UUID></TiffData>"#;
        let stated = ome(&format!("<Image>{PIXELS}{uuid}</Pixels></Image>"));
        assert_eq!(stated.images[0].axes, []);
        let own = uuid.replace("uuid:2", "uuid:1");
        assert_eq!(ome(&format!("<Image>{PIXELS}{own}</Pixels></Image>")).images[0].axes.len(), 3);
    }

    #[test]
    fn samples_of_a_colour_image_are_no_planes() {
        let stated =
            ome(r#"<Image><Pixels DimensionOrder="XYCZT" SizeC="3" SizeZ="1" SizeT="5"><Channel SamplesPerPixel="3"/>
            <TiffData/></Pixels></Image>"#);
        assert_eq!(
            (&stated.images[0].axes[..], stated.images[0].directories.clone()),
            (&[(Axis::Time, 5)][..], Some(0..5))
        );
    }

    #[test]
    fn what_is_broken_says_nothing() {
        for text in ["<OME><Image", "<html><Image/></html>", "<a></b>", "<OME><Image Name='&undefined;'></Image"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read(&format!("<OME>{}</OME>", "<Image/>".repeat(PARTS_MOST + 1))), None);
        let huge = r#"<Image><Pixels DimensionOrder="XYCZT" SizeC="4294967295" SizeZ="4294967295" SizeT="99"><TiffData/></Pixels></Image>"#;
        assert_eq!(ome(huge).images[0].directories, None);
    }
}
