//! What system calls return.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

/// The descriptor that a system call has returned, or why it has not.
pub fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    let fd = succeeded(i32::try_from(fd).unwrap_or(-1))?;
    // SAFETY: a system call has just returned it, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What a system call has returned, unless it failed.
pub fn succeeded(result: i32) -> io::Result<i32> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}
