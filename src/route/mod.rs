//! Rules to a decision that can explain itself.
//!
//! A [`Router`] is built once from a configuration and never changes. [`Router::decide`] is asked for each file that is
//! created: it allocates nothing, and its answer is `Copy`. [`Router::explain`] turns such an answer into a sentence.
//!
//! Globs are matched against the raw bytes of the path relative to the workspace: `*` and `?` stay within one name,
//! `**` between slashes crosses directories, `{a,b}` is either, `[a-z]` one byte of a class, `\` takes the next one
//! literally. Matching is case-sensitive, as the file system is. The first rule that matches decides; where none does,
//! the built-in rule `default` (backend `auto`) does.

mod dataset;
mod error;
mod explain;
mod glob;
mod path_glob;
mod row;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

pub use error::RouteError;
pub use glob::NameGlob;
pub use path_glob::{PathGlob, is_glob};
pub use row::{Lines, Row, is_image};

use crate::config::{Config, ConfigErrors, Originals, PlatePattern, Problem, Rule, SealAs, nearest, read_text};
use crate::model::{Durability, OnUnmount, RelPath, Tier};
use crate::plate::Recogniser;
use glob::{Pattern, Subject};

/// Names that a rule may use whatever is registered: `auto` chooses among backends, `zarr` is reserved.
const ALWAYS_KNOWN: &[&str] = &["auto", "zarr"];

/// Idle time of files that are written behind at once: a program that opens one again right away is let finish.
pub const AT_ONCE: Duration = Duration::from_millis(500);

/// Which rule decided: its place in the configuration, or the built-in rule after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub u16);

/// What holds for one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The rule that decided.
    pub rule: RuleId,
    /// Where a new file starts, memory permitting.
    pub start: Tier,
    /// Where its bytes are to settle.
    pub home: Tier,
    /// What `fsync` and `close` promise.
    pub durability: Durability,
    /// Idle time after which dirty bytes are written to the home; `None`: not before pressure, `fsync` or unmount.
    pub write_behind: Option<Duration>,
    /// Idle time after the last close before it is sealed, where its home is a store.
    pub settle: Duration,
    /// What becomes of it at unmount; only ever [`OnUnmount::Discard`] with [`Durability::Scratch`].
    pub on_unmount: OnUnmount,
    /// What it is in its store, where its home is one.
    pub seal_as: SealAs,
    /// With the backend `auto`: how large its dataset is. [`Router::decide`] knows no sizes and says [`Row::Small`];
    /// [`Decision::in_row`] says what holds in another row.
    pub row: Option<Row>,
    /// With the backend `auto`: whether images of a large dataset are sealed.
    pub seals: bool,
    /// Written behind as soon as nobody writes to it any more, so that memory can be freed in an instant.
    pub at_once: bool,
}

/// One rule as messages and statistics show it.
#[derive(Debug, Clone)]
pub struct RuleView {
    /// `rule 2 'results/**'`, counted from 1, or `default`.
    pub name: String,
    /// The glob as written.
    pub pattern: String,
    /// The backend as written.
    pub backend: String,
    /// Line in the configuration, from 1; 0 for the built-in rule.
    pub line: usize,
    /// What becomes of originals that were sealed.
    pub originals: Originals,
    /// Whether it acts on files found at mount too.
    pub adopt: bool,
    /// Glob of the directories that are one dataset each; `None`: the top-level directory.
    pub dataset: Option<String>,
    /// Glob of the images whose labels its files are, as written.
    pub of: Option<String>,
}

/// Rules, compiled. Immutable and shared between threads.
#[derive(Debug, Clone)]
pub struct Router {
    // As many as the configuration has; the built-in rule stands apart so that there always is one.
    rules: Vec<Compiled>,
    default: Compiled,
    lines: Lines,
}

#[derive(Debug, Clone)]
struct Compiled {
    pattern: Pattern,
    of: Option<Pattern>,
    dataset: Option<Pattern>,
    decision: Decision,
    view: RuleView,
}

impl Router {
    /// Compiles the rules of `config`; `backends` are the names that the registry knows. All problems are reported.
    pub fn new(config: &Config, backends: &[&str]) -> Result<Router, RouteError> {
        let (router, problems) = Router::build(config, backends);
        if problems.is_empty() { Ok(router) } else { Err(RouteError { file: config.file.clone(), problems }) }
    }

    fn build(config: &Config, backends: &[&str]) -> (Router, Vec<Problem>) {
        let mut problems: Vec<Problem> = config.zarr.plates.iter().filter_map(plate_problem).collect();
        let mut rules = Vec::new();
        for (index, rule) in config.rules.iter().enumerate() {
            let place = format!("[[rule]] {}", index + 1);
            let mut fault = |key: &str, message: String| {
                let line = (rule.line > 0).then_some(rule.line);
                problems.push(Problem { line, key: format!("{place} {key}"), message });
            };
            check_backend(&rule.backend, backends).unwrap_or_else(|message| fault("backend", message));
            for (key, glob) in [("dataset", &rule.dataset), ("of", &rule.of)] {
                let wrong = glob.as_ref().and_then(|glob| Pattern::new(glob).err());
                wrong.into_iter().for_each(|message| fault(key, message));
            }
            // The last id is the built-in rule's.
            match (u16::try_from(index), Pattern::new(&rule.pattern)) {
                (Ok(id), Ok(pattern)) if id < u16::MAX => rules.push(Compiled::new(RuleId(id), rule, pattern, config)),
                (Ok(id), Err(message)) if id < u16::MAX => fault("match", message),
                _ => fault("match", format!("there are more than {} rules; merge some with {{a,b}}", u16::MAX)),
            }
        }
        // Cannot truncate where there was no problem: the rules were counted above.
        let default = Compiled::built_in(RuleId(rules.len() as u16), config);
        let router = Router { default, rules, lines: Lines::new(&config.auto) };
        (router, problems)
    }

    /// What holds for a file of this path. Allocates nothing.
    pub fn decide(&self, path: &RelPath) -> Decision {
        self.first(path).decision
    }

    fn first(&self, path: &RelPath) -> &Compiled {
        let subject = Subject::new(path.as_bytes());
        self.rules.iter().find(|rule| rule.pattern.matches(&subject)).unwrap_or(&self.default)
    }

    /// The path of the dataset that a file belongs to: the outermost directory above it that its rule's `dataset` glob
    /// names, or else its directory at the top. Empty for files at the top that are in none.
    pub fn dataset<'p>(&self, path: &'p RelPath) -> &'p [u8] {
        let bytes = path.as_bytes();
        let mut dirs =
            bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/').filter_map(|(at, _)| bytes.get(..at));
        let named = self.first(path).dataset.as_ref();
        let named = named.and_then(|glob| dirs.clone().find(|dir| glob.matches(&Subject::new(dir))));
        named.or_else(|| dirs.next()).unwrap_or_default()
    }

    /// Whether any rule names datasets other than the directories at the top.
    pub fn names_datasets(&self) -> bool {
        self.rules.iter().any(|rule| rule.dataset.is_some())
    }

    /// The least time after its last change after which a file of any rule may have to be written behind, or sealed:
    /// whoever looks at many files need not look closer at those that were changed since.
    pub fn least_rest(&self) -> Duration {
        let rest = |decision: &Decision| {
            let behind = decision.write_behind.unwrap_or(Duration::MAX).min(decision.settle);
            if decision.row.is_some() { behind.min(AT_ONCE) } else { behind }
        };
        self.rules.iter().chain([&self.default]).map(|rule| rest(&rule.decision)).min().unwrap_or_default()
    }

    /// Where `auto` draws its lines.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// The rule of a decision. An id of another configuration (kept over a restart) gives the built-in rule.
    pub fn rule(&self, id: RuleId) -> &RuleView {
        &self.rules.get(usize::from(id.0)).unwrap_or(&self.default).view
    }

    /// All rules in the order in which they are asked, the built-in one last.
    pub fn rules(&self) -> impl Iterator<Item = (RuleId, &RuleView)> {
        self.rules.iter().chain([&self.default]).map(|rule| (rule.decision.rule, &rule.view))
    }

    /// Whether the files of a rule are labels of the image at `image`. A rule that does not say of which says yes to
    /// all; one that makes no labels, to none.
    pub fn are_labels_of(&self, id: RuleId, image: &RelPath) -> bool {
        let rule = self.rules.get(usize::from(id.0)).unwrap_or(&self.default);
        let said = rule.of.as_ref().is_none_or(|of| of.matches(&Subject::new(image.as_bytes())));
        rule.decision.seal_as == SealAs::Labels && said
    }

    /// Whether any rule makes closes durable.
    pub fn any_strict(&self) -> bool {
        self.rules.iter().any(|rule| rule.decision.durability == Durability::Strict)
    }

    /// What the size of its dataset means for a file, in a few words.
    pub fn consequence(&self, decision: &Decision) -> &'static str {
        explain::consequence(decision)
    }

    /// Why a file is kept as it is, in one sentence for a person.
    pub fn explain(&self, decision: &Decision) -> String {
        explain::sentence(self.rule(decision.rule), decision)
    }
}

/// Reads a configuration file and compiles its rules, with all problems of both in one list.
pub fn load(path: &Path, backends: &[&str]) -> Result<(Config, Router), ConfigErrors> {
    from_toml(&read_text(path)?, path, backends)
}

/// As [`load`], from text; `file` only names it in messages.
pub fn from_toml(text: &str, file: &Path, backends: &[&str]) -> Result<(Config, Router), ConfigErrors> {
    let (config, mut problems) = Config::from_toml_partly(text, file);
    let (router, more) = Router::build(&config, backends);
    problems.extend(more);
    if problems.is_empty() { Ok((config, router)) } else { Err(ConfigErrors::invalid(file, problems)) }
}

impl Compiled {
    fn new(id: RuleId, rule: &Rule, pattern: Pattern, config: &Config) -> Compiled {
        let name = format!("rule {} '{}'", id.0 + 1, rule.pattern.escape_debug());
        // One that is not well formed was reported: this router is used by nobody.
        let of = rule.of.as_ref().and_then(|of| Pattern::new(of).ok());
        let dataset = rule.dataset.as_ref().and_then(|dataset| Pattern::new(dataset).ok());
        Compiled { pattern, of, dataset, decision: decision(id, rule, config), view: view(name, rule) }
    }

    fn built_in(id: RuleId, config: &Config) -> Compiled {
        let rule = Rule::default();
        let view = view("default".to_string(), &rule);
        let decision = Decision { seals: config.zarr.sealing, ..decision(id, &rule, config) };
        Compiled { pattern: Pattern::everything(), of: None, dataset: None, decision, view }
    }
}

fn decision(id: RuleId, rule: &Rule, config: &Config) -> Decision {
    let scratch = rule.durability == Durability::Scratch;
    let write_behind = rule.write_behind.unwrap_or(config.memory.write_behind);
    Decision {
        rule: id,
        start: if rule.backend == "disk" { Tier::Disk } else { Tier::Memory },
        home: if rule.backend == "zarr" { Tier::Zarr } else { Tier::Disk },
        settle: config.zarr.settle,
        durability: rule.durability,
        write_behind: if scratch { None } else { write_behind },
        // A rule that did not come from a file may hold any pair: only scratch is ever thrown away.
        on_unmount: if scratch { rule.on_unmount } else { OnUnmount::Keep },
        seal_as: rule.seal_as,
        row: (rule.backend == "auto").then_some(Row::Small),
        seals: rule.backend == "auto",
        at_once: false,
    }
}

fn view(name: String, rule: &Rule) -> RuleView {
    RuleView {
        name,
        pattern: rule.pattern.clone(),
        backend: rule.backend.clone(),
        line: rule.line,
        originals: rule.originals,
        adopt: rule.adopt,
        dataset: rule.dataset.clone(),
        of: rule.of.clone(),
    }
}

/// What is wrong with a pattern of plate names.
fn plate_problem(plate: &PlatePattern) -> Option<Problem> {
    let error = Recogniser::new(std::slice::from_ref(&plate.regex)).err()?;
    let message = format!("{error}; docs/plates.md tells what such a pattern holds");
    Some(Problem { line: (plate.line > 0).then_some(plate.line), key: "[zarr] plates".to_string(), message })
}

fn check_backend(name: &str, backends: &[&str]) -> Result<(), String> {
    let mut known: Vec<&str> = backends.iter().chain(ALWAYS_KNOWN).copied().collect();
    if known.contains(&name) {
        return Ok(());
    }
    known.sort_unstable();
    known.dedup();
    let near = nearest(name, known.iter().copied()).unwrap_or_default();
    Err(format!(
        "there is no backend {name:?}; the registered ones are {}; the nearest is \"{near}\"",
        known.join(", ")
    ))
}
