//! aarch64: the rule for a state ("DWARF for the Arm 64-bit Architecture", section 4.1, has the
//! numbers of the registers; registers that are not mentioned have not changed).

use gimli::{AArch64, Register};
use unfreed_common::unwind::{Kind, Rule, aarch64};

use super::program::{Cfa, Common, Saved, State};

/// The column of the return address: the link register.
pub const RETURN_ADDRESS: Register = AArch64::X30;
/// The frame pointer.
pub const FRAME_POINTER: Register = AArch64::X29;

/// How to leave a function in this state.
pub fn rule(state: &State, common: &Common) -> Rule {
    if common.is_signal_frame {
        // The vDSO's trampoline, which older kernels describe by the frame record that they leave in
        // the signal frame. Everything else is there too.
        return Rule::SIGNAL;
    }
    if state.return_address == Saved::Undefined {
        return Rule::END;
    }
    followed(state).unwrap_or(Rule::UNSUPPORTED)
}

fn followed(state: &State) -> Option<Rule> {
    let (base, cfa) = match state.cfa {
        Cfa::Register(AArch64::SP, offset) => (Kind::StackPointer, offset),
        Cfa::Register(FRAME_POINTER, offset) => (Kind::FramePointer, offset),
        Cfa::Register(..) | Cfa::Expression(_) | Cfa::Unknown => return None,
    };
    let link = match state.return_address {
        Saved::Unmentioned | Saved::Same => None,
        Saved::At(offset) => Some(offset),
        Saved::Undefined | Saved::AtExpression(_) | Saved::Otherwise => return None,
    };
    let frame_pointer = match state.frame_pointer {
        Saved::Unmentioned | Saved::Same | Saved::Undefined => None,
        Saved::At(offset) => Some(offset),
        Saved::AtExpression(_) | Saved::Otherwise => return None,
    };
    aarch64::rule(base, cfa, link, frame_pointer)
}
