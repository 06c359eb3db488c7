//! Names: removed, renamed, linked.

use std::io;

use super::{Check, Harness, Outcome, ensure, is_not_found, read_all, rel};
use crate::backend::Access;

pub(super) static CHECKS: &[Check] = &[
    Check { name: "stat of what is not there says not found", run: stat_absent },
    Check { name: "a removed name is gone, and whoever had it open keeps it", run: removed },
    Check { name: "a renamed file is itself under its new name alone", run: renamed },
    Check { name: "rename replaces what stands at the new name", run: renamed_over },
    Check { name: "a link is the same file under two names", run: linked },
    Check { name: "a link over an existing name is refused", run: linked_over },
    Check { name: "names that are not there cannot be renamed, linked or removed", run: absent },
];

fn stat_absent(on: &Harness) -> Outcome {
    on.is_absent(&rel(["nowhere"]))?;
    on.is_absent(&rel(["no", "such", "directory"]))
}

fn removed(on: &Harness) -> Outcome {
    let path = rel(["a.tif"]);
    on.put(b"bytes", &path)?;
    let reader = on.backend.open(&path, Access::Read)?;
    on.backend.remove(&path)?;
    on.is_absent(&path)?;
    match reader {
        Some(reader) => ensure(read_all(&reader)? == b"bytes", || "its reader lost it".to_owned()),
        None => Ok(()),
    }
}

fn renamed(on: &Harness) -> Outcome {
    (on.make_dir)(&rel(["into"]))?;
    let (from, to) = (rel(["a.tif"]), rel(["into", "b.tif"]));
    let before = on.put(b"bytes", &from)?;
    on.backend.rename(&from, &to)?;
    on.is_absent(&from)?;
    on.holds(&to, b"bytes")?;
    let after = on.backend.stat(&to)?;
    ensure((after.dev, after.ino) == (before.dev, before.ino), || "it is another file".to_owned())?;
    ensure(after.mtime == before.mtime, || "its time of change moved".to_owned())
}

fn renamed_over(on: &Harness) -> Outcome {
    let (from, to) = (rel(["a.tif"]), rel(["b.tif"]));
    on.put(b"new", &from)?;
    on.put(b"old", &to)?;
    on.backend.rename(&from, &to)?;
    on.is_absent(&from)?;
    on.holds(&to, b"new")
}

fn linked(on: &Harness) -> Outcome {
    (on.make_dir)(&rel(["into"]))?;
    let (from, to) = (rel(["a.tif"]), rel(["into", "b.tif"]));
    on.put(b"bytes", &from)?;
    on.backend.link(&from, &to)?;
    let (one, other) = (on.backend.stat(&from)?, on.backend.stat(&to)?);
    ensure((one.dev, one.ino, one.nlink) == (other.dev, other.ino, 2), || "the names are of two files".to_owned())?;
    on.backend.remove(&from)?;
    on.holds(&to, b"bytes")?;
    let left = on.backend.stat(&to)?.nlink;
    ensure(left == 1, || format!("one name is left, stat counts {left}"))
}

fn linked_over(on: &Harness) -> Outcome {
    let (from, to) = (rel(["a.tif"]), rel(["b.tif"]));
    on.put(b"new", &from)?;
    on.put(b"old", &to)?;
    let refused = on.backend.link(&from, &to).is_err_and(|e| e.kind() == io::ErrorKind::AlreadyExists);
    ensure(refused, || "it is not refused with 'exists already'".to_owned())?;
    on.holds(&to, b"old")
}

fn absent(on: &Harness) -> Outcome {
    let (from, to) = (rel(["nowhere"]), rel(["b.tif"]));
    is_not_found("rename", on.backend.rename(&from, &to))?;
    is_not_found("link", on.backend.link(&from, &to))?;
    is_not_found("remove", on.backend.remove(&from))?;
    on.is_absent(&to)
}
