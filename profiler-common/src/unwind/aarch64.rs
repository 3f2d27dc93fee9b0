//! aarch64: what a rule's `saved` and `n` mean, and the step to the caller's frame.
//!
//! The return address is in the link register (x30) until a function saves it, nearly always together
//! with the frame pointer (x29) as a *frame record*; GCC puts that at the lower end of the frame,
//! LLVM below the other saved registers, and functions without frame pointers anywhere. Only
//! [`Kind::StackPointer`] and [`Kind::FramePointer`] are used. The stack pointer is a multiple of 16
//! (AAPCS64, "Universal stack constraints"), so the CFA is counted in 16 bytes.

use super::{Frame, Kind, Rule, Stack, Stop};

/// `saved`: neither register is; CFA = base + 16n.
pub const SAVED_NOT: u32 = 0;
/// `saved`: the frame record is where the base register points; CFA = base + 16n.
pub const SAVED_AT_BASE: u32 = 1;
/// `saved`: the link register only. For this and what is larger, n is a slot and, from
/// [`SLOT_BITS`] up, what is added to the base: `CFA = base + 16 * (n >> SLOT_BITS)`.
const SAVED_LINK: u32 = 2;
/// `saved`: from here down to [`SAVED_LINK`], the frame pointer is so many words below the link
/// register, from here up above it.
const LOWEST: u32 = 16;

/// Bits of a slot: the link register is at CFA - 8 * (slot + 1) below [`SLOTS_BELOW_CFA`], at
/// `base + 8 * (slot - SLOTS_BELOW_CFA)` from there on.
const SLOT_BITS: u32 = 7;
const SLOTS: u32 = 1 << SLOT_BITS;
const SLOTS_BELOW_CFA: u32 = SLOTS / 2;

/// Offsets in the signal frame, from the stack pointer at the handler's return: `struct rt_sigframe`
/// (arch/arm64/kernel/signal.c) up to `uc_mcontext` at 304, and there `struct sigcontext`
/// (arch/arm64/include/uapi/asm/sigcontext.h; part of the ABI).
mod sigcontext {
    const REGISTERS: u64 = 304 + 8;
    pub const X29: u64 = REGISTERS + 29 * 8;
    pub const X30: u64 = REGISTERS + 30 * 8;
    pub const SP: u64 = REGISTERS + 31 * 8;
    pub const PC: u64 = REGISTERS + 32 * 8;
}

/// Programs and libraries are below 2^48; signatures of return addresses (pointer authentication) are
/// in the bits above (Documentation/arch/arm64/pointer-authentication.rst).
const ADDRESS_MASK: u64 = (1 << 48) - 1;

/// A return address without its signature.
#[inline(always)]
pub const fn without_signature(address: u64) -> u64 {
    address & ADDRESS_MASK
}

/// The rule of functions that keep a frame pointer.
pub const BY_FRAME_POINTER: Rule = match Rule::new(Kind::FramePointer, 1, SAVED_AT_BASE) {
    Some(rule) => rule,
    None => Rule::UNSUPPORTED,
};

/// The rule for CFA = `base` + `cfa`, a number of bytes, with the link register and the frame pointer
/// saved so many bytes from the CFA, or not saved. `None` when there is no such rule.
pub const fn rule(
    base: Kind,
    cfa: i64,
    link: Option<i64>,
    frame_pointer: Option<i64>,
) -> Option<Rule> {
    if !matches!(base, Kind::StackPointer | Kind::FramePointer) || cfa < 0 || cfa % 16 != 0 {
        return None;
    }
    let distance = cfa / 16;
    if distance > Rule::MAX_N as i64 {
        return None;
    }
    let (link, below) = match (link, frame_pointer) {
        (None, None) => return Rule::new(base, distance as u32, SAVED_NOT),
        // Nobody saves the frame pointer and goes on with the return address in its register.
        (None, Some(_)) => return None,
        (Some(link), None) => (link, 0),
        (Some(link), Some(pointer)) => {
            if pointer == -cfa && link == 8 - cfa {
                return Rule::new(base, distance as u32, SAVED_AT_BASE);
            }
            let Some(below) = link.checked_sub(pointer) else {
                return None;
            };
            if below == 0 {
                return None;
            }
            (link, below)
        }
    };
    let Some(from_base) = cfa.checked_add(link) else {
        return None;
    };
    if link % 8 != 0 || below % 8 != 0 {
        return None;
    }
    let slot = if link < 0 && link >= -8 * SLOTS_BELOW_CFA as i64 {
        -link / 8 - 1
    } else if from_base >= 0 && from_base / 8 < (SLOTS - SLOTS_BELOW_CFA) as i64 {
        from_base / 8 + SLOTS_BELOW_CFA as i64
    } else {
        return None;
    };
    let saved = if below >= 0 {
        SAVED_LINK as i64 + below / 8
    } else {
        LOWEST as i64 - below / 8
    };
    if (below > 0 && saved > LOWEST as i64) || saved >= Rule::SAVED_VALUES as i64 {
        return None;
    }
    Rule::new(
        base,
        slot as u32 | (distance as u32) << SLOT_BITS,
        saved as u32,
    )
}

/// Whether the way to the caller depends on the frame pointer register.
#[inline(always)]
pub const fn needs_frame_pointer(rule: Rule) -> bool {
    rule.kind() == Kind::FramePointer as u32
}

/// Whether the caller's frame pointer register is read from the stack.
#[inline(always)]
pub const fn restores_frame_pointer(rule: Rule) -> bool {
    !matches!(rule.saved(), SAVED_NOT | SAVED_LINK) || rule.kind() == Kind::Signal as u32
}

/// The caller's frame by `rule`, which must not be [`Rule::NONE`]. `link` is the link register; it is
/// looked at only when `frame` was interrupted, and set when the caller was.
///
/// # Errors
/// Why there is no caller.
#[inline(always)]
pub fn by_rule(
    rule: Rule,
    frame: &Frame,
    link: &mut u64,
    stack: &mut impl Stack,
) -> Result<Frame, Stop> {
    let kind = rule.kind();
    if kind == Kind::Signal as u32 {
        return interrupted(frame, link, stack).ok_or(Stop::Unreadable);
    }
    let base = if kind == Kind::StackPointer as u32 {
        frame.sp
    } else if kind == Kind::FramePointer as u32 {
        frame.fp
    } else if kind == Kind::End as u32 {
        return Err(Stop::End);
    } else {
        return Err(Stop::Unsupported);
    };
    let saved = rule.saved();
    let n = rule.n();
    if saved == SAVED_NOT {
        if frame.interrupted == 0 {
            return Err(Stop::Unsupported);
        }
        return Ok(Frame {
            pc: without_signature(*link),
            sp: base.wrapping_add(16 * u64::from(n)),
            fp: frame.fp,
            interrupted: 0,
        });
    }
    let (cfa, link_at, below) = if saved == SAVED_AT_BASE {
        (
            base.wrapping_add(16 * u64::from(n)),
            base.wrapping_add(8),
            1,
        )
    } else {
        let cfa = base.wrapping_add(16 * u64::from(n >> SLOT_BITS));
        let slot = u64::from(n & (SLOTS - 1));
        let below_cfa = u64::from(SLOTS_BELOW_CFA);
        let link_at = if slot < below_cfa {
            cfa.wrapping_sub(8 * (slot + 1))
        } else {
            base.wrapping_add(8 * (slot - below_cfa))
        };
        let below = if saved <= LOWEST {
            i64::from(saved) - i64::from(SAVED_LINK)
        } else {
            i64::from(LOWEST) - i64::from(saved)
        };
        (cfa, link_at, below)
    };
    let pc = stack.word(link_at).ok_or(Stop::Unreadable)?;
    let fp = if saved == SAVED_LINK {
        frame.fp
    } else {
        let at = link_at.wrapping_sub((8 * below) as u64);
        stack.saved_frame_pointer(at).ok_or(Stop::Unreadable)?
    };
    Ok(Frame {
        pc: without_signature(pc),
        sp: cfa,
        fp,
        interrupted: 0,
    })
}

/// What a signal interrupted.
#[inline(always)]
fn interrupted(frame: &Frame, link: &mut u64, stack: &mut impl Stack) -> Option<Frame> {
    let mut at = |offset| stack.word(frame.sp.wrapping_add(offset));
    *link = at(sigcontext::X30)?;
    Some(Frame {
        pc: at(sigcontext::PC)?,
        sp: at(sigcontext::SP)?,
        fp: at(sigcontext::X29)?,
        interrupted: 1,
    })
}
