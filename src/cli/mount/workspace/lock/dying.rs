//! A daemon that was killed holds its lock for a moment more, until the kernel has closed its files.

use std::fs;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

/// A process that takes longer to die waits for a disk; whoever mounts is told that the lock is held.
const PATIENCE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// `PF_EXITING` in the flags of `/proc/PID/stat`.
const EXITING: u64 = 4;
/// SIGKILL in the masks of `/proc/PID/status`.
const KILLED: u64 = 1 << 8;

/// If the process is dead or dying, waits for its end; whether it is gone. Returns at once if it lives.
pub(super) fn wait_for(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    let process = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(error) => return error == Errno::SRCH,
    };
    if !is_dying(pid) {
        return false;
    }
    let mut end = [PollFd::new(&process, PollFlags::IN)];
    loop {
        match rustix::event::poll(&mut end, Some(&PATIENCE)) {
            Err(Errno::INTR) => {}
            ready => return ready.is_ok_and(|ready| ready > 0),
        }
    }
}

fn is_dying(pid: Pid) -> bool {
    let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", pid.as_raw_pid())).ok();
    // A process without files in /proc is gone.
    read("stat").is_none_or(|stat| exits(&stat)) || read("status").is_none_or(|status| is_killed(&status))
}

/// `pid (command) state ppid pgrp session tty tpgid flags …`; the command may hold anything.
fn exits(stat: &str) -> bool {
    let Some((_, fields)) = stat.rsplit_once(") ") else { return false };
    let mut fields = fields.split(' ');
    let state = fields.next().unwrap_or_default();
    let flags = fields.nth(5).and_then(|flags| flags.parse::<u64>().ok()).unwrap_or_default();
    matches!(state, "Z" | "X") || flags & EXITING != 0
}

fn is_killed(status: &str) -> bool {
    let masks = status.lines().filter_map(|line| line.strip_prefix("SigPnd:").or(line.strip_prefix("ShdPnd:")));
    masks.filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok()).any(|mask| mask & KILLED != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_living_process_is_not_waited_for() {
        assert!(!wait_for(std::process::id()));
    }

    #[test]
    fn a_killed_process_is_waited_for_even_if_nobody_collects_it() {
        let mut child = Command::new("sleep").arg("60").stdout(Stdio::null()).spawn().unwrap();
        child.kill().unwrap();
        assert!(wait_for(child.id()));
        child.wait().unwrap();
        assert!(wait_for(child.id()), "it is gone");
    }

    #[test]
    fn what_proc_says_of_the_dying_is_understood() {
        assert!(exits("7 (a) b) Z 1 7 7 0 -1 4194304 0") && exits("7 (x) R 1 7 7 0 -1 4194308 0"));
        assert!(!exits("7 (Z) S 1 7 7 0 -1 4194304 0"));
        assert!(is_killed("SigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\n"));
        assert!(!is_killed("SigPnd:\t0000000000000000\nShdPnd:\t0000000000004000\n"));
    }
}
