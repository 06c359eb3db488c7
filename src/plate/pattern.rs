//! A compiled pattern, and what its groups mean.

use regex::bytes::{Captures, Regex, RegexBuilder};

use super::geometry::{parse_column, parse_number, parse_row, parse_well};
use super::{ChannelKey, Position, WellPosition};

/// Columns of the plate that is assumed where a name gives its well by number alone: 96 wells.
pub(super) const ASSUMED_COLUMNS: u32 = 12;
/// Most memory that a compiled pattern may take.
const PROGRAM_MOST: usize = 1 << 20;

/// A pattern over names without their extension.
pub(super) struct Pattern {
    /// Name of the convention.
    pub convention: String,
    regex: Regex,
    /// Whether the text around is in the groups `prefix` and `rest`, or is all that lies outside the groups.
    framed: bool,
}

/// What a pattern reads in a name.
pub(super) struct Reading<'a> {
    pub position: Position,
    /// The well where it is given as an index along the rows, from 0.
    pub linear: Option<u32>,
    /// Text before.
    pub prefix: &'a str,
    /// Text behind.
    pub rest: &'a str,
}

/// Compiles for names: in either case, bytes as in ASCII (names that are not UTF-8 never get here).
pub(super) fn compile(pattern: &str, ascii: bool) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .case_insensitive(true)
        .unicode(!ascii)
        .dot_matches_new_line(true)
        .size_limit(PROGRAM_MOST)
        .build()
}

impl Pattern {
    pub fn new(convention: String, regex: Regex) -> Pattern {
        let framed = regex.capture_names().flatten().any(|name| name == "rest");
        Pattern { convention, regex, framed }
    }

    /// Reads the first `stem` bytes of `name`, which is what stands before its extension; `None` if that does not follow
    /// the convention, or names a well or number that cannot be. A pattern of the configuration that asks for the
    /// extension as well gets it.
    pub fn read<'a>(&self, name: &'a str, stem: usize) -> Option<Reading<'a>> {
        let whole = name;
        let stem = name.get(..stem)?;
        // Most names follow one convention or none: finding that out costs much less than finding the groups.
        let text = [stem, whole]
            .into_iter()
            .take(if self.framed { 1 } else { 2 })
            .find(|text| self.regex.is_match(text.as_bytes()))?;
        let groups = Groups(self.regex.captures(text.as_bytes())?);
        let (well, linear) = groups.well()?;
        let (prefix, rest) = if self.framed {
            (stem.get(..groups.0.name("prefix")?.end())?, stem.get(groups.0.name("rest")?.start()..)?)
        } else {
            groups.around(stem)?
        };
        let position = Position {
            well,
            field: groups.number("field")?.unwrap_or(1),
            channel: groups.channel()?,
            depth: groups.number("depth")?,
            time: groups.time()?,
        };
        Some(Reading { position, linear, prefix, rest })
    }
}

/// The groups of a match. A group that is there and makes no sense is `None`; one that is not there, `Some(None)`.
struct Groups<'a>(Captures<'a>);

impl<'a> Groups<'a> {
    fn text(&self, name: &str) -> Option<Option<&'a str>> {
        match self.0.name(name) {
            Some(group) => std::str::from_utf8(group.as_bytes()).ok().map(Some),
            None => Some(None),
        }
    }

    fn number(&self, name: &str) -> Option<Option<u32>> {
        match self.text(name)? {
            Some(digits) if !digits.is_empty() => parse_number(digits).map(Some),
            _ => Some(None),
        }
    }

    /// `well` (a name or an index from 1), or `row` (a name or a number from 1) and `column`.
    fn well(&self) -> Option<(WellPosition, Option<u32>)> {
        if let Some(well) = self.text("well")? {
            if let Some(number) = parse_number(well) {
                let index = number.checked_sub(1)?;
                return Some((WellPosition::of_index(index, ASSUMED_COLUMNS), Some(index)));
            }
            return Some((parse_well(well)?, None));
        }
        let row = self.text("row")??;
        let row = if row.bytes().all(|b| b.is_ascii_digit()) {
            parse_number(row)?.checked_sub(1).filter(|&row| row < 32)?
        } else {
            parse_row(row)?
        };
        Some((WellPosition { row, column: parse_column(self.text("column")??)? }, None))
    }

    fn channel(&self) -> Option<ChannelKey> {
        if let Some(name) = self.text("wave")? {
            return Some(ChannelKey::Name(name.to_string()));
        }
        if let (Some(record), Some(channel)) = (self.number("record")?, self.text("channel")?) {
            return Some(ChannelKey::Name(format!("rc{record}-ch{}", parse_number(channel)?)));
        }
        let Some(channel) = self.text("channel")?.filter(|text| !text.is_empty()) else {
            return Some(ChannelKey::Number(1));
        };
        Some(parse_number(channel).map_or_else(|| ChannelKey::Name(channel.to_string()), ChannelKey::Number))
    }

    fn time(&self) -> Option<Option<u32>> {
        let Some(days) = self.number("days")? else { return self.number("time") };
        let hours = days.checked_mul(24)?.checked_add(self.number("hours")??)?;
        hours.checked_mul(60)?.checked_add(self.number("minutes")??).map(Some)
    }

    /// What stands before the first group and behind the last.
    fn around(&self, stem: &'a str) -> Option<(&'a str, &'a str)> {
        let groups = || self.0.iter().skip(1).flatten();
        let start = groups().map(|group| group.start()).min()?;
        let end = groups().map(|group| group.end()).max()?;
        Some((stem.get(..start)?, stem.get(end..)?))
    }
}
