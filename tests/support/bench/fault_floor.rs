//! What no recording of every page fault with its stack can be cheaper than: who it is, where it is, and one
//! word of its stack, on the tracepoint; no unwinding, and nothing kept.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context, Result};
use unfreed_tests::system_call::owned;

use crate::assembled::{
    self, R0, R1, R2, R3, R6, R10, add, call, copy, exit, read, set, shift_right, skip_unless,
};

/// The floor of a process's page faults. Dropping it ends it.
pub struct FaultFloor(#[expect(dead_code, reason = "it is in the kernel")] OwnedFd);

/// Helpers (`include/uapi/linux/bpf.h`, `BPF_FUNC_*`).
const GET_CURRENT_PID_TGID: i32 = 14;
const PROBE_READ_USER: i32 = 112;
const PROBE_READ_KERNEL: i32 = 113;

/// The second argument of the tracepoint: the address of the registers.
const REGISTERS: i16 = 8;

/// From `ip` to `sp` of `struct pt_regs` (arch/x86/include/asm/ptrace.h): where they are, their size, and where
/// `sp` is among them.
const PLACE: i32 = 16 * 8;
const PLACE_BYTES: i32 = 4 * 8;
const SP: i32 = 3 * 8;

impl FaultFloor {
    /// Of the process `pid`'s faults in user mode, which are all that it takes.
    pub fn of(pid: u32) -> Result<Self> {
        let pid = i32::try_from(pid).context("a process id")?;
        let program = [
            copy(R6, R1),
            call(GET_CURRENT_PID_TGID),
            shift_right(R0, 32),
            skip_unless(R0, pid, 11),
            read(R3, R6, REGISTERS),
            add(R3, PLACE),
            copy(R1, R10),
            add(R1, -PLACE_BYTES),
            set(R2, PLACE_BYTES),
            call(PROBE_READ_KERNEL),
            read(R3, R10, (SP - PLACE_BYTES) as i16),
            copy(R1, R10),
            add(R1, -8),
            set(R2, 8),
            call(PROBE_READ_USER),
            set(R0, 0),
            exit(),
        ];
        let program = assembled::load(assembled::RAW_TRACEPOINT, &program)
            .context("loading the floor of page faults")?;
        let link = attach(&program).context("attaching the floor of page faults")?;
        Ok(Self(link))
    }
}

/// `bpf(2)`'s attributes for attaching to a raw tracepoint, as far as they are used.
#[repr(C)]
#[derive(Default)]
struct Open {
    name: u64,
    program: i32,
    padding: u32,
}

fn attach(program: &OwnedFd) -> io::Result<OwnedFd> {
    const RAW_TRACEPOINT_OPEN: libc::c_int = 17;
    let open = Open {
        name: c"page_fault_user".as_ptr() as u64,
        program: program.as_raw_fd(),
        padding: 0,
    };
    // SAFETY: the kernel reads the attributes and the name, which live until then.
    owned(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            RAW_TRACEPOINT_OPEN,
            &raw const open,
            size_of::<Open>(),
        )
    })
}
