//! The target's registers at a probe. x86-64.

use aya_ebpf::bindings::pt_regs;

/// What a probe needs to know of the interrupted function.
#[derive(Clone, Copy)]
pub struct Registers(*const pt_regs);

impl Registers {
    /// The registers a probe was hit with.
    #[inline(always)]
    pub fn of(regs: *mut pt_regs) -> Self {
        Self(regs)
    }

    /// Integer argument `n`, System V calling convention; only meaningful at a function's entry.
    #[inline(always)]
    pub fn argument(self, n: usize) -> u64 {
        // SAFETY: the context pointer of a uprobe program, which the verifier lets us read.
        let regs = unsafe { &*self.0 };
        match n {
            0 => regs.rdi,
            1 => regs.rsi,
            _ => regs.rdx,
        }
    }

    /// What the function returns; only meaningful at its return.
    #[inline(always)]
    pub fn result(self) -> u64 {
        // SAFETY: as in `argument`.
        unsafe { (*self.0).rax }
    }

    /// Stack pointer.
    #[inline(always)]
    pub fn stack_pointer(self) -> u64 {
        // SAFETY: as in `argument`.
        unsafe { (*self.0).rsp }
    }

    /// Frame pointer, where the code keeps one; anything else where not.
    #[inline(always)]
    pub fn frame_pointer(self) -> u64 {
        // SAFETY: as in `argument`.
        unsafe { (*self.0).rbp }
    }

    /// Address of the instruction under the probe.
    #[inline(always)]
    pub fn instruction_pointer(self) -> u64 {
        // SAFETY: as in `argument`.
        unsafe { (*self.0).rip }
    }
}
