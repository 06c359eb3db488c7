//! A decision in words.

use super::{Decision, RuleView};
use crate::config::{Originals, SealAs, WRITE_BEHIND_LATEST};
use crate::model::{Durability, OnUnmount, Tier};

/// `rule 2 'results/**' (backend zarr): kept in memory, home disk; …`.
pub(super) fn sentence(rule: &RuleView, decision: &Decision) -> String {
    let place = match decision.start {
        Tier::Disk => "kept on disk".to_string(),
        start => format!("kept in {start}, home {}", decision.home),
    };
    let mut parts = vec![place];
    parts.extend(stand_in(&rule.backend).map(str::to_string));
    parts.extend((decision.home == Tier::Zarr).then(|| sealing(rule, decision)));
    parts.push(promise(decision).to_string());
    if decision.start != Tier::Disk && decision.durability != Durability::Scratch {
        parts.push(write_behind(decision));
    }
    format!("{} (backend {}): {}", rule.name, rule.backend, parts.join("; "))
}

/// What a backend does instead of what its name says, as long as that is not built.
fn stand_in(backend: &str) -> Option<&'static str> {
    match backend {
        "auto" => Some("choosing by the size of the dataset is not built yet, so it acts as memory"),
        _ => None,
    }
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
