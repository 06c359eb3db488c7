//! A file in memory that is read as it was at one moment, while it is written to.

use std::io;
use std::ops::Range;

use parking_lot::Mutex;

use super::delta::Delta;
use super::inode::{Family, Inode, Opens};
use crate::backend::{ByteSource, Object};
use crate::model::{Attr, Tier};

/// The version of a file at the moment at which [`freeze`] was called.
pub(super) struct Frozen<'a> {
    pub source: &'a dyn ByteSource,
    pub inode: &'a Inode,
    /// Length at that moment.
    pub size: u64,
}

impl ByteSource for Frozen<'_> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = self.size.saturating_sub(offset).min(buf.len() as u64) as usize;
        let (buf, _) = buf.split_at_mut(len);
        // It may be shorter by now: then the rest was kept.
        let got = self.source.read_at(buf, offset)?;
        buf[got..].fill(0);
        // Behind the read: whatever it has seen of a later version was kept before that was written.
        match &self.inode.content.read().delta {
            Some(delta) => delta.lock().restore(buf, offset)?,
            None => return Err(io::Error::other("nobody keeps what is written over")),
        }
        Ok(len)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        Ok((offset < self.size).then_some(offset..self.size))
    }
}

/// Whether every write to the file comes to the daemon, so that the version of a moment can be kept. Hold `opens`.
pub(super) fn can_freeze(inode: &Inode, opens: &Opens) -> bool {
    let unseen = opens.kernel_written || opens.maybe_mapped || opens.family == Some(Family::Kernel);
    inode.place().tier == Tier::Memory && !inode.is_absent() && !unseen
}

/// From now on what is written over is kept; the attributes of that moment. Ends with the delta.
pub(super) fn freeze(inode: &Inode, source: &Object) -> io::Result<Attr> {
    // For writing: no write is under way.
    let mut content = inode.content.write();
    let attr = source.stat()?;
    content.delta = Some(Mutex::new(Delta::preserving(attr.size)));
    Ok(attr)
}

/// Whether all that was written over since [`freeze`] was kept.
pub(super) fn is_preserved(inode: &Inode) -> bool {
    inode.content.read().delta.as_ref().is_some_and(|delta| delta.lock().preserves())
}

/// Whether nobody has changed what was read, as far as its attributes tell.
pub(super) fn is_still(source: &Object, before: &Attr) -> io::Result<bool> {
    let now = source.stat()?;
    Ok(Attr { atime: now.atime, ..*before } == now)
}
