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

/// The rule of functions that keep a frame pointer.
pub const BY_FRAME_POINTER: Rule = match Rule::new(Kind::FramePointer, 2, SAVED_AT_FRAME_POINTER) {
    Some(rule) => rule,
    None => Rule::UNSUPPORTED,
};

/// Whether the way to the caller depends on the frame pointer register.
#[inline(always)]
pub const fn needs_frame_pointer(rule: Rule) -> bool {
    matches!(rule.kind(), FRAME_POINTER | FRAME_POINTER_SAVED)
        || rule.saved() == SAVED_AT_FRAME_POINTER
}

/// Whether the caller's frame pointer register is read from the stack.
#[inline(always)]
pub const fn restores_frame_pointer(rule: Rule) -> bool {
    rule.saved() != SAVED_NOT || rule.kind() == SIGNAL
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
        INTERRUPTED if frame.interrupted != 0 => sigcontext::R8 + 8 * u64::from(rule.n() & 31),
        END => return Err(Stop::End),
        _ => return Err(Stop::Unsupported),
    };
    let mut cfa = base.wrapping_add(offset);
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
    } else {
        cfa.wrapping_sub(8)
    };
    let pc = stack.word(pc_at).ok_or(Stop::Unreadable)?;
    let saved = rule.saved();
    let fp = if saved == SAVED_NOT && !is_signal {
        frame.fp
    } else {
        let fp_at = if is_signal {
            frame.sp.wrapping_add(sigcontext::RBP)
        } else if saved == SAVED_AT_FRAME_POINTER {
            frame.fp
        } else {
            cfa.wrapping_sub(8 + 8 * u64::from(saved))
        };
        stack.word(fp_at).ok_or(Stop::Unreadable)?
    };
    Ok(Frame {
        pc,
        sp: cfa,
        fp,
        interrupted: u64::from(is_signal),
    })
}
