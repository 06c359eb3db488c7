//! Measures file operations in several directories, turn by turn, and prints medians and ratios.
//!
//! Run by `scripts/bench`, which mounts what is to be compared. Every operation of a turn is done in all places one
//! after the other before the next operation begins, so that what disturbs the machine disturbs all of them; the order
//! of places rotates with the turn. A ratio is the median of the ratios within the turns, not a ratio of medians.

mod map;
mod operations;
mod place;
mod table;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;

use operations::{Caches, Load, OPERATIONS};
use place::Place;
use table::Table;

#[derive(Parser)]
#[command(about = "Measures file operations in several directories, paired turn by turn")]
struct Arguments {
    /// A directory to measure: LABEL=DIRECTORY, and =TIER behind it if its files must be in that tier.
    #[arg(long = "place", value_name = "LABEL=DIRECTORY[=TIER]")]
    places: Vec<Place>,
    /// The label of a place that the others are divided by.
    #[arg(long = "reference")]
    references: Vec<String>,
    /// How often everything is measured.
    #[arg(long, default_value_t = 5)]
    turns: usize,
    /// Size of the large file, in MiB.
    #[arg(long, default_value_t = 256)]
    mib: usize,
    /// Where the table goes as well.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Only operations whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// `cargo bench` adds this.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.places.is_empty() {
        println!("No place to measure was given: scripts/bench mounts some and calls this.");
        return Ok(());
    }
    let load = Load { file_bytes: arguments.mib << 20, ..Load::default() };
    let mut table = Table::new(&arguments.places, &arguments.references, load)?;
    for place in &arguments.places {
        operations::prepare(&place.directory, &load).with_context(|| format!("cannot prepare {}", place.label))?;
    }
    for turn in 0..arguments.turns {
        measure_turn(turn, &arguments, &load, &mut table)?;
    }
    let text = table.render();
    println!("{text}");
    if let Some(path) = &arguments.markdown {
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// One turn: each operation in every place, beginning with another place than the turn before.
fn measure_turn(turn: usize, arguments: &Arguments, load: &Load, table: &mut Table) -> Result<()> {
    let places = &arguments.places;
    for operation in OPERATIONS.iter().filter(|operation| operation.name.contains(&arguments.only)) {
        if operation.caches == Caches::Cold && !operations::can_drop_caches() {
            continue;
        }
        for step in 0..places.len() {
            let index = (turn + step) % places.len();
            let place = &places[index];
            let seconds = operation
                .measure(&place.directory, load)
                .with_context(|| format!("{} in {} failed", operation.name, place.label))?;
            table.add(operation, index, seconds);
            place.verify_tier().with_context(|| format!("after {}", operation.name))?;
        }
    }
    eprintln!("turn {} of {} done", turn + 1, arguments.turns);
    Ok(())
}
