//! TOML values to typed ones. Errors say what was found, what is accepted and what to write.

use std::fmt::Display;
use std::time::Duration;

use toml::de::DeValue;

use super::quantity::{check_limit, quoted};
use super::{Limit, nearest, parse_duration, parse_limit, parse_size, parse_write_behind};

/// What a value can be read as: the value, or the sentence that says why not.
pub(super) type Read<T> = Result<T, String>;

pub(super) fn size(value: &DeValue<'_>) -> Read<u64> {
    match value {
        DeValue::String(text) => parse_size(text),
        // An integer goes the same way; what a u64 cannot say (a sign, a value out of range) is refused there.
        DeValue::Integer(number) => match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(bytes) => Ok(bytes),
            Err(_) => parse_size(&number.to_string()),
        },
        other => Err(wrong_type(other, "a size", "\"16GiB\"")),
    }
}

pub(super) fn limit(value: &DeValue<'_>) -> Read<Limit> {
    match value {
        DeValue::String(text) => parse_limit(text),
        DeValue::Integer(_) => check_limit(Limit::Bytes(size(value)?)),
        other => Err(wrong_type(other, "a size or a share", "\"16GiB\" or \"50%\"")),
    }
}

/// A mark: above 0, at most 1.
pub(super) fn fraction(value: &DeValue<'_>) -> Read<f64> {
    let text = match value {
        DeValue::Float(number) => number.as_str(),
        DeValue::Integer(number) => number.as_str(),
        other => return Err(wrong_type(other, "a number above 0 and up to 1", "0.80")),
    };
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 1.0 => Ok(number),
        _ => Err(format!("{text} is out of range; write a number above 0 and up to 1, as in 0.80 for 80 %")),
    }
}

pub(super) fn duration(value: &DeValue<'_>) -> Read<Duration> {
    match value {
        DeValue::String(text) => parse_duration(text),
        other => Err(wrong_type(other, "a duration with its unit", "\"30s\"")),
    }
}

pub(super) fn write_behind(value: &DeValue<'_>) -> Read<Option<Duration>> {
    match value {
        DeValue::String(text) => parse_write_behind(text),
        other => Err(wrong_type(other, "a duration with its unit, or \"off\"", "\"30s\"")),
    }
}

pub(super) fn boolean(value: &DeValue<'_>) -> Read<bool> {
    value.as_bool().ok_or_else(|| wrong_type(value, "true or false, without quotes", "true"))
}

pub(super) fn text(value: &DeValue<'_>) -> Read<String> {
    value.as_str().map(str::to_string).ok_or_else(|| wrong_type(value, "a string", "\"memory\""))
}

/// One of a few words.
pub(super) fn word<T: Copy>(value: &DeValue<'_>, words: &[(&str, T)]) -> Read<T> {
    let accepted = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    let Some(found) = value.as_str() else {
        return Err(format!("{} was found; accepted, in quotes: {accepted}", described(value)));
    };
    if let Some((_, meant)) = words.iter().find(|(word, _)| *word == found) {
        return Ok(*meant);
    }
    let near = nearest(found, words.iter().map(|(word, _)| *word)).unwrap_or_default();
    Err(format!("{} is not known; accepted: {accepted}; the nearest is \"{near}\"", quoted(found)))
}

/// A list of strings, each with the byte at which it begins in the file.
pub(super) fn texts(value: &DeValue<'_>) -> Read<Vec<(String, usize)>> {
    let wanted = "a list of strings";
    let example = "['(?<well>[A-H][0-9]{2})_f(?<field>[0-9]+)']";
    let Some(array) = value.as_array() else { return Err(wrong_type(value, wanted, example)) };
    let one = |entry: &toml::Spanned<DeValue<'_>>| match entry.get_ref().as_str() {
        Some(text) => Ok((text.to_string(), entry.span().start)),
        None => Err(wrong_type(entry.get_ref(), wanted, example)),
    };
    array.iter().map(one).collect()
}

/// A glob over paths relative to the workspace. Only its shape is looked at here: whether it would be a pattern that
/// no such path can ever match.
pub(super) fn pattern(value: &DeValue<'_>) -> Read<String> {
    let Some(pattern) = value.as_str() else {
        return Err(wrong_type(value, "a glob", "\"results/**\""));
    };
    let relative = "patterns are relative to the root of the workspace";
    let tail = pattern.trim_start_matches(['.', '/']);
    if pattern.trim().is_empty() {
        Err("an empty pattern matches nothing; write a glob, as in \"results/**\", or \"**\" for every file"
            .to_string())
    } else if pattern.starts_with('/') || pattern.starts_with("./") {
        Err(format!("{} can never match: {relative}; write {}", quoted(pattern), quoted(tail)))
    } else if pattern.ends_with('/') {
        Err(format!("{} can never match a file; write {}", quoted(pattern), quoted(&format!("{pattern}**"))))
    } else if pattern.split('/').any(|part| matches!(part, "" | "." | "..")) {
        Err(format!("{} can never match: {relative}, without '.', '..' and '//'; remove them", quoted(pattern)))
    } else {
        Ok(pattern.to_string())
    }
}

fn wrong_type(found: &DeValue<'_>, accepted: &str, example: impl Display) -> String {
    format!("{} was found; accepted is {accepted}, as in {example}", described(found))
}

fn described(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string {}", quoted(text)),
        DeValue::Integer(number) => format!("the integer {number}"),
        DeValue::Float(number) => format!("the float {number}"),
        DeValue::Boolean(boolean) => format!("the boolean {boolean}"),
        DeValue::Datetime(_) => "a date".to_string(),
        DeValue::Array(_) => "an array".to_string(),
        DeValue::Table(_) => "a table".to_string(),
    }
}
