//! x86-64: the rule for a state ("System V Application Binary Interface, AMD64", section 3.6.2, has
//! the numbers of the registers).

use gimli::{Register, UnwindSection, X86_64};
use unfreed_common::unwind::x86_64::{SAVED_AT_FRAME_POINTER, SAVED_DEEPEST, SAVED_NOT};
use unfreed_common::unwind::{Kind, Rule};

use super::entries::Bytes;
use super::expression::{Expressions, Meaning};
use super::program::{Cfa, Common, Saved, State};

/// The column of the return address.
pub const RETURN_ADDRESS: Register = X86_64::RA;
/// The frame pointer.
pub const FRAME_POINTER: Register = X86_64::RBP;

const STACK_POINTER: Register = X86_64::RSP;

/// Where the interrupted function's registers are, from the stack pointer at a signal handler's
/// return: glibc's expressions for `__restore_rt`, which every debugger knows.
mod signal_frame {
    pub const RBP: i64 = 120;
    pub const RSP: i64 = 160;
    pub const RIP: i64 = 168;
}

/// How to leave a function in this state.
pub fn rule<'data, S: UnwindSection<Bytes<'data>>>(
    state: &State,
    common: &Common,
    expressions: &Expressions<'_, S>,
) -> Rule {
    if state.return_address == Saved::Undefined {
        return Rule::END;
    }
    if common.is_signal_frame {
        return if is_signal_frame(state, expressions) {
            Rule::SIGNAL
        } else {
            Rule::UNSUPPORTED
        };
    }
    followed(state, expressions).unwrap_or(Rule::UNSUPPORTED)
}

fn followed<'data, S: UnwindSection<Bytes<'data>>>(
    state: &State,
    expressions: &Expressions<'_, S>,
) -> Option<Rule> {
    if state.return_address != Saved::At(-8) {
        return None;
    }
    let saved = match state.frame_pointer {
        Saved::Unmentioned | Saved::Same | Saved::Undefined => SAVED_NOT,
        Saved::At(offset) => {
            let saved = words(-8 - offset)?;
            (1..=SAVED_DEEPEST).contains(&saved).then_some(saved)?
        }
        Saved::AtExpression(expression) => match expressions.meaning(expression)? {
            Meaning::Sum(FRAME_POINTER, 0) => SAVED_AT_FRAME_POINTER,
            _ => return None,
        },
        Saved::Otherwise => return None,
    };
    let (kind, n) = match state.cfa {
        Cfa::Register(STACK_POINTER, offset) => (Kind::StackPointer, words(offset)?),
        Cfa::Register(FRAME_POINTER, offset) => (Kind::FramePointer, words(offset)?),
        Cfa::Expression(expression) => match expressions.meaning(expression)? {
            Meaning::Memory {
                register: FRAME_POINTER,
                offset,
                more: 0,
            } => (Kind::FramePointerSaved, words(offset.checked_neg()?)?),
            Meaning::Memory {
                register: STACK_POINTER,
                offset,
                more: 8,
            } => (Kind::StackPointerSaved, words(offset)?),
            Meaning::Stub {
                register: STACK_POINTER,
                offset: 8,
                counter: RETURN_ADDRESS,
                n,
            } => (Kind::LinkageTable, u32::try_from(n).ok()?),
            _ => return None,
        },
        // Until the register is saved, or after: compilers' r10 where the stack is realigned, the
        // loader's rbx. No call is made meanwhile, or the register is not known any more.
        Cfa::Register(register, offset) => {
            let register = in_signal_frame(register)?;
            (
                Kind::Interrupted,
                words(offset)?.checked_mul(32)? | register,
            )
        }
        Cfa::Unknown => return None,
    };
    Rule::new(kind, n, saved)
}

/// Which word of `struct sigcontext_64` the register is.
fn in_signal_frame(register: Register) -> Option<u32> {
    const ORDER: [Register; 15] = [
        X86_64::R8,
        X86_64::R9,
        X86_64::R10,
        X86_64::R11,
        X86_64::R12,
        X86_64::R13,
        X86_64::R14,
        X86_64::R15,
        X86_64::RDI,
        X86_64::RSI,
        X86_64::RBP,
        X86_64::RBX,
        X86_64::RDX,
        X86_64::RAX,
        X86_64::RCX,
    ];
    let position = ORDER.iter().position(|it| *it == register)?;
    u32::try_from(position).ok()
}

/// How many words these bytes are.
fn words(bytes: i64) -> Option<u32> {
    if bytes % 8 != 0 {
        return None;
    }
    u32::try_from(bytes / 8).ok()
}

fn is_signal_frame<'data, S: UnwindSection<Bytes<'data>>>(
    state: &State,
    expressions: &Expressions<'_, S>,
) -> bool {
    let Cfa::Expression(cfa) = state.cfa else {
        return false;
    };
    let at = |saved, offset| match saved {
        Saved::AtExpression(it) => {
            expressions.meaning(it) == Some(Meaning::Sum(STACK_POINTER, offset))
        }
        _ => false,
    };
    let stack_pointer = Meaning::Memory {
        register: STACK_POINTER,
        offset: signal_frame::RSP,
        more: 0,
    };
    expressions.meaning(cfa) == Some(stack_pointer)
        && at(state.return_address, signal_frame::RIP)
        && at(state.frame_pointer, signal_frame::RBP)
}
