//! How what was found is shown: as it comes, unless an order or JSON wants all of it first.

use std::cmp::Reverse;
use std::io::{IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::time::SystemTime;

use super::{FindArgs, SortBy};
use crate::cli::failure::{Failure, print};
use crate::cli::output::{Table, age, count, size};
use crate::control::{FoundFile, FoundStore, WirePath};

/// Takes in what was found and shows it.
pub(super) struct Shower<'a> {
    args: &'a FindArgs,
    files: Vec<FoundFile>,
    stores: Vec<FoundStore>,
    complete: bool,
    now: i64,
    raw: bool,
    /// How many may still be shown.
    left: usize,
}

#[derive(serde::Serialize)]
struct Files<'a> {
    files: &'a [FoundFile],
    complete: bool,
}

#[derive(serde::Serialize)]
struct Stores<'a> {
    stores: &'a [FoundStore],
    complete: bool,
}

impl<'a> Shower<'a> {
    pub fn new(args: &'a FindArgs) -> Shower<'a> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        // A terminal would obey what a name may hold; a program wants the name as it is.
        let raw = args.null || !std::io::stdout().is_terminal();
        let left = args.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        Shower { args, files: Vec::new(), stores: Vec::new(), complete: true, now, raw, left }
    }

    /// Not everything that could be meant is known.
    pub fn incomplete(&mut self) {
        self.complete = false;
    }

    /// Nothing more will be shown.
    pub fn is_full(&self) -> bool {
        self.left == 0
    }

    /// Some files.
    pub fn files(&mut self, files: Vec<FoundFile>) -> Result<(), Failure> {
        if self.args.json || self.args.sort.is_some() {
            self.files.extend(files);
            return Ok(());
        }
        // Each mount keeps to the limit; all of them together have to as well.
        let files = files.get(..self.left.min(files.len())).unwrap_or_default();
        self.left -= files.len();
        self.show(files)
    }

    /// Stores of one mount.
    pub fn stores(&mut self, stores: Vec<FoundStore>) {
        self.stores.extend(stores);
    }

    /// Shows what has waited.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.sort();
        let complete = self.complete;
        let json = match (self.args.json, self.args.stores) {
            (true, true) => Some(serde_json::to_string_pretty(&Stores { stores: &self.stores, complete })),
            (true, false) => Some(serde_json::to_string_pretty(&Files { files: &self.files, complete })),
            (false, true) => return self.show_stores(),
            (false, false) => None,
        };
        match json {
            Some(text) => print(text.map_err(|error| Failure::failed(error.to_string()))? + "\n"),
            None => {
                let files = std::mem::take(&mut self.files);
                self.show(&files)
            }
        }
    }

    /// Each mount has put its own in order, if there is a limit.
    fn sort(&mut self) {
        match self.args.sort {
            Some(SortBy::Size) => {
                self.files.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.path.cmp(&b.path)));
                self.stores.sort_by_key(|store| Reverse(store.stored_bytes));
            }
            Some(SortBy::Age) => self.files.sort_by(|a, b| a.mtime.cmp(&b.mtime).then_with(|| a.path.cmp(&b.path))),
            Some(SortBy::Path) => {
                self.files.sort_by(|a, b| a.path.cmp(&b.path));
                self.stores.sort_by(|a, b| a.path.cmp(&b.path));
            }
            None => {}
        }
        self.files.truncate(self.left);
        self.stores.truncate(self.left);
    }

    fn show(&self, files: &[FoundFile]) -> Result<(), Failure> {
        let mut text = Vec::new();
        for file in files {
            if self.args.long {
                let (tier, state) = (file.tier.as_str(), file.state.as_str());
                let old = age(self.now.saturating_sub(file.mtime) as f64);
                let line = format!("{tier:<6}  {state:<6}  {:>9}  {old:>12}  ", size(file.size));
                text.extend_from_slice(line.as_bytes());
            }
            self.path(&file.path, &mut text);
        }
        print_bytes(&text)
    }

    fn show_stores(&self) -> Result<(), Failure> {
        if !self.args.long {
            let mut text = Vec::new();
            self.stores.iter().for_each(|store| self.path(&store.path, &mut text));
            return print_bytes(&text);
        }
        let mut table = Table::default();
        table.row(["store", "files", "as read", "on disk", "ratio"]);
        for store in &self.stores {
            let ratio = match store.stored_bytes {
                0 => String::new(),
                stored => format!("{:.2}", store.bytes as f64 / stored as f64),
            };
            let cells = [count(store.files), size(store.bytes), size(store.stored_bytes)];
            table.row([&store.path.to_string(), &cells[0], &cells[1], &cells[2], &ratio]);
        }
        print(table)
    }

    fn path(&self, path: &WirePath, text: &mut Vec<u8>) {
        match self.raw {
            true => text.extend_from_slice(path.as_path().as_os_str().as_bytes()),
            false => text.extend_from_slice(path.to_string().as_bytes()),
        }
        text.push(if self.args.null { 0 } else { b'\n' });
    }
}

fn print_bytes(text: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::silent(0)),
        Err(error) => Err(Failure::failed(format!("cannot write to standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}
