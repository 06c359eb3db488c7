//! Source files as the rules see them: code without comments and strings, and without what only tests compile.

use std::fs;
use std::path::Path;

/// One file below `src`.
pub struct Source {
    /// Relative to the project, `src/vfs/open.rs`.
    pub path: String,
    /// As it stands there.
    pub text: String,
    /// The text with comments and the insides of strings blanked, line for line.
    pub code: String,
    /// For each line whether only tests compile it.
    pub test: Vec<bool>,
}

/// All files of a project.
pub fn read(project: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    gather(&project.join("src"), "src", &mut files);
    prepare(files)
}

fn gather(dir: &Path, name: &str, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        let name = format!("{name}/{}", path.file_name().expect("a name").to_string_lossy());
        if path.is_dir() {
            gather(&path, &name, files);
        } else if name.ends_with(".rs") {
            files.push((name, fs::read_to_string(&path).expect("UTF-8")));
        }
    }
}

/// Path and text of each file to sources.
pub fn prepare(mut files: Vec<(String, String)>) -> Vec<Source> {
    files.sort();
    let mut sources: Vec<Source> = files
        .into_iter()
        .map(|(path, text)| {
            let code = blank(&text);
            let test = inline_tests(&code);
            Source { path, text, code, test }
        })
        .collect();
    let modules: Vec<String> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        let below = |module: &String| source.path.starts_with(&format!("{module}/"));
        if modules.iter().any(|module| source.path == format!("{module}.rs") || below(module)) {
            source.test.fill(true);
        }
    }
    sources
}

impl Source {
    /// The first component below `src`, without `.rs`.
    pub fn room(&self) -> &str {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path);
        below.split('/').next().unwrap_or(below).trim_end_matches(".rs")
    }

    /// How many modules deep it is below the crate.
    pub fn depth(&self) -> usize {
        let names = self.path.trim_end_matches(".rs").trim_end_matches("/mod").split('/').count() - 1;
        if ["src/lib.rs", "src/main.rs"].contains(&self.path.as_str()) { 0 } else { names }
    }
}

/// Files that a `#[cfg(test)] mod name;` brings in.
fn test_modules(source: &Source) -> Vec<String> {
    let (dir, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let stem = file.trim_end_matches(".rs");
    let dir = if ["mod", "lib", "main"].contains(&stem) { dir.to_owned() } else { format!("{dir}/{stem}") };
    let lines: Vec<&str> = source.code.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
    let names = pairs.filter_map(|pair| pair[1].strip_prefix("mod ")?.strip_suffix(';'));
    names.map(|name| format!("{dir}/{name}")).collect()
}

/// Lines within a `#[cfg(test)]` block.
fn inline_tests(code: &str) -> Vec<bool> {
    let lines: Vec<&str> = code.lines().collect();
    let mut test = vec![false; lines.len()];
    for start in (0..lines.len()).filter(|at| lines[*at].trim() == "#[cfg(test)]") {
        let end = block_end(&lines, start).unwrap_or(start + 1).min(lines.len() - 1);
        test[start..=end].fill(true);
    }
    test
}

/// The line on which the block closes that opens at or after `start`; `None` if a `;` comes first.
pub fn block_end(lines: &[&str], start: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, line) in lines.iter().enumerate().skip(start) {
        for byte in line.bytes() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                b';' if depth == 0 => return None,
                _ => continue,
            }
            if depth == 0 && byte == b'}' {
                return Some(at);
            }
        }
    }
    None
}

/// Blanks comments and the insides of strings and character literals; keeps every line break.
pub fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match &bytes[at..] {
            [b'/', b'/', ..] => find(bytes, at, b"\n").unwrap_or(bytes.len()),
            [b'/', b'*', ..] => find(bytes, at + 2, b"*/").map_or(bytes.len(), |end| end + 2),
            [b'r', b'"' | b'#', ..] if !is_word(bytes, at) => raw_end(bytes, at).unwrap_or(at + 1),
            [b'"', ..] => quoted_end(bytes, at, b'"'),
            [b'\'', b'\\', ..] => quoted_end(bytes, at, b'\''),
            [b'\'', _, b'\'', ..] => at + 3,
            _ => at + 1,
        };
        if end == at + 1 {
            out.push(bytes[at]);
        } else {
            out.extend(bytes[at..end].iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }));
        }
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    bytes.get(from..)?.windows(what.len()).position(|window| window == what).map(|at| from + at)
}

/// Whether the byte before belongs to the same word.
fn is_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() && bytes[at - 1] != b'b' || bytes[at - 1] == b'_')
}

fn raw_end(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    if bytes.get(at + 1 + hashes) != Some(&b'"') {
        return None;
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    find(bytes, at + 2 + hashes, &close).map(|end| end + close.len())
}

fn quoted_end(bytes: &[u8], at: usize, quote: u8) -> usize {
    let mut at = at + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}
