//! `perf_event_open`, as far as unfreed opens perf events itself.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

/// What an event is, of the fields that are used here; zeros are left out.
#[derive(Default)]
pub struct Attributes {
    /// `PERF_TYPE_*`, or the number of a dynamic kind of event from sysfs.
    pub kind: u32,
    /// Which event of its kind.
    pub config: u64,
    /// Of a uprobe: address of the path.
    pub config1: u64,
    /// Of a uprobe: offset in the file.
    pub config2: u64,
    /// `PERF_SAMPLE_*`.
    pub sample_type: u64,
    /// The bit field behind `read_format`.
    pub flags: u64,
    /// Bytes or events after which a reader is woken.
    pub wakeup_watermark: u32,
    /// `CLOCK_*` of the times in records.
    pub clock: i32,
}

impl Attributes {
    /// An event that never happens: `PERF_COUNT_SW_DUMMY`.
    pub fn dummy() -> Self {
        const SOFTWARE: u32 = 1;
        const DUMMY: u64 = 9;
        Self {
            kind: SOFTWARE,
            config: DUMMY,
            ..Self::default()
        }
    }
}

/// `struct perf_event_attr` up to its fifth version, `include/uapi/linux/perf_event.h`.
#[repr(C)]
struct KernelAttributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_watermark: u32,
    bp_type: u32,
    config1: u64,
    config2: u64,
    branch_sample_type: u64,
    sample_regs_user: u64,
    sample_stack_user: u32,
    clock: i32,
    sample_regs_intr: u64,
    aux_watermark: u32,
    sample_max_stack: u16,
    reserved: u16,
}

/// Opens the event for the process `pid` (-1: all) on the processor `cpu` (-1: all).
pub fn open(attributes: &Attributes, pid: i32, cpu: i32) -> io::Result<OwnedFd> {
    const NO_GROUP: i32 = -1;
    const CLOSE_ON_EXEC: u64 = 1 << 3;
    let attributes = KernelAttributes {
        kind: attributes.kind,
        size: size_of::<KernelAttributes>() as u32,
        config: attributes.config,
        sample_period: 0,
        sample_type: attributes.sample_type,
        read_format: 0,
        flags: attributes.flags,
        wakeup_watermark: attributes.wakeup_watermark,
        bp_type: 0,
        config1: attributes.config1,
        config2: attributes.config2,
        branch_sample_type: 0,
        sample_regs_user: 0,
        sample_stack_user: 0,
        clock: attributes.clock,
        sample_regs_intr: 0,
        aux_watermark: 0,
        sample_max_stack: 0,
        reserved: 0,
    };
    // SAFETY: the kernel reads `size` bytes of the attributes; the other arguments are integers.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            pid,
            cpu,
            NO_GROUP,
            CLOSE_ON_EXEC,
        )
    };
    let fd = i32::try_from(fd).unwrap_or(-1);
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just returned it, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
