//! Text in whatever encoding the microscope's computer had.

use std::borrow::Cow;

/// As text: UTF-16 by its byte order mark or by the zero bytes of its first characters, UTF-8 with or without mark, else
/// Latin-1. A UTF-8 text that ends within a character, as one that was cut does, loses no more than that character.
pub(super) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match *bytes {
        [0xFF, 0xFE, ..] | [b'<' | b'"', 0, ..] => Cow::Owned(utf16(bytes, u16::from_le_bytes)),
        [0xFE, 0xFF, ..] | [0, b'<' | b'"', ..] => Cow::Owned(utf16(bytes, u16::from_be_bytes)),
        _ => narrow(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks_exact(2).filter_map(|pair| pair.try_into().ok().map(unit));
    char::decode_utf16(units)
        .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
        .skip_while(|&character| character == '\u{FEFF}')
        .collect()
}

fn narrow(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(error) if error.error_len().is_none() => {
            let whole = bytes.get(..error.valid_up_to()).unwrap_or_default();
            Cow::Borrowed(std::str::from_utf8(whole).unwrap_or_default())
        }
        Err(_) => Cow::Owned(bytes.iter().copied().map(char::from).collect()),
    }
}

/// A finite number, whatever stands around it.
pub(super) fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// Seconds since some moment of a time as `2021-06-14T09:13:30.1+01:00` (ISO 8601). The zone is not looked at: times of
/// one measurement have the same.
pub(super) fn seconds(time: &str) -> Option<f64> {
    let (date, clock) = time.trim().split_once(['T', ' '])?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let clock = clock.trim_end_matches('Z').split(['+', '-']).next()?;
    let mut clock = clock.splitn(3, ':').map(number);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next().flatten().unwrap_or(0.0));
    if !(0..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1 March of year 0, so that the day that leap years add is the last of a year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day;
    Some(days as f64 * 86_400.0 + hour * 3600.0 + minute * 60.0 + second)
}

/// Micrometres of a length in the unit that is named; µm where none is. `None` where that is more than a number holds.
pub(super) fn micrometres(length: f64, unit: Option<&str>) -> Option<f64> {
    let factor = match unit.map(str::trim) {
        Some("m") => 1e6,
        Some("mm") => 1e3,
        Some("nm") => 1e-3,
        _ => 1.0,
    };
    Some(length * factor).filter(|length| length.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_gives_the_same_text() {
        let text = "<a b=\"µ\"/>";
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let latin: Vec<u8> = text.chars().map(|c| c as u8).collect();
        let marked = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
        for bytes in [
            text.as_bytes().to_vec(),
            marked(b"\xEF\xBB\xBF", text.as_bytes()),
            marked(b"\xFF\xFE", &le),
            marked(b"\xFE\xFF", &be),
            le,
            be,
            latin,
        ] {
            assert_eq!(decode(&bytes), text, "{bytes:?}");
        }
        assert_eq!(decode("aµ".as_bytes().get(..2).expect("two bytes")), "a");
        assert_eq!(decode(b"\xFF\xFE<\0x"), "<");
        assert_eq!(decode(b""), "");
    }

    #[test]
    fn a_length_beyond_all_numbers_is_none() {
        assert_eq!(micrometres(2.0, Some(" m ")), Some(2e6));
        assert_eq!(micrometres(-1e308, Some("m")), None);
        assert_eq!(micrometres(1e308, None), Some(1e308));
    }

    #[test]
    fn times_are_as_far_apart_as_they_are() {
        let apart = |a: &str, b: &str| seconds(b).expect("a time") - seconds(a).expect("a time");
        assert_eq!(apart("2024-02-28T23:59:59+01:00", "2024-02-29T00:00:01+01:00"), 2.0);
        assert_eq!(apart("2023-02-28T00:00:00Z", "2023-03-01T00:00:00Z"), 86_400.0);
        assert_eq!(apart("2024-02-28T00:00:00Z", "2024-03-01T00:00:00Z"), 172_800.0);
        assert_eq!(apart("2023-12-31T23:00", "2024-01-01T00:00:00.5"), 3600.5);
        for wrong in [
            "",
            "T",
            "2024-13-01T00:00:00",
            "2024-01-01",
            "x-01-01T00:00:00",
            "99999999999-1-1T1:1:1",
            "2024-01-01TNaN:00",
        ] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
