//! What is accepted but can hardly be meant.

use std::path::Path;
use std::time::Duration;

use super::quantity::quoted;
use super::{Config, Originals, Rule, WRITE_BEHIND_LATEST};
use crate::model::OnUnmount;

impl Config {
    /// What is accepted but can hardly be meant, a sentence each, with file and line.
    pub fn warnings(&self) -> Vec<String> {
        let file = self.file.as_deref().unwrap_or(Path::new("configuration"));
        let mut warnings = Vec::new();
        if let Some(message) = self.memory.write_behind.and_then(too_late) {
            warnings.push(format!("{}: [memory] write_behind: {message}", file.display()));
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let earlier = self.rules.get(..index).unwrap_or_default();
            for message in never_asked(rule, earlier).into_iter().chain(rule_warnings(rule)) {
                warnings.push(format!("{}:{}: [[rule]] {}: {message}", file.display(), rule.line, index + 1));
            }
        }
        warnings
    }
}

/// Whether an earlier rule takes every path that this one would.
fn never_asked(rule: &Rule, earlier: &[Rule]) -> Option<String> {
    let (number, first) =
        earlier.iter().enumerate().find(|(_, first)| first.catches_all() || first.pattern == rule.pattern)?;
    Some(format!(
        "{} can never match: the first match wins, and rule {} ({}, line {}) takes all its files; move this rule above \
         it, or remove it",
        quoted(&rule.pattern),
        number + 1,
        quoted(&first.pattern),
        first.line
    ))
}

fn rule_warnings(rule: &Rule) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(message) = rule.write_behind.flatten().and_then(too_late) {
        warnings.push(format!("write_behind: {message}"));
    }
    if rule.pattern.split('/').any(|part| part.contains("**") && part != "**") {
        let pattern = quoted(&rule.pattern);
        warnings.push(format!(
            "match: '**' crosses directories only where it stands alone between slashes, so in {pattern} it acts as \
             '*'; write for instance \"**/*.tif\""
        ));
    }
    if non_ascii_class(&rule.pattern) {
        let pattern = quoted(&rule.pattern);
        warnings.push(format!(
            "match: names are matched byte by byte, so the letters between '[' and ']' in {pattern} that are not ASCII \
             match nothing; write {{é,è}} instead of [éè]"
        ));
    }
    let seals = !matches!(rule.backend.as_str(), "memory" | "disk");
    if !seals && (rule.adopt || rule.originals == Originals::Keep) {
        let backend = quoted(&rule.backend);
        warnings.push(format!("adopt and originals have no effect with backend {backend}, which never seals"));
    }
    if rule.backend == "disk" && rule.on_unmount == OnUnmount::Discard {
        warnings
            .push("on_unmount: files of backend \"disk\" are on disk from the start and are not discarded".to_string());
    }
    warnings
}

/// Whether a class holds a letter of several bytes.
fn non_ascii_class(pattern: &str) -> bool {
    pattern.split('[').skip(1).any(|rest| !rest.split(']').next().unwrap_or_default().is_ascii())
}

fn too_late(write_behind: Duration) -> Option<String> {
    (write_behind > WRITE_BEHIND_LATEST).then(|| {
        format!(
            "dirty bytes reach disk after 5 minutes at the latest, so {write_behind:?} acts as 5m; or write \"off\""
        )
    })
}
