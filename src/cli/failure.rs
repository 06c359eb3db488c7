//! Why a command ends with an exit code other than 0.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// What is printed and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// For the person; empty if all has been said.
    pub message: String,
}

impl Failure {
    /// What was asked for could not be done.
    pub fn failed(message: impl Into<String>) -> Failure {
        Failure { code: 1, message: message.into() }
    }

    /// What was asked for makes no sense.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure { code: 2, message: message.into() }
    }

    /// All has been said already.
    pub fn silent(code: u8) -> Failure {
        Failure { code, message: String::new() }
    }

    /// Prints the message to standard error.
    pub fn report(&self) {
        if !self.message.is_empty() {
            say(format_args!("scopefs: {}", self.message));
        }
    }

    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

/// One line on standard error.
pub fn say(line: impl Display) {
    // If even standard error is gone, there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// One piece of text on standard output. A reader that has seen enough (`head`) ends us quietly.
pub fn print(text: impl Display) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::silent(0)),
        Err(error) => Err(Failure::failed(format!("cannot write to standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}
