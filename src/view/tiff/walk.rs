//! All directories of a file, in order.

use std::collections::HashSet;

use super::super::Refusal;
use super::super::read::Headers;
use super::directory::{Directory, Format};
use super::page::{Page, Place};
use super::tags;

/// Most directories of a file.
const DIRECTORIES_MOST: usize = 1 << 18;

/// Directories below one of the main chain: levels of a pyramid, of which there are few.
const LEVELS_MOST: u32 = 1 << 10;

/// The pages of a file, each one of the main chain followed by those below it, and the directory that describes it.
pub(super) fn pages(headers: &mut Headers<'_>, format: Format) -> Result<(Vec<Page>, Directory), Refusal> {
    let mut walk = Walk { headers, format, seen: HashSet::new(), pages: Vec::new() };
    let mut offset = format.first(walk.headers)?;
    let (mut number, mut first) = (0, None);
    while offset != 0 {
        if !walk.visit(offset)? {
            return Err(Refusal::Malformed(format!("its directories form a loop, at byte {offset}")));
        }
        let directory = walk.read(offset, Place::Main(number))?;
        walk.below(&directory)?;
        offset = directory.next;
        number += 1;
        first.get_or_insert(directory);
    }
    let Walk { pages, .. } = walk;
    match first {
        Some(first) if !pages.is_empty() => Ok((pages, first)),
        _ => Err(Refusal::Malformed("it has no directory with pixels".to_owned())),
    }
}

struct Walk<'h, 's> {
    headers: &'h mut Headers<'s>,
    format: Format,
    /// Offsets of the directories that were read.
    seen: HashSet<u64>,
    pages: Vec<Page>,
}

impl Walk<'_, '_> {
    /// Whether the directory was not yet read.
    fn visit(&mut self, offset: u64) -> Result<bool, Refusal> {
        if self.seen.len() >= DIRECTORIES_MOST {
            return Err(Refusal::TooComplex(format!("it has more than {DIRECTORIES_MOST} directories")));
        }
        Ok(self.seen.insert(offset))
    }

    fn read(&mut self, offset: u64, place: Place) -> Result<Directory, Refusal> {
        let directory = Directory::read(self.headers, self.format, offset)?;
        self.pages.extend(Page::read(&directory, self.headers, self.format, place)?);
        Ok(directory)
    }

    /// Reads what lies below a directory of the main chain: its SubIFDs in order, what lies below them, and what
    /// they are chained to. Some writers both list and chain them; each is read once, the list first.
    fn below(&mut self, directory: &Directory) -> Result<(), Refusal> {
        let mut waiting = self.listed(directory)?;
        let mut level = 1;
        while !waiting.is_empty() {
            let mut deeper = Vec::new();
            for offset in waiting {
                if offset == 0 || !self.visit(offset)? {
                    continue;
                }
                let directory = self.read(offset, Place::Sub(level))?;
                deeper.extend(self.listed(&directory)?);
                deeper.push(directory.next);
                level = (level + 1).min(LEVELS_MOST);
            }
            waiting = deeper;
        }
        Ok(())
    }

    fn listed(&mut self, directory: &Directory) -> Result<Vec<u64>, Refusal> {
        match directory.field(tags::SUB_IFDS) {
            Some(field) => field.integers(self.headers, self.format, DIRECTORIES_MOST as u64),
            None => Ok(Vec::new()),
        }
    }
}
