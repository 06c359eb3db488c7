//! `scopefs config check`, and the configuration of a mount.

use std::path::Path;

use super::failure::{Failure, print, say};
use crate::backend::KINDS;
use crate::config::Config;
use crate::route::{self, Router};

/// The names that rules may use.
fn backends() -> Vec<&'static str> {
    KINDS.iter().map(|kind| kind.name).collect()
}

/// Says whether a configuration is right.
pub fn check(file: &Path) -> Result<(), Failure> {
    let (config, _) = route::load(file, &backends()).map_err(|errors| Failure::failed(errors.to_string()))?;
    for warning in config.warnings() {
        say(format_args!("warning: {warning}"));
    }
    let rules = match config.rules.len() {
        1 => "1 rule".to_owned(),
        many => format!("{many} rules"),
    };
    print(format_args!("{} is right: {rules}\n", file.display()))
}

/// The configuration of a mount: that of the file, or without one the defaults.
pub fn load(file: Option<&Path>) -> Result<(Config, Router), Failure> {
    let Some(file) = file else {
        let config = Config::default();
        let router = Router::new(&config, &backends()).map_err(|error| Failure::failed(error.to_string()))?;
        return Ok((config, router));
    };
    route::load(file, &backends()).map_err(|errors| Failure::failed(errors.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_configuration_fails_with_file_line_and_key() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.toml");
        std::fs::write(&file, "[memory]\nlimt = \"1GiB\"\n").unwrap();
        let failure = check(&file).unwrap_err();
        assert_eq!(failure.code, 1);
        assert!(failure.message.contains("c.toml:2") && failure.message.contains("limit"), "{}", failure.message);
        std::fs::write(&file, "[[rule]]\nmatch = \"**\"\nbackend = \"tape\"\n").unwrap();
        assert!(check(&file).unwrap_err().message.contains("no backend \"tape\""));
    }

    #[test]
    fn without_a_file_the_defaults_hold() {
        assert_eq!(load(None).unwrap().0, Config::default());
    }
}
