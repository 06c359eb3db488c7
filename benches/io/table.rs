//! Medians and ratios, as a Markdown table that can also be read in a terminal.

use std::fmt::Write;

use anyhow::{Result, bail};

use crate::operations::{Load, Operation, Unit};
use crate::place::Place;

/// Collects seconds and renders them.
pub struct Table {
    labels: Vec<String>,
    /// Indices of the places that the others are divided by.
    references: Vec<usize>,
    rows: Vec<Row>,
    load: Load,
}

struct Row {
    name: &'static str,
    unit: Unit,
    /// Seconds by place and turn.
    seconds: Vec<Vec<f64>>,
}

impl Table {
    /// An empty table. Fails when a reference is not the label of a place.
    pub fn new(places: &[Place], references: &[String], load: Load) -> Result<Self> {
        let labels: Vec<String> = places.iter().map(|place| place.label.clone()).collect();
        let mut indices = Vec::new();
        for reference in references {
            match labels.iter().position(|label| label == reference) {
                Some(index) => indices.push(index),
                None => bail!("reference '{reference}' is no place; there are: {}", labels.join(", ")),
            }
        }
        Ok(Self { labels, references: indices, rows: Vec::new(), load })
    }

    /// The seconds that an operation took in a place, in the turn that is being measured.
    pub fn add(&mut self, operation: &Operation, place: usize, seconds: f64) {
        let index = match self.rows.iter().position(|row| row.name == operation.name) {
            Some(index) => index,
            None => {
                let seconds = vec![Vec::new(); self.labels.len()];
                self.rows.push(Row { name: operation.name, unit: operation.unit, seconds });
                self.rows.len() - 1
            }
        };
        self.rows[index].seconds[place].push(seconds);
    }

    /// The table as text.
    pub fn render(&self) -> String {
        let mut lines = vec![self.heading()];
        lines.extend(self.rows.iter().map(|row| self.line(row)));
        align(&lines)
    }

    fn heading(&self) -> Vec<String> {
        let mut cells = vec!["operation".to_owned(), "unit".to_owned()];
        for (index, label) in self.labels.iter().enumerate() {
            cells.push(label.clone());
            if !self.references.contains(&index) {
                cells.extend(self.references.iter().map(|&reference| format!("÷ {}", self.labels[reference])));
            }
        }
        cells
    }

    fn line(&self, row: &Row) -> Vec<String> {
        let mut cells = vec![row.name.to_owned(), row.unit.name().to_owned()];
        for (index, seconds) in row.seconds.iter().enumerate() {
            cells.push(short(row.unit.figure(median(seconds.clone()), &self.load)));
            if !self.references.contains(&index) {
                cells.extend(self.references.iter().map(|&reference| {
                    let pairs = seconds.iter().zip(&row.seconds[reference]);
                    format!("{:.2}", median(pairs.map(|(ours, theirs)| ours / theirs).collect()))
                }));
            }
        }
        cells
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::Throughput => "MB/s",
            Unit::Each(_) => "µs",
            Unit::Whole => "ms",
        }
    }

    fn figure(self, seconds: f64, load: &Load) -> f64 {
        match self {
            Unit::Throughput => load.file_bytes as f64 / seconds / 1e6,
            Unit::Each(count) => seconds * 1e6 / count(load) as f64,
            Unit::Whole => seconds * 1e3,
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[length / 2],
        length => (values[length / 2 - 1] + values[length / 2]) / 2.0,
    }
}

/// Three significant digits are more than the machine repeats.
fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// Pads the cells, names to the left and figures to the right.
fn align(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let widths: Vec<usize> =
        (0..columns).map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (column, cell) in line.iter().enumerate() {
            let padding = " ".repeat(widths[column] - cell.chars().count());
            // Writing to a String cannot fail.
            let _ = if column == 0 { write!(text, "| {cell}{padding} ") } else { write!(text, "| {padding}{cell} ") };
        }
        text.push_str("|\n");
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                let dashes = "-".repeat(*width);
                let _ = if column == 0 { write!(text, "| {dashes} ") } else { write!(text, "|-{dashes}:") };
            }
            text.push_str("|\n");
        }
    }
    text
}
