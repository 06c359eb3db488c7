//! What a backend must do to be accepted: one suite for all of them.
//!
//! A backend is done when [`failures`] finds none. Each check gets a fresh [`Harness`] and knows nothing but the trait,
//! so the suite is also the trait's contract in executable form. A check reads what it stored through
//! [`Backend::open`], so a backend whose files are not byte-addressable brings a harness that can.

#[cfg(test)]
mod broken;
mod bytes;
mod names;
mod paths;
mod publishing;
mod source;
#[cfg(test)]
mod tests;
mod threads;

use std::any::Any;
use std::ffi::{OsStr, OsString};
use std::io;

use super::{Access, Backend, ByteSource, Expected, PublishError};
use crate::model::{Attr, RelPath};
use source::Sparse;

/// A backend with nothing in it, and the few things that the suite must do beside it.
pub struct Harness {
    /// The backend on trial.
    pub backend: Box<dyn Backend>,
    /// Makes a directory that files can be published in; a backend that makes them by itself does nothing.
    pub make_dir: MakeDir,
    /// Plants a symbolic link, its target first; `None` where names cannot be links.
    pub plant_link: Option<PlantLink>,
    /// What whoever lists the top directory finds.
    pub listing: Box<dyn Fn() -> io::Result<Vec<OsString>>>,
    /// Temporary files that lie around.
    pub temporary: Box<dyn Fn() -> io::Result<usize>>,
    /// Whatever must live as long as the backend.
    pub keep: Box<dyn Any>,
}

/// Makes a directory whose parent exists.
pub type MakeDir = Box<dyn Fn(&RelPath) -> io::Result<()>>;

/// Makes a symbolic link with the given target at the given path.
pub type PlantLink = Box<dyn Fn(&OsStr, &RelPath) -> io::Result<()>>;

/// One thing that a backend must do.
pub struct Check {
    /// The contract, as a sentence.
    pub name: &'static str,
    run: fn(&Harness) -> Outcome,
}

/// Why a check failed.
#[derive(Debug)]
pub struct Fault(String);

type Outcome<T = ()> = Result<T, Fault>;

/// Every check, in the order in which they are best read.
pub static CHECKS: &[&[Check]] = &[bytes::CHECKS, publishing::CHECKS, names::CHECKS, paths::CHECKS, threads::CHECKS];

/// Runs every check against a backend made anew for each; returns `name: why` for those that failed.
pub fn failures(make: &dyn Fn() -> Harness) -> Vec<String> {
    let checks = CHECKS.iter().copied().flatten();
    checks.filter_map(|check| (check.run)(&make()).err().map(|fault| format!("{}: {}", check.name, fault.0))).collect()
}

impl From<io::Error> for Fault {
    fn from(e: io::Error) -> Fault {
        Fault(e.to_string())
    }
}

impl From<PublishError> for Fault {
    fn from(e: PublishError) -> Fault {
        Fault(format!("not published: {e}"))
    }
}

impl Harness {
    fn publish(&self, bytes: &[u8], path: &RelPath, expected: Expected) -> Outcome<Attr> {
        let staged = self.backend.stage(&Sparse::dense(bytes))?;
        Ok(self.backend.publish(staged, path, expected)?)
    }

    /// Publishes where nothing is.
    fn put(&self, bytes: &[u8], path: &RelPath) -> Outcome<Attr> {
        self.publish(bytes, path, Expected::Absent)
    }

    fn bytes(&self, path: &RelPath) -> Outcome<Vec<u8>> {
        let Some(object) = self.backend.open(path, Access::Read)? else {
            return Err(Fault("it cannot be opened as an object, which is how this suite reads".to_owned()));
        };
        read_all(&object)
    }

    /// The file at `path` has exactly these bytes, and `stat` says how many.
    fn holds(&self, path: &RelPath, wanted: &[u8]) -> Outcome {
        let found = self.bytes(path)?;
        ensure(found == wanted, || difference(&found, wanted))?;
        let size = self.backend.stat(path)?.size;
        ensure(size == wanted.len() as u64, || format!("stat says {size} bytes, there are {}", wanted.len()))
    }

    fn is_absent(&self, path: &RelPath) -> Outcome {
        is_not_found("stat", self.backend.stat(path))
    }

    fn leaves_nothing(&self) -> Outcome {
        let (names, temporary) = ((self.listing)()?, (self.temporary)()?);
        ensure(names.is_empty(), || format!("these names are in sight: {names:?}"))?;
        ensure(temporary == 0, || format!("{temporary} temporary files are left"))
    }
}

fn read_all(source: &dyn ByteSource) -> Outcome<Vec<u8>> {
    let mut bytes = vec![0; source.size()? as usize];
    let got = source.read_at(&mut bytes, 0)?;
    ensure(got == bytes.len(), || format!("{} bytes are promised, {got} can be read", bytes.len()))?;
    Ok(bytes)
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(Fault(otherwise())) }
}

fn is_not_found<T>(verb: &str, result: io::Result<T>) -> Outcome {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Fault(format!("{verb} of what is not there says '{e}' instead of 'not found'"))),
        Ok(_) => Err(Fault(format!("{verb} succeeds on what is not there"))),
    }
}

fn difference(found: &[u8], wanted: &[u8]) -> String {
    let at = found.iter().zip(wanted).position(|(a, b)| a != b);
    match at {
        Some(at) => format!("byte {at} differs ({} bytes read, {} written)", found.len(), wanted.len()),
        None => format!("{} bytes read, {} written", found.len(), wanted.len()),
    }
}

/// A path of one or more names.
fn rel<N: AsRef<OsStr>>(names: impl IntoIterator<Item = N>) -> RelPath {
    let mut path = RelPath::root();
    for name in names {
        path.push(name.as_ref());
    }
    path
}
