//! Does a function only pass on to another one that is probed anyway? Then probing both would
//! cost twice and say the same. In doubt it does not: the kernel side counts nested calls once,
//! at the outermost, so that a probe too many is slow and not wrong.

use std::collections::HashSet;

use iced_x86::{Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

use super::Shape;
use crate::site::{Code, Edge, Graph, Kind, Limits, Lost, Place, Step, explore};

/// Which known function a place is, if any.
pub type Lookup<'a> = &'a dyn Fn(&Place) -> Option<Shape>;

/// What was found out about one function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every way to a result leads through another known function, with the same size and block.
    Forwards,
    /// Some way leads through one, but not all, or not unchanged.
    Sometimes,
    /// None does, as far as the function's own code says.
    Never,
}

/// Reads the code from `entry` on. Code that cannot be followed to the end forwards `Sometimes`
/// or `Never`.
pub fn verdict(
    code: &dyn Code,
    entry: u64,
    shape: Shape,
    lookup: Lookup<'_>,
    budget: &mut usize,
) -> Result<Verdict, Lost> {
    let is_known = |address: u64| lookup(&Place::Here(address)).is_some();
    let follow = |address: u64| !is_known(address);
    let graph = explore(
        code,
        entry,
        &mut Limits {
            follow: &follow,
            handlers: false,
            budget,
        },
    )?;
    let passes = |place: Option<&Place>| {
        place.is_some_and(|place| {
            // Itself, again: a loop, no forwarding.
            *place != Place::Here(entry) && lookup(place).is_some_and(|it| replaces(shape, it))
        })
    };
    let any = graph.values().any(|step| {
        let called = matches!(&step.kind, Kind::Call(place) if passes(place.as_ref()));
        called
            || step
                .edges
                .iter()
                .any(|edge| matches!(edge, Edge::Out(to) if passes(Some(to))))
    });
    if !any {
        return Ok(Verdict::Never);
    }
    let walk = Walk {
        graph: &graph,
        shape,
        passes: &passes,
    };
    Ok(if walk.always(entry) {
        Verdict::Forwards
    } else {
        Verdict::Sometimes
    })
}

/// Whether a call of a function of shape `inner` can be all that one of shape `outer` does.
fn replaces(outer: Shape, inner: Shape) -> bool {
    let class = |shape| match shape {
        Shape::Size | Shape::Count | Shape::SizeSecond | Shape::OutPointer => 0,
        Shape::Realloc | Shape::ReallocArray | Shape::Resize => 1,
        Shape::Free => 2,
    };
    class(outer) == class(inner)
}

/// What is known on the way to an instruction. Few enough to try all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "five independent facts, not one state"
)]
struct State {
    /// Through another known function already.
    passed: bool,
    /// Size or block may have been calculated with (rounded up, a header added or taken off), or
    /// the caller's frame pointer is gone.
    altered: bool,
    /// The result register is 0: no block is returned.
    nothing: bool,
    /// The flags tell whether the first argument is null.
    tested: bool,
    /// The first argument is null: nothing to free.
    null: bool,
}

struct Walk<'a> {
    graph: &'a Graph,
    shape: Shape,
    passes: &'a dyn Fn(Option<&Place>) -> bool,
}

impl Walk<'_> {
    fn always(&self, entry: u64) -> bool {
        let mut info = InstructionInfoFactory::new();
        let mut seen = HashSet::new();
        let mut todo = vec![(entry, State::default())];
        while let Some((address, state)) = todo.pop() {
            if !seen.insert((address, state)) {
                continue;
            }
            let Some(step) = self.graph.get(&address) else {
                return false;
            };
            let after = self.after(step, state, &mut info);
            let done = |state: State| state.passed && !state.altered;
            let exempt = if self.shape == Shape::Free {
                after.null
            } else {
                after.nothing
            };
            if step.kind == Kind::Return && !done(after) && !exempt {
                return false;
            }
            for (index, edge) in step.edges.iter().enumerate() {
                let next = self.along(step, index, after);
                match edge {
                    Edge::To(to) => todo.push((*to, next)),
                    Edge::Out(place) if (self.passes)(Some(place)) && !next.altered => {}
                    Edge::Out(_) | Edge::Unknown if done(next) => {}
                    Edge::Out(_) | Edge::Unknown => return false,
                }
            }
        }
        true
    }

    fn after(&self, step: &Step, before: State, info: &mut InstructionInfoFactory) -> State {
        let mut state = before;
        let instruction = &step.instruction;
        if let Kind::Call(place) = &step.kind {
            // What else is called first may round the size up.
            let passes = (self.passes)(place.as_ref());
            state.altered |= !passes && !state.passed;
            state.passed |= passes;
            return State {
                nothing: false,
                tested: false,
                ..state
            };
        }
        state.altered |= calculates(instruction);
        // A stack walk by frame pointers would not get past this function to its caller.
        state.altered |= !state.passed && hides_caller(instruction, info);
        if writes_result(instruction, info) {
            state.nothing = zeroes(instruction);
        }
        if tests_argument(instruction) && !state.passed {
            state.tested = true;
        } else if instruction.rflags_modified() != 0 {
            state.tested = false;
        }
        state
    }

    /// The state at the end of the edge of that number.
    fn along(&self, step: &Step, index: usize, state: State) -> State {
        let null = match step.instruction.mnemonic() {
            Mnemonic::Je => index == 0,
            Mnemonic::Jne => index == 1,
            _ => false,
        };
        State {
            null: state.null || (self.shape == Shape::Free && state.tested && null),
            ..state
        }
    }
}

/// Address arithmetic in a register, other than the stack's.
fn calculates(instruction: &Instruction) -> bool {
    let register = instruction.op0_register();
    let stack = |register| matches!(register, Register::RSP | Register::RBP | Register::RIP);
    if instruction.op0_kind() != OpKind::Register || !register.is_gpr64() || stack(register) {
        return false;
    }
    match instruction.mnemonic() {
        Mnemonic::Add | Mnemonic::Sub | Mnemonic::And | Mnemonic::Or => true,
        Mnemonic::Lea => !stack(instruction.memory_base()),
        _ => false,
    }
}

fn writes_result(instruction: &Instruction, info: &mut InstructionInfoFactory) -> bool {
    writes(instruction, Register::RAX, info)
}

/// The frame pointer's register is used for data.
fn hides_caller(instruction: &Instruction, info: &mut InstructionInfoFactory) -> bool {
    let keeps_frame = instruction.mnemonic() == Mnemonic::Mov
        && instruction.op0_register() == Register::RBP
        && instruction.op1_register() == Register::RSP;
    !keeps_frame && writes(instruction, Register::RBP, info)
}

fn writes(
    instruction: &Instruction,
    register: Register,
    info: &mut InstructionInfoFactory,
) -> bool {
    info.info(instruction).used_registers().iter().any(|used| {
        let written = !matches!(
            used.access(),
            OpAccess::None | OpAccess::Read | OpAccess::CondRead
        );
        written && used.register().full_register() == register
    })
}

/// `xor %eax,%eax` or `mov $0,%eax`.
fn zeroes(instruction: &Instruction) -> bool {
    if !matches!(instruction.op0_register(), Register::EAX | Register::RAX) {
        return false;
    }
    match instruction.mnemonic() {
        Mnemonic::Xor => instruction.op0_register() == instruction.op1_register(),
        Mnemonic::Mov => {
            !matches!(instruction.op1_kind(), OpKind::Register | OpKind::Memory)
                && instruction.immediate(1) == 0
        }
        _ => false,
    }
}

/// `test %rdi,%rdi`
fn tests_argument(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Test
        && instruction.op0_register() == Register::RDI
        && instruction.op1_register() == Register::RDI
}
