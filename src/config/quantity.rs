//! Sizes, shares and durations as people write them. Errors say what was found and what is accepted.

use std::time::Duration;

use super::Limit;

const SIZES: &str = "write a number with a unit, as in \"16GiB\", \"512MiB\" or \"1.5 GB\" (KB, MB, GB, TB count in \
                     thousands; K, M, G, T and KiB, MiB, GiB, TiB in 1024s), or plain bytes";
const DURATIONS: &str = "write a number with a unit (ms, s, m or h), as in \"30s\", \"250ms\", \"5m\" or \"1h\"";

/// Bytes from `16GiB`, `512M`, `1.5 GB` or plain digits; case does not matter.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1000_u64.pow(2),
        "gb" => 1000_u64.pow(3),
        "tb" => 1000_u64.pow(4),
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return Err(format!("{} is no size; {SIZES}", quoted(text))),
    };
    times(number, unit).ok_or_else(|| format!("{} is no size; {SIZES}", quoted(text)))
}

/// A size, or a share such as `50%` of what is available at mount.
pub fn parse_limit(text: &str) -> Result<Limit, String> {
    let limit = match text.trim().strip_suffix('%') {
        Some(percent) => match fraction(percent.trim_end()) {
            Some(percent) if percent > 0.0 && percent <= 100.0 => Limit::Share(percent / 100.0),
            _ => return Err(format!("{} is no share; write one above 0% and up to 100%, as in \"50%\"", quoted(text))),
        },
        None => Limit::Bytes(parse_size(text).map_err(|e| format!("{e}; or a share, as in \"50%\""))?),
    };
    check_limit(limit)
}

/// Refuses a limit of nothing.
pub(super) fn check_limit(limit: Limit) -> Result<Limit, String> {
    if limit == Limit::Bytes(0) {
        return Err("a limit of 0 leaves no memory to work with; give at least some MiB, as in \"512MiB\", and use \
                    rules with backend = \"disk\" to keep files out of memory"
            .to_string());
    }
    Ok(limit)
}

/// A duration from `30s`, `250ms`, `5m` or `1h`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let nanos = match unit.to_ascii_lowercase().as_str() {
        "ms" => 1_000_000,
        "s" | "sec" => 1_000_000_000,
        "m" | "min" => 60 * 1_000_000_000,
        "h" => 3600 * 1_000_000_000,
        _ => return Err(format!("{} is no duration; {DURATIONS}", quoted(text))),
    };
    let nanos = times(number, nanos).ok_or_else(|| format!("{} is no duration; {DURATIONS}", quoted(text)))?;
    Ok(Duration::from_nanos(nanos))
}

/// A duration, or `off` or `never` for none.
pub fn parse_write_behind(text: &str) -> Result<Option<Duration>, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "off" | "never" => Ok(None),
        _ => parse_duration(text).map(Some).map_err(|e| format!("{e}; or \"off\"")),
    }
}

/// The text in quotes, without control characters, cut where it gets long.
pub(super) fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() { format!("{:?}", shown + "…") } else { format!("{shown:?}") }
}

/// Number and unit of a quantity, without the blanks around them.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// `number` × `unit`, exact for whole numbers; `None` if it is no number or too large.
fn times(number: &str, unit: u64) -> Option<u64> {
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit);
    }
    let product = (fraction(number)? * unit as f64).round();
    // 2^64 as a float: everything below it converts without saturating.
    (product < 18_446_744_073_709_551_616.0).then_some(product as u64)
}

/// A decimal number with digits on both sides of its point.
fn fraction(number: &str) -> Option<f64> {
    let plain = number.starts_with(|c: char| c.is_ascii_digit())
        && number.ends_with(|c: char| c.is_ascii_digit())
        && number.chars().all(|c| c.is_ascii_digit() || c == '.');
    if plain { number.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_in_thousands_and_in_1024s() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("16GiB", 16 << 30),
            ("512MiB", 512 << 20),
            ("512M", 512 << 20),
            ("1.5 GB", 1_500_000_000),
            (" 2 tib ", 2 << 40),
            ("10kb", 10_000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_an_example() {
        for text in
            ["", "lots", "-1GiB", "1..5GB", "1.GB", ".5GB", "16GiBs", "1e9", "18446744073709551616", "99999999TiB"]
        {
            let error = parse_size(text).expect_err(text);
            assert!(error.contains("is no size") && error.contains("16GiB"), "{error}");
        }
    }

    #[test]
    fn a_limit_is_a_size_or_a_share() {
        assert_eq!(parse_limit("50%"), Ok(Limit::Share(0.5)));
        assert_eq!(parse_limit("12.5 %"), Ok(Limit::Share(0.125)));
        assert_eq!(parse_limit("100%"), Ok(Limit::Share(1.0)));
        assert_eq!(parse_limit("2GiB"), Ok(Limit::Bytes(2 << 30)));
        for text in ["0%", "101%", "%", "-5%", "half"] {
            assert!(parse_limit(text).expect_err(text).contains("50%"), "{text}");
        }
        assert!(parse_limit("0").expect_err("zero").contains("backend = \"disk\""));
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("5 m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("1.5h"), Ok(Duration::from_secs(5400)));
        for text in ["30", "s", "", "soon", "30 fortnights", "off"] {
            assert!(parse_duration(text).expect_err(text).contains("\"30s\""), "{text}");
        }
    }

    #[test]
    fn write_behind_can_be_off() {
        assert_eq!(parse_write_behind("off"), Ok(None));
        assert_eq!(parse_write_behind("never"), Ok(None));
        assert_eq!(parse_write_behind("1s"), Ok(Some(Duration::from_secs(1))));
        assert!(parse_write_behind("no").expect_err("no").contains("\"off\""));
    }

    #[test]
    fn control_characters_of_a_bad_value_do_not_reach_the_terminal() {
        let error = parse_size("\u{1b}[2J").expect_err("escape");
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }

    proptest! {
        #[test]
        fn no_text_makes_a_quantity_panic(text in "\\PC{0,40}|[0-9.]{0,30} ?[kmgtKMGT]?i?[bB%smh]{0,2}") {
            let _ = (parse_size(&text), parse_limit(&text), parse_duration(&text), parse_write_behind(&text));
        }

        #[test]
        fn every_number_of_bytes_reads_back(bytes: u64) {
            prop_assert_eq!(parse_size(&bytes.to_string()), Ok(bytes));
        }
    }
}
