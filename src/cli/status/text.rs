//! Status for a person.

use crate::cli::output::{Style, Table, age, count, files, paint, size};
use crate::control::Status;
use crate::control::status::{Amount, Memory};

/// Cells of the bar that shows how full memory is.
const BAR: usize = 30;

/// Lines of failures and conflicts; the rest is counted.
const LISTED: usize = 10;

/// Several lines, with a newline at the end.
pub fn status(status: &Status, colours: bool) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(line.trim_end());
        text.push('\n');
    };
    line(format!(
        "{}  on  {}{}",
        paint(&status.workspace, Style::Bold, colours),
        paint(&status.mountpoint, Style::Bold, colours),
        if status.read_only { "  (read-only)" } else { "" }
    ));
    memory(&status.memory, status.tmpfs.is_some(), colours).into_iter().for_each(&mut line);
    line(tiers(status));
    line(dirty(status, colours));
    session(status).into_iter().for_each(&mut line);
    line(moved(status, colours));
    sealed(status).into_iter().for_each(&mut line);
    datasets(status).into_iter().for_each(&mut line);
    line(format!("  open handles {}   pid {}", count(status.open_handles), status.pid));
    trouble(status, colours).into_iter().for_each(&mut line);
    text
}

fn memory(memory: &Memory, there: bool, colours: bool) -> Vec<String> {
    if !there && memory.limit_bytes == 0 {
        return vec!["  no memory tier: everything is on disk".to_owned()];
    }
    let style = match memory.pressure {
        full if full >= memory.high => Style::Bad,
        full if full >= memory.low => Style::Warn,
        _ => Style::Good,
    };
    let filled = (memory.pressure.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    let because = if memory.limit_because.is_empty() { String::new() } else { format!(" ({})", memory.limit_because) };
    vec![
        format!(
            "  memory {} {:3.0} %  (marks {:.0} and {:.0} %)",
            paint("█".repeat(filled), style, colours) + &"░".repeat(BAR - filled),
            memory.pressure * 100.0,
            memory.low * 100.0,
            memory.high * 100.0
        ),
        format!("         {} of {}{because}", size(memory.used_bytes), size(memory.limit_bytes)),
    ]
}

fn tiers(status: &Status) -> String {
    let mut table = Table::default();
    let mut row = |name: &str, amount: Amount, note: &str| {
        table.row([name, &files(amount.files), &size(amount.bytes), note]);
    };
    row("in memory", status.tiers.memory, "");
    row("on disk", status.tiers.disk, if status.tiers.complete { "" } else { "(still counting)" });
    let zarr = status.tiers.zarr;
    if zarr.files > 0 {
        // A store may take more than its files if they do not compress at all.
        let ratio = zarr.bytes as f64 / zarr.stored_bytes.max(1) as f64;
        let note = format!("({} stored, {ratio:.2} to 1)", size(zarr.stored_bytes));
        row("in stores", Amount { files: zarr.files, bytes: zarr.bytes }, &note);
    }
    table.to_string()
}

fn dirty(status: &Status, colours: bool) -> String {
    if status.dirty.files == 0 {
        return format!("  {}", paint("everything is on disk", Style::Good, colours));
    }
    let oldest = status.oldest_dirty_seconds.map(|s| format!(", the oldest for {}", age(s))).unwrap_or_default();
    let text = format!("{}, {} only in memory{oldest}", files(status.dirty.files), size(status.dirty.bytes));
    format!("  {}", paint(text, Style::Warn, colours))
}

fn moved(status: &Status, colours: bool) -> String {
    let done = status.materialized;
    let mut text = format!("  brought to disk {}, {}", files(done.files), size(done.bytes));
    if let Some(rate) = done.bytes_per_second {
        text += &format!(" at {}/s", size(rate));
    }
    if done.failed > 0 {
        let failed = format!("{} attempts failed", count(done.failed));
        text += &format!("   {}", paint(failed, Style::Bad, colours));
    }
    text
}

/// What may be dirty where the memory may end.
fn session(status: &Status) -> Option<String> {
    let session = status.session.as_ref()?;
    let within = age(session.stop_within_seconds);
    let bound = match session.bound_bytes {
        Some(bytes) => format!("at most {} only in memory, which the disk takes within {within}", size(bytes)),
        None => format!("only as much in memory as the disk takes within {within}"),
    };
    Some(format!("  memory may end with {}: {bound}", session.may_end_with))
}

/// The largest datasets, and what could be adopted in them.
fn datasets(status: &Status) -> Vec<String> {
    let mut table = Table::default();
    for dataset in status.datasets.iter().take(LISTED) {
        let name = dataset.name.to_string();
        let shown = if name.is_empty() { "(files at the top)".to_owned() } else { name };
        table.row([&*format!("dataset {shown}"), &files(dataset.files), &size(dataset.bytes), &dataset.row]);
    }
    let mut lines: Vec<String> = if status.datasets.is_empty() { Vec::new() } else { vec![table.to_string()] };
    lines.extend(rest(status.datasets.len(), "datasets"));
    let found = status.adoptable;
    if found.files > 0 {
        let saves =
            found.saves_bytes_estimate.map(|bytes| format!(", which would save about {} (an estimate)", size(bytes)));
        let saves = saves.unwrap_or_default();
        lines.push(format!(
            "  could be sealed with adopt = true: {}, {}{saves}",
            files(found.files),
            size(found.bytes)
        ));
    }
    lines
}

fn sealed(status: &Status) -> Option<String> {
    let done = status.sealed;
    if done.files == 0 && done.refused == 0 {
        return None;
    }
    let mut text = format!("  sealed {}, {}", files(done.files), size(done.bytes));
    if done.refused > 0 {
        text += &format!("   {} cannot be and stay plain (scopefs explain tells why)", count(done.refused));
    }
    Some(text)
}

/// What needs somebody's attention.
fn trouble(status: &Status, colours: bool) -> Vec<String> {
    let bad = |text: String| format!("  {}", paint(text, Style::Bad, colours));
    let mut lines = Vec::new();
    if status.home_full {
        lines.push(bad("the disk is full: new bytes are refused until there is room".to_owned()));
    }
    lines.extend(status.failed_files.iter().take(LISTED).map(|error| bad(format!("failed: {error}"))));
    lines.extend(rest(status.failed_files.len(), "failures"));
    let conflict = |path| bad(format!("conflict: {path} is ours; under the name itself is what somebody else wrote"));
    lines.extend(status.conflicts.iter().take(LISTED).map(conflict));
    lines.extend(rest(status.conflicts.len(), "conflicts"));
    lines.extend(status.notes.iter().map(|note| format!("  {}", paint(format!("note: {note}"), Style::Dim, colours))));
    lines
}

fn rest(all: usize, what: &str) -> Option<String> {
    (all > LISTED).then(|| format!("  and {} more {what}; --json lists all", all - LISTED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::FileError;
    use crate::control::status::{Sealed, Stored, Tiers};

    fn example() -> Status {
        Status {
            workspace: "/data/screen".into(),
            mountpoint: "/mnt/screen".into(),
            memory: Memory {
                limit_bytes: 16 << 30,
                limit_because: "configured".into(),
                used_bytes: 8 << 30,
                pressure: 0.5,
                high: 0.8,
                low: 0.7,
            },
            tiers: Tiers {
                memory: Amount { files: 1200, bytes: 8 << 30 },
                disk: Amount { files: 34, bytes: 1 << 20 },
                ..Tiers::default()
            },
            dirty: Amount { files: 7, bytes: 1 << 30 },
            oldest_dirty_seconds: Some(12.0),
            tmpfs: Some("/run/scopefs/x/memory".into()),
            pid: 4711,
            ..Status::default()
        }
    }

    #[test]
    fn status_reads_well() {
        let text = status(&example(), false);
        let expected = "\
/data/screen  on  /mnt/screen
  memory ███████████████░░░░░░░░░░░░░░░  50 %  (marks 70 and 80 %)
         8.0 GiB of 16.0 GiB (configured)
  in memory  1,200 files  8.0 GiB
  on disk       34 files  1.0 MiB  (still counting)
  7 files, 1.0 GiB only in memory, the oldest for 12 s
  brought to disk 0 files, 0 B
  open handles 0   pid 4711
";
        assert_eq!(text, expected);
    }

    #[test]
    fn sealed_files_are_told_with_what_they_take() {
        let zarr = Stored { files: 3072, bytes: 7 << 30, stored_bytes: 4 << 30 };
        let tiers = Tiers { zarr, ..example().tiers };
        let sealed = Sealed { files: 1000, bytes: 2 << 30, refused: 3 };
        let text = status(&Status { tiers, sealed, ..example() }, false);
        assert!(text.contains("in stores  3,072 files  7.0 GiB  (4.0 GiB stored, 1.75 to 1)\n"), "{text}");
        let line = "  sealed 1,000 files, 2.0 GiB   3 cannot be and stay plain (scopefs explain tells why)\n";
        assert!(text.contains(line), "{text}");
        assert!(!status(&example(), false).contains("sealed"));
    }

    #[test]
    fn failures_and_conflicts_are_named_but_not_without_end() {
        let error = FileError { path: "a.tif".into(), cause: "no space".into(), ..FileError::default() };
        let status_ = Status { failed_files: vec![error; 12], conflicts: vec!["b".into()], ..example() };
        let text = status(&status_, false);
        assert!(text.contains("failed: a.tif: no space") && text.contains("and 2 more failures"), "{text}");
        assert!(text.contains("conflict: b"), "{text}");
    }

    #[test]
    fn colours_are_only_where_they_are_wanted() {
        assert!(!status(&example(), false).contains('\x1b'));
        assert!(status(&example(), true).contains("\x1b[33m7 files"));
    }
}
