//! A decision in words.

use super::{Decision, Row, RuleView};
use crate::config::{Originals, SealAs, WRITE_BEHIND_LATEST};
use crate::model::{Durability, OnUnmount, Tier};

/// `rule 2 'results/**' (backend zarr): kept in memory, home disk; …`.
pub(super) fn sentence(rule: &RuleView, decision: &Decision) -> String {
    let place = match decision.start {
        Tier::Disk => "kept on disk".to_string(),
        start => format!("kept in {start}, home {}", decision.home),
    };
    let mut parts = vec![place];
    parts.extend(size(decision).map(str::to_string));
    parts.extend((decision.home == Tier::Zarr).then(|| sealing(rule, decision)));
    parts.push(promise(decision).to_string());
    if decision.start != Tier::Disk && decision.durability != Durability::Scratch {
        parts.push(write_behind(decision));
    }
    format!("{} (backend {}): {}", rule.name, rule.backend, parts.join("; "))
}

/// What comes of the size of the dataset.
pub(super) fn consequence(decision: &Decision) -> &'static str {
    match decision.row {
        None => "its rule does not go by the size of the dataset",
        Some(_) if decision.durability == Durability::Scratch => "in memory, whatever the size, because it is scratch",
        Some(_) if decision.home == Tier::Zarr => "in memory, and sealed when it rests",
        Some(_) if decision.start == Tier::Disk => "on disk, because only images are sealed",
        Some(_) if decision.at_once => "in memory, and written behind to disk at once",
        Some(_) => "in memory, home disk",
    }
}

/// What the size of the dataset has to do with it.
fn size(decision: &Decision) -> Option<&'static str> {
    Some(match decision.row? {
        _ if decision.durability == Durability::Scratch => "whatever the size of its dataset, because it is scratch",
        Row::Small => "its dataset is small",
        Row::Middle => "its dataset is of middle size",
        Row::Large if !decision.seals => {
            "its dataset is large, and sealing is off without a rule or a section [auto], so it is kept as in one of \
             middle size"
        }
        Row::Large if decision.home == Tier::Zarr => "its dataset is large",
        Row::Large => "its dataset is large, and only images are sealed (.tif, .tiff, .btf, .tf8, .npy)",
    })
}

fn sealing(rule: &RuleView, decision: &Decision) -> String {
    let role = match (decision.seal_as, &rule.of) {
        (SealAs::Image, _) => String::new(),
        (SealAs::Labels, None) => " as labels".to_string(),
        (SealAs::Labels, Some(of)) => format!(" as labels of '{}'", of.escape_debug()),
    };
    let beside = if rule.originals == Originals::Keep { ", beside the original" } else { "" };
    format!("sealed{role} after {:?} of rest{beside}", decision.settle)
}

fn promise(decision: &Decision) -> &'static str {
    match (decision.durability, decision.on_unmount, decision.start) {
        (Durability::Fsync, ..) => "fsync makes it durable",
        (Durability::Strict, ..) => "fsync and every close make it durable",
        (Durability::Scratch, _, Tier::Disk) => "scratch: fsync returns at once",
        (Durability::Scratch, OnUnmount::Keep, _) => {
            "scratch: fsync returns at once, written only under pressure or at unmount"
        }
        (Durability::Scratch, OnUnmount::Discard, _) => {
            "scratch: fsync returns at once, written only under pressure, discarded at unmount"
        }
    }
}

fn write_behind(decision: &Decision) -> String {
    match decision.write_behind {
        Some(_) if decision.at_once => "written behind at once".to_string(),
        Some(_) if decision.home == Tier::Zarr => format!(
            "written to disk as a plain file if it is not sealed {} minutes after a change",
            WRITE_BEHIND_LATEST.as_secs() / 60
        ),
        Some(idle) => format!(
            "written behind after {:?} idle, {} minutes at the latest",
            idle.min(WRITE_BEHIND_LATEST),
            WRITE_BEHIND_LATEST.as_secs() / 60
        ),
        None => "not written behind".to_string(),
    }
}
