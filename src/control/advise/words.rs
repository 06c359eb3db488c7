//! Figures and TOML as people read and write them.

use crate::model::RelPath;
use crate::vfs::Group;

/// `1.5 GiB`.
pub(super) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "bytes";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1023.5 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "bytes" { format!("{bytes} bytes") } else { format!("{value:.1} {unit}") }
}

/// A size as a value of the configuration, to the byte.
pub(super) fn exact(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let whole = units.iter().find(|(_, power)| bytes > 0 && bytes.trailing_zeros() >= *power);
    whole.map_or(bytes.to_string(), |(unit, power)| format!("\"{}{unit}\"", bytes >> power))
}

/// `1 file`, `17 files`.
pub(super) fn files(count: u64) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

/// Seconds that are enough for `millis`, with something to spare, as a value of the configuration.
pub(super) fn longer(millis: u64) -> String {
    let seconds = (millis + millis / 4).div_ceil(1000).max(1);
    if seconds < 120 { format!("{seconds}s") } else { format!("{}m", seconds.div_ceil(60)) }
}

/// The glob that means the files of a group; `None` if its dataset cannot be written in a configuration.
pub(super) fn glob(group: &Group) -> Option<String> {
    let ending = match group.ending.as_str() {
        "" => "*".to_owned(),
        ending => format!("*.{}", escaped(ending)),
    };
    if group.dataset.is_root() {
        return Some(ending);
    }
    let dataset = escaped(group.dataset.as_path().to_str()?);
    Some(if ending == "*" { format!("{dataset}/**") } else { format!("{dataset}/**/{ending}") })
}

fn escaped(text: &str) -> String {
    let mut glob = String::with_capacity(text.len());
    for c in text.chars() {
        if "*?[]{}\\!,".contains(c) {
            glob.push('\\');
        }
        glob.push(c);
    }
    glob
}

/// A TOML string.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| !c.is_control() && c != '"' && c != '\\';
    if text.chars().all(plain) {
        return format!("\"{text}\"");
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// `*.tif files in intermediates`.
pub(super) fn called(group: &Group) -> String {
    let ending = if group.ending.is_empty() { "files".to_owned() } else { format!("*.{} files", group.ending) };
    format!("{ending} in {}", directory(&group.dataset))
}

pub(super) fn directory(dataset: &RelPath) -> String {
    if dataset.is_root() { "the top directory".to_owned() } else { dataset.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::RuleId;

    fn group(dataset: &str, ending: &str) -> Group {
        let dataset = RelPath::from_bytes(dataset.as_bytes()).expect("relative");
        Group { rule: RuleId(0), dataset, ending: ending.to_owned() }
    }

    #[test]
    fn a_glob_means_the_group_and_nothing_else() {
        for (dataset, ending, wanted) in [
            ("tmp", "tif", "tmp/**/*.tif"),
            ("tmp", "", "tmp/**"),
            ("", "npy", "*.npy"),
            ("a[1]{x}", "tif", "a\\[1\\]\\{x\\}/**/*.tif"),
        ] {
            assert_eq!(glob(&group(dataset, ending)).as_deref(), Some(wanted));
        }
        let odd = group("a[1]", "tif");
        let glob = crate::route::NameGlob::new(&glob(&odd).expect("text")).expect("valid");
        assert!(glob.matches(&RelPath::from_bytes(b"a[1]/b/x.tif").expect("relative")));
        assert!(!glob.matches(&RelPath::from_bytes(b"a1/b/x.tif").expect("relative")));
    }

    #[test]
    fn strings_are_toml() {
        assert_eq!(quoted("a/**"), "\"a/**\"");
        let odd = "a\\[\"\n";
        let text = format!("[[rule]]\nmatch = {}\n", quoted(odd));
        let (_, router) = crate::route::from_toml(&text, std::path::Path::new("a.toml"), &[]).expect("valid");
        assert_eq!(router.rules().next().map(|(_, rule)| rule.pattern.as_str()), Some(odd));
    }

    #[test]
    fn a_size_is_written_to_the_byte() {
        for (bytes, wanted) in
            [(0, "0"), (3 << 30, "\"3GiB\""), (1536 << 20, "\"1536MiB\""), (2048, "\"2KiB\""), (2047, "2047")]
        {
            assert_eq!(exact(bytes), wanted);
        }
    }

    #[test]
    fn a_longer_time_has_something_to_spare() {
        assert_eq!(longer(10_000), "13s");
        assert_eq!(longer(100), "1s");
        assert_eq!(longer(240_000), "5m");
    }
}
