//! Labels: files whose pixels say what is what in another image. They go below that image's group, in `labels/NAME`
//! (OME-NGFF, "labels" and "image-label"), and are arrays, chunks and records like any others.

mod draft;
mod home;
mod list;
mod names;
mod set;

pub(super) use draft::draft;
pub(super) use set::LabelSet;

/// Group of an image that its labels are in.
const LABELS: &str = "labels";

/// The image's group and the name, by the path of the group of a label image; `None` if it is none.
pub(super) fn parse(path: &str) -> Option<(&str, &str)> {
    let (above, name) = path.rsplit_once('/')?;
    let image = match above.strip_suffix(LABELS)? {
        "" => "",
        image => image.strip_suffix('/')?,
    };
    (!name.is_empty()).then_some((image, name))
}

/// Path of the group `labels` of the image at `image`.
pub(super) fn group_of(image: &str) -> String {
    if image.is_empty() { LABELS.to_owned() } else { format!("{image}/{LABELS}") }
}

/// Path of the group of the label image `name` of the image at `image`.
pub(super) fn path_of(image: &str, name: &str) -> String {
    format!("{}/{name}", group_of(image))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_image_is_known_by_its_path() {
        for image in ["B/03/0", "", "17"] {
            assert_eq!(parse(&path_of(image, "mask")), Some((image, "mask")), "{image}");
        }
        for other in ["B/03/0", "0", "", "labels", "mylabels/mask", "3/labels/"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
