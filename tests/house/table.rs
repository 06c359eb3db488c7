//! The tables of `docs/architecture.md`, which are the law.

use std::collections::BTreeMap;

/// What the document says.
#[derive(Default)]
pub struct Tables {
    /// Level of each room.
    pub levels: BTreeMap<String, u32>,
    /// Rooms that may use each crate.
    pub crates: BTreeMap<String, Vec<String>>,
    /// Files that may hold unsafe code.
    pub unsafe_files: Vec<String>,
    /// Files that may be longer than the rest.
    pub long_files: Vec<String>,
    /// Functions that may be longer than the rest, as `file name`.
    pub long_functions: Vec<String>,
}

impl Tables {
    /// Reads the tables by their headings: `| level | room |`, `| crate | rooms |`, `| unsafe |`,
    /// `| long file |`, `| long function |`.
    pub fn read(document: &str) -> Tables {
        let mut tables = Tables::default();
        let mut heading = Vec::new();
        for line in document.lines() {
            let Some(cells) = cells(line) else {
                heading.clear();
                continue;
            };
            if heading.is_empty() {
                heading = cells;
            } else if !cells.iter().all(|cell| cell.chars().all(|c| c == '-')) {
                tables.row(&heading[0], &cells);
            }
        }
        tables
    }

    fn row(&mut self, table: &str, cells: &[String]) {
        let second = || cells.get(1).cloned().unwrap_or_default();
        match table {
            "level" => {
                self.levels.insert(second(), cells[0].parse().expect("a level is a number"));
            }
            "crate" => {
                let rooms = second().split(',').map(|room| room.trim().to_owned()).collect();
                self.crates.insert(cells[0].clone(), rooms);
            }
            "unsafe" => self.unsafe_files.push(cells[0].clone()),
            "long function" => self.long_functions.push(cells[0].clone()),
            "long file" => self.long_files.push(cells[0].clone()),
            _ => {}
        }
    }
}

fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(|cell| cell.replace('`', "").trim().to_owned()).collect())
}
