//! The disk backend with one fault, so that the suite is seen to fail.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, io};

use super::read_all;
use crate::backend::{Access, Backend, ByteSource, Disk, Expected, Kind, Object, PublishError, Staged, disk};
use crate::model::{Attr, RelPath};

macro_rules! wrongs {
    ($($wrong:ident,)*) => {
        /// What a backend may get wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Wrong {
            $($wrong,)*
        }

        /// All of it.
        pub(super) const WRONGS: &[Wrong] = &[$(Wrong::$wrong,)*];
    };
}

wrongs! {
    DropsTheLastByte,
    FillsHoles,
    ReadsZeros,
    OpensForReadingOnly,
    OpensForWritingAlways,
    MakesWhatIsNotThere,
    ShowsWhatIsStaged,
    LeavesTemporaryFiles,
    ReplacesUnasked,
    IgnoresVersions,
    WritesInPlace,
    WantsTheOldVersion,
    LosesAttributes,
    AnswersEarly,
    FailsToSync,
    KeepsRemovedNames,
    CopiesInsteadOfRenaming,
    RefusesToReplace,
    CopiesInsteadOfLinking,
    LinksOver,
    SaysYesToEverything,
    MangledNames,
    CutsLongNames,
    WholePathsOnly,
    FollowsLinks,
    LosesEveryFifth,
}

use Wrong::*;

/// The disk backend with one fault.
pub(super) struct Broken {
    inner: Disk,
    wrong: Wrong,
    root: PathBuf,
    published: AtomicUsize,
}

impl Broken {
    pub fn new(inner: Disk, wrong: Wrong, root: PathBuf) -> Broken {
        Broken { inner, wrong, root, published: AtomicUsize::new(0) }
    }

    /// The path that is used instead.
    fn path(&self, path: &RelPath) -> io::Result<RelPath> {
        let Some((dir, name)) = path.split() else { return Ok(path.clone()) };
        match self.wrong {
            MangledNames => Ok(dir.join(OsStr::new(&*name.to_string_lossy()))),
            CutsLongNames if name.len() > 255 => Ok(dir.join(OsStr::new(&name.to_string_lossy()[..255]))),
            WholePathsOnly if path.as_bytes().len() > 4096 => Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG)),
            FollowsLinks => {
                let real = self.root.join(path.as_path()).canonicalize();
                let below = real.ok().and_then(|real| RelPath::from_path(real.strip_prefix(&self.root).ok()?));
                Ok(below.unwrap_or_else(|| path.clone()))
            }
            _ => Ok(path.clone()),
        }
    }

    fn existing(&self, path: &RelPath) -> Option<Attr> {
        self.inner.tree().find(path).ok().flatten()
    }

    /// What `publish` expects instead.
    fn expected(&self, path: &RelPath, expected: Expected) -> Expected {
        let there = self.existing(path).map(|attr| Expected::Version(attr.identity()));
        match (self.wrong, expected) {
            (ReplacesUnasked, Expected::Absent) | (IgnoresVersions, Expected::Version(_)) => there.unwrap_or(expected),
            _ => expected,
        }
    }
}

/// Another length, or no holes, of the same bytes.
struct Altered<'a>(&'a dyn ByteSource, Wrong);

impl ByteSource for Altered<'_> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.size()?.saturating_sub(u64::from(self.1 == DropsTheLastByte)))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let got = self.0.read_at(buf, offset)?;
        if self.1 == ReadsZeros {
            buf[..got].fill(0);
        }
        Ok(got)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<std::ops::Range<u64>>> {
        let size = self.0.size()?;
        if self.1 == FillsHoles { Ok((offset < size).then_some(offset..size)) } else { self.0.next_data(offset) }
    }
}

impl Backend for Broken {
    fn kind(&self) -> &'static Kind {
        &disk::KIND
    }

    fn stat(&self, path: &RelPath) -> io::Result<Attr> {
        match self.inner.stat(&self.path(path)?) {
            Err(_) if self.wrong == SaysYesToEverything => self.inner.stat(&RelPath::root()),
            found => found,
        }
    }

    fn open(&self, path: &RelPath, access: Access) -> io::Result<Option<Object>> {
        let path = self.path(path)?;
        let access = match self.wrong {
            OpensForReadingOnly => Access::Read,
            OpensForWritingAlways => Access::Write,
            _ => access,
        };
        if self.wrong == MakesWhatIsNotThere && self.existing(&path).is_none() {
            return self.inner.tree().create(&path, 0o644).map(Some);
        }
        self.inner.open(&path, access)
    }

    fn stage(&self, source: &dyn ByteSource) -> io::Result<Staged> {
        if self.wrong == ShowsWhatIsStaged {
            fs::write(self.root.join(".temporary"), b"")?;
        }
        let staged = self.inner.tree().stage_empty()?;
        let filled = staged.fill(&Altered(source, self.wrong));
        if self.wrong == LeavesTemporaryFiles {
            let stray = self.inner.tree().stage_empty()?;
            std::mem::forget(stray);
        }
        filled.map(|()| staged)
    }

    fn publish(&self, staged: Staged, path: &RelPath, expected: Expected) -> Result<Attr, PublishError> {
        let path = match self.path(path) {
            Ok(path) => path,
            Err(e) => return Err(PublishError::Io(staged, e)),
        };
        let object = staged.object().clone();
        if let (WantsTheOldVersion, Expected::Version(_), None) = (self.wrong, expected, self.existing(&path)) {
            return Err(PublishError::Conflict(staged));
        }
        if let (WritesInPlace, Expected::Version(version), Some(there)) = (self.wrong, expected, self.existing(&path))
            && there.identity() == version
        {
            let target = self.inner.tree().open(&path, Access::Write).expect("opens");
            target.set_size(0).expect("truncates");
            target.write_all_at(&read_all(&*object).expect("reads"), 0).expect("writes");
            return Ok(target.stat().expect("stat"));
        }
        let before = object.stat().expect("stat");
        let attr = self.inner.publish(staged, &path, self.expected(&path, expected))?;
        if self.wrong == LosesAttributes {
            object.set_perm(0o600).expect("mode");
        }
        let nth = self.published.fetch_add(1, Ordering::Relaxed);
        if self.wrong == LosesEveryFifth && nth % 5 == 4 {
            self.inner.remove(&path).expect("removes");
        }
        Ok(if self.wrong == AnswersEarly { Attr { ctime: Default::default(), ..before } } else { attr })
    }

    fn remove(&self, path: &RelPath) -> io::Result<()> {
        match self.wrong {
            KeepsRemovedNames | SaysYesToEverything => Ok(()),
            _ => self.inner.remove(&self.path(path)?),
        }
    }

    fn rename(&self, from: &RelPath, to: &RelPath) -> io::Result<()> {
        let (from, to) = (self.path(from)?, self.path(to)?);
        match self.wrong {
            SaysYesToEverything => Ok(()),
            RefusesToReplace if self.existing(&to).is_some() => Err(io::ErrorKind::AlreadyExists.into()),
            CopiesInsteadOfRenaming => {
                fs::copy(self.root.join(from.as_path()), self.root.join(to.as_path()))?;
                fs::remove_file(self.root.join(from.as_path()))
            }
            _ => self.inner.rename(&from, &to),
        }
    }

    fn link(&self, from: &RelPath, to: &RelPath) -> io::Result<()> {
        let (from, to) = (self.path(from)?, self.path(to)?);
        match self.wrong {
            SaysYesToEverything => Ok(()),
            CopiesInsteadOfLinking if self.existing(&to).is_none() => {
                fs::copy(self.root.join(from.as_path()), self.root.join(to.as_path())).map(|_| ())
            }
            LinksOver if self.existing(&to).is_some() => self.inner.rename(&from, &to),
            _ => self.inner.link(&from, &to),
        }
    }

    fn sync(&self, path: &RelPath) -> io::Result<()> {
        let path = self.path(path)?;
        if self.wrong == FailsToSync { Err(io::Error::from_raw_os_error(libc::EIO)) } else { self.inner.sync(&path) }
    }
}
