//! The target's registers at a probe, and its stack: x86-64.

use aya_ebpf::bindings::pt_regs;
use unfreed_common::thread::Window;
pub use unfreed_common::unwind::x86_64::{
    BY_FRAME_POINTER, needs_frame_pointer, restores_frame_pointer,
};
use unfreed_common::unwind::{Frame, Rule, Stack, Stop, x86_64};

use super::Interrupted;
use crate::window::{self, read_word};

/// Whether a walk that is remembered can have depended on where it began with its link.
pub const LINK_LEADS_ON: bool = false;

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

    /// Where the function entered will return to, as no return probe has changed it yet; `None` when
    /// its stack cannot be read. Only meaningful at its entry.
    #[inline(always)]
    pub fn return_address(self) -> Option<u64> {
        read_word(self.stack_pointer())
    }

    /// The same; and reads what the walk that follows may need of the stack.
    #[inline(always)]
    pub fn return_address_and_more(self, window: &mut Window) -> Option<u64> {
        window::top(window, self.stack_pointer())
    }

    /// What tells the call entered from all others on this stack.
    #[inline(always)]
    pub fn slot_at_entry(self) -> u64 {
        self.stack_pointer()
    }

    /// The same at the function's `ret` instruction: the return address is about to be popped.
    #[inline(always)]
    pub fn slot_at_return_instruction(self) -> u64 {
        self.stack_pointer()
    }

    /// The same at the kernel's trampoline: the return address has been popped.
    #[inline(always)]
    pub fn slot_at_trampoline(self) -> u64 {
        self.stack_pointer().wrapping_sub(8)
    }

    /// The caller's stack pointer, at a function's entry.
    #[inline(always)]
    pub fn caller_stack_pointer(self) -> u64 {
        self.stack_pointer() + 8
    }
}

/// Whether the slot still holds what a call that is pending put there: the trampoline, or else its
/// return address.
#[inline(always)]
pub fn slot_holds(slot: u64, is_it: impl Fn(u64) -> bool) -> bool {
    read_word(slot).is_some_and(is_it)
}

/// Whether a thread there may be on its way into a probe or out of it: at a breakpoint, right behind an instruction that
/// begins with one, or in the kernel's trampoline, which is mapped as high as possible (kernel/events/uprobes.c,
/// `xol_add_vma`: below `TASK_SIZE`). An interrupt that comes while the kernel goes back there is taken there.
#[inline(always)]
pub fn is_at_probe(pc: u64) -> bool {
    /// Where that is, with four-level page tables.
    const TRAMPOLINE: u64 = 0x7fff_ffff_e000;
    /// The kernel emulates no longer instruction.
    const LONGEST: u64 = 7;
    pc >= TRAMPOLINE || read_word(pc.wrapping_sub(LONGEST)).is_some_and(has_breakpoint)
}

/// Whether one of the bytes is that of the instruction `int3`.
#[inline(always)]
fn has_breakpoint(code: u64) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // Of what is zero then, and of no other bytes but those above it, subtracting one sets the highest bit.
    let zero = code ^ (0xcc * EACH);
    zero.wrapping_sub(EACH) & !zero & (0x80 * EACH) != 0
}

/// The caller's frame by a rule of an unwind table.
#[inline(always)]
pub fn step(
    rule: Rule,
    frame: &Frame,
    link: &mut u64,
    stack: &mut impl Stack,
) -> Result<Frame, Stop> {
    x86_64::by_rule(rule, frame, link, stack)
}

/// Whether a call instruction ends at `pc` (Intel SDM, volume 2: E8, and FF /2 in all its lengths).
#[inline(always)]
pub fn follows_call(pc: u64) -> bool {
    let Some(code) = read_word(pc.wrapping_sub(8)) else {
        return false;
    };
    // The last bytes of the code as they are in memory, the first one lowest.
    let last = |count: u64| code >> (64 - 8 * count);
    // call rel32
    last(5) & 0xff == 0xe8
        // call *%reg; *(%reg); *(sib)
        || last(2) & 0xf8ff == 0xd0ff
        || last(2) & 0xf8ff == 0x10ff
        || last(3) & 0xffff == 0x14ff
        // call *disp8(%reg); *disp8(sib)
        || last(3) & 0xf8ff == 0x50ff
        || last(4) & 0xffff == 0x54ff
        // call *disp32(%reg); *disp32(%rip); *disp32(sib)
        || last(6) & 0xf8ff == 0x90ff
        || last(6) & 0xffff == 0x15ff
        || last(7) & 0xffff == 0x94ff
}

/// Where the return address is that led to the frame with this stack pointer.
#[inline(always)]
pub fn slot_below(stack_pointer: u64) -> u64 {
    stack_pointer.wrapping_sub(8)
}

/// Words of `struct pt_regs`.
pub const REGISTER_WORDS: usize = size_of::<pt_regs>() / 8;

/// What the words of a `struct pt_regs` say; `Err`: the stack pointer in the kernel, which was
/// interrupted itself.
#[inline(always)]
pub fn interrupted(words: &[u64]) -> Result<Interrupted, u64> {
    const R14: usize = 1;
    const FRAME_POINTER: usize = 4;
    const PC: usize = 16;
    const CODE_SEGMENT: usize = 17;
    const STACK_POINTER: usize = 19;
    // Where FRED is used (Linux 6.9+) the upper bits are something else (arch/x86/include/asm/ptrace.h).
    // The lowest two are the privilege level.
    if words[CODE_SEGMENT] & 3 != 3 {
        return Err(words[STACK_POINTER]);
    }
    Ok(Interrupted {
        pc: words[PC],
        sp: words[STACK_POINTER],
        fp: words[FRAME_POINTER],
        link: words[R14] | x86_64::IS_R14,
    })
}

/// The same of the argument of a tracepoint that the kernel calls with the registers of user mode.
#[inline(always)]
pub fn in_user_mode<T>(regs: *const T) -> Interrupted {
    // SAFETY: the verifier knows that it is a `struct pt_regs` of the kernel's, and lets us read it.
    let regs = unsafe { &*regs.cast::<pt_regs>() };
    Interrupted {
        pc: regs.rip,
        sp: regs.rsp,
        fp: regs.rbp,
        link: regs.r14 | x86_64::IS_R14,
    }
}

/// Where the kernel keeps the registers that user mode had, on the kernel's stack with this pointer:
/// at its top (arch/x86/include/asm/processor.h, `task_pt_regs`). Kernels with FRED (Linux 6.9+) leave
/// two words above them: `padding` says which of the two to try.
#[inline(always)]
pub fn user_registers(kernel_stack_pointer: u64, padding: u64) -> u64 {
    // THREAD_SIZE without KASAN, to which stacks are aligned.
    const STACK_BYTES: u64 = 1 << 14;
    (kernel_stack_pointer | (STACK_BYTES - 1)) + 1 - 16 * padding - 8 * REGISTER_WORDS as u64
}
