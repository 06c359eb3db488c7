//! Files of real programs, where there are any.

use super::*;

/// Each file of the directory that the environment names must be rebuilt, or be refused where its name says so
/// (`refused-…`).
#[test]
fn files_of_real_programs_come_back_byte_for_byte() {
    let Some(directory) = std::env::var_os("SCOPEFS_IMAGES") else {
        eprintln!("skipped: SCOPEFS_IMAGES names no directory with images");
        return;
    };
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    let mut wrong = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let file = std::fs::read(&path).unwrap();
        let began = std::time::Instant::now();
        let planned = layout(&&file[..]).map(|layout| layout.segments.len());
        let took = began.elapsed();
        let result = round_trip(&file, 1 << 20);
        eprintln!("{name}: {planned:?} segments in {took:?}: {}", words(&result));
        if result.is_err() != name.starts_with("refused-") {
            wrong.push(name);
        }
    }
    assert_eq!(wrong, [""; 0]);
}

fn words(result: &Result<(Layout, Chunks), Refusal>) -> String {
    match result {
        Ok((layout, _)) => format!("{:?} {:?}", layout.arrays, layout.meta),
        Err(refusal) => refusal.to_string(),
    }
}
