//! Paths as words of a line of text, for small records that a person may want to read.

use super::RelPath;

/// The path with everything but printable ASCII, and `%` itself, as `%` and two hexadecimal digits. The root is `.`.
pub fn path_to_word(path: &RelPath) -> String {
    if path.is_root() {
        return ".".to_owned();
    }
    let mut word = String::with_capacity(path.as_bytes().len());
    for &byte in path.as_bytes() {
        match byte {
            b'%' | 0..=b' ' | 0x7f.. => word.push_str(&format!("%{byte:02x}")),
            _ => word.push(char::from(byte)),
        }
    }
    word
}

/// What [`path_to_word`] gave; `None` for anything else.
pub fn word_to_path(word: &str) -> Option<RelPath> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push((high * 16 + low) as u8);
    }
    // Only the root has no component, and only `.` says that it is meant.
    RelPath::from_bytes(&bytes).filter(|path| path.is_root() == (bytes == b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_any_bytes_is_one_word_and_comes_back() {
        for bytes in [&b"plate/B03/a.tif"[..], b"100% sure/a b", b"line\nbreak/\xff\xfe", b"tab\there", b"."] {
            let path = RelPath::from_bytes(bytes).expect("a relative path");
            let word = path_to_word(&path);
            assert!(word.bytes().all(|b| b.is_ascii_graphic()), "{word:?}");
            assert_eq!(word_to_path(&word), Some(path), "{word}");
        }
        assert_eq!(path_to_word(&RelPath::root()), ".");
    }

    #[test]
    fn a_word_that_was_cut_off_or_climbs_is_no_path() {
        for word in ["", "a%", "a%4", "a%zz", "../x", "/x"] {
            assert_eq!(word_to_path(word), None, "{word}");
        }
    }
}
