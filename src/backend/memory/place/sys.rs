//! The system calls that the keeper needs and for which there is no safe wrapper. Everything unsafe about places is here.

use std::io;

use rustix::thread::UnshareFlags;

/// Leaves for a user and a mount namespace of our own. Only in a process with a single thread (EINVAL otherwise).
pub(super) fn leave_user_and_mount_namespace() -> io::Result<()> {
    // SAFETY: the condition of `unshare_unsafe` is about UnshareFlags::FILES, which is not asked for.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) }?;
    Ok(())
}

/// Closes every descriptor but the standard three, whoever opened or left it to us. The last deed of a process that
/// only waits from then on: nothing in it may use a descriptor afterwards.
pub(super) fn close_all_but_stdio() -> io::Result<()> {
    // SAFETY: close_range touches no memory. The caller drops no owner of a descriptor afterwards (it never returns),
    // so no descriptor is closed a second time under another meaning.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Holds back every signal that can be held back, so that none ends the process unasked.
pub(super) fn hold_all_signals() -> io::Result<()> {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initializes the set that it is given; sigprocmask reads it and accepts a null old set.
    let result = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Waits for the next signal of those held back and says which.
pub(super) fn next_signal() -> io::Result<i32> {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initializes the set; sigwaitinfo reads it and accepts a null siginfo.
    let signal = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigwaitinfo(all.as_ptr(), std::ptr::null_mut())
    };
    if signal > 0 { Ok(signal) } else { Err(io::Error::last_os_error()) }
}
