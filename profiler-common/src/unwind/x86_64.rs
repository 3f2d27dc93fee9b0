//! x86-64: what a rule's `saved` means, and the step to the caller's frame.

use super::{Frame, Kind, Rule, Stack, Stop};

/// `saved`: the caller's rbp is still in rbp.
pub const SAVED_NOT: u32 = 0;
/// `saved`: the caller's rbp is at *(rbp).
pub const SAVED_AT_FRAME_POINTER: u32 = 31;
/// `saved` from 1 to this: the caller's rbp is at CFA - 8 - 8 * saved (CFA - 16 to CFA - 248).
pub const SAVED_DEEPEST: u32 = 30;

/// Offsets in the signal frame, from the stack pointer at the handler's return: `struct ucontext`
/// with its `struct sigcontext_64` (arch/x86/include/uapi/asm/sigcontext.h; part of the ABI).
mod sigcontext {
    /// r8; behind it r9 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx.
    pub const R8: u64 = 40;
    pub const RBP: u64 = 120;
    pub const RSP: u64 = 160;
    pub const RIP: u64 = 168;
}

const END: u32 = Kind::End as u32;
const STACK_POINTER: u32 = Kind::StackPointer as u32;
const FRAME_POINTER: u32 = Kind::FramePointer as u32;
const FRAME_POINTER_SAVED: u32 = Kind::FramePointerSaved as u32;
const STACK_POINTER_SAVED: u32 = Kind::StackPointerSaved as u32;
const LINKAGE_TABLE: u32 = Kind::LinkageTable as u32;
const SIGNAL: u32 = Kind::Signal as u32;
const INTERRUPTED: u32 = Kind::Interrupted as u32;
const GOROUTINE: u32 = Kind::Goroutine as u32;

/// What [`Kind::Goroutine`] means: where Go's runtime has noted the stack that it left (`g`, `m` and `gobuf`
/// of its `runtime2.go`). All are offsets in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goroutine {
    /// Of a thread, in a goroutine: below 64.
    pub thread: u32,
    /// Of the current goroutine, in a thread: below 256. The system's own goroutine is at 0.
    pub current: u32,
    /// Of the stack pointer, in a goroutine; the program counter is behind it. Below 64.
    pub stack_pointer: u32,
    /// Of a goroutine, from the function's stack pointer, plus 1. 0: the current one is, of the thread
    /// whose system's goroutine was in r14 when the walk began, where Go's functions have it since 1.17.
    pub place: u32,
    /// Of the caller's stack pointer, from the one that was noted; the return address is below it. 0: the
    /// program counter that was noted is the return address. Below 8.
    pub above: u32,
}

impl Goroutine {
    /// The rule, if all of it fits. Of the caller's frame pointer it says nothing: Go's functions restore
    /// it, and do without.
    pub const fn rule(self) -> Option<Rule> {
        if self.thread >= 64 || self.current >= 256 || self.stack_pointer >= 64 || self.above >= 8 {
            return None;
        }
        let n = self.thread | self.current << 6 | self.stack_pointer << 14 | self.above << 20;
        Rule::new(Kind::Goroutine, n, self.place)
    }
}

/// In a walk's `registers`: it is r14 at the walk's beginning, not where a signal has put them.
pub const IS_R14: u64 = 1;

/// Words that are followed to a goroutine's stack pointer: where its address is.
mod link {
    /// The thread, in the system's goroutine.
    pub const THREAD: u32 = 0;
    /// The system's goroutine, in the thread.
    pub const SYSTEM: u32 = 1;
    /// The goroutine, in the thread or on the stack.
    pub const GOROUTINE: u32 = 2;
    /// The stack pointer, in the goroutine.
    pub const STACK_POINTER: u32 = 3;
}

/// The rule of functions that keep a frame pointer.
pub const BY_FRAME_POINTER: Rule = match Rule::new(Kind::FramePointer, 2, SAVED_AT_FRAME_POINTER) {
    Some(rule) => rule,
    None => Rule::UNSUPPORTED,
};

/// Whether the way to the caller depends on the frame pointer register.
#[inline(always)]
pub const fn needs_frame_pointer(rule: Rule) -> bool {
    matches!(rule.kind(), FRAME_POINTER | FRAME_POINTER_SAVED)
        || rule.saved() == SAVED_AT_FRAME_POINTER && rule.kind() != GOROUTINE
}

/// Whether the caller's frame pointer register is read from the stack.
#[inline(always)]
pub const fn restores_frame_pointer(rule: Rule) -> bool {
    rule.saved() != SAVED_NOT && rule.kind() != GOROUTINE || rule.kind() == SIGNAL
}

/// The caller's frame by `rule`, which must not be [`Rule::NONE`]. The stack is read in few places
/// because the eBPF side's reading is large and becomes part of each. `registers`: where those of the
/// interrupted function are, on the way from the signal's frame to that function.
///
/// # Errors
/// Why there is no caller.
#[inline(always)]
pub fn by_rule(
    rule: Rule,
    frame: &Frame,
    registers: &mut u64,
    stack: &mut impl Stack,
) -> Result<Frame, Stop> {
    let kind = rule.kind();
    let is_signal = kind == SIGNAL;
    let base = match kind {
        FRAME_POINTER | FRAME_POINTER_SAVED => frame.fp,
        INTERRUPTED => *registers,
        _ => frame.sp,
    };
    let offset = match kind {
        STACK_POINTER | FRAME_POINTER | STACK_POINTER_SAVED => 8 * u64::from(rule.n()),
        FRAME_POINTER_SAVED => (8 * u64::from(rule.n())).wrapping_neg(),
        LINKAGE_TABLE => 8 + 8 * u64::from(frame.pc & 15 >= u64::from(rule.n())),
        SIGNAL => sigcontext::RSP,
        GOROUTINE => 0,
        INTERRUPTED if frame.interrupted != 0 && *registers & IS_R14 == 0 => {
            sigcontext::R8 + 8 * u64::from(rule.n() & 31)
        }
        END => return Err(Stop::End),
        _ => return Err(Stop::Unsupported),
    };
    let mut cfa = base.wrapping_add(offset);
    let n = u64::from(rule.n());
    let mut noted = 0;
    if kind == GOROUTINE {
        let place = u64::from(rule.saved());
        let system = *registers & !IS_R14;
        let (mut next, mut at) = if place == 0 {
            (link::THREAD, system.wrapping_add(8 * (n & 63)))
        } else {
            (link::GOROUTINE, cfa.wrapping_add(8 * (place - 1)))
        };
        if place == 0 && *registers & IS_R14 == 0 {
            return Err(Stop::Unsupported);
        }
        while next <= link::STACK_POINTER {
            let word = stack.word(at).ok_or(Stop::Unreadable)?;
            noted = at;
            at = match next {
                // r14 was something else.
                link::SYSTEM if word != system => return Err(Stop::Unsupported),
                link::SYSTEM => at.wrapping_add(8 * (n >> 6 & 255)),
                link::GOROUTINE => word.wrapping_add(8 * (n >> 14 & 63)),
                // The thread, or the stack pointer.
                _ => word,
            };
            next += 1;
        }
        cfa = at.wrapping_add(8 * (n >> 20));
    }
    if matches!(
        kind,
        FRAME_POINTER_SAVED | STACK_POINTER_SAVED | INTERRUPTED
    ) || is_signal
    {
        cfa = stack.word(cfa).ok_or(Stop::Unreadable)?;
        cfa = cfa.wrapping_add(match kind {
            STACK_POINTER_SAVED => 8,
            INTERRUPTED => 8 * u64::from(rule.n() >> 5),
            _ => 0,
        });
    }
    if is_signal {
        *registers = frame.sp;
    }
    let pc_at = if is_signal {
        frame.sp.wrapping_add(sigcontext::RIP)
    } else if kind == GOROUTINE && n >> 20 == 0 {
        noted.wrapping_add(8)
    } else {
        cfa.wrapping_sub(8)
    };
    let pc = stack.word(pc_at).ok_or(Stop::Unreadable)?;
    let saved = rule.saved();
    let fp = if saved == SAVED_NOT && !is_signal || kind == GOROUTINE {
        frame.fp
    } else {
        let fp_at = if is_signal {
            frame.sp.wrapping_add(sigcontext::RBP)
        } else if saved == SAVED_AT_FRAME_POINTER {
            frame.fp
        } else {
            cfa.wrapping_sub(8 + 8 * u64::from(saved))
        };
        stack.saved_frame_pointer(fp_at).ok_or(Stop::Unreadable)?
    };
    Ok(Frame {
        pc,
        sp: cfa,
        fp,
        interrupted: u64::from(is_signal),
    })
}
