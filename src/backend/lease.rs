//! The only way to learn whether a mapping still holds a file that no handle has open.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Once;

use super::Object;

/// Whether nothing but this one open file holds the inode: no other open file, no live mapping.
///
/// Asks for a write lease and gives it back at once (`fcntl(2)`, F_SETLEASE). Every refusal counts as "held". Only
/// meaningful where we own the file or have CAP_LEASE, and not on overlayfs, which says "free" under a live mapping.
pub fn is_unheld(object: &Object) -> io::Result<bool> {
    // Whoever opens the file while we hold the lease makes the kernel send SIGIO, which would end us.
    static IGNORE: Once = Once::new();
    // SAFETY: SIG_IGN is no function of ours that could run, and the disposition of SIGIO is nobody else's here.
    IGNORE.call_once(|| unsafe {
        libc::signal(libc::SIGIO, libc::SIG_IGN);
    });
    let fd = object.as_fd().as_raw_fd();
    // SAFETY: F_SETLEASE takes an int by value and touches no memory of ours; `fd` is open while `object` is borrowed.
    let taken = unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_WRLCK) } == 0;
    if taken {
        // SAFETY: as above.
        if unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(taken)
}
