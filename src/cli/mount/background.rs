//! The daemon as a process of its own, and the pipe through which it says how its start goes.
//!
//! `mount` starts this program a second time and waits. The daemon's standard output is the pipe: one [`Said`] a line.
//! Standard error is the caller's until there is a log file, so that even a crash in the first moments is seen.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use super::{MountRequest, process, serve};
use crate::cli::args::MountArgs;
use crate::cli::failure::{Failure, say};

/// What the daemon says of its start.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    /// Something that the person should know.
    Note(String),
    /// The mount can be used.
    Ready,
    /// It will not come to be.
    Failed {
        /// The exit code.
        code: u8,
        /// Why.
        message: String,
    },
}

/// How a start is announced.
#[derive(Debug)]
pub struct Announce {
    piped: bool,
    /// Standard error is the log. Until then it is the caller's, who hears everything through the pipe already.
    logged: AtomicBool,
}

impl Announce {
    /// To the person at the terminal (`--foreground`).
    pub fn terminal() -> Announce {
        Announce { piped: false, logged: AtomicBool::new(true) }
    }

    /// Something that the person should know.
    pub fn note(&self, text: &str) {
        if self.logged.load(Ordering::Relaxed) {
            tracing::info!("{text}");
        }
        self.say(&Said::Note(text.to_owned()));
    }

    /// From now on the daemon's words go to this file; nothing changes in the foreground.
    pub fn log_to(&self, path: &Path) -> std::io::Result<()> {
        if self.piped {
            process::redirect_stderr(path)?;
            self.logged.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The mount can be used; whoever waits is released.
    pub fn ready(&self, mountpoint: &Path) {
        tracing::info!("{} can be used", mountpoint.display());
        self.say(&Said::Ready);
        if self.piped
            && let Err(error) = process::silence_stdout()
        {
            tracing::warn!("cannot open /dev/null: {error}");
        }
    }

    fn failed(&self, failure: &Failure) {
        if self.logged.load(Ordering::Relaxed) {
            tracing::error!("{}", failure.message);
        }
        self.say(&Said::Failed { code: failure.code, message: failure.message.clone() });
    }

    fn say(&self, said: &Said) {
        if !self.piped {
            return;
        }
        // A caller that does not wait any more needs no answer.
        if let Ok(line) = serde_json::to_string(said) {
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    }
}

/// The daemon's side: a session of its own, then the mount until it ends.
pub fn run_daemon(request: MountRequest) -> ExitCode {
    // Fails only if we lead a group of our own already.
    let _ = rustix::process::setsid();
    process::log_to_stderr(false);
    // What `ps` and `pgrep` show; a name that cannot be set is no loss.
    let _ = rustix::thread::set_name(c"scopefs");
    let announce = Announce { piped: true, logged: AtomicBool::new(false) };
    match serve::run(request, &announce) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            announce.failed(&failure);
            failure.exit_code()
        }
    }
}

/// The caller's side: starts the daemon and returns when the mount can be used, or when it is clear that it cannot.
pub fn start(args: &MountArgs) -> Result<ExitCode, Failure> {
    let no_start = |error: std::io::Error| Failure::failed(format!("cannot start the daemon: {error}"));
    let program = std::env::current_exe().map_err(no_start)?;
    let mut command = Command::new(program);
    command.arg0("scopefs").args(words(args));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(no_start)?;
    let Some(output) = child.stdout.take() else { return Err(Failure::failed("cannot hear the daemon")) };
    listen(BufReader::new(output)).unwrap_or_else(|| Err(wordless(&mut child)))
}

/// The words of the second start; paths are absolute already.
fn words(args: &MountArgs) -> Vec<std::ffi::OsString> {
    let mut words: Vec<std::ffi::OsString> = vec!["mount".into(), "--daemon".into()];
    for (flag, value) in [
        ("--config", args.config.as_ref().map(|path| path.as_os_str().to_owned())),
        ("--memory-limit", args.memory_limit.as_ref().map(|text| text.into())),
    ] {
        words.extend(value.into_iter().flat_map(|value| [flag.into(), value]));
    }
    words.extend(args.options.iter().flat_map(|list| ["-o".into(), list.into()]));
    words.push("--".into());
    words.push(args.workspace.clone().into());
    words.extend(args.mountpoint.clone().map(Into::into));
    words
}

/// What comes of the start; `None` if the daemon ends without a word.
fn listen(output: impl BufRead) -> Option<Result<ExitCode, Failure>> {
    for line in output.lines() {
        match serde_json::from_str(&line.ok()?) {
            Ok(Said::Note(text)) => say(format_args!("scopefs: {text}")),
            Ok(Said::Ready) => return Some(Ok(ExitCode::SUCCESS)),
            Ok(Said::Failed { code, message }) => return Some(Err(Failure { code, message })),
            // Somebody else's word on our standard output.
            Err(_) => {}
        }
    }
    None
}

fn wordless(child: &mut Child) -> Failure {
    let how = match child.wait() {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    Failure::failed(format!(
        "the daemon ended before the mount was ready ({how}); 'scopefs mount --foreground' with the same words shows more"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command as Words};
    use clap::Parser;

    #[test]
    fn the_second_start_is_given_the_same_words() {
        let line = ["scopefs", "mount", "/w", "/m", "-c", "/c", "-o", "ro,atime", "-o", "suid", "--memory-limit", "1G"];
        let Words::Mount(first) = Cli::parse_from(line).command else { panic!("not mount") };
        let again = std::iter::once("scopefs".into()).chain(words(&first));
        let Words::Mount(second) = Cli::parse_from(again).command else { panic!("not mount") };
        assert!(second.daemon);
        let of = |args: &MountArgs| {
            (
                args.workspace.clone(),
                args.mountpoint.clone(),
                args.config.clone(),
                args.options.clone(),
                args.memory_limit.clone(),
            )
        };
        assert_eq!(of(&first), of(&second));
    }

    #[test]
    fn the_waiting_side_hears_ready_failed_or_nothing() {
        assert!(listen(&b"{\"note\":\"n\"}\nnoise\n\"ready\"\n"[..]).unwrap().is_ok());
        let failed = listen(&b"{\"failed\":{\"code\":2,\"message\":\"no\"}}\n"[..]).unwrap().unwrap_err();
        assert_eq!(failed, Failure::usage("no"));
        assert!(listen(&b"{\"note\":\"n\"}\n"[..]).is_none());
    }
}
