//! What this process may do, and how it is set up to serve.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit};

/// The bit of CAP_SYS_ADMIN in capabilities(7).
const CAP_SYS_ADMIN: u32 = 21;

/// Whether mount(2) is open to us; ordinary users go through fusermount3.
pub fn may_mount() -> bool {
    fs::read_to_string("/proc/self/status").ok().and_then(|text| has_capability(&text, CAP_SYS_ADMIN)).unwrap_or(false)
}

fn has_capability(status: &str, capability: u32) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    Some(u64::from_str_radix(mask.trim(), 16).ok()? >> capability & 1 == 1)
}

/// Sets up what holds for a process that serves files of others: modes as they ask for them, as many descriptors as
/// there may be, and no directory held busy.
pub fn prepare_to_serve() -> io::Result<()> {
    rustix::process::umask(Mode::empty());
    let now = rustix::process::getrlimit(Resource::Nofile);
    // With fewer descriptors the mount still works, for fewer open files.
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    std::env::set_current_dir("/")
}

/// Log lines go to standard error, whatever that is at the moment; `SCOPEFS_LOG` says how much (`info`).
pub fn log_to_stderr(terminal: bool) {
    use std::io::IsTerminal;
    let filter = tracing_subscriber::EnvFilter::try_from_env("SCOPEFS_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let colours = terminal && io::stderr().is_terminal();
    // Fails only if there is a log already, which will do.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours).try_init();
}

/// From now on standard error is the file at `path`, which only this user can read; it is appended to.
pub fn redirect_stderr(path: &Path) -> io::Result<()> {
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    Ok(rustix::stdio::dup2_stderr(&log)?)
}

/// From now on nobody reads our standard output: whoever waited for it sees its end.
pub fn silence_stdout() -> io::Result<()> {
    let null = File::options().write(true).open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdout(&null)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_is_read_from_the_mask() {
        assert_eq!(has_capability("Name:\tx\nCapEff:\t0000000000200000\n", CAP_SYS_ADMIN), Some(true));
        assert_eq!(has_capability("CapEff:\t00000000001fffff\n", CAP_SYS_ADMIN), Some(false));
        assert_eq!(has_capability("Name:\tx\n", CAP_SYS_ADMIN), None);
    }
}
