//! What was seen, weighed: which of it is worth a sentence.

use std::sync::atomic::Ordering;

use super::Advised;
use super::words::{called, directory, exact, files, glob, longer, quoted, size};
use crate::backend::zarr::StoreFigures;
use crate::config::Originals;
use crate::model::{Durability, Tier};
use crate::route::{Router, Row};
use crate::vfs::{Amount, Group, Observed, Past, Tally};

/// Less than this is not worth a rule, in bytes.
const WORTH: u64 = 4 << 20;
/// Unless so many files are concerned.
const MANY: u64 = 100;
/// Files sealed before their ratio says something of others.
const SAMPLE: u64 = 8;
/// A file that was synced once or twice by chance is no pattern.
const SYNCED: u64 = 3;

/// What advice is made from.
pub(super) struct Known<'k> {
    pub observed: Observed,
    pub router: &'k Router,
    /// Bytes.
    pub limit: u64,
    pub stores: StoreFigures,
}

impl Known<'_> {
    /// All that is worth saying, what is about most bytes first.
    pub fn pieces(&self) -> Vec<Advised> {
        let mut pieces = Vec::new();
        for (group, tally) in &self.observed.groups {
            let of_group =
                [self.scratch(group, tally), self.early(group, tally), settle(group, tally), self.memory(group, tally)];
            pieces.extend(of_group.into_iter().flatten());
            pieces.extend(synced(group, tally));
            pieces.extend(self.small(group, tally));
            pieces.extend(self.plain(group, tally));
        }
        pieces.extend(self.more_memory());
        pieces.extend(self.compressed());
        pieces.extend(self.adopt());
        pieces.sort_by_key(|piece| std::cmp::Reverse(piece.bytes));
        pieces
    }

    fn scratch(&self, group: &Group, tally: &Tally) -> Option<Advised> {
        let (deleted, written) = (&tally.deleted_after, &tally.brought_home);
        let is_scratch = self.router.decision_of(group.rule).durability == Durability::Scratch;
        // A rule holds for all files of the group: most of them have to be such.
        if is_scratch || !is_much(deleted) || deleted.bytes() * 2 < written.bytes() {
            return None;
        }
        let share = deleted.bytes() * 100 / written.bytes().max(1);
        let text = format!(
            "{} ({}), all {}, were written to disk or into stores and deleted afterwards; that is {share} % of what \
             was written of them. As scratch files they are written only when memory is short or the mount ends; \
             they are then not safe from a loss of power before that, whatever is synced.",
            files(deleted.files()),
            size(deleted.bytes()),
            called(group)
        );
        let rule = rule(group, &["backend = \"memory\"", "durability = \"scratch\""]);
        piece("scratch", text, deleted.bytes(), rule)
    }

    fn memory(&self, group: &Group, tally: &Tally) -> Option<Advised> {
        let again = &tally.opened_again;
        if self.router.decision_of(group.rule).start != Tier::Disk || !is_much(again) {
            return None;
        }
        let rule_name = &self.router.rule(group.rule).name;
        let text = format!(
            "{} were opened for reading again {} times ({} in all), and {rule_name} keeps them on disk. Where the disk is \
             slow, or other programs take the kernel's cache, memory serves them faster: under backend auto those that \
             are written from then on start there.",
            called(group),
            again.files(),
            size(again.bytes()),
        );
        piece("memory", text, again.bytes(), rule(group, &["backend = \"auto\""]))
    }

    fn early(&self, group: &Group, tally: &Tally) -> Option<Advised> {
        early(group, tally, &self.router.rule(group.rule).backend)
    }

    /// A dataset that had better counted as small, if memory has room for it.
    fn small(&self, group: &Group, tally: &Tally) -> Option<Advised> {
        let past = &tally.past_memory_below;
        let most = largest(past).filter(|most| *most <= self.limit / 2)?;
        let text = format!(
            "{} were written to disk as soon as they were closed, because {} ({}) is beyond memory_below, and replaced \
             or deleted afterwards {} times ({}). With a larger memory_below they had stayed in memory until they rest, \
             and what is gone by then is never written.",
            called(group),
            directory(&group.dataset),
            size(most),
            past.amount.files(),
            size(past.amount.bytes()),
        );
        let zarr_above = self.router.lines().next_at(Row::Middle)?;
        piece("memory_below", text, past.amount.bytes(), Some(auto(above(most).min(zarr_above - 1), zarr_above)))
    }

    /// A dataset whose images had better not been sealed yet.
    fn plain(&self, group: &Group, tally: &Tally) -> Option<Advised> {
        let past = &tally.past_zarr_above;
        let most = largest(past)?;
        let text = format!(
            "{} were sealed because {} ({}) is beyond zarr_above, and opened for writing afterwards {} times ({}). With \
             a larger zarr_above they had stayed plain files, which are written as they are, and take more room.",
            called(group),
            directory(&group.dataset),
            size(most),
            past.amount.files(),
            size(past.amount.bytes()),
        );
        let memory_below = self.router.lines().next_at(Row::Small)?;
        piece("zarr_above", text, past.amount.bytes(), Some(auto(memory_below, above(most))))
    }

    fn more_memory(&self) -> Option<Advised> {
        let (returned, (files_out, bytes_out)) = (self.observed.returned, self.observed.evicted);
        if returned.bytes < WORTH && returned.files < MANY {
            return None;
        }
        let wanted = (self.limit + returned.missing).next_multiple_of(256 << 20);
        let short = match self.observed.short {
            0 => String::new(),
            short => {
                format!(" {} went to disk while they were made or written, because memory was short.", files(short))
            }
        };
        let text = format!(
            "{} ({}) left memory under pressure, and {} of these were opened again ({}). With about {} more, nine of ten \
             bytes of those had still been in memory; the limit is {}.{short}",
            files(files_out),
            size(bytes_out),
            returned.files,
            size(returned.bytes),
            size(returned.missing),
            size(self.limit)
        );
        piece("limit", text, returned.bytes, Some(format!("[memory]\nlimit = \"{}MiB\"\n", wanted >> 20)))
    }

    fn compressed(&self) -> Vec<Advised> {
        let refused = self.observed.refused.iter().filter(|refused| refused.why.contains("compressed"));
        let worth = refused.filter(|refused| refused.bytes >= WORTH || refused.files >= MANY);
        let advised = worth.map(|refused| Advised {
            about: "compressed".to_owned(),
            text: format!(
                "{} ({}) stay plain files: {}; {} is one of them. Written without compression they can be sealed{}.",
                files(refused.files),
                size(refused.bytes),
                refused.why,
                refused.example,
                self.ratio().map(|ratio| format!("; the {ratio}")).unwrap_or_default()
            ),
            bytes: refused.bytes,
            config: None,
        });
        advised.collect()
    }

    /// What sealing has brought so far, where that says something.
    fn ratio(&self) -> Option<String> {
        let StoreFigures { files: sealed, bytes, stored_bytes, .. } = self.stores;
        (sealed >= SAMPLE && bytes > 0)
            .then(|| format!("{} sealed so far take {} % of their length", files(sealed), stored_bytes * 100 / bytes))
    }

    fn adopt(&self) -> Vec<Advised> {
        let Some(ratio) = self.ratio() else { return Vec::new() };
        let StoreFigures { bytes, stored_bytes, .. } = self.stores;
        let mut advised = Vec::new();
        for &(id, count, plain) in &self.observed.images {
            let view = self.router.rule(id);
            let saved = (plain as f64 * (1.0 - stored_bytes as f64 / bytes as f64)).max(0.0) as u64;
            if view.adopt || view.originals == Originals::Keep || saved < WORTH {
                continue;
            }
            let text = format!(
                "{count} images ({}) under {} lay in the workspace as plain files when it was walked. The {ratio}; if \
                 these compress alike, sealing them saves about {}. They are then no plain files when the workspace is \
                 not mounted (scopefs export gives them back).",
                size(plain),
                view.name,
                size(saved)
            );
            let glob = quoted(&view.pattern);
            let rule = format!("[[rule]]\nmatch = {glob}\nbackend = \"zarr\"\nadopt = true\n");
            advised.extend(piece("adopt", text, saved, Some(rule)));
        }
        advised
    }
}

fn early(group: &Group, tally: &Tally, backend: &str) -> Option<Advised> {
    let early = &tally.written_early;
    if !is_much(early) {
        return None;
    }
    let idle = tally.written_early_idle.load(Ordering::Relaxed);
    let text = format!(
        "{} were written behind {} times ({}) and changed again, the latest after {} s without a change. With a longer \
         write_behind they had been written once less each time; what is written is only in memory for so much longer.",
        called(group),
        early.files(),
        size(early.bytes()),
        idle / 1000
    );
    let longer = format!("write_behind = \"{}\"", longer(idle));
    piece("write_behind", text, early.bytes(), rule(group, &[&format!("backend = {}", quoted(backend)), &longer]))
}

fn settle(group: &Group, tally: &Tally) -> Option<Advised> {
    let unsealed = &tally.unsealed;
    if !is_much(unsealed) {
        return None;
    }
    let rest = tally.unsealed_rest.load(Ordering::Relaxed);
    let text = format!(
        "{} were opened for writing {} times ({}) after they had been sealed, the latest after {} s of rest: they were \
         encoded, and decoded again, for nothing. A longer settle waits for that.",
        called(group),
        unsealed.files(),
        size(unsealed.bytes()),
        rest / 1000
    );
    piece("settle", text, unsealed.bytes(), Some(format!("[zarr]\nsettle = \"{}\"\n", longer(rest))))
}

fn synced(group: &Group, tally: &Tally) -> Option<Advised> {
    let synced = &tally.synced;
    if synced.files() < SYNCED {
        return None;
    }
    let text = format!(
        "{} ({}), {}, were moved from memory to disk because programs sync them again and again. Kept on disk from the \
         start they are written once.",
        files(synced.files()),
        size(synced.bytes()),
        called(group)
    );
    piece("fsync", text, synced.bytes(), rule(group, &["backend = \"disk\""]))
}

fn is_much(amount: &Amount) -> bool {
    amount.bytes() >= WORTH || amount.files() >= MANY
}

fn piece(about: &str, text: String, bytes: u64, config: Option<String>) -> Option<Advised> {
    Some(Advised { about: about.to_owned(), text, bytes, config })
}

/// How large a dataset was, where that has cost much.
fn largest(past: &Past) -> Option<u64> {
    is_much(&past.amount).then(|| past.most.load(Ordering::Relaxed))
}

/// A size above what a dataset has, with a quarter to spare.
fn above(most: u64) -> u64 {
    let step = if most < 8 << 20 { 1 << 10 } else { 1 << 20 };
    (most + most / 4 + 1).next_multiple_of(step)
}

/// The two sizes of `auto`, which belong together.
fn auto(memory_below: u64, zarr_above: u64) -> String {
    format!("[auto]\nmemory_below = {}\nzarr_above = {}\n", exact(memory_below), exact(zarr_above))
}

/// A rule for the files of a group, to stand before the one that decides about them now.
fn rule(group: &Group, lines: &[&str]) -> Option<String> {
    let glob = quoted(&glob(group)?);
    Some(format!("# before the rules that there are\n[[rule]]\nmatch = {glob}\n{}\n", lines.join("\n")))
}

#[cfg(test)]
mod tests;
