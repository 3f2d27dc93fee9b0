//! Probes of the tests' own, beside unfreed's.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::Result;

use crate::system_call::owned;

/// `struct perf_event_attr` in its second version (`include/uapi/linux/perf_event.h`).
#[repr(C)]
#[derive(Default)]
struct Event {
    kind: u32,
    size: u32,
    config: u64,
    period: u64,
    sample: u64,
    read: u64,
    flags: u64,
    wakeup: u32,
    breakpoint: u32,
    path: u64,
    offset: u64,
}

/// A probe without a program at `offset` of the file, or on the return of the function there, in the process `pid`. Closing
/// it removes it.
pub fn open(path: &Path, offset: u64, returns: bool, pid: u32) -> Result<OwnedFd> {
    const TYPE: &str = "/sys/bus/event_source/devices/uprobe/type";
    const ANY: libc::c_int = -1;
    const CLOSE_ON_EXEC: libc::c_ulong = 1 << 3;
    let path = CString::new(path.as_os_str().as_bytes())?;
    let event = Event {
        kind: fs::read_to_string(TYPE)?.trim().parse()?,
        size: size_of::<Event>() as u32,
        config: u64::from(returns),
        path: path.as_ptr() as u64,
        offset,
        ..Event::default()
    };
    // SAFETY: the kernel reads `size` bytes of the attributes and the path, which live until then.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const event,
            pid,
            ANY,
            ANY,
            CLOSE_ON_EXEC,
        )
    };
    Ok(owned(fd)?)
}

/// How often a probe was hit.
pub fn hits(probe: OwnedFd) -> Result<u64> {
    let mut count = [0; size_of::<u64>()];
    File::from(probe).read_exact(&mut count)?;
    Ok(u64::from_ne_bytes(count))
}
