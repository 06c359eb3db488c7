//! The one place where an error becomes an errno.

use fuser::Errno;

use crate::vfs::Error;

/// What the calling program is told.
pub(super) fn errno(error: &Error) -> Errno {
    match error {
        Error::NotFound => Errno::ENOENT,
        Error::Stale => Errno::ESTALE,
        Error::Exists => Errno::EEXIST,
        Error::NotEmpty => Errno::ENOTEMPTY,
        Error::NotDirectory => Errno::ENOTDIR,
        Error::IsDirectory => Errno::EISDIR,
        Error::BadHandle => Errno::EBADF,
        Error::Invalid(_) => Errno::EINVAL,
        Error::Forbidden(_) => Errno::EPERM,
        Error::ReadOnly => Errno::EROFS,
        Error::NoSpace(_) => Errno::ENOSPC,
        Error::Busy(_) => Errno::EBUSY,
        Error::NoAttribute => Errno::ENODATA,
        Error::Unsupported(_) | Error::Refused(_) => Errno::EOPNOTSUPP,
        Error::Io(e) => Errno::from_i32(e.raw_os_error().unwrap_or(libc::EIO)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operating_systems_answer_is_passed_on() {
        let e = Error::Io(std::io::Error::from_raw_os_error(libc::ENAMETOOLONG));
        assert_eq!(errno(&e), Errno::ENAMETOOLONG);
    }

    #[test]
    fn an_error_without_errno_is_an_input_output_error() {
        assert_eq!(errno(&Error::Io(std::io::Error::other("odd"))), Errno::EIO);
    }
}
