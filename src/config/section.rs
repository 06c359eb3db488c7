//! One table of the file while it is read: its known keys, and where problems go.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::quantity::quoted;
use super::value::Read;
use super::{Problem, nearest};

/// Every section of a configuration and the keys it may have, in the order of the documentation.
pub const SECTIONS: &[(&str, &[&str])] = &[
    ("[memory]", &["limit", "high", "low", "write_behind", "stop_within", "promote"]),
    ("[auto]", &["memory_below", "zarr_above"]),
    ("[zarr]", &["ngff", "codec", "filter", "settle", "shards", "plates"]),
    (
        "[[rule]]",
        &["match", "backend", "durability", "write_behind", "on_unmount", "originals", "adopt", "dataset", "as", "of"],
    ),
];

/// Collects problems and knows which line a byte is in.
pub(super) struct Report<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str) -> Report<'t> {
        Report { text, problems: Vec::new() }
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|&b| b == b'\n').count()
    }

    pub(super) fn add(&mut self, line: Option<usize>, key: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { line, key: key.into(), message: message.into() });
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}

/// A table whose keys are all known.
pub(super) struct Section<'d> {
    place: String,
    line: usize,
    table: &'d DeTable<'d>,
}

impl<'d> Section<'d> {
    /// Looks at all keys of `table`, reporting those that `section` does not have. `place` is how messages name it,
    /// `line` where it begins.
    pub(super) fn open(
        (place, line): (String, usize),
        section: &str,
        table: &'d DeTable<'d>,
        report: &mut Report<'_>,
    ) -> Section<'d> {
        let keys = SECTIONS.iter().find(|(name, _)| *name == section).map(|(_, keys)| *keys).unwrap_or_default();
        for (key, _) in table.iter().filter(|(key, _)| !keys.contains(&key.get_ref().as_ref())) {
            let line = report.line(key.span().start);
            report.add(Some(line), format!("{place} {}", shown(key)), unknown(key.get_ref(), section, keys));
        }
        Section { place, line, table }
    }

    /// The line of a key, if it is there.
    pub(super) fn line(&self, key: &str, report: &Report<'_>) -> Option<usize> {
        self.entry(key).map(|(key, _)| report.line(key.span().start))
    }

    /// The value of a key; `None` if it is absent or wrong, which is then reported.
    pub(super) fn get<T>(
        &self,
        key: &str,
        report: &mut Report<'_>,
        read: impl FnOnce(&DeValue<'_>) -> Read<T>,
    ) -> Option<T> {
        let (_, value) = self.entry(key)?;
        match read(value.get_ref()) {
            Ok(value) => Some(value),
            Err(message) => {
                self.fault(key, report, message);
                None
            }
        }
    }

    /// Whether nothing wrong was found about these keys so far: what they mean together can be looked at.
    pub(super) fn sound(&self, keys: &[&str], report: &Report<'_>) -> bool {
        let wrong = |key: &&str| report.problems.iter().any(|p| p.key == format!("{} {key}", self.place));
        !keys.iter().any(wrong)
    }

    /// Reports what is wrong about a key of this section, at its own line or, if it is absent, the section's.
    pub(super) fn fault(&self, key: &str, report: &mut Report<'_>, message: impl Into<String>) {
        let line = self.line(key, report).unwrap_or(self.line);
        report.add(Some(line), format!("{} {key}", self.place), message);
    }

    fn entry(&self, key: &str) -> Option<(&'d Spanned<Cow<'d, str>>, &'d Spanned<DeValue<'d>>)> {
        self.table.iter().find(|(name, _)| name.get_ref() == key)
    }
}

/// A key as the file has it, without control characters.
fn shown(key: &Spanned<Cow<'_, str>>) -> String {
    let key = key.get_ref();
    let bare =
        !key.is_empty() && key.len() <= 60 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    if bare { key.to_string() } else { quoted(key) }
}

fn unknown(key: &str, section: &str, keys: &[&'static str]) -> String {
    let valid = keys.join(", ");
    // The right key in the wrong place is told as that: the nearest one here would mislead.
    if let Some((home, _)) = SECTIONS.iter().find(|(_, keys)| keys.contains(&key)) {
        return format!("this key belongs in {home}, not in {section}; valid in {section}: {valid}");
    }
    let near = nearest(key, keys.iter().copied()).unwrap_or_default();
    format!("unknown key; the nearest valid one is '{near}'; valid in {section}: {valid}")
}

/// The names of sections as they stand in the file's root table.
const ROOT: &[&str] = &["memory", "auto", "zarr", "rule"];

/// Reports keys of the root that are no sections.
pub(super) fn check_root(root: &DeTable<'_>, report: &mut Report<'_>) {
    for (key, value) in root.iter().filter(|(key, _)| !ROOT.contains(&key.get_ref().as_ref())) {
        let line = report.line(key.span().start);
        let belongs = SECTIONS.iter().find(|(_, keys)| keys.contains(&key.get_ref().as_ref()));
        let message = match belongs {
            Some((home, _)) if !value.get_ref().is_table() => {
                format!("this key stands before every section; move it below {home}")
            }
            _ => {
                let near = nearest(key.get_ref(), ROOT.iter().copied()).unwrap_or_default();
                let bracketed = SECTIONS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
                format!("unknown section or key; the nearest valid one is '{near}'; valid are {bracketed}")
            }
        };
        report.add(Some(line), shown(key), message);
    }
}
