//! One method a request: translate, ask, reply.

use std::ffi::OsStr;
use std::path::Path;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, KernelConfig,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use rustix::fs::{FallocateFlags, SeekFrom, XattrFlags};

use super::errno::errno;
use super::filesystem::{Answer, ScopeFs, open_flags};
use super::reply::{absent, done, file_attr, file_type, kind_of_mode, xattr};
use crate::backend::{Owner, Time, Times};
use crate::model::Attr;
use crate::vfs::{Changes, Creator, Error, Fh, RenameMode, Result};

const GENERATION: Generation = Generation(0);

impl ScopeFs {
    fn entry(&self, attr: Result<Attr>, reply: ReplyEntry) {
        match attr {
            Ok(attr) => reply.entry_with_ttls(&self.attr_ttl, &self.entry_ttl, &file_attr(&attr), GENERATION),
            Err(e) => reply.error(errno(&e)),
        }
    }

    fn attributes(&self, attr: Result<Attr>, reply: ReplyAttr) {
        match attr {
            Ok(attr) => reply.attr(&self.attr_ttl, &file_attr(&attr)),
            Err(e) => reply.error(errno(&e)),
        }
    }
}

fn creator(req: &Request, umask: u32) -> Creator {
    Creator { uid: req.uid(), gid: req.gid(), umask: (umask & 0o777) as u16 }
}

fn time(time: Option<TimeOrNow>) -> Time {
    match time {
        None => Time::Keep,
        Some(TimeOrNow::Now) => Time::Now,
        Some(TimeOrNow::SpecificTime(at)) => Time::At(at.into()),
    }
}

impl Filesystem for ScopeFs {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        self.negotiate(config);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.own.lookup(parent.0, name) {
            Some(found) => self.entry(found.ok_or(Error::NotFound), reply),
            None => match self.vfs.lookup(parent.0, name) {
                // Inode 0 is the protocol's word for "not there, and you may remember that".
                Err(Error::NotFound) => reply.entry_with_ttls(&self.attr_ttl, &self.entry_ttl, &absent(), GENERATION),
                found => self.entry(found, reply),
            },
        }
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        if !self.own.has(ino.0) {
            self.vfs.forget(ino.0, nlookup);
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let attr = if self.own.has(ino.0) { self.own.attr(ino.0).ok_or(Error::Stale) } else { self.vfs.getattr(ino.0) };
        self.attributes(attr, reply);
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        if self.own.has(ino.0) {
            return reply.error(Errno::EPERM);
        }
        let nothing = mode.is_none() && uid.is_none() && gid.is_none() && atime.is_none() && mtime.is_none();
        let changes = Changes {
            perm: mode.map(|mode| (mode & 0o7777) as u16),
            owner: Owner { uid, gid },
            size,
            times: Times { atime: time(atime), mtime: time(mtime) },
            // With no field set, the kernel tells of a write that it made itself.
            kill_suid: if size.is_some() { req.uid() != 0 } else { nothing },
        };
        self.attributes(self.vfs.setattr(ino.0, &changes), reply);
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        match self.vfs.readlink(ino.0) {
            Ok(target) => reply.data(target.as_encoded_bytes()),
            Err(e) => reply.error(errno(&e)),
        }
    }

    fn mknod(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, rdev: u32, reply: ReplyEntry) {
        let made = kind_of_mode(mode).ok_or(Error::Invalid("no such kind of file")).and_then(|kind| {
            let perm = (mode & 0o7777) as u16;
            self.vfs.mknod(parent.0, name, kind, perm, u64::from(rdev), creator(req, umask))
        });
        self.entry(made, reply);
    }

    fn mkdir(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        self.entry(self.vfs.mkdir(parent.0, name, (mode & 0o7777) as u16, creator(req, umask)), reply);
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.vfs.unlink(parent.0, name), reply);
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.vfs.rmdir(parent.0, name), reply);
    }

    fn symlink(&self, req: &Request, parent: INodeNo, link_name: &OsStr, target: &Path, reply: ReplyEntry) {
        self.entry(self.vfs.symlink(parent.0, link_name, target.as_os_str(), creator(req, 0)), reply);
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mode = if flags.is_empty() {
            RenameMode::Replace
        } else if flags == RenameFlags::RENAME_NOREPLACE {
            RenameMode::NoReplace
        } else if flags == RenameFlags::RENAME_EXCHANGE {
            RenameMode::Exchange
        } else {
            return reply.error(Errno::EINVAL);
        };
        done(self.vfs.rename(parent.0, name, newparent.0, newname, mode), reply);
    }

    fn link(&self, _req: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        self.entry(self.vfs.link(ino.0, newparent.0, newname), reply);
    }

    fn open(&self, _req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if self.own.has(ino.0) {
            return match self.own.open(ino.0) {
                Some(_) if flags.acc_mode() != fuser::OpenAccMode::O_RDONLY => reply.error(Errno::EACCES),
                Some(fh) => reply.opened(FileHandle(fh), FopenFlags::FOPEN_DIRECT_IO),
                None => reply.error(Errno::EISDIR),
            };
        }
        let opened = self.vfs.open(ino.0, open_flags(flags));
        match opened.and_then(|opened| self.answer(ino.0, opened, |object| reply.open_backing(object))) {
            Ok(Answer::Plain(fh, flags)) => reply.opened(FileHandle(fh.0), flags),
            Ok(Answer::Passthrough(fh, flags, id)) => {
                reply.opened_passthrough(FileHandle(fh.0), flags, &id);
                self.answered(ino.0, fh, id);
            }
            Err(e) => reply.error(errno(&e)),
        }
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let flags = open_flags(OpenFlags(flags));
        let made = self.vfs.create(parent.0, name, (mode & 0o7777) as u16, creator(req, umask), flags);
        let answered = made
            .and_then(|(attr, opened)| Ok((attr, self.answer(attr.ino, opened, |object| reply.open_backing(object))?)));
        match answered {
            Ok((attr, Answer::Plain(fh, flags))) => {
                reply.created(&self.attr_ttl, &file_attr(&attr), GENERATION, FileHandle(fh.0), flags);
            }
            Ok((attr, Answer::Passthrough(fh, flags, id))) => {
                let shown = file_attr(&attr);
                reply.created_passthrough(&self.attr_ttl, &shown, GENERATION, FileHandle(fh.0), flags, &id);
                self.answered(attr.ino, fh, id);
            }
            Err(e) => reply.error(errno(&e)),
        }
    }

    fn read(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if self.own.has(fh.0) {
            return match self.own.read(fh.0, offset, size) {
                Some(bytes) => reply.data(&bytes),
                None => reply.error(Errno::EBADF),
            };
        }
        self.with_buffer(size as usize, |buffer| match self.vfs.read(Fh(fh.0), offset, buffer) {
            Ok(got) => reply.data(&buffer[..got]),
            Err(e) => reply.error(errno(&e)),
        });
    }

    fn write(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let kill_suid = write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        match self.vfs.write(Fh(fh.0), offset, data, kill_suid, open_flags(flags).sync) {
            Ok(()) => reply.written(data.len() as u32),
            Err(e) => reply.error(errno(&e)),
        }
    }

    fn flush(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, _lock_owner: LockOwner, reply: ReplyEmpty) {
        if !self.strict {
            // Said once, the kernel no longer asks: a close then costs nobody a round trip.
            return reply.error(Errno::ENOSYS);
        }
        if self.own.has(fh.0) {
            return reply.ok();
        }
        done(self.vfs.flush(Fh(fh.0)), reply);
    }

    fn release(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        if self.own.has(fh.0) {
            self.own.release(fh.0);
        } else {
            self.released(self.backings.release(ino.0, fh.0), Fh(fh.0));
        }
        reply.ok();
    }

    fn fsync(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, datasync: bool, reply: ReplyEmpty) {
        done(self.vfs.fsync(Fh(fh.0), datasync), reply);
    }

    fn opendir(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        if self.own.has(ino.0) {
            return reply.opened(FileHandle(ino.0), FopenFlags::empty());
        }
        match self.vfs.opendir(ino.0) {
            Ok(fh) => reply.opened(FileHandle(fh.0), FopenFlags::empty()),
            Err(e) => reply.error(errno(&e)),
        }
    }

    fn readdir(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        if self.own.has(fh.0) {
            return reply.ok();
        }
        let entries = match self.vfs.readdir(Fh(fh.0), offset == 0) {
            Ok(entries) => entries,
            Err(e) => return reply.error(errno(&e)),
        };
        for (index, entry) in entries.iter().enumerate().skip(offset as usize) {
            if reply.add(INodeNo(entry.ino), index as u64 + 1, file_type(entry.kind), &entry.name) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(&self, _req: &Request, ino: INodeNo, fh: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        if self.own.has(fh.0) {
            return reply.ok();
        }
        let entries = match self.vfs.readdir(Fh(fh.0), offset == 0) {
            Ok(entries) => entries,
            Err(e) => return reply.error(errno(&e)),
        };
        for (index, entry) in entries.iter().enumerate().skip(offset as usize) {
            let next = index as u64 + 1;
            // The kernel counts no lookup for the two dots.
            if index < 2 {
                let mut attr = absent();
                (attr.ino, attr.kind) = (INodeNo(entry.ino), file_type(entry.kind));
                if reply.add(attr.ino, next, &entry.name, &std::time::Duration::ZERO, &attr, GENERATION) {
                    break;
                }
                continue;
            }
            // Gone since the listing was taken.
            let Ok(attr) = self.vfs.lookup(ino.0, &entry.name) else { continue };
            if reply.add(INodeNo(attr.ino), next, &entry.name, &self.attr_ttl, &file_attr(&attr), GENERATION) {
                self.vfs.forget(attr.ino, 1);
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, _flags: OpenFlags, reply: ReplyEmpty) {
        if !self.own.has(fh.0) {
            self.vfs.releasedir(Fh(fh.0));
        }
        reply.ok();
    }

    fn fsyncdir(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        done(self.vfs.fsyncdir(Fh(fh.0)), reply);
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        match self.vfs.statfs() {
            Ok(s) => reply.statfs(
                s.f_blocks,
                s.f_bfree,
                s.f_bavail,
                s.f_files,
                s.f_ffree,
                s.f_bsize as u32,
                s.f_namemax as u32,
                s.f_frsize as u32,
            ),
            Err(e) => reply.error(errno(&e)),
        }
    }

    fn setxattr(
        &self,
        req: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        if self.own.has(ino.0) {
            return reply.error(Errno::EPERM);
        }
        let flags = XattrFlags::from_bits_retain(flags as u32);
        done(self.vfs.setxattr(ino.0, name, value, flags, req.uid()), reply);
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        if self.own.has(ino.0) {
            return reply.error(Errno::ENODATA);
        }
        xattr(self.vfs.getxattr(ino.0, name), size, reply);
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        if self.own.has(ino.0) {
            return xattr(Ok(Vec::new()), size, reply);
        }
        let names = self.vfs.listxattr(ino.0).map(|names| {
            let mut list = Vec::new();
            for name in names {
                list.extend_from_slice(name.as_encoded_bytes());
                list.push(0);
            }
            list
        });
        xattr(names, size, reply);
    }

    fn removexattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        if self.own.has(ino.0) {
            return reply.error(Errno::EPERM);
        }
        done(self.vfs.removexattr(ino.0, name), reply);
    }

    fn fallocate(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let mode = FallocateFlags::from_bits_retain(mode as u32);
        done(self.vfs.fallocate(Fh(fh.0), mode, offset, length), reply);
    }

    fn lseek(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let pos = match whence {
            libc::SEEK_DATA => SeekFrom::Data(offset as u64),
            libc::SEEK_HOLE => SeekFrom::Hole(offset as u64),
            // The kernel answers the others itself.
            _ => return reply.error(Errno::EINVAL),
        };
        match self.vfs.seek(Fh(fh.0), pos) {
            Ok(at) => reply.offset(at as i64),
            Err(e) => reply.error(errno(&e)),
        }
    }

    fn copy_file_range(
        &self,
        _req: &Request,
        _ino_in: INodeNo,
        fh_in: FileHandle,
        offset_in: u64,
        _ino_out: INodeNo,
        fh_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        // The reply has 32 bits; a caller that wants more asks again.
        let len = len.min(1 << 30);
        match self.vfs.copy_range(Fh(fh_in.0), offset_in, Fh(fh_out.0), offset_out, len) {
            Ok(copied) => reply.written(copied as u32),
            Err(e) => reply.error(errno(&e)),
        }
    }
}
