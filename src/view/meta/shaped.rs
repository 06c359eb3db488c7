//! `{"shape": [5, 3, 64, 64], "axes": "TCYX"}`, as tifffile writes for arrays of any shape.

use serde::Deserialize;

use super::Axis;
use super::stated::{Stated, StatedImage};

/// Longest description that is taken for one of these.
const TEXT_MOST: usize = 64 << 10;

#[derive(Deserialize)]
struct Shaped {
    shape: Vec<u64>,
    axes: Option<String>,
    /// Only the first of the planes has a directory.
    #[serde(default)]
    truncated: bool,
}

/// `values`: those of a page.
pub(super) fn read(text: &str, values: u64) -> Stated {
    let shaped = (text.len() <= TEXT_MOST).then(|| serde_json::from_str::<Shaped>(text).ok()).flatten();
    let Some(shaped) = shaped else { return Stated::default() };
    let axes = shaped.axes.as_deref().and_then(|axes| leading(axes, &shaped.shape)).unwrap_or_default();
    let all = shaped.shape.iter().try_fold(1u64, |all, &extent| all.checked_mul(extent)).unwrap_or(0);
    let planes_behind = if shaped.truncated && all.checked_rem(values) == Some(0) { all / values } else { 1 };
    Stated { images: vec![StatedImage { axes, ..StatedImage::default() }], planes_behind }
}

/// The axes before those of the plane; `None` if one of them has no name here.
fn leading(axes: &str, shape: &[u64]) -> Option<Vec<(Axis, u64)>> {
    if axes.chars().count() != shape.len() {
        return None;
    }
    let outer = axes.chars().zip(shape).filter(|&(letter, &extent)| extent > 1 && !matches!(letter, 'Y' | 'X' | 'S'));
    let axis = |letter| match letter {
        'T' => Some(Axis::Time),
        'C' => Some(Axis::Channel),
        'Z' => Some(Axis::Depth),
        _ => None,
    };
    outer.map(|(letter, &extent)| Some((axis(letter)?, extent))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_taken_where_they_have_names() {
        let axes = |text: &str| read(text, 64 * 64).images.first().map(|image| image.axes.clone());
        let named = r#"{"shape": [5, 3, 64, 64], "axes": "TCYX"}"#;
        assert_eq!(axes(named), Some(vec![(Axis::Time, 5), (Axis::Channel, 3)]));
        assert_eq!(axes(r#"{"shape": [5, 3, 64, 64], "axes": "QCYX"}"#), Some(vec![]));
        assert_eq!(axes(r#"{"shape": [5, 3, 64, 64]}"#), Some(vec![]));
        assert_eq!(axes(r#"{"shape": "#), None);
    }

    #[test]
    fn planes_without_directories_are_counted() {
        assert_eq!(read(r#"{"shape": [5, 3, 64, 64], "truncated": true}"#, 64 * 64).planes_behind, 15);
        assert_eq!(read(r#"{"shape": [5, 3, 64, 64]}"#, 64 * 64).planes_behind, 1);
        assert_eq!(read(r#"{"shape": [5, 3, 64, 64], "truncated": true}"#, 0).planes_behind, 1);
    }
}
