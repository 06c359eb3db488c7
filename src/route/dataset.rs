//! Which dataset a file belongs to, and rules by the names that people give them.

use super::{Compiled, Decision, Router, RuleId};
use crate::model::RelPath;

impl Router {
    /// As [`Router::dataset`], as a path.
    pub fn dataset_of(&self, path: &RelPath) -> RelPath {
        RelPath::from_bytes(self.dataset(path)).unwrap_or_default()
    }

    /// A rule by its number (from 1), its glob, or its whole name; the built-in one is `default`.
    ///
    /// # Errors
    /// A sentence that lists the rules there are.
    pub fn rule_called(&self, word: &str) -> Result<RuleId, String> {
        let number = word.parse::<usize>().ok();
        let is_it = |compiled: &&Compiled| {
            let (view, id) = (&compiled.view, usize::from(compiled.decision.rule.0));
            view.name == word || (id < self.rules.len() && (view.pattern == word || number == Some(id + 1)))
        };
        let found = self.rules.iter().chain([&self.default]).find(is_it);
        found.map(|compiled| compiled.decision.rule).ok_or_else(|| {
            let names: Vec<&str> = self.rules().map(|(_, rule)| rule.name.as_str()).collect();
            format!("there is no rule '{word}'; the rules of this mount are {}", names.join(", "))
        })
    }

    /// What holds for the files of a rule.
    pub fn decision_of(&self, id: RuleId) -> Decision {
        self.compiled(id).decision
    }

    fn compiled(&self, id: RuleId) -> &Compiled {
        self.rules.get(usize::from(id.0)).unwrap_or(&self.default)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::route::NameGlob;

    fn router() -> Router {
        let text = "[[rule]]\nmatch = \"screens/**\"\ndataset = \"screens/*/*\"\n[[rule]]\nmatch = \"*.csv\"\n";
        crate::route::from_toml(text, Path::new("a.toml"), &["memory", "disk"]).expect("valid").1
    }

    fn path(text: &str) -> RelPath {
        RelPath::from_bytes(text.as_bytes()).expect("relative")
    }

    #[test]
    fn a_file_belongs_to_the_directory_that_its_rule_names_or_to_the_top_level_one() {
        let router = router();
        let dataset = |file: &str| router.dataset_of(&path(file)).as_path().display().to_string();
        assert_eq!(dataset("screens/a/p1/raw/x.tif"), "screens/a/p1");
        assert_eq!(dataset("screens/x.tif"), "screens", "the glob names directories further down");
        assert_eq!(dataset("other/a/x.tif"), "other");
        assert_eq!(dataset("x.tif"), "");
    }

    #[test]
    fn a_rule_is_found_by_number_glob_or_name() {
        let router = router();
        for (word, id) in [("1", 0), ("screens/**", 0), ("rule 2 '*.csv'", 1), ("2", 1), ("default", 2)] {
            assert_eq!(router.rule_called(word), Ok(RuleId(id)), "{word}");
        }
        let wrong = router.rule_called("3").expect_err("there are two");
        assert!(wrong.contains("rule 1 'screens/**', rule 2 '*.csv', default"), "{wrong}");
    }

    #[test]
    fn a_glob_without_a_slash_is_about_the_name_alone() {
        let name = NameGlob::new("*.tif").expect("valid");
        assert!(name.matches(&path("a/b/x.tif")) && !name.matches(&path("a.tif/x")));
        let whole = NameGlob::new("a/*/x.tif").expect("valid");
        assert!(whole.matches(&path("a/b/x.tif")) && !whole.matches(&path("b/x.tif")));
        assert!(NameGlob::new("[").is_err());
    }
}
