//! How a staged file gets its name: at once, and only over what it was meant to replace.

use std::ffi::OsStr;

use rustix::fs::XattrFlags;

use super::source::{Sparse, pattern};
use super::{Check, Fault, Harness, Outcome, ensure, read_all, rel};
use crate::backend::{Access, Expected, PublishError, Staged, Time, Times};
use crate::model::{Identity, Timestamp};

pub(super) static CHECKS: &[Check] = &[
    Check { name: "nothing is in sight before it is published", run: invisible },
    Check { name: "a staged file that is dropped leaves nothing", run: dropped },
    Check { name: "publishing leaves no temporary file", run: no_temporary },
    Check { name: "a name that is taken is a conflict and stays as it is", run: taken },
    Check { name: "another version than the expected one is a conflict", run: other_version },
    Check { name: "the expected version is replaced, and whoever had it open keeps it", run: replaced },
    Check { name: "a version that is expected but gone gets its name all the same", run: gone },
    Check { name: "attributes of the staged file are those of the published one", run: attributes },
    Check { name: "publish answers what stat says", run: same_answer },
    Check { name: "sync of a published file succeeds and changes nothing", run: synced },
];

fn stage(on: &Harness, bytes: &[u8]) -> Outcome<Staged> {
    Ok(on.backend.stage(&Sparse::dense(bytes))?)
}

/// Tries to publish; gives back the staged file of a conflict.
fn conflict(on: &Harness, staged: Staged, name: &str, expected: Expected) -> Outcome<Staged> {
    match on.backend.publish(staged, &rel([name]), expected) {
        Err(PublishError::Conflict(staged)) => Ok(staged),
        Err(e) => Err(e.into()),
        Ok(_) => Err(Fault(format!("{name} was replaced, although {expected:?} was expected"))),
    }
}

fn invisible(on: &Harness) -> Outcome {
    let path = rel(["a.tif"]);
    let staged = stage(on, b"new")?;
    on.is_absent(&path)?;
    let names = (on.listing)()?;
    ensure(names.is_empty(), || format!("in sight before it is published: {names:?}"))?;
    on.backend.publish(staged, &path, Expected::Absent)?;
    on.holds(&path, b"new")
}

fn dropped(on: &Harness) -> Outcome {
    drop(stage(on, &pattern(10_000))?);
    on.leaves_nothing()
}

fn no_temporary(on: &Harness) -> Outcome {
    let first = on.put(b"first", &rel(["a.tif"]))?;
    on.publish(b"second", &rel(["a.tif"]), Expected::Version(first.identity()))?;
    let temporary = (on.temporary)()?;
    ensure(temporary == 0, || format!("{temporary} temporary files are left"))
}

fn taken(on: &Harness) -> Outcome {
    on.put(b"theirs", &rel(["a.tif"]))?;
    let staged = conflict(on, stage(on, b"ours")?, "a.tif", Expected::Absent)?;
    on.holds(&rel(["a.tif"]), b"theirs")?;
    on.backend.publish(staged, &rel(["b.tif"]), Expected::Absent)?;
    on.holds(&rel(["b.tif"]), b"ours")
}

fn other_version(on: &Harness) -> Outcome {
    let there = on.put(b"theirs", &rel(["a.tif"]))?.identity();
    let later = |t: Timestamp| Timestamp { secs: t.secs + 1, ..t };
    let others = [
        Identity { ino: there.ino + 1, ..there },
        Identity { size: there.size + 1, ..there },
        Identity { mtime: later(there.mtime), ..there },
    ];
    let mut staged = stage(on, b"ours")?;
    for other in others {
        staged = conflict(on, staged, "a.tif", Expected::Version(other))?;
        on.holds(&rel(["a.tif"]), b"theirs")?;
    }
    // A link or a rename moves the ctime, and leaves the version what it is.
    let renamed = Identity { ctime: later(there.ctime), ..there };
    on.backend.publish(staged, &rel(["a.tif"]), Expected::Version(renamed))?;
    on.holds(&rel(["a.tif"]), b"ours")
}

fn replaced(on: &Harness) -> Outcome {
    let path = rel(["a.tif"]);
    let (old, new) = (pattern(70_000), pattern(40_000));
    let version = on.put(&old, &path)?.identity();
    let reader = on.backend.open(&path, Access::Read)?;
    on.publish(&new, &path, Expected::Version(version))?;
    on.holds(&path, &new)?;
    match reader {
        Some(reader) => ensure(read_all(&reader)? == old, || "an open file changed under its reader".to_owned()),
        None => Ok(()),
    }
}

fn gone(on: &Harness) -> Outcome {
    let path = rel(["a.tif"]);
    let version = on.put(b"old", &path)?.identity();
    on.backend.remove(&path)?;
    on.publish(b"new", &path, Expected::Version(version))?;
    on.holds(&path, b"new")
}

fn attributes(on: &Harness) -> Outcome {
    let path = rel(["a.tif"]);
    let (atime, mtime) = (Timestamp { secs: 86_400, nanos: 123_456_789 }, Timestamp { secs: -1, nanos: 999_999_999 });
    let (name, value) = (OsStr::new("user.plate"), b"P1\0\xff".as_slice());
    let staged = stage(on, b"bytes")?;
    let object = staged.object().clone();
    object.set_perm(0o2640)?;
    object.xattrs().set(name, value, XattrFlags::empty())?;
    object.set_times(Times { atime: Time::At(atime), mtime: Time::At(mtime) })?;
    on.backend.publish(staged, &path, Expected::Absent)?;
    let attr = on.backend.stat(&path)?;
    ensure(attr.perm == 0o2640, || format!("mode {:o} instead of 2640", attr.perm))?;
    ensure((attr.atime, attr.mtime) == (atime, mtime), || format!("times {:?}, {:?}", attr.atime, attr.mtime))?;
    let kept = match on.backend.open(&path, Access::Read)? {
        Some(object) => object.xattrs().get(name)?,
        None => None,
    };
    ensure(kept.as_deref() == Some(value), || format!("the extended attribute is {kept:?}"))
}

fn same_answer(on: &Harness) -> Outcome {
    let path = rel(["a.tif"]);
    let told = on.put(b"bytes", &path)?.identity();
    let found = on.backend.stat(&path)?.identity();
    // Else the next publish over it would be taken for a conflict.
    ensure(told == found, || format!("publish says {told:?}, stat {found:?}"))
}

fn synced(on: &Harness) -> Outcome {
    let path = rel(["a.tif"]);
    let before = on.put(b"bytes", &path)?.identity();
    on.backend.sync(&path)?;
    on.holds(&path, b"bytes")?;
    ensure(on.backend.stat(&path)?.identity() == before, || "its version changed".to_owned())
}
