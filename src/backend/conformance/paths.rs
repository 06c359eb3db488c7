//! Paths as the world has them, and as somebody who means harm has them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::{Check, Harness, Outcome, ensure, rel};
use crate::backend::{Access, Expected};
use crate::model::RelPath;

pub(super) static CHECKS: &[Check] = &[
    Check { name: "a name is bytes, and any bytes are a name", run: odd_names },
    Check { name: "a name of 255 bytes is taken, one of 256 refused", run: longest_name },
    Check { name: "a path longer than one system call takes works like any other", run: deep },
    Check { name: "a symbolic link in the middle of a path is never followed", run: link_in_the_middle },
    Check { name: "a symbolic link at the end of a path is never followed", run: link_at_the_end },
];

/// Not UTF-8, two that differ only there, a line break, a blank, dots, what a shell or a glob would take.
const ODD: [&[u8]; 10] = [b"\xff", b"\xfe", b"a\nb", b" ", b"...", b"-rf", b"*", b"a\\b", b"\xc3\xa9", b"e\xcc\x81"];

fn odd_names(on: &Harness) -> Outcome {
    for (n, name) in ODD.iter().enumerate() {
        on.put(&[n as u8], &rel([OsStr::from_bytes(name)]))?;
    }
    for (n, name) in ODD.iter().enumerate() {
        on.holds(&rel([OsStr::from_bytes(name)]), &[n as u8])?;
    }
    let mut names = (on.listing)()?;
    let mut wanted: Vec<OsString> = ODD.iter().map(|name| OsString::from_vec(name.to_vec())).collect();
    names.sort();
    wanted.sort();
    ensure(names == wanted, || format!("listed as {names:?}"))
}

fn longest_name(on: &Harness) -> Outcome {
    let path = rel(["n".repeat(255)]);
    on.put(b"bytes", &path)?;
    on.holds(&path, b"bytes")?;
    let refused = on.put(b"bytes", &rel(["m".repeat(256)])).is_err();
    ensure(refused, || "256 bytes are no name, but were taken".to_owned())
}

fn deep(on: &Harness) -> Outcome {
    let mut dir = RelPath::root();
    for _ in 0..25 {
        dir.push(OsStr::new(&"d".repeat(200)));
        (on.make_dir)(&dir)?;
    }
    let (path, beside) = (dir.join(OsStr::new("a.tif")), dir.join(OsStr::new("b.tif")));
    let version = on.put(b"old", &path)?.identity();
    on.publish(b"new", &path, Expected::Version(version))?;
    on.backend.sync(&path)?;
    on.backend.rename(&path, &beside)?;
    on.backend.link(&beside, &path)?;
    on.backend.remove(&beside)?;
    on.holds(&path, b"new")
}

fn link_in_the_middle(on: &Harness) -> Outcome {
    let Some(plant) = &on.plant_link else { return Ok(()) };
    let (inside, outside) = (rel(["real", "a.tif"]), rel(["way", "a.tif"]));
    (on.make_dir)(&rel(["real"]))?;
    on.put(b"theirs", &inside)?;
    plant(OsStr::new("real"), &rel(["way"]))?;
    ensure(on.backend.stat(&outside).is_err(), || "stat followed it".to_owned())?;
    ensure(on.backend.open(&outside, Access::Write).is_err(), || "open followed it".to_owned())?;
    ensure(on.backend.remove(&outside).is_err(), || "remove followed it".to_owned())?;
    let published = on.put(b"ours", &rel(["way", "b.tif"]));
    ensure(published.is_err(), || "publish followed it".to_owned())?;
    on.holds(&inside, b"theirs")
}

fn link_at_the_end(on: &Harness) -> Outcome {
    let Some(plant) = &on.plant_link else { return Ok(()) };
    on.put(b"theirs", &rel(["a.tif"]))?;
    plant(OsStr::new("a.tif"), &rel(["way"]))?;
    ensure(on.backend.open(&rel(["way"]), Access::Write).is_err(), || "open followed it".to_owned())?;
    on.backend.remove(&rel(["way"]))?;
    on.holds(&rel(["a.tif"]), b"theirs")
}
