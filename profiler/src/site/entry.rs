//! The cheapest place for a probe on a function's entry.
//!
//! Under a probe most instructions are executed elsewhere and single-stepped, which costs a second trap:
//! some microseconds, and more in a virtual machine. A few are emulated by the kernel instead
//! ([`super::emulation`]): pushes, `nop`s, jumps, conditional jumps and calls. So the
//! probe goes on the first of those, if it is the same there as at the entry: every call comes through
//! exactly once, the stack is as it was, and the arguments are still to be had.

use iced_x86::{FlowControl, InstructionInfoFactory, Mnemonic};
use iced_x86::{Instruction, OpAccess, OpKind, Register};

use super::emulation::Emulation;
use super::{Code, Edge, Limits, decode, explore, traps};

/// Instructions that are looked at: what is further in is no prologue.
const MOST: usize = 32;

/// Where the first integer arguments are at a function's entry, System V calling convention.
const REGISTERS: [Register; 3] = [Register::RDI, Register::RSI, Register::RDX];

/// Which of a function's arguments each of the first three argument registers holds.
pub type Held = [Option<usize>; REGISTERS.len()];

/// A place for a probe on a function's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// Address of the instruction.
    pub address: u64,
    /// Where the arguments are.
    pub held: Held,
}

impl Site {
    /// The function's first instruction, whichever that is.
    pub fn entry(address: u64) -> Self {
        Self {
            address,
            held: [Some(0), Some(1), Some(2)],
        }
    }
}

/// The first emulated instruction that stands for the entry of the function at `entry`; `None` when there
/// is none, or when the function's code cannot be followed to its end.
pub fn emulated(
    code: &dyn Code,
    entry: u64,
    emulation: Emulation,
    budget: &mut usize,
) -> Option<Site> {
    let extent = code.extent(entry)?;
    let mut site = Site::entry(entry);
    let mut info = InstructionInfoFactory::new();
    for _ in 0..MOST {
        let instruction = decode(code, site.address, &extent)?;
        if emulation.covers(&instruction, code.bytes(site.address)) {
            let stands_for_entry =
                site.address == entry || is_passed_once(code, entry, site.address, budget);
            return stands_for_entry.then_some(site);
        }
        if instruction.flow_control() != FlowControl::Next || traps(&instruction) {
            return None;
        }
        let before = site.held;
        for used in info.info(&instruction).used_registers() {
            let is_written = matches!(
                used.access(),
                OpAccess::Write
                    | OpAccess::CondWrite
                    | OpAccess::ReadWrite
                    | OpAccess::ReadCondWrite
            );
            let register = used.register().full_register();
            // The return address is at the top of the stack, and a walk begins with the frame pointer.
            if is_written && matches!(register, Register::RSP | Register::RBP) {
                return None;
            }
            if is_written && let Some(index) = argument_register(register) {
                site.held[index] = copied_from(&instruction).and_then(|from| before[from]);
            }
        }
        site.address = instruction.next_ip();
    }
    None
}

/// The argument register of which the instruction copies all 64 bits to another register.
fn copied_from(instruction: &Instruction) -> Option<usize> {
    let is_copy = instruction.mnemonic() == Mnemonic::Mov
        && instruction.op0_kind() == OpKind::Register
        && instruction.op1_kind() == OpKind::Register;
    is_copy.then(|| argument_register(instruction.op1_register()))?
}

fn argument_register(register: Register) -> Option<usize> {
    REGISTERS.iter().position(|it| *it == register)
}

/// Whether control gets to `site` from `entry` in a straight line and in no other way, wherever it goes
/// afterwards.
fn is_passed_once(code: &dyn Code, entry: u64, site: u64, budget: &mut usize) -> bool {
    let mut limits = Limits {
        follow: &|_| true,
        handlers: true,
        budget,
    };
    let Ok(graph) = explore(code, entry, &mut limits) else {
        return false;
    };
    graph.values().all(|step| {
        let is_before = (entry..site).contains(&step.instruction.ip());
        step.edges.iter().all(|edge| match edge {
            Edge::To(next) => is_before || !(entry + 1..=site).contains(next),
            Edge::Out(_) => true,
            // A jump by a table stays within its function, and may lead back.
            Edge::Unknown => false,
        })
    })
}

#[cfg(test)]
#[path = "entry_test.rs"]
mod tests;
