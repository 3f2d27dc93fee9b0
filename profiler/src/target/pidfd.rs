//! A handle on a process that cannot come to mean another one.

use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd, RawFd};

/// Readable once the whole process has ended (not only its main thread). `pidfd_open`, Linux 5.3.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens the process; `ESRCH` when there is none, `EINVAL` for a thread that is not the first.
    pub fn open(pid: NonZeroU32) -> io::Result<Self> {
        // SAFETY: a system call on integers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.get(), 0) };
        let fd = i32::try_from(fd).unwrap_or(-1);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has just returned it, nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Another handle on the same process.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

impl AsRawFd for PidFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
