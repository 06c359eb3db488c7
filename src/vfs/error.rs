//! Why a file system call failed. The FUSE room turns these into errno, and nobody else does.

use std::io;

use thiserror::Error;

/// What went wrong, in the terms of the caller.
#[derive(Debug, Error)]
pub enum Error {
    /// There is nothing of that name.
    #[error("no such file or directory")]
    NotFound,
    /// The inode is known, but its name now belongs to another file.
    #[error("the file was replaced behind the mount")]
    Stale,
    /// The name is taken.
    #[error("the name exists already")]
    Exists,
    /// A directory with entries.
    #[error("the directory is not empty")]
    NotEmpty,
    /// Not a directory where one is needed.
    #[error("not a directory")]
    NotDirectory,
    /// A directory where none may be.
    #[error("is a directory")]
    IsDirectory,
    /// The handle is not open, or not for this.
    #[error("the handle is not open for this")]
    BadHandle,
    /// The arguments make no sense.
    #[error("{0}")]
    Invalid(&'static str),
    /// Not allowed, whoever asks.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The mount or the workspace is read-only.
    #[error("the workspace is mounted read-only")]
    ReadOnly,
    /// The home of the file could not take these bytes.
    #[error("no space: {0}")]
    NoSpace(&'static str),
    /// The file cannot be moved now.
    #[error("busy: {0}")]
    Busy(&'static str),
    /// The attribute is not set.
    #[error("no such attribute")]
    NoAttribute,
    /// The home cannot hold this.
    #[error("not supported: {0}")]
    Unsupported(&'static str),
    /// It cannot be held byte for byte as chunks of a store.
    #[error("it stays a plain file: {0}")]
    Refused(String),
    /// The operating system's answer.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Error {
        Error::Io(errno.into())
    }
}

/// The result of a file system call.
pub type Result<T> = std::result::Result<T, Error>;
