//! How things look: sizes, colours, tables, progress.

mod progress;
mod table;
mod words;

pub use progress::Meter;
pub use table::Table;
pub use words::{age, count, files, size};

use std::fmt;
use std::io::IsTerminal;

/// Whether standard output takes colours: a terminal, and nobody has asked for none (no-color.org).
pub fn colours() -> bool {
    std::io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|word| word.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A colour or weight, by what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A heading.
    Bold,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Not as it should be.
    Bad,
    /// Beside the point.
    Dim,
}

/// `text` in `style`, if there are colours at all.
pub fn paint(text: impl fmt::Display, style: Style, colours: bool) -> String {
    let code = match style {
        Style::Bold => "1",
        Style::Good => "32",
        Style::Warn => "33",
        Style::Bad => "31",
        Style::Dim => "2",
    };
    if colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
}
