//! `scopefs mount`: from the words of the command line to a daemon that serves a workspace.
//!
//! [`preflight`] says no where it must, [`workspace`] opens the directory and locks it, [`serve`] puts the rooms
//! together, [`life`] carries the mount to its end, whichever way that comes; [`background`] runs it all in a process of
//! its own.

mod assemble;
mod background;
pub mod detach;
mod heap;
pub mod helper;
mod life;
mod options;
mod preflight;
mod process;
mod serve;
mod served;
pub mod workspace;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::args::MountArgs;
use super::failure::Failure;
use crate::config::{Limit, parse_limit};
use options::MountOptions;

/// What is to be mounted, where and how; all paths are absolute.
#[derive(Debug, Clone)]
pub struct MountRequest {
    /// The backing directory.
    pub workspace: PathBuf,
    /// Where it is to be seen.
    pub mountpoint: PathBuf,
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// From the command line; it goes before the configuration's.
    pub memory_limit: Option<Limit>,
    /// Mount options.
    pub options: MountOptions,
}

/// Runs the command.
pub fn run(args: MountArgs) -> Result<ExitCode, Failure> {
    let args = absolute(args)?;
    let request = request(&args)?;
    if args.fake {
        let mut notes = |_: String| {};
        preflight::check(&request, &preflight::Surroundings::here()?, &mut notes)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.daemon {
        return Ok(background::run_daemon(request));
    }
    if args.foreground {
        process::log_to_stderr(true);
        return serve::run(request, &background::Announce::terminal()).map(|()| ExitCode::SUCCESS);
    }
    background::start(&args)
}

/// The same with absolute paths: the daemon works in `/`.
fn absolute(args: MountArgs) -> Result<MountArgs, Failure> {
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|error| Failure::usage(format!("'{}' is no path: {error}", path.display())))
    };
    Ok(MountArgs {
        workspace: absolute(&args.workspace)?,
        mountpoint: args.mountpoint.as_deref().map(absolute).transpose()?,
        config: args.config.as_deref().map(absolute).transpose()?,
        ..args
    })
}

fn request(args: &MountArgs) -> Result<MountRequest, Failure> {
    let options = MountOptions::parse(args.options.iter().map(String::as_str)).map_err(Failure::usage)?;
    let limit = args.memory_limit.as_deref().or(options.memory_limit.as_deref());
    let memory_limit = limit
        .map(parse_limit)
        .transpose()
        .map_err(|error| Failure::usage(format!("the memory limit cannot be used: {error}")))?;
    Ok(MountRequest {
        workspace: args.workspace.clone(),
        mountpoint: args.mountpoint.clone().unwrap_or_else(|| args.workspace.clone()),
        config: args.config.clone().or_else(|| options.config.clone()),
        memory_limit,
        options,
    })
}
