//! What may take an ordinary user's memory away: the end of the login session, or of a batch job.

use std::fs;
use std::path::Path;

use super::{PlaceKind, Surroundings};

/// Variables by which batch systems tell a job its number.
const JOBS: [(&str, &str); 4] =
    [("SLURM_JOB_ID", "Slurm"), ("PBS_JOBID", "PBS"), ("LSB_JOBID", "LSF"), ("JOB_ID", "Grid Engine")];

/// What a person should know of this place; empty if nothing threatens it.
pub(super) fn of(at: &Surroundings, kind: &PlaceKind) -> Vec<String> {
    if *kind == PlaceKind::HostTmpfs {
        return Vec::new();
    }
    let mut notes = Vec::new();
    if matches!(kind, PlaceKind::Keeper { .. })
        && let Some(reason) = killed_at_logout(at)
    {
        notes.push(format!("what is in memory ends with the login session: {reason}"));
    }
    notes.extend(job().map(|job| format!("what is in memory ends with {job}")));
    notes
}

/// The batch job that this process belongs to.
fn job() -> Option<String> {
    let told = |(variable, system): &(&str, &str)| {
        let job = std::env::var_os(variable)?;
        Some(format!("the {system} job {}", job.to_string_lossy()))
    };
    JOBS.iter().find_map(told)
}

/// With what this place, or all access to it, may end before the machine does. A job takes even root's machine away.
pub(super) fn may_end_with(at: &Surroundings, kind: &PlaceKind) -> Option<String> {
    let own = || match kind {
        PlaceKind::HostTmpfs => None,
        PlaceKind::Keeper { .. } if killed_at_logout(at).is_some() => Some("the login session".to_owned()),
        PlaceKind::Keeper { .. } => Some("the processes of this user".to_owned()),
        PlaceKind::SharedMemory => Some("whoever empties /dev/shm".to_owned()),
    };
    job().or_else(own)
}

/// Why logind will remove this user's files from `/dev/shm` at logout, if it will.
pub(super) fn removed_at_logout(at: &Surroundings) -> Option<String> {
    ends_with_session(at, "RemoveIPC", true)
}

/// Why logind will kill this user's processes at logout, if it will.
fn killed_at_logout(at: &Surroundings) -> Option<String> {
    ends_with_session(at, "KillUserProcesses", false)
}

/// logind.conf(5): both settings spare root and users that linger; RemoveIPC spares system users as well, and a
/// system user rarely has a session that could end.
fn ends_with_session(at: &Surroundings, key: &str, default: bool) -> Option<String> {
    // sd_booted(3); elogind is the same without systemd. `/run/systemd/sessions` alone comes with the package.
    let logind_runs = at.root.join("run/systemd/system").is_dir() || at.root.join("run/elogind.pid").exists();
    if at.uid < 1000 || !logind_runs || !setting(&at.root, key).unwrap_or(default) || lingers(at) {
        return None;
    }
    Some(format!("logind has {key}=yes and user {} does not linger (`loginctl enable-linger` changes that)", at.uid))
}

/// The last word of logind.conf and its drop-ins on `key`.
fn setting(root: &Path, key: &str) -> Option<bool> {
    let mut files = Vec::new();
    for base in ["usr/lib/systemd", "etc/systemd"] {
        files.push(root.join(base).join("logind.conf"));
    }
    for base in ["usr/lib/systemd", "run/systemd", "etc/systemd"] {
        let drop_ins = fs::read_dir(root.join(base).join("logind.conf.d")).into_iter().flatten().flatten();
        let mut drop_ins: Vec<_> = drop_ins.map(|entry| entry.path()).collect();
        drop_ins.sort();
        files.extend(drop_ins.into_iter().filter(|path| path.extension().is_some_and(|e| e == "conf")));
    }
    files.into_iter().rev().find_map(|path| last_word(&fs::read_to_string(path).ok()?, key))
}

fn last_word(text: &str, key: &str) -> Option<bool> {
    let mut values = text.lines().filter_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='));
    let value = values.next_back()?.trim().to_ascii_lowercase();
    Some(matches!(value.as_str(), "1" | "yes" | "y" | "true" | "t" | "on"))
}

/// Whether the user's processes may outlive his sessions.
fn lingers(at: &Surroundings) -> bool {
    let passwd = fs::read_to_string(at.root.join("etc/passwd")).unwrap_or_default();
    let named = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        (fields.nth(1)?.parse() == Ok(at.uid)).then_some(name)
    };
    // A user of a directory service is not in passwd; then the environment has to do.
    let name = passwd.lines().find_map(named).or_else(|| std::env::var("USER").ok());
    name.is_some_and(|name| !name.contains('/') && at.root.join("var/lib/systemd/linger").join(name).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desktop() -> (tempfile::TempDir, Surroundings) {
        let root = tempfile::tempdir().unwrap();
        for dir in ["run/systemd/system", "etc/systemd/logind.conf.d", "var/lib/systemd/linger"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        fs::write(root.path().join("etc/passwd"), "root:x:0:0::/:\nada:x:1815:1815::/home/ada:/bin/sh\n").unwrap();
        let at = Surroundings { root: root.path().to_owned(), uid: 1815, runtime_dir: None };
        (root, at)
    }

    #[test]
    fn logind_takes_shared_memory_away_unless_it_is_told_otherwise_or_the_user_lingers() {
        let (root, at) = desktop();
        assert!(removed_at_logout(&at).unwrap().contains("RemoveIPC"));
        assert!(killed_at_logout(&at).is_none());
        fs::write(root.path().join("var/lib/systemd/linger/ada"), "").unwrap();
        assert!(removed_at_logout(&at).is_none());
        fs::remove_file(root.path().join("var/lib/systemd/linger/ada")).unwrap();
        fs::write(root.path().join("etc/systemd/logind.conf"), "[Login]\n#RemoveIPC=yes\nRemoveIPC = no\n").unwrap();
        assert!(removed_at_logout(&at).is_none());
        fs::write(root.path().join("etc/systemd/logind.conf.d/9.conf"), "RemoveIPC=yes\nKillUserProcesses=1\n")
            .unwrap();
        assert!(removed_at_logout(&at).is_some());
        assert!(of(&at, &PlaceKind::Keeper { pid: 2 })[0].contains("KillUserProcesses"));
        assert_eq!(may_end_with(&at, &PlaceKind::Keeper { pid: 2 }).as_deref(), Some("the login session"));
        assert_eq!(may_end_with(&at, &PlaceKind::HostTmpfs), None);
    }

    #[test]
    fn without_logind_or_for_a_system_user_nothing_is_taken_away() {
        let (root, at) = desktop();
        assert!(removed_at_logout(&Surroundings { uid: 33, ..at.clone() }).is_none());
        fs::remove_dir(root.path().join("run/systemd/system")).unwrap();
        assert!(removed_at_logout(&at).is_none());
    }
}
