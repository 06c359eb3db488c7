//! GUIDs in file names, which ImageXpress appends to each.

/// The name's remainder without its first GUID (8-4-4-4-12 hexadecimal digits), the brackets around it and the one
/// separator before it.
pub(super) fn without(text: &str) -> String {
    let bytes = text.as_bytes();
    let Some(mut start) = (0..bytes.len()).find(|&at| starts(bytes.get(at..).unwrap_or_default())) else {
        return text.to_string();
    };
    let mut end = start + LENGTH;
    let at = |index: Option<usize>| index.and_then(|index| bytes.get(index)).copied();
    let brackets = (at(start.checked_sub(1)), at(Some(end)));
    if matches!(brackets, (Some(b'['), Some(b']')) | (Some(b'{'), Some(b'}')) | (Some(b'('), Some(b')'))) {
        start -= 1;
        end += 1;
    }
    if matches!(at(start.checked_sub(1)), Some(b'_' | b'-' | b' ')) {
        start -= 1;
    }
    // Every cut is beside an ASCII byte, so neither can fall into a character.
    [text.get(..start), text.get(end..)].into_iter().flatten().collect()
}

/// Characters of a GUID.
const LENGTH: usize = 36;

/// Whether `bytes` begin with a GUID.
pub(super) fn starts(bytes: &[u8]) -> bool {
    bytes.len() >= LENGTH
        && bytes.iter().take(LENGTH).enumerate().all(|(at, &b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "4996E914-A4B6-49AF-8081-5B58A8653201";

    #[test]
    fn a_guid_is_taken_out_with_its_brackets() {
        for (name, left) in [
            (GUID.to_string(), ""),
            (GUID.to_lowercase(), ""),
            (format!("_[{GUID}]"), ""),
            (format!("{GUID}_mask"), "_mask"),
            (format!("_mask{GUID}"), "_mask"),
            (format!("_é{GUID}é"), "_éé"),
            (format!("({GUID}"), "("),
            ("_4996E914-A4B6-49AF-8081".to_string(), "_4996E914-A4B6-49AF-8081"),
            (String::new(), ""),
        ] {
            assert_eq!(without(&name), left, "{name}");
        }
    }
}
