//! The command line: what a person types, and where all rooms are put together.

mod advise;
mod args;
mod args_jobs;
mod ask;
mod busy;
mod check;
mod config;
mod explain;
mod export;
mod failure;
mod find;
mod follow;
mod jobs;
mod locate;
mod migrate;
mod mount;
mod mountinfo;
mod output;
mod pages;
mod pin;
mod status;
mod sync;
mod unmount;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::backend::memory::place::keeper;
use args::{Cli, Command, ConfigCommand};
use failure::Failure;

/// Runs the program: exit code 0 done, 1 failed, 2 wrong usage.
pub fn main() -> ExitCode {
    let mut argv: Vec<OsString> = std::env::args_os().collect();
    // Before anything else, because it must have no second thread.
    if argv.get(1).is_some_and(|word| word == keeper::WORD) {
        return keeper::run(argv.drain(2..));
    }
    match parse(argv).and_then(run) {
        Ok(code) => code,
        Err(failure) => {
            failure.report();
            failure.exit_code()
        }
    }
}

/// Reads the arguments, of whichever name we were called by; help and version are printed at once.
fn parse(argv: Vec<OsString>) -> Result<Command, Failure> {
    let called = argv.first().map(OsString::as_os_str).unwrap_or(OsStr::new("scopefs")).to_owned();
    if let Some(command) = mount::helper::command(&called, argv.get(1..).unwrap_or_default()) {
        return command;
    }
    match Cli::try_parse_from(argv) {
        Ok(cli) => Ok(cli.command),
        Err(error) => {
            // Nobody is left to tell if the terminal is gone.
            let _ = error.print();
            let shown = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            Err(Failure::silent(if shown { 0 } else { 2 }))
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Mount(args) => mount::run(args),
        Command::Unmount(args) => unmount::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Status(args) => status::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Explain(args) => explain::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Find(args) => find::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Advise(args) => advise::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Migrate(args) => migrate::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Jobs(args) => jobs::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Pin(args) => pin::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Unpin(args) => pin::unpin(&args).map(|()| ExitCode::SUCCESS),
        Command::Sync(args) => sync::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Check(args) => check::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Export(args) => export::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Config(ConfigCommand::Check { file }) => config::check(&file).map(|()| ExitCode::SUCCESS),
        Command::Completions { shell } => pages::completions(shell).map(|()| ExitCode::SUCCESS),
        Command::Man { dir } => pages::man(dir.as_deref()).map(|()| ExitCode::SUCCESS),
    }
}
