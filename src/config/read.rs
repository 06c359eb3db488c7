//! The walk over the file: section by section, key by key, then what keys mean together.

use toml::de::{DeArray, DeTable, DeValue};

use super::section::{Report, Section, check_root};
use super::{
    Auto, Codec, Config, Filter, Memory, Ngff, Originals, PlatePattern, Problem, Promote, Rule, SealAs, Shards, Zarr,
    value,
};
use crate::model::{Durability, OnUnmount};

/// Everything that can be read, and everything that is wrong.
pub(super) fn read(text: &str) -> (Config, Vec<Problem>) {
    let mut report = Report::new(text);
    let (document, syntax) = DeTable::parse_recoverable(text);
    if !syntax.is_empty() {
        for error in &syntax {
            let line = error.span().map(|span| report.line(span.start));
            let message = error.message().escape_debug();
            report.add(line, "", format!("this is not TOML: {message}; see docs/configuration.md for the form"));
        }
        return (Config::default(), report.into_problems());
    }
    let root = document.get_ref();
    check_root(root, &mut report);
    let mut config = Config {
        memory: table("memory", root, &mut report).map(|s| memory(&s, &mut report)).unwrap_or_default(),
        auto: table("auto", root, &mut report).map(|s| auto(&s, &mut report)).unwrap_or_default(),
        zarr: table("zarr", root, &mut report).map(|s| zarr(&s, &mut report)).unwrap_or_default(),
        rules: rules(root, &mut report),
        file: None,
    };
    config.zarr.sealing = root.iter().any(|(key, _)| key.get_ref() == "auto");
    (config, report.into_problems())
}

/// A section that stands at most once.
fn table<'d>(name: &str, root: &'d DeTable<'d>, report: &mut Report<'_>) -> Option<Section<'d>> {
    let (key, value) = root.iter().find(|(key, _)| key.get_ref() == name)?;
    let place = format!("[{name}]");
    let line = report.line(key.span().start);
    if let DeValue::Table(table) = value.get_ref() {
        return Some(Section::open((place.clone(), line), &place, table, report));
    }
    report.add(
        Some(line),
        name,
        format!("this is a section; write {place} on a line of its own, once, and its keys below"),
    );
    None
}

fn memory(section: &Section<'_>, report: &mut Report<'_>) -> Memory {
    let default = Memory::default();
    let words = [("auto", Promote::Auto), ("always", Promote::Always), ("never", Promote::Never)];
    let memory = Memory {
        limit: section.get("limit", report, value::limit).unwrap_or(default.limit),
        high: section.get("high", report, value::fraction).unwrap_or(default.high),
        low: section.get("low", report, value::fraction).unwrap_or(default.low),
        write_behind: section.get("write_behind", report, value::write_behind).unwrap_or(default.write_behind),
        stop_within: section.get("stop_within", report, value::duration).unwrap_or(default.stop_within),
        promote: section.get("promote", report, |v| value::word(v, &words)).unwrap_or(default.promote),
    };
    if memory.low >= memory.high && section.sound(&["low", "high"], report) {
        let key = if section.line("low", report).is_some() { "low" } else { "high" };
        let (low, high) = (memory.low, memory.high);
        let message = format!(
            "low ({low}) must be below high ({high}): memory is relieved from the one down to the other; write for \
             instance high = 0.80 and low = 0.70 (which are the defaults)"
        );
        section.fault(key, report, message);
    }
    memory
}

fn auto(section: &Section<'_>, report: &mut Report<'_>) -> Auto {
    let default = Auto::default();
    let auto = Auto {
        memory_below: section.get("memory_below", report, value::size).unwrap_or(default.memory_below),
        zarr_above: section.get("zarr_above", report, value::size).unwrap_or(default.zarr_above),
    };
    if auto.memory_below >= auto.zarr_above && section.sound(&["memory_below", "zarr_above"], report) {
        let key = if section.line("memory_below", report).is_some() { "memory_below" } else { "zarr_above" };
        let message = format!(
            "memory_below ({} bytes) must be less than zarr_above ({} bytes); the defaults are \"1GiB\" and \"10GiB\"",
            auto.memory_below, auto.zarr_above
        );
        section.fault(key, report, message);
    }
    auto
}

fn zarr(section: &Section<'_>, report: &mut Report<'_>) -> Zarr {
    let default = Zarr::default();
    let filters = [
        ("auto", Filter::Auto),
        ("none", Filter::None),
        ("shuffle", Filter::Shuffle),
        ("bitshuffle", Filter::Bitshuffle),
    ];
    let ngff = section.get("ngff", report, |v| value::word(v, &[("0.4", Ngff::V04), ("0.5", Ngff::V05)]));
    let codec = section.get("codec", report, |v| value::word(v, &[("lz4", Codec::Lz4)]));
    let filter = section.get("filter", report, |v| value::word(v, &filters));
    let shards = section.get("shards", report, |v| value::word(v, &[("none", Shards::None), ("field", Shards::Field)]));
    let plates = section.get("plates", report, value::texts).unwrap_or_default();
    let pattern = |(regex, at): (String, usize)| PlatePattern { regex, line: report.line(at) };
    let zarr = Zarr {
        plates: plates.into_iter().map(pattern).collect(),
        sealing: default.sealing,
        ngff: ngff.unwrap_or(default.ngff),
        codec: codec.unwrap_or(default.codec),
        filter: filter.unwrap_or(default.filter),
        settle: section.get("settle", report, value::duration).unwrap_or(default.settle),
        shards: shards.unwrap_or(default.shards),
    };
    if zarr.shards == Shards::Field && zarr.ngff == Ngff::V04 && section.sound(&["ngff"], report) {
        section.fault(
            "shards",
            report,
            "\"field\" needs Zarr v3; write ngff = \"0.5\" beside it, or shards = \"none\"",
        );
    }
    zarr
}

fn rules(root: &DeTable<'_>, report: &mut Report<'_>) -> Vec<Rule> {
    let Some((key, value)) = root.iter().find(|(key, _)| key.get_ref() == "rule") else {
        return Vec::new();
    };
    let empty = DeArray::new();
    let array = value.get_ref().as_array().unwrap_or(&empty);
    if !value.get_ref().is_array() || array.iter().any(|rule| !rule.get_ref().is_table()) {
        let line = report.line(key.span().start);
        report.add(Some(line), "rule", "rules are a list; write [[rule]] with two brackets, once for each rule");
    }
    let mut rules = Vec::new();
    for (index, entry) in array.iter().enumerate() {
        if let DeValue::Table(table) = entry.get_ref() {
            let line = report.line(entry.span().start);
            let section = Section::open((format!("[[rule]] {}", index + 1), line), "[[rule]]", table, report);
            rules.push(rule(&section, line, report));
        }
    }
    rules
}

fn rule(section: &Section<'_>, line: usize, report: &mut Report<'_>) -> Rule {
    let durability = [("fsync", Durability::Fsync), ("strict", Durability::Strict), ("scratch", Durability::Scratch)];
    let on_unmount = [("keep", OnUnmount::Keep), ("discard", OnUnmount::Discard)];
    let originals = [("replace", Originals::Replace), ("keep", Originals::Keep)];
    let seal_as = [("image", SealAs::Image), ("labels", SealAs::Labels)];
    let default = Rule::default();
    let rule = Rule {
        pattern: section.get("match", report, value::pattern).unwrap_or_default(),
        backend: section.get("backend", report, value::text).unwrap_or(default.backend),
        durability: section.get("durability", report, |v| value::word(v, &durability)).unwrap_or_default(),
        write_behind: section.get("write_behind", report, value::write_behind),
        on_unmount: section.get("on_unmount", report, |v| value::word(v, &on_unmount)).unwrap_or_default(),
        originals: section.get("originals", report, |v| value::word(v, &originals)).unwrap_or_default(),
        adopt: section.get("adopt", report, value::boolean).unwrap_or_default(),
        dataset: section.get("dataset", report, value::pattern),
        seal_as: section.get("as", report, |v| value::word(v, &seal_as)).unwrap_or_default(),
        of: section.get("of", report, value::pattern),
        line,
    };
    if section.line("match", report).is_none() {
        let message =
            "the rule does not say which files it is for; add match = \"results/**\", or \"**\" for every file";
        section.fault("match", report, message);
    }
    durability_conflicts(section, &rule, report);
    label_conflicts(section, &rule, report);
    rule
}

/// What `as` and `of` need beside them.
fn label_conflicts(section: &Section<'_>, rule: &Rule, report: &mut Report<'_>) {
    if rule.seal_as == SealAs::Labels && rule.backend != "zarr" && section.sound(&["backend"], report) {
        let message = "\"labels\" is a way to be sealed and is only accepted with backend = \"zarr\"; write that \
                       beside it, or remove as";
        section.fault("as", report, message);
    }
    if rule.of.is_some() && rule.seal_as != SealAs::Labels && section.sound(&["as"], report) {
        let message = "this names the images whose labels these files are; add as = \"labels\", or remove of";
        section.fault("of", report, message);
    }
}

/// What `durability` rules out.
fn durability_conflicts(section: &Section<'_>, rule: &Rule, report: &mut Report<'_>) {
    let scratch = rule.durability == Durability::Scratch;
    if rule.on_unmount == OnUnmount::Discard && !scratch && section.sound(&["durability"], report) {
        let message = "\"discard\" throws files away and is only accepted for scratch files; add durability = \
                       \"scratch\", or write on_unmount = \"keep\"";
        section.fault("on_unmount", report, message);
    }
    if scratch && matches!(rule.write_behind, Some(Some(_))) {
        let message = "scratch files are never written behind; remove write_behind, or write durability = \"fsync\"";
        section.fault("write_behind", report, message);
    }
}
