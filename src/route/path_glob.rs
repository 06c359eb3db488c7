//! A glob that somebody types in place of a path.

use super::glob::{Pattern, Subject};
use crate::model::RelPath;

/// Files by a glob over their paths, with the rules' syntax: `*` within a name, `**` over directories.
#[derive(Debug, Clone)]
pub struct PathGlob {
    text: String,
    pattern: Pattern,
    base: RelPath,
}

impl PathGlob {
    /// Compiles a glob; the error says what is wrong with it and how to write it.
    pub fn new(text: &str) -> Result<PathGlob, String> {
        let mut base = RelPath::root();
        let mut parts: Vec<&str> = text.split('/').collect();
        // The last part is a name, even if nothing in it is special.
        parts.pop();
        for part in parts.into_iter().take_while(|part| !is_glob(part)) {
            if !part.is_empty() {
                base.push(part.as_ref());
            }
        }
        Ok(PathGlob { text: text.to_owned(), pattern: Pattern::new(text)?, base })
    }

    /// The directory below which everything lies that it can match.
    pub fn base(&self) -> &RelPath {
        &self.base
    }

    /// Whether it matches the whole path.
    pub fn matches(&self, path: &RelPath) -> bool {
        self.pattern.matches(&Subject::new(path.as_bytes()))
    }

    /// As it was typed.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Whether a text holds a character that a glob reads as more than itself.
pub fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_glob_is_looked_for_below_its_plain_part() {
        for (glob, base, path, matched) in [
            ("plate/*.tif", "plate", "plate/a.tif", true),
            ("plate/*.tif", "plate", "plate/B/a.tif", false),
            ("plate/**/*.tif", "plate", "plate/B/a.tif", true),
            ("*/raw", "", "p1/raw", true),
            ("plate/a.tif", "plate", "plate/a.tif", true),
        ] {
            let compiled = PathGlob::new(glob).expect(glob);
            assert_eq!(compiled.base().as_path(), Path::new(base), "{glob}");
            let path = RelPath::from_path(Path::new(path)).expect("relative");
            assert_eq!(compiled.matches(&path), matched, "{glob} and {path}");
        }
    }

    #[test]
    fn a_broken_glob_is_refused_with_a_remedy() {
        assert!(PathGlob::new("plate/[a").expect_err("unclosed").contains("close it with"));
        assert!(is_glob("a*") && !is_glob("a b.tif"));
    }
}
