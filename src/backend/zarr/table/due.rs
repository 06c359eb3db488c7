//! What has to be done to the store's files once a page is durable: a redo log of names.

use super::chunks::is_store_path;
use super::wire::{FormatError, Reader, put_blob, put_varint};

/// Longest path of a file in a store, so that shared beginnings cannot multiply memory.
const MAX_PATH: usize = 512;

/// Most that may be due by one page.
const MAX_DUES: usize = 1 << 18;

const REMOVE: u8 = 1;
const NEXT_STAGED: u8 = 2;
const NEXT_PATH: u8 = 4;

/// What has to be done to the store's files once a page is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// The staged file gets its place. Not there any more: it has it already.
    Rename {
        /// Name of the staged file, one component.
        staged: String,
        /// Path in the store.
        path: String,
    },
    /// The file goes, if no record uses its chunk (another may have been written there since).
    Remove {
        /// Path in the store.
        path: String,
    },
}

/// How many; each: flags u8 (1 remove, 2 and 4: see below); for a rename the staged name; the path. A string is: bytes
/// shared with the one before (varint), length of the rest (varint), rest. It is left out (flags 2 for the name, 4 for
/// the path) if it is the one before with the number at its end increased by one: so a hundred thousand tiles, a
/// file each, are due in a byte or a few for each.
pub(super) fn put_dues(dues: &[Due]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, dues.len() as u64);
    let (mut last_staged, mut last_path) = ("", "");
    for due in dues {
        let (staged, path) = match due {
            Due::Rename { staged, path } => (Some(staged), path),
            Due::Remove { path } => (None, path),
        };
        let next_staged = staged.is_some_and(|staged| is_next(last_staged, staged));
        let next_path = is_next(last_path, path);
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        out.push(flag(staged.is_none(), REMOVE) | flag(next_staged, NEXT_STAGED) | flag(next_path, NEXT_PATH));
        if let Some(staged) = staged {
            if !next_staged {
                put_shared(&mut out, last_staged, staged);
            }
            last_staged = staged;
        }
        if !next_path {
            put_shared(&mut out, last_path, path);
        }
        last_path = path;
    }
    out
}

fn put_shared(out: &mut Vec<u8>, before: &str, text: &str) {
    let shared = before.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
    put_varint(out, shared as u64);
    put_blob(out, text.as_bytes().get(shared..).unwrap_or_default());
}

pub(super) fn read_dues(body: &[u8]) -> Result<Vec<Due>, FormatError> {
    let mut from = Reader::new(body);
    let count = from.count(1)?;
    if count > MAX_DUES {
        return Err(FormatError::TooLarge("more is due than can be"));
    }
    let (mut staged, mut path) = (String::new(), String::new());
    let mut dues = Vec::new();
    for _ in 0..count {
        let flags = from.u8()?;
        if flags & REMOVE == 0 {
            staged = read_text(&mut from, &staged, flags & NEXT_STAGED != 0)?;
        }
        path = read_text(&mut from, &path, flags & NEXT_PATH != 0)?;
        if flags & REMOVE == 0 && staged.contains('/') {
            return Err(OUTSIDE);
        }
        let path = path.clone();
        dues.push(if flags & REMOVE != 0 {
            Due::Remove { path }
        } else {
            Due::Rename { staged: staged.clone(), path }
        });
    }
    Ok(dues)
}

const OUTSIDE: FormatError = FormatError::Malformed("what is due leads out of the store");

fn read_text(from: &mut Reader<'_>, before: &str, next: bool) -> Result<String, FormatError> {
    if next {
        return successor(before).filter(|text| text.len() <= MAX_PATH).ok_or(OUTSIDE);
    }
    let shared = usize::try_from(from.varint()?).map_err(|_| OUTSIDE)?;
    let rest = from.blob()?;
    let mut bytes = before.as_bytes().get(..shared).ok_or(OUTSIDE)?.to_vec();
    bytes.extend_from_slice(rest);
    let text = String::from_utf8(bytes).map_err(|_| OUTSIDE)?;
    if text.is_empty() || text.len() > MAX_PATH || !is_store_path(&text) { Err(OUTSIDE) } else { Ok(text) }
}

fn is_next(before: &str, text: &str) -> bool {
    // Compared first by what is cheap: most texts end in another digit.
    before.len().abs_diff(text.len()) < 2 && successor(before).as_deref() == Some(text)
}

/// `text` with the decimal number at its end increased by one.
fn successor(text: &str) -> Option<String> {
    let digits = text.bytes().rev().take_while(u8::is_ascii_digit).take(18).count();
    let (head, number) = text.split_at_checked(text.len() - digits)?;
    // A number with leading zeros would come back without them.
    let number = number.parse::<u64>().ok().filter(|n| n.to_string() == number)?;
    Some(format!("{head}{}", number + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_renames_of_a_hundred_thousand_tiles_take_little_room() {
        let due = |n: usize| Due::Rename {
            staged: format!("0123456789abcdef-{}", n + 95),
            path: format!("0/0/0/0/{}/{}", n / 316, n % 316),
        };
        let dues: Vec<Due> = (0..100_000).map(due).collect();
        let bytes = put_dues(&dues);
        assert!(bytes.len() < 110_000, "{} bytes", bytes.len());
        assert_eq!(read_dues(&bytes).unwrap(), dues);
    }

    #[test]
    fn numbers_with_leading_zeros_and_texts_without_numbers_come_back() {
        let dues: Vec<Due> = ["a/08", "a/09", "a/10", "a/b", "a/b0", "a/b1", "9", "10", "99999999999999999999", "0/1"]
            .map(|path| Due::Remove { path: path.to_owned() })
            .to_vec();
        assert_eq!(read_dues(&put_dues(&dues)).unwrap(), dues);
    }
}
