//! `scopefs explain`.

use std::path::PathBuf;

use super::args::ExplainArgs;
use super::ask::{self, Group};
use super::failure::{Failure, print, say};
use super::output::{Style, colours, files, paint, size};
use crate::control::status::{Dataset, DatasetOf};
use crate::control::{Explained, Outcome, Request};

/// Runs the command.
pub fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let (groups, wrong) = ask::group(&ask::mounts()?, &args.paths);
    for message in &wrong {
        say(format_args!("scopefs: {message}"));
    }
    let mut failed = wrong.len();
    let mut all = Vec::new();
    for group in groups {
        let (explained, errors) = explain(group)?;
        all.extend(explained);
        failed += errors;
    }
    // As they were written, not as the mounts came.
    all.sort_by_key(|(written, _)| args.paths.iter().position(|path| path == written));
    let files: Vec<Explained> =
        all.into_iter().map(|(written, file)| Explained { path: written.into(), ..file }).collect();
    if args.json {
        json(&files, args.paths.len() == 1)?;
    } else {
        let texts: Vec<String> = files.iter().map(|file| text(file, colours())).collect();
        print(texts.join("\n"))?;
    }
    if failed > 0 { Err(Failure::silent(1)) } else { Ok(()) }
}

/// What the daemon says of each path of a mount, under the names that the caller wrote; the number of errors.
fn explain(group: Group) -> Result<(Vec<(PathBuf, Explained)>, usize), Failure> {
    let request = Request::Explain { paths: group.inside.clone() };
    let reply = ask::ask(&group.mount, &request, &mut |_| {})?;
    let (outcome, errors) = ask::settle(&group.mount, reply);
    let Some(Outcome::Explained(files)) = outcome else { return Ok((Vec::new(), errors)) };
    // Those that failed are missing, so they are matched by name and not by position.
    let mut pairs: Vec<_> = group.inside.into_iter().zip(group.written).collect();
    let named = files.into_iter().filter_map(|file| {
        let at = pairs.iter().position(|(inside, _)| *inside == file.path)?;
        Some((pairs.swap_remove(at).1, file))
    });
    Ok((named.collect(), errors))
}

fn json(files: &[Explained], single: bool) -> Result<(), Failure> {
    let text = match files {
        [file] if single => serde_json::to_string_pretty(file),
        [] if single => return Ok(()),
        files => serde_json::to_string_pretty(files),
    };
    print(text.map_err(|error| Failure::failed(error.to_string()))? + "\n")
}

fn text(file: &Explained, colours: bool) -> String {
    let stored = match file.stored_size == file.size {
        true => String::new(),
        false => format!(" (takes {})", size(file.stored_size)),
    };
    let store = file.store.as_ref().map(|at| format!("  store   {}, {}\n", at.path, at.array)).unwrap_or_default();
    let dataset = file.dataset.as_ref().map(dataset).unwrap_or_default();
    format!(
        "{}\n  tier    {}, {}\n  rule    {}\n  why     {}\n  bytes   {}\n{store}  size    {}{stored}\n{dataset}",
        paint(&file.path, Style::Bold, colours),
        file.tier,
        file.state.as_str(),
        file.rule,
        file.reason,
        file.stored_at,
        size(file.size)
    )
}

/// Dataset, size, lines and consequence, on a line.
fn dataset(of: &DatasetOf) -> String {
    let Dataset { name, bytes, files: number, row, next_at_bytes, back_below_bytes } = &of.dataset;
    let shown = if name.as_path().as_os_str().is_empty() { "files at the top".to_owned() } else { name.to_string() };
    let next = match row.as_str() {
        "small" => "middle",
        _ => "large",
    };
    let mut lines: Vec<String> = next_at_bytes.iter().map(|at| format!("{next} from {}", size(*at))).collect();
    lines.extend(back_below_bytes.iter().map(|below| format!("less again below {}", size(*below))));
    format!(
        "  dataset {shown}, {} in {}, {row} ({}): {}\n",
        size(*bytes),
        files(*number),
        lines.join(", "),
        of.consequence
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::status::InStore;
    use crate::model::{State, Tier};

    fn example() -> Explained {
        Explained {
            path: "/m/a.tif".into(),
            tier: Tier::Memory,
            state: State::Dirty,
            rule: "rule 1 '**'".into(),
            reason: "placed by its rule".into(),
            stored_at: "/run/scopefs/x/memory/a.tif".into(),
            size: 5000,
            stored_size: 8192,
            store: None,
            dataset: None,
        }
    }

    #[test]
    fn the_dataset_is_told_with_its_lines_and_what_follows() {
        let middle = Dataset {
            name: "P1".into(),
            bytes: 2 << 30,
            files: 1200,
            row: "middle".into(),
            next_at_bytes: Some(10 << 30),
            back_below_bytes: Some(800 << 20),
        };
        let of = DatasetOf { dataset: middle, consequence: "in memory, home disk".into() };
        let told = text(&Explained { dataset: Some(of), ..example() }, false);
        assert!(
            told.ends_with(
                "  dataset P1, 2.0 GiB in 1,200 files, middle (large from 10.0 GiB, less again below 800 MiB): in \
                 memory, home disk\n"
            ),
            "{told}"
        );
    }

    #[test]
    fn an_explanation_reads_well() {
        let file = example();
        assert_eq!(
            text(&file, false),
            "/m/a.tif\n  tier    memory, dirty\n  rule    rule 1 '**'\n  why     placed by its rule\n  \
             bytes   /run/scopefs/x/memory/a.tif\n  size    4.9 KiB (takes 8.0 KiB)\n"
        );
        let store = InStore { path: "/w/P1/P1.ome.zarr".into(), array: "B/03/0/0".into(), stored_bytes: 2048 };
        let sealed = Explained {
            tier: Tier::Zarr,
            state: State::Sealed,
            stored_at: store.path.clone(),
            stored_size: 2048,
            store: Some(store),
            ..file
        };
        assert!(
            text(&sealed, false).ends_with(
                "  bytes   /w/P1/P1.ome.zarr\n  store   /w/P1/P1.ome.zarr, B/03/0/0\n  \
                 size    4.9 KiB (takes 2.0 KiB)\n"
            ),
            "{}",
            text(&sealed, false)
        );
    }
}
