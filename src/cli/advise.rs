//! `scopefs advise`.

use std::path::PathBuf;

use clap::Args;

use super::ask;
use super::failure::{Failure, print, say};
use super::locate;
use super::mountinfo::Mount;
use super::output::{Style, age, colours, paint};
use crate::control::{Advice, Advised, Outcome, Reply, Request};

/// `scopefs advise`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  scopefs advise\n  scopefs advise /mnt/screen --json | jq -r '.advice[].config'\n\n\
    What is said was measured in this mount; it begins anew with the next."
)]
pub struct AdviseArgs {
    /// Where it is mounted; without it, all mounts
    pub mountpoint: Option<PathBuf>,
    /// For scripts: one JSON object for a mount point, an array of them without
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &AdviseArgs) -> Result<(), Failure> {
    let all = ask::mounts()?;
    let mounts: Vec<Mount> = match &args.mountpoint {
        Some(path) => vec![locate::file(&all, path)?.mount],
        None => all.into_iter().filter(|m| m.is_scopefs() && m.root.as_os_str() == "/").collect(),
    };
    if mounts.is_empty() && !args.json {
        say("nothing is mounted; 'scopefs mount --help' shows how");
    }
    let (mut told, mut failed) = (Vec::new(), 0);
    for mount in &mounts {
        match ask::ask(mount, &Request::Advise, &mut |_| {}) {
            Ok(Reply::Done(Outcome::Advice(advice))) => told.push((mount, advice)),
            Ok(reply) => failed += ask::settle(mount, reply).1.max(1),
            Err(failure) => {
                failure.report();
                failed += 1;
            }
        }
    }
    if args.json {
        json(&told.iter().map(|(_, advice)| advice).collect::<Vec<_>>(), args.mountpoint.is_some())?;
    } else {
        let texts: Vec<String> =
            told.iter().map(|(mount, advice)| text(&mount.point.display().to_string(), advice, colours())).collect();
        print(texts.join("\n"))?;
    }
    if failed > 0 { Err(Failure::silent(1)) } else { Ok(()) }
}

fn json(all: &[&Advice], single: bool) -> Result<(), Failure> {
    let text = match all {
        [one] if single => serde_json::to_string_pretty(one),
        [] if single => return Ok(()),
        all => serde_json::to_string_pretty(all),
    };
    print(text.map_err(|error| Failure::failed(error.to_string()))? + "\n")
}

fn text(mountpoint: &str, advice: &Advice, colours: bool) -> String {
    let watched = age(advice.watched_seconds as f64);
    let head = paint(mountpoint, Style::Bold, colours);
    if advice.advice.is_empty() {
        return format!("{head}: nothing to advise after {watched}\n");
    }
    let mut text = format!("{head}, watched for {watched}\n");
    for (number, piece) in advice.advice.iter().enumerate() {
        text.push_str(&one(number + 1, piece, colours));
    }
    text
}

fn one(number: usize, piece: &Advised, colours: bool) -> String {
    let mut text = format!("\n{number}. {}\n", piece.text);
    for line in piece.config.iter().flat_map(|config| config.lines()) {
        text.push_str(&format!("       {}\n", paint(line, Style::Dim, colours)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_piece_stands_with_what_to_write() {
        let advice = Advice {
            watched_seconds: 70,
            advice: vec![Advised {
                about: "limit".into(),
                text: "Memory was short.".into(),
                bytes: 5,
                config: Some("[memory]\nlimit = \"2GiB\"\n".into()),
            }],
        };
        assert_eq!(
            text("/m", &advice, false),
            "/m, watched for 1 min 10 s\n\n1. Memory was short.\n       [memory]\n       limit = \"2GiB\"\n"
        );
        assert_eq!(text("/m", &Advice::default(), false), "/m: nothing to advise after 0 s\n");
    }
}
