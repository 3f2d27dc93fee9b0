//! The target's registers at a probe, and its stack: aarch64. Compiled, never run so far.

use aya_ebpf::bindings::user_pt_regs;
use unfreed_common::thread::Window;
pub use unfreed_common::unwind::aarch64::{
    BY_FRAME_POINTER, needs_frame_pointer, restores_frame_pointer,
};
use unfreed_common::unwind::{Frame, Rule, Stack, Stop, aarch64};

use super::Interrupted;

/// Whether a walk that is remembered can have depended on where it began with its link.
pub const LINK_LEADS_ON: bool = true;

/// The link register, x30.
const LINK: usize = 30;

/// The frame pointer, x29.
const FRAME_POINTER: usize = 29;

/// What a probe needs to know of the interrupted function.
#[derive(Clone, Copy)]
pub struct Registers(*const user_pt_regs);

impl Registers {
    /// The registers a probe was hit with.
    #[inline(always)]
    pub fn of<T>(regs: *mut T) -> Self {
        Self(regs.cast_const().cast())
    }

    /// Integer argument `n`, procedure call standard; only meaningful at a function's entry.
    #[inline(always)]
    pub fn argument(self, n: usize) -> u64 {
        // SAFETY: the context pointer of a uprobe program, which the verifier lets us read.
        let regs = unsafe { &(*self.0).regs };
        match n {
            0 => regs[0],
            1 => regs[1],
            _ => regs[2],
        }
    }

    /// What the function returns; only meaningful at its return.
    #[inline(always)]
    pub fn result(self) -> u64 {
        // SAFETY: as in `argument`.
        unsafe { (*self.0).regs[0] }
    }

    /// Stack pointer.
    #[inline(always)]
    pub fn stack_pointer(self) -> u64 {
        // SAFETY: as in `argument`.
        unsafe { (*self.0).sp }
    }

    /// Frame pointer.
    #[inline(always)]
    pub fn frame_pointer(self) -> u64 {
        // SAFETY: as in `argument`.
        unsafe { (*self.0).regs[FRAME_POINTER] }
    }

    /// Address of the instruction under the probe.
    #[inline(always)]
    pub fn instruction_pointer(self) -> u64 {
        // SAFETY: as in `argument`.
        unsafe { (*self.0).pc }
    }

    /// Where the function entered will return to, as no return probe has changed it yet.
    #[inline(always)]
    #[expect(
        clippy::unnecessary_wraps,
        reason = "on other machines it has to be read from the stack"
    )]
    pub fn return_address(self) -> Option<u64> {
        // SAFETY: as in `argument`.
        Some(aarch64::without_signature(unsafe { (*self.0).regs[LINK] }))
    }

    /// The same: the stack need not be looked at.
    #[inline(always)]
    pub fn return_address_and_more(self, _: &mut Window) -> Option<u64> {
        self.return_address()
    }

    /// What tells the call entered from all others on this stack: its stack pointer, though a call
    /// that it makes before it has moved that has the same.
    #[inline(always)]
    pub fn slot_at_entry(self) -> u64 {
        self.stack_pointer()
    }

    /// The same at the function's `ret` instruction.
    #[inline(always)]
    pub fn slot_at_return_instruction(self) -> u64 {
        self.stack_pointer()
    }

    /// The same at the kernel's trampoline.
    #[inline(always)]
    pub fn slot_at_trampoline(self) -> u64 {
        self.stack_pointer()
    }

    /// The caller's stack pointer, at a function's entry.
    #[inline(always)]
    pub fn caller_stack_pointer(self) -> u64 {
        self.stack_pointer()
    }
}

/// What a thread does on its way into a probe or out of it counts as its own.
#[inline(always)]
pub fn is_at_probe(_pc: u64) -> bool {
    false
}

/// Whether a call is still pending cannot be told from the stack: the return address is in a register.
#[inline(always)]
pub fn slot_holds(_slot: u64, _is_it: impl Fn(u64) -> bool) -> bool {
    true
}

/// The caller's frame by a rule of an unwind table.
#[inline(always)]
pub fn step(
    rule: Rule,
    frame: &Frame,
    link: &mut u64,
    stack: &mut impl Stack,
) -> Result<Frame, Stop> {
    aarch64::by_rule(rule, frame, link, stack)
}

/// Whether a call instruction ends at `pc`: `bl`, or `blr` with or without an authenticated pointer
/// (Arm ARM, C6.2).
#[inline(always)]
pub fn follows_call(pc: u64) -> bool {
    let Some(code) = crate::window::read_word(pc.wrapping_sub(4)) else {
        return false;
    };
    code & 0xfc00_0000 == 0x9400_0000 || code & 0xfeff_f000 == 0xd63f_0000
}

/// What tells the call that led to the frame with this stack pointer.
#[inline(always)]
pub fn slot_below(stack_pointer: u64) -> u64 {
    stack_pointer
}

/// Words of `struct pt_regs` that are those of `struct user_pt_regs`.
pub const REGISTER_WORDS: usize = size_of::<user_pt_regs>() / 8;

/// What the words of a `struct pt_regs` say; `Err`: the stack pointer in the kernel, which was
/// interrupted itself.
#[inline(always)]
pub fn interrupted(words: &[u64]) -> Result<Interrupted, u64> {
    const STACK_POINTER: usize = 31;
    const PC: usize = 32;
    const STATE: usize = 33;
    // The exception level and more (arch/arm64/include/asm/ptrace.h, `user_mode`).
    if words[STATE] & 0xf != 0 {
        return Err(words[STACK_POINTER]);
    }
    Ok(Interrupted {
        pc: words[PC],
        sp: words[STACK_POINTER],
        fp: words[FRAME_POINTER],
        link: aarch64::without_signature(words[LINK]),
    })
}

/// The same of the argument of a tracepoint that the kernel calls with the registers of user mode.
#[inline(always)]
pub fn in_user_mode<T>(regs: *const T) -> Interrupted {
    // SAFETY: the verifier knows that it is a `struct pt_regs` of the kernel's, and lets us read it.
    let regs = unsafe { &*regs.cast::<user_pt_regs>() };
    Interrupted {
        pc: regs.pc,
        sp: regs.sp,
        fp: regs.regs[FRAME_POINTER],
        link: aarch64::without_signature(regs.regs[LINK]),
    }
}

/// Where the kernel keeps the registers that user mode had, on the kernel's stack with this pointer:
/// at its top (arch/arm64/include/asm/processor.h, `task_pt_regs`). `padding`: for other machines.
#[inline(always)]
pub fn user_registers(kernel_stack_pointer: u64, _padding: u64) -> u64 {
    // THREAD_SIZE with pages of 4 KiB and without KASAN, to which stacks are aligned.
    const STACK_BYTES: u64 = 1 << 14;
    // sizeof(struct pt_regs), Linux 5.10 to 6.x
    const REGISTERS: u64 = 336;
    (kernel_stack_pointer | (STACK_BYTES - 1)) + 1 - REGISTERS
}
