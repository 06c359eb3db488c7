//! TOML to a validated [`Config`].
//!
//! A configuration is read as a whole: every problem is reported with file, line, key, what is accepted and what to
//! write instead, so that one look at the message mends the file. Nothing is guessed: an unknown key is an error, since
//! a misspelt `durability` that was silently ignored would cost data. What can only be a slip but does no harm (a rule
//! that can never match) is a warning.
//!
//! Whether a backend exists and whether a glob or a pattern of plate names is well formed is known one level up, where
//! rules become decisions; see [`crate::route::load`] for the way to have all problems of a file in one list.

mod error;
mod model;
mod nearest;
mod quantity;
mod read;
mod section;
#[cfg(test)]
mod tests;
mod value;
mod warnings;

use std::fs;
use std::path::Path;

pub use error::{ConfigErrors, Problem};
pub use model::{
    Auto, Codec, Config, Filter, Limit, Memory, Ngff, Originals, PlatePattern, Promote, Rule, SealAs, Shards,
    WRITE_BEHIND_LATEST, Zarr,
};
pub use nearest::nearest;
pub use quantity::{parse_duration, parse_limit, parse_size, parse_write_behind};
pub use section::SECTIONS;

impl Config {
    /// Reads a configuration from text; `file` only names it in messages. All problems are reported.
    pub fn from_toml(text: &str, file: &Path) -> Result<Config, ConfigErrors> {
        let (config, problems) = Config::from_toml_partly(text, file);
        if problems.is_empty() { Ok(config) } else { Err(ConfigErrors::invalid(file, problems)) }
    }

    /// Reads what can be read, with everything that is wrong; for callers that have more checks of their own and want
    /// to report all problems at once. The configuration is to be used only if there are none.
    pub fn from_toml_partly(text: &str, file: &Path) -> (Config, Vec<Problem>) {
        let (mut config, problems) = read::read(text);
        config.file = Some(file.to_path_buf());
        (config, problems)
    }

    /// Reads a configuration from a file.
    pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
        Config::from_toml(&read_text(path)?, path)
    }
}

/// The text of a configuration file, which must be UTF-8.
pub fn read_text(path: &Path) -> Result<String, ConfigErrors> {
    let bytes = fs::read(path).map_err(|source| ConfigErrors::Unreadable { file: path.to_path_buf(), source })?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes().iter().take(good).filter(|&&b| b == b'\n').count();
        let message = "this line is not UTF-8 text, as TOML must be; save the file as UTF-8".to_string();
        ConfigErrors::invalid(path, vec![Problem { line: Some(line), key: String::new(), message }])
    })
}
