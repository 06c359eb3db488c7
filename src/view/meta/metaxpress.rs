//! MetaXpress and MetaMorph: `<MetaData>…<PlaneInfo><prop id="spatial-calibration-x" type="float" value="0.65"/>…`.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::stated::{Stated, StatedImage};
use super::{Calibration, ChannelMeta, ome::attribute, unit};

/// Elements that are read at most; a plane has about a hundred.
const EVENTS_MOST: usize = 100_000;

/// `None` if the text is something else.
pub(super) fn read(text: &str) -> Option<Stated> {
    let mut reader = Reader::from_str(text);
    let mut plane = Plane::default();
    let mut ours = false;
    for _ in 0..EVENTS_MOST {
        match reader.read_event() {
            Ok(Event::Start(element) | Event::Empty(element)) => match element.local_name().as_ref() {
                b"MetaData" => ours = true,
                _ if !ours => return None,
                b"prop" => plane.take(attribute(&element, "id"), attribute(&element, "value")),
                _ => {}
            },
            Ok(Event::Eof) | Err(_) => break,
            Ok(_) => {}
        }
    }
    ours.then(|| Stated { images: vec![plane.image()], planes_behind: 1 })
}

#[derive(Default)]
struct Plane {
    x: Option<f64>,
    y: Option<f64>,
    unit: Option<String>,
    channel: Option<String>,
}

impl Plane {
    fn take(&mut self, id: Option<String>, value: Option<String>) {
        let (Some(id), Some(value)) = (id, value) else { return };
        match id.as_str() {
            "spatial-calibration-x" => self.x = unit::number(&value),
            "spatial-calibration-y" => self.y = unit::number(&value),
            "spatial-calibration-units" => self.unit = Some(value),
            "_IllumSetting_" => self.channel = Some(value),
            _ => {}
        }
    }

    fn image(self) -> StatedImage {
        let factor = self.unit.as_deref().and_then(unit::micrometres);
        let size = |size: Option<f64>| size.zip(factor).map(|(size, factor)| size * factor);
        let calibration = Calibration { x: size(self.x), y: size(self.y), ..Calibration::default() };
        let name = self.channel.filter(|name| !name.is_empty());
        let channels = name.into_iter().map(|name| ChannelMeta { name: Some(name), colour: None }).collect();
        StatedImage { calibration, channels, ..StatedImage::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_and_illumination_of_a_plane() {
        let text = r#"<MetaData><Build>6.5</Build><PlaneInfo>
            <prop id="spatial-calibration-state" type="bool" value="on"/>
            <prop id="spatial-calibration-x" type="float" value="0.65"/>
            <prop id="spatial-calibration-y" type="float" value="0.66"/>
            <prop id="spatial-calibration-units" type="string" value="um"/>
            <prop id="_IllumSetting_" type="string" value="DAPI"/></PlaneInfo></MetaData>"#;
        let image = read(text).unwrap().images.remove(0);
        assert_eq!((image.calibration.x, image.calibration.y), (Some(0.65), Some(0.66)));
        assert_eq!(image.channels[0].name.as_deref(), Some("DAPI"));
    }

    #[test]
    fn other_xml_is_not_ours() {
        assert_eq!(read("<OME><Image/></OME>"), None);
        assert_eq!(read("<"), None);
    }
}
