//! bpf(2) itself, for what aya has no wrapper for.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

use aya_obj::generated::{bpf_attr, bpf_cmd};

/// Attributes to be filled in.
pub(super) fn zeroed() -> bpf_attr {
    // SAFETY: a union of structs of numbers.
    unsafe { std::mem::zeroed() }
}

/// What the kernel answers.
///
/// # Safety
///
/// What `attr` points to is as `command` wants it, see bpf(2).
pub(super) unsafe fn call(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<libc::c_long> {
    // SAFETY: as the caller says.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            &raw mut *attr,
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// The descriptor that the kernel answers with.
///
/// # Safety
///
/// As of [`call`], and `command` is one that makes something.
pub(super) unsafe fn make(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: as the caller says.
    let descriptor = unsafe { call(command, attr) }?;
    let descriptor = RawFd::try_from(descriptor).map_err(io::Error::other)?;
    // SAFETY: a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Puts one map's or program's descriptor into an array of them.
///
/// # Safety
///
/// `array` is such an array: its keys and values are of four bytes.
pub(super) unsafe fn put(array: RawFd, index: u32, value: RawFd) -> io::Result<()> {
    let mut attr = zeroed();
    attr.__bindgen_anon_2.map_fd = array.cast_unsigned();
    attr.__bindgen_anon_2.key = &raw const index as u64;
    attr.__bindgen_anon_2.__bindgen_anon_1.value = &raw const value as u64;
    // SAFETY: key and value live until the call has returned, and are of the map's sizes, as the caller says.
    unsafe { call(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr) }.map(drop)
}
