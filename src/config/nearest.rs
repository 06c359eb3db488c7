//! Which word was probably meant.

/// The candidate with the smallest edit distance to `word`, the first of equals; `None` without candidates.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Distance is quadratic: a word this long is no slip of the pen, and its beginning is enough to compare.
    let word: Vec<char> = word.chars().take(64).flat_map(char::to_lowercase).collect();
    candidates.into_iter().min_by_key(|candidate| distance(&word, candidate))
}

/// Levenshtein's distance: insertions, deletions and replacements.
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut left = i + 1;
        let mut next = vec![left];
        for ((y, diagonal), above) in b.iter().zip(&row).zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(x != y)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_the_one_with_the_fewest_edits() {
        let keys = ["limit", "high", "low", "write_behind"];
        assert_eq!(nearest("limt", keys), Some("limit"));
        assert_eq!(nearest("hihg", keys), Some("high"));
        assert_eq!(nearest("writebehind", keys), Some("write_behind"));
        assert_eq!(nearest("LOW", keys), Some("low"));
        assert_eq!(nearest("", []), None);
    }

    #[test]
    fn distances_are_those_of_the_textbook() {
        let d = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), b);
        assert_eq!(d("kitten", "sitting"), 3);
        assert_eq!(d("", "abc"), 3);
        assert_eq!(d("abc", ""), 3);
        assert_eq!(d("same", "same"), 0);
    }
}
