//! Call frame instructions, executed for the three values that rules need: the canonical frame
//! address, the return address and the frame pointer.
//!
//! gimli decodes them. Its own `UnwindTable`, which keeps every register and cannot tell "undefined"
//! from "never mentioned" (needed on aarch64), is what the tests compare this with.

use gimli::{CallFrameInstruction, CallFrameInstructionIter, Register, UnwindExpression};

use super::entries::Bytes;

/// States that can be remembered at a time. Compilers nest them once.
const MAX_REMEMBERED: usize = 64;

/// A DWARF expression, by its place in the section.
pub type Expression = UnwindExpression<usize>;

/// Where the canonical frame address comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cfa {
    /// Not said.
    Unknown,
    /// A register plus an offset in bytes.
    Register(Register, i64),
    /// What the expression computes.
    Expression(Expression),
}

/// Where a register of the caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// Not said.
    Unmentioned,
    /// It has not changed.
    Same,
    /// It cannot be known, or has no meaning.
    Undefined,
    /// In memory, so many bytes from the canonical frame address.
    At(i64),
    /// In memory, where the expression computes.
    AtExpression(Expression),
    /// In another register, or the result of a computation.
    Otherwise,
}

/// What is known at one instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The canonical frame address.
    pub cfa: Cfa,
    /// The return address.
    pub return_address: Saved,
    /// The frame pointer register.
    pub frame_pointer: Saved,
}

impl State {
    /// Before the first instruction of all.
    pub const START: Self = Self {
        cfa: Cfa::Unknown,
        return_address: Saved::Unmentioned,
        frame_pointer: Saved::Unmentioned,
    };
}

/// What a common information entry says for all functions that refer to it.
#[derive(Debug, Clone, Copy)]
pub struct Common {
    /// Whether its functions return to what the machine usually returns to.
    pub is_usual: bool,
    /// Factor of distances.
    pub code_alignment: u64,
    /// Factor of offsets.
    pub data_alignment: i64,
    /// The column of the return address.
    pub return_address: Register,
    /// The frame pointer's.
    pub frame_pointer: Register,
    /// Whether its functions are what signal handlers return to.
    pub is_signal_frame: bool,
    /// At each function's first instruction.
    pub initial: State,
}

/// An instruction that is unknown, or does not make sense where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonsense;

/// Executes a program from `common.initial` on: `each` gets what holds from which address on, in
/// order; the addresses are absolute, the first is `start`. After an error, what was given out is
/// good up to the address of the error, which is given out with `None`.
pub fn run(
    instructions: CallFrameInstructionIter<'_, Bytes<'_>>,
    common: &Common,
    start: u64,
    mut each: impl FnMut(u64, Option<&State>),
) {
    let mut machine = Machine::new(common, start);
    let end = machine.run(instructions, &mut each);
    let state = end.is_ok().then_some(&machine.state);
    each(machine.address, state);
}

/// The state after a common entry's program, which belongs to no address.
pub fn initial(
    instructions: CallFrameInstructionIter<'_, Bytes<'_>>,
    common: &Common,
) -> Result<State, Nonsense> {
    let mut machine = Machine::new(common, 0);
    machine.run(instructions, &mut |_, _| {})?;
    Ok(machine.state)
}

struct Machine<'common> {
    common: &'common Common,
    state: State,
    remembered: Vec<State>,
    address: u64,
}

impl<'common> Machine<'common> {
    fn new(common: &'common Common, start: u64) -> Self {
        Self {
            common,
            state: common.initial,
            remembered: Vec::new(),
            address: start,
        }
    }

    fn run(
        &mut self,
        mut instructions: CallFrameInstructionIter<'_, Bytes<'_>>,
        each: &mut impl FnMut(u64, Option<&State>),
    ) -> Result<(), Nonsense> {
        while let Some(instruction) = instructions.next().map_err(|_| Nonsense)? {
            let next = match instruction {
                CallFrameInstruction::AdvanceLoc { delta } => {
                    let distance = u64::from(delta).checked_mul(self.common.code_alignment);
                    distance.and_then(|it| self.address.checked_add(it))
                }
                CallFrameInstruction::SetLoc { address } => Some(address),
                other => {
                    self.execute(&other)?;
                    continue;
                }
            };
            let next = next.filter(|it| *it >= self.address).ok_or(Nonsense)?;
            if next > self.address {
                each(self.address, Some(&self.state));
                self.address = next;
            }
        }
        Ok(())
    }

    fn execute(&mut self, instruction: &CallFrameInstruction<usize>) -> Result<(), Nonsense> {
        use CallFrameInstruction as Call;
        match *instruction {
            Call::DefCfa { register, offset } => {
                self.state.cfa = Cfa::Register(register, signed(offset)?);
            }
            Call::DefCfaSf {
                register,
                factored_offset,
            } => self.state.cfa = Cfa::Register(register, self.factored(factored_offset)?),
            Call::DefCfaRegister { register } => {
                let Cfa::Register(old, _) = &mut self.state.cfa else {
                    return Err(Nonsense);
                };
                *old = register;
            }
            Call::DefCfaOffset { offset } => self.set_cfa_offset(signed(offset)?)?,
            Call::DefCfaOffsetSf { factored_offset } => {
                self.set_cfa_offset(self.factored(factored_offset)?)?;
            }
            Call::DefCfaExpression { expression } => {
                self.state.cfa = Cfa::Expression(expression);
            }
            Call::Undefined { register } => self.set(register, Saved::Undefined),
            Call::SameValue { register } => self.set(register, Saved::Same),
            Call::Offset {
                register,
                factored_offset,
            } => self.set(
                register,
                Saved::At(self.factored(signed(factored_offset)?)?),
            ),
            Call::OffsetExtendedSf {
                register,
                factored_offset,
            } => self.set(register, Saved::At(self.factored(factored_offset)?)),
            Call::Expression {
                register,
                expression,
            } => self.set(register, Saved::AtExpression(expression)),
            Call::Register {
                dest_register: register,
                ..
            }
            | Call::ValOffset { register, .. }
            | Call::ValOffsetSf { register, .. }
            | Call::ValExpression { register, .. } => self.set(register, Saved::Otherwise),
            Call::Restore { register } => {
                let initial = &self.common.initial;
                let (address, pointer) = (initial.return_address, initial.frame_pointer);
                if register == self.common.return_address {
                    self.state.return_address = address;
                } else if register == self.common.frame_pointer {
                    self.state.frame_pointer = pointer;
                }
            }
            Call::RememberState => {
                if self.remembered.len() == MAX_REMEMBERED {
                    return Err(Nonsense);
                }
                self.remembered.push(self.state);
            }
            Call::RestoreState => self.state = self.remembered.pop().ok_or(Nonsense)?,
            // Whether a return address is signed needs no rule: the signature is stripped anyway.
            Call::NegateRaState | Call::ArgsSize { .. } | Call::Nop => {}
            _ => return Err(Nonsense),
        }
        Ok(())
    }

    fn set(&mut self, register: Register, saved: Saved) {
        if register == self.common.return_address {
            self.state.return_address = saved;
        } else if register == self.common.frame_pointer {
            self.state.frame_pointer = saved;
        }
    }

    fn set_cfa_offset(&mut self, offset: i64) -> Result<(), Nonsense> {
        let Cfa::Register(_, old) = &mut self.state.cfa else {
            return Err(Nonsense);
        };
        *old = offset;
        Ok(())
    }

    fn factored(&self, offset: i64) -> Result<i64, Nonsense> {
        let offset = offset.checked_mul(self.common.data_alignment);
        offset.ok_or(Nonsense)
    }
}

fn signed(offset: u64) -> Result<i64, Nonsense> {
    i64::try_from(offset).map_err(|_| Nonsense)
}
