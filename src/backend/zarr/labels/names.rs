//! What the name of a file of labels has that the name of its image has not.

use std::ffi::OsStr;

use crate::plate::{ChannelKey, PlateKey};

/// Endings of images, longest first.
const ENDINGS: [&str; 5] = [".ome.tiff", ".ome.tif", ".tiff", ".tif", ".npy"];
/// What stands between the words of a name.
const BETWEEN: [char; 4] = ['_', '-', '.', ' '];

/// The literal text in front and behind that sets files of labels apart from their images; `None` if the names of
/// `image` are not part of those of `labels`.
pub(super) fn added<'k>(labels: &'k PlateKey, image: &PlateKey) -> Option<(&'k str, &'k str)> {
    let front = labels.prefix.strip_suffix(image.prefix.as_str())?;
    let behind = labels.suffix.strip_prefix(image.suffix.as_str())?;
    (labels.convention == image.convention).then_some((front, behind))
}

/// The name that an image's file has where its labels are in the file `name`.
pub(super) fn image_name(name: &OsStr, (front, behind): (&str, &str), labels: &str, image: &str) -> Option<String> {
    let stem = name.to_str()?.strip_suffix(labels)?;
    // A GUID stands behind, which is no part of the key.
    let stem = stem.strip_suffix(behind).unwrap_or(stem);
    Some(format!("{}{image}", stem.strip_prefix(front).unwrap_or(stem)))
}

/// The name for labels, made of the text that their names add: letters and digits, and what is harmless in a path.
pub(super) fn label_name(parts: &[&str]) -> Option<String> {
    let words: Vec<String> = parts.iter().map(|part| harmless(part)).filter(|part| !part.is_empty()).collect();
    (!words.is_empty()).then(|| words.join("_"))
}

/// What is added to the name for the labels of a channel; nothing for the first, which names often leave out.
pub(super) fn channel_word(channel: &ChannelKey, index: u64) -> String {
    match channel {
        _ if index == 0 => String::new(),
        ChannelKey::Number(number) => format!("w{number}"),
        ChannelKey::Name(name) => harmless(name),
    }
}

fn harmless(text: &str) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '_' };
    text.chars().map(kept).collect::<String>().trim_matches(BETWEEN).to_owned()
}

/// The files that a file called `name` may be the labels of, the longest name first, each with the name of the labels.
///
/// With `folder`, the name of the directory that the labels are in and their images are not, a file of the same name
/// counts too.
pub(super) fn candidates(name: &OsStr, folder: Option<&str>) -> Vec<(String, String)> {
    let Some(stem) = name.to_str().map(stem) else { return Vec::new() };
    let mut stems: Vec<(&str, String)> = Vec::new();
    stems.extend(folder.and_then(|folder| label_name(&[folder])).map(|labels| (stem, labels)));
    for (at, between) in stem.match_indices(BETWEEN) {
        let (before, behind) = (stem.get(..at).unwrap_or_default(), stem.get(at..).unwrap_or_default());
        let after = stem.get(at + between.len()..).unwrap_or_default();
        // What stands behind, and, less often, in front.
        for (image, added) in [(before, behind), (after, before)] {
            stems.extend(label_name(&[added]).filter(|_| !counts(added)).map(|labels| (image, labels)));
        }
    }
    stems.retain(|(image, _)| !image.is_empty());
    stems.sort_by_key(|(image, _)| std::cmp::Reverse(image.len()));
    let files = stems
        .into_iter()
        .flat_map(|(image, labels)| ENDINGS.iter().map(move |ending| (format!("{image}{ending}"), labels.clone())));
    files.collect()
}

/// A name without the ending of an image.
fn stem(name: &str) -> &str {
    let lower = name.to_ascii_lowercase();
    let ending = ENDINGS.iter().find(|ending| lower.ends_with(*ending)).map_or(0, |ending| ending.len());
    name.get(..name.len() - ending).unwrap_or(name)
}

/// Whether text has a number that counts images (`_17_mask`, `_t3`): they are others, not the same with labels.
fn counts(text: &str) -> bool {
    text.split(BETWEEN).any(|word| {
        let digits = word.strip_prefix(|c: char| c.is_ascii_alphabetic()).unwrap_or(word);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(prefix: &str, suffix: &str) -> PlateKey {
        PlateKey {
            convention: "imagexpress".into(),
            prefix: prefix.into(),
            suffix: suffix.into(),
            extension: ".tif".into(),
            has_time: false,
            has_depth: false,
        }
    }

    #[test]
    fn text_that_is_added_in_front_or_behind_names_the_labels() {
        assert_eq!(added(&key("P1_", "_mask"), &key("P1_", "")), Some(("", "_mask")));
        assert_eq!(added(&key("cells_P1_", "_v2"), &key("P1_", "")), Some(("cells_", "_v2")));
        assert_eq!(added(&key("P2_", "_mask"), &key("P1_", "")), None);
        assert_eq!(label_name(&["cells_", "_v2"]).as_deref(), Some("cells_v2"));
        assert_eq!(label_name(&["", "_"]), None);
        assert_eq!(label_name(&["", " (my) masks/é"]).as_deref(), Some("my__masks"));
    }

    #[test]
    fn the_name_of_the_image_is_that_of_the_labels_without_what_they_add() {
        let image = |name: &str| image_name(OsStr::new(name), ("", "_mask"), ".tif", ".tiff");
        assert_eq!(image("P1_B03_s1_w1_mask.tif").as_deref(), Some("P1_B03_s1_w1.tiff"));
        assert_eq!(image("P1_B03_s1_w1_mask.npy"), None);
    }

    #[test]
    fn the_first_channel_is_not_named() {
        assert_eq!(channel_word(&ChannelKey::Number(1), 0), "");
        assert_eq!(channel_word(&ChannelKey::Number(3), 2), "w3");
        assert_eq!(channel_word(&ChannelKey::Name("UV - DAPI".into()), 1), "UV_-_DAPI");
    }

    #[test]
    fn the_longest_image_name_is_tried_first() {
        let all = candidates(OsStr::new("my_cells_mask.tif"), None);
        let of = |image: &str| all.iter().find(|(name, _)| name == image).map(|(_, labels)| labels.as_str());
        assert_eq!(of("my_cells.tif"), Some("mask"));
        assert_eq!(of("my_cells.ome.tif"), Some("mask"));
        assert_eq!(of("my.npy"), Some("cells_mask"));
        assert_eq!(of("mask.tif"), Some("my_cells"));
        let at = |image: &str| all.iter().position(|(name, _)| name == image).unwrap();
        assert!(at("my_cells.tif") < at("my.tif"));
        let counted = candidates(OsStr::new("cells_17_mask.tif"), None);
        assert!(counted.iter().all(|(image, _)| image != "cells.tif"), "{counted:?}");
        assert!(candidates(OsStr::new("cells.tif"), None).is_empty());
        assert_eq!(candidates(OsStr::new("cells.tif"), Some("masks"))[3], ("cells.tif".to_owned(), "masks".to_owned()));
    }
}
