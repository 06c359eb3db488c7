//! The program: see `scopefs::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    scopefs::cli::main()
}
