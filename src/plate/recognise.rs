//! From a path to a place in a plate.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::convention::CONVENTIONS;
use super::geometry::parse_well;
use super::pattern::{Pattern, Reading, compile};
use super::{PatternError, PlateKey, Position, Recognised, custom, guid};
use crate::model::RelPath;

/// Endings of the images that can be held in plates, longest first.
const EXTENSIONS: [&str; 5] = [".ome.tiff", ".ome.tif", ".tiff", ".tif", ".npy"];

/// Recognises the names of plate images. Built once; matching takes time linear in the name.
pub struct Recogniser {
    patterns: Vec<Pattern>,
}

impl Recogniser {
    /// With the conventions of the microscopes, and before them those of the configuration.
    ///
    /// A `custom` pattern is a regular expression that is looked for, in either case, anywhere in a file's name without
    /// its extension; if it is not there, in the whole name. Its named groups are `well` (`B03`, or an index along the rows from 1) or `row` and `column`
    /// (`B` or `2`, and `3`), and, where names have them, `field`, `channel`, `depth` and `time`; numbers all, but
    /// `channel`, which may be text. What stands before its first group and behind its last belongs to the plate's key.
    pub fn new(custom: &[String]) -> Result<Recogniser, PatternError> {
        let mut patterns = custom.iter().map(|pattern| custom::read(pattern)).collect::<Result<Vec<_>, _>>()?;
        for convention in CONVENTIONS {
            let regex = compile(convention.pattern, true).map_err(|error| PatternError::Syntax {
                pattern: convention.pattern.to_string(),
                reason: error.to_string(),
            })?;
            patterns.push(Pattern::new(convention.name.to_string(), regex));
        }
        Ok(Recogniser { patterns })
    }

    /// Which plane of which plate the file with this path is, by its name and by the folders of its plate; `None` for
    /// all other files, for thumbnails, and for names that are not UTF-8.
    pub fn recognise(&self, path: &RelPath) -> Option<Recognised> {
        let mut upwards = path.as_bytes().rsplit(|&b| b == b'/');
        let name = std::str::from_utf8(upwards.next()?).ok()?;
        let (stem, extension) = split_extension(name)?;
        let (pattern, reading) =
            self.patterns.iter().find_map(|pattern| Some((pattern, pattern.read(name, stem.len())?)))?;
        if contains_ignoring_case(reading.rest, "_thumb") {
            return None;
        }
        let Reading { mut position, linear, prefix, rest } = reading;
        let imagexpress = pattern.convention == "imagexpress";
        if imagexpress && leaves_an_axis(rest) {
            return None;
        }
        let depth = 1 + climb(upwards, &mut position, linear.is_some());
        let key = PlateKey {
            convention: pattern.convention.clone(),
            prefix: prefix.to_string(),
            suffix: if imagexpress { guid::without(rest) } else { rest.to_string() },
            extension: extension.to_string(),
            has_time: position.time.is_some(),
            has_depth: position.depth.is_some(),
        };
        Some(Recognised { key, position, depth, linear_well: linear })
    }
}

/// A name's stem and its extension, which keeps its dot.
fn split_extension(name: &str) -> Option<(&str, &str)> {
    EXTENSIONS.iter().find_map(|extension| {
        let at = name.len().checked_sub(extension.len())?;
        let (stem, end) = (name.get(..at)?, name.get(at..)?);
        (!stem.is_empty() && end.eq_ignore_ascii_case(extension)).then_some((stem, end))
    })
}

/// Whether an axis was left unread (`_w123`, `_w1x`, `_t1_z1`): taken for literal text, it would make each channel or
/// plane a plate of its own.
fn leaves_an_axis(rest: &str) -> bool {
    matches!(rest.as_bytes(), [b'_', b's' | b'w' | b'z' | b't' | b'S' | b'W' | b'Z' | b'T', digit, ..] if digit.is_ascii_digit())
}

fn contains_ignoring_case(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

/// A kind of folder below a plate's base directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Folder {
    Time,
    Depth,
    Well,
    Images,
}

/// How many of the components above a file belong to its plate: each kind of folder once, in any order. What they say
/// is noted in the position; a folder that contradicts the name is none of the plate's.
fn climb<'a>(upwards: impl Iterator<Item = &'a [u8]>, position: &mut Position, linear: bool) -> usize {
    let mut met: Vec<Folder> = Vec::new();
    for component in upwards {
        let Some((folder, number)) = folder(component, position, linear) else { break };
        if met.contains(&folder) {
            break;
        }
        let axis = match folder {
            Folder::Time => Some(&mut position.time),
            Folder::Depth => Some(&mut position.depth),
            Folder::Well | Folder::Images => None,
        };
        if let Some(axis) = axis {
            if axis.is_some() && *axis != number {
                break;
            }
            *axis = number;
        }
        met.push(folder);
    }
    met.len()
}

/// What a folder is, and its number.
fn folder(component: &[u8], position: &Position, linear: bool) -> Option<(Folder, Option<u32>)> {
    let name = OsStr::from_bytes(component).to_str()?;
    if name == "Images" {
        return Some((Folder::Images, None));
    }
    for (word, folder) in [("TimePoint_", Folder::Time), ("ZStep_", Folder::Depth)] {
        let (head, number) = (name.get(..word.len()), name.get(word.len()..));
        if head.is_some_and(|head| head.eq_ignore_ascii_case(word)) {
            let number = number.filter(|digits| !digits.is_empty()).and_then(super::geometry::parse_number)?;
            return Some((folder, Some(number)));
        }
    }
    // A well that is an index says nothing that a folder's name could repeat.
    (!linear && parse_well(name) == Some(position.well)).then_some((Folder::Well, None))
}
