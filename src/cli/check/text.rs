//! What `scopefs check` says, for a person.

use super::report::{Item, Mended, Report, Whole};
use crate::cli::output::{Style, count, files, paint, size};
use crate::control::WirePath;

/// Lines for findings of one kind that lose nothing; the rest is counted.
const LISTED: usize = 10;

/// A line for the store, and two for each finding; with a newline at the end.
pub fn report(report: &Report, colours: bool) -> String {
    let verdict = match (report.sound, report.findings.len()) {
        (true, _) => paint("sound", Style::Good, colours),
        (false, 1) => paint("1 finding", Style::Bad, colours),
        (false, many) => paint(format!("{} findings", count(many as u64)), Style::Bad, colours),
    };
    let (bytes, chunks) = (size(report.bytes), count(report.chunks));
    let store = paint(&report.store, Style::Bold, colours);
    let mut text = format!("{store}: {verdict} ({}, {bytes}, {chunks} chunks)\n", files(report.files));
    let mut harmless = 0;
    for item in &report.findings {
        harmless += usize::from(is_harmless(item));
        if !is_harmless(item) || harmless <= LISTED {
            text += &finding(item, report, colours);
        }
    }
    if harmless > LISTED {
        text += &format!("  and {} more that lose nothing; --json lists all\n", count((harmless - LISTED) as u64));
    }
    text + &mended(&report.mended, report)
}

fn is_harmless(item: &Item) -> bool {
    matches!(item.kind, "leftover" | "undone")
}

fn finding(item: &Item, report: &Report, colours: bool) -> String {
    let style = if is_harmless(item) { Style::Warn } else { Style::Bad };
    let kind = paint(format!("{:10}", item.kind), style, colours);
    let file = item.file.as_ref().map(|file| format!("{}: ", short(file, report))).unwrap_or_default();
    let chunk = item.chunk.as_ref().map(|chunk| format!(" ({chunk})")).unwrap_or_default();
    let remedy = paint(item.remedy, Style::Dim, colours);
    format!("  {kind} {file}{}{chunk}\n             {remedy}\n", item.what)
}

fn mended(mended: &Mended, report: &Report) -> String {
    let mut text = String::new();
    let mut line = |kind: &str, what: String| text += &format!("  {kind:10} {what}\n");
    if mended.finished > 0 {
        line("finished", format!("{} that a killed daemon had begun", count(mended.finished)));
    }
    if mended.removed > 0 {
        line("removed", format!("{} that nothing used", count(mended.removed)));
    }
    if mended.kept_leftovers {
        line("kept", "what seems left over: a part of the table cannot be read and may be about it".to_owned());
    }
    for file in &mended.accepted {
        line("accepted", format!("{} is from now on what its chunks say", short(file, report)));
    }
    for (file, why) in &mended.refused {
        line("refused", format!("{} cannot be accepted: {why}", short(file, report)));
    }
    text
}

/// As a person would name it beside the store.
fn short(file: &WirePath, report: &Report) -> WirePath {
    let base = report.store.as_path().parent();
    base.and_then(|base| file.as_path().strip_prefix(base).ok()).unwrap_or(file.as_path()).to_owned().into()
}

/// The last line.
pub fn summary(whole: &Whole, colours: bool) -> String {
    let stores = |number: usize| if number == 1 { "1 store".to_owned() } else { format!("{number} stores") };
    let found = whole.stores.iter().filter(|report| !report.sound).count();
    let all = match (whole.stores.len(), found) {
        (0, _) => format!("there are no stores of scopefs in {}", whole.workspace),
        (all, 0) => format!("{}, {}", stores(all), if all == 1 { "sound" } else { "all sound" }),
        (all, found) => format!("{}, {} with findings", stores(all), found),
    };
    let unread = match whole.unread.len() {
        0 => String::new(),
        many => format!("; {many} could not be looked into"),
    };
    let style = if whole.sound { Style::Good } else { Style::Bad };
    paint(all + &unread, style, colours) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: &'static str, file: Option<&str>, chunk: Option<&str>) -> Item {
        Item {
            kind,
            file: file.map(WirePath::from),
            chunk: chunk.map(str::to_owned),
            what: "something is wrong".into(),
            remedy: "mend it",
        }
    }

    fn example(findings: Vec<Item>) -> Report {
        Report {
            store: "/w/P1/P1.ome.zarr".into(),
            sound: findings.is_empty(),
            files: 3072,
            bytes: 7 << 30,
            chunks: 6144,
            findings,
            mended: Mended::default(),
        }
    }

    #[test]
    fn a_verdict_reads_well() {
        assert_eq!(
            report(&example(Vec::new()), false),
            "/w/P1/P1.ome.zarr: sound (3,072 files, 7.0 GiB, 6,144 chunks)\n"
        );
        let mut found =
            example(vec![item("damaged", Some("/w/P1/B/a\n.tif"), Some("B/03/0/0 [0, 0]")), item("table", None, None)]);
        found.mended = Mended { finished: 2, removed: 1200, accepted: vec!["/w/P1/b.tif".into()], ..Mended::default() };
        let expected = "\
/w/P1/P1.ome.zarr: 2 findings (3,072 files, 7.0 GiB, 6,144 chunks)
  damaged    B/a\\n.tif: something is wrong (B/03/0/0 [0, 0])
             mend it
  table      something is wrong
             mend it
  finished   2 that a killed daemon had begun
  removed    1,200 that nothing used
  accepted   b.tif is from now on what its chunks say
";
        assert_eq!(report(&found, false), expected);
    }

    #[test]
    fn what_loses_nothing_is_counted_and_what_loses_something_is_all_named() {
        let many = (0..30).map(|n| item(if n % 2 == 0 { "leftover" } else { "missing" }, None, None)).collect();
        let text = report(&example(many), false);
        assert_eq!(text.matches("  leftover").count(), LISTED);
        assert_eq!(text.matches("  missing").count(), 15);
        assert!(text.contains("and 5 more that lose nothing"), "{text}");
    }

    #[test]
    fn the_last_line_counts_stores() {
        let whole = |stores, unread: &[&str]| Whole {
            workspace: "/w".into(),
            sound: true,
            stores,
            unread: unread.iter().map(|line| line.to_string()).collect(),
        };
        assert_eq!(summary(&whole(Vec::new(), &[]), false), "there are no stores of scopefs in /w\n");
        assert_eq!(summary(&whole(vec![example(Vec::new())], &[]), false), "1 store, sound\n");
        let mixed = vec![example(Vec::new()), example(vec![item("table", None, None)])];
        let text = summary(&whole(mixed, &["x"]), false);
        assert_eq!(text, "2 stores, 1 with findings; 1 could not be looked into\n");
    }
}
