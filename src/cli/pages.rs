//! Manual pages and completions, made from the words of the command line.

use std::path::Path;

use clap::CommandFactory;

use super::args::Cli;
use super::failure::{Failure, print};

/// Prints the completions of a shell.
pub fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "scopefs", &mut text);
    print(String::from_utf8_lossy(&text))
}

/// Prints the manual page, or writes those of all commands into a directory.
pub fn man(dir: Option<&Path>) -> Result<(), Failure> {
    let failed = |what: &str, error: std::io::Error| Failure::failed(format!("cannot write {what}: {error}"));
    let Some(dir) = dir else {
        let mut text = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut text).map_err(|error| failed("the page", error))?;
        return print(String::from_utf8_lossy(&text));
    };
    clap_mangen::generate_to(Cli::command(), dir).map_err(|error| failed(&dir.display().to_string(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_hidden_words_are_not_in_it() {
        let dir = tempfile::tempdir().unwrap();
        man(Some(dir.path())).unwrap();
        let page = std::fs::read_to_string(dir.path().join("scopefs-mount.1")).unwrap();
        assert!(page.contains("memory\\-limit") && !page.contains("\\-\\-daemon"), "{page}");
        assert!(dir.path().join("scopefs-unmount.1").exists());
    }
}
