//! Names and paths inside a workspace: bytes, as the kernel has them, not text.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// One component of a path: never empty, never `.` or `..`, without `/` and NUL.
pub type Name = OsStr;

/// A path relative to the root of the workspace, without `.`, `..` or empty components. The root is the empty path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct RelPath(Vec<u8>);

impl RelPath {
    /// The workspace itself.
    pub fn root() -> RelPath {
        RelPath(Vec::new())
    }

    /// Takes the normal components of `path`; `None` if there are others than those (`..`, a leading `/`).
    pub fn from_path(path: &Path) -> Option<RelPath> {
        let mut rel = RelPath::root();
        for component in path.components() {
            match component {
                std::path::Component::Normal(name) => rel.push(name),
                std::path::Component::CurDir => {}
                _ => return None,
            }
        }
        Some(rel)
    }

    /// Whether this is the workspace itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends one component.
    pub fn push(&mut self, name: &Name) {
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name.as_bytes());
    }

    /// This path with one more component.
    pub fn join(&self, name: &Name) -> RelPath {
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        let mut joined = RelPath(bytes);
        joined.push(name);
        joined
    }

    /// Directory and last component; `None` for the root.
    pub fn split(&self) -> Option<(RelPath, &Name)> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.iter().rposition(|&b| b == b'/') {
            Some(slash) => (RelPath(self.0[..slash].to_vec()), OsStr::from_bytes(&self.0[slash + 1..])),
            None => (RelPath::root(), OsStr::from_bytes(&self.0)),
        })
    }

    /// Components from the top downwards.
    pub fn components(&self) -> impl Iterator<Item = &Name> {
        self.0.split(|&b| b == b'/').filter(|c| !c.is_empty()).map(OsStr::from_bytes)
    }

    /// The first component, if there is any.
    pub fn top(&self) -> Option<&Name> {
        self.components().next()
    }

    /// Whether this path is `other` or lies below it.
    pub fn starts_with(&self, other: &RelPath) -> bool {
        other.is_root()
            || (self.0.starts_with(&other.0) && (self.0.len() == other.0.len() || self.0[other.0.len()] == b'/'))
    }

    /// Where this path, which lies at or below `from`, is when `from` has become `to`; `None` if it lies elsewhere.
    pub fn below(&self, from: &RelPath, to: &RelPath) -> Option<RelPath> {
        if !self.starts_with(from) {
            return None;
        }
        let rest = RelPath(self.0[from.0.len()..].to_vec());
        let mut path = to.clone();
        rest.components().for_each(|name| path.push(name));
        Some(path)
    }

    /// As a `Path`, relative; empty for the root.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// From bytes that [`RelPath::as_bytes`] gave.
    pub fn from_bytes(bytes: &[u8]) -> Option<RelPath> {
        RelPath::from_path(Path::new(&OsString::from_vec(bytes.to_vec())))
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() { f.write_str(".") } else { write!(f, "{}", self.as_path().display()) }
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rel(text: &str) -> RelPath {
        RelPath::from_path(Path::new(text)).expect("relative")
    }

    #[test]
    fn paths_split_into_directory_and_name() {
        let path = rel("plate/B03/a.tif");
        let (dir, name) = path.split().expect("has a name");
        assert_eq!(dir, rel("plate/B03"));
        assert_eq!(name, "a.tif");
        assert!(RelPath::root().split().is_none());
    }

    #[test]
    fn a_sibling_with_the_same_prefix_is_not_below() {
        assert!(rel("a/b").starts_with(&rel("a")));
        assert!(!rel("ab").starts_with(&rel("a")));
    }

    #[test]
    fn a_path_that_climbs_is_refused() {
        assert!(RelPath::from_path(Path::new("../x")).is_none());
        assert!(RelPath::from_path(Path::new("/x")).is_none());
    }
}
