//! What is known of a function's caller once the function has left its goroutine's stack for the
//! system's, by its code: `runtime.systemstack`, `runtime.morestack` and `runtime.asmcgocall`, through which
//! all of the runtime's own work and all calls of C go.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};
use unfreed_common::unwind::x86_64::{BY_FRAME_POINTER, Goroutine};
use unfreed_common::unwind::{Kind, Rule};

/// Where the runtime of this program notes the stack that a goroutine was left at. Its types have changed
/// with its versions, hence by the code of `runtime.systemstack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    thread: u32,
    current: u32,
    stack_pointer: u32,
}

impl Noted {
    /// By the code of `runtime.systemstack`.
    pub fn of(code: &[u8]) -> Option<Self> {
        let mut own = None;
        let (mut thread, mut current, mut system) = (None, None, None);
        for instruction in instructions(code) {
            let place = instruction.memory_base();
            let at = || words(instruction.memory_displacement64());
            let to = instruction.op0_register();
            match instruction.mnemonic() {
                // mov %fs:..., own
                Mnemonic::Mov if instruction.segment_prefix() == Register::FS => {
                    own = own.or(Some(to));
                }
                // mov thread(own), ...
                Mnemonic::Mov if thread.is_none() && reads(&instruction, own) => {
                    thread = Some((to, at()?));
                }
                // cmp ...(thread), own: the one for signals, then the current one
                Mnemonic::Cmp if thread.is_some_and(|it| it.0 == place) => current = Some(at()?),
                // mov 0(thread), system
                Mnemonic::Mov if system.is_none() && reads(&instruction, thread.map(|it| it.0)) => {
                    system = Some(to).filter(|_| at() == Some(0));
                }
                // mov stack_pointer(system), ...
                Mnemonic::Mov if reads(&instruction, system) => {
                    return Some(Self {
                        thread: thread?.1,
                        current: current?,
                        stack_pointer: at()?,
                    });
                }
                _ => {}
            }
        }
        None
    }

    /// With the goroutine at this many bytes from the stack pointer, or the thread's current one; and
    /// this many words between the noted stack pointer and the caller's. 0: the program counter is noted,
    /// too.
    fn rule(self, place: Option<u64>, above: u32) -> Option<Rule> {
        Goroutine {
            thread: self.thread,
            current: self.current,
            stack_pointer: self.stack_pointer,
            place: match place {
                Some(place) => words(place)? + 1,
                None => 0,
            },
            above,
        }
        .rule()
    }
}

fn reads(instruction: &Instruction, base: Option<Register>) -> bool {
    instruction.op1_kind() == OpKind::Memory
        && instruction.segment_prefix() == Register::None
        && base == Some(instruction.memory_base())
}

fn words(bytes: u64) -> Option<u32> {
    u32::try_from(bytes)
        .ok()
        .filter(|it| it % 8 == 0)
        .map(|it| it / 8)
}

/// What holds from `moved` on, where the function has moved to another stack: offsets, each up to the
/// next. `size`: bytes on its own stack before.
/// `is_saved`: the caller's frame pointer is known to be below the return address.
pub fn rules(
    name: &str,
    code: &[u8],
    (moved, size, is_saved): (u64, i32, bool),
    noted: Option<Noted>,
) -> Vec<(u64, Rule)> {
    if is_saved && has_frame_pointer(code, moved) {
        return by_frame_pointer(code, moved);
    }
    match name {
        "runtime.systemstack" => {
            let above = u32::try_from(size).ok().filter(|it| it % 8 == 0);
            let rule = above.and_then(|above| noted?.rule(None, above / 8 + 1));
            up_to_call(code, moved, rule)
        }
        "runtime.morestack" => up_to_call(code, moved, noted.and_then(|it| it.rule(None, 0))),
        "runtime.asmcgocall" => calls_of_c(code, moved, noted),
        _ => vec![(moved, Rule::UNSUPPORTED)],
    }
}

/// Whether the function has set up its frame pointer right after saving the caller's, in either way, and
/// keeps it up to `moved`.
fn has_frame_pointer(code: &[u8], moved: u64) -> bool {
    let mut saved = Saved::No;
    let mut is_set = false;
    for instruction in instructions(code).take_while(|it| it.ip() < moved) {
        let mnemonic = instruction.mnemonic();
        if writes_frame_pointer(&instruction) {
            is_set = match saved {
                Saved::Pushed => {
                    mnemonic == Mnemonic::Mov && instruction.op1_register() == Register::RSP
                }
                Saved::Stored(place) => {
                    mnemonic == Mnemonic::Lea
                        && instruction.memory_base() == Register::RSP
                        && instruction.memory_index() == Register::None
                        && instruction.memory_displacement64() == place
                }
                Saved::No => false,
            };
        }
        let from = |operand: Register| operand == Register::RBP;
        let to_stack = instruction.op0_kind() == OpKind::Memory
            && instruction.memory_base() == Register::RSP
            && instruction.memory_index() == Register::None;
        saved = match mnemonic {
            Mnemonic::Push if from(instruction.op0_register()) => Saved::Pushed,
            Mnemonic::Mov if to_stack && from(instruction.op1_register()) => {
                Saved::Stored(instruction.memory_displacement64())
            }
            _ => Saved::No,
        };
    }
    is_set
}

/// What the instruction before did with the frame pointer.
enum Saved {
    No,
    Pushed,
    /// So far from the stack pointer.
    Stored(u64),
}

fn writes_frame_pointer(instruction: &Instruction) -> bool {
    let reads_only = [Mnemonic::Push, Mnemonic::Cmp, Mnemonic::Test];
    instruction.op0_kind() == OpKind::Register
        && instruction.op0_register().full_register() == Register::RBP
        && !reads_only.contains(&instruction.mnemonic())
}

/// As long as the function has its frame pointer, wherever its stack pointer is (Go 1.21 and later).
fn by_frame_pointer(code: &[u8], moved: u64) -> Vec<(u64, Rule)> {
    let mut rules = vec![(moved, BY_FRAME_POINTER)];
    for instruction in instructions(code).skip_while(|it| it.ip() < moved) {
        if writes_frame_pointer(&instruction) {
            rules.push((instruction.next_ip(), Rule::UNSUPPORTED));
        } else if instruction.flow_control() == FlowControl::Return {
            // What comes next is jumped to from before.
            rules.push((instruction.next_ip(), BY_FRAME_POINTER));
        }
    }
    rules
}

fn up_to_call(code: &[u8], from: u64, rule: Option<Rule>) -> Vec<(u64, Rule)> {
    let mut rules = vec![(from, rule.unwrap_or(Rule::UNSUPPORTED))];
    let mut after = instructions(code).skip_while(|it| it.ip() < from);
    let call = after.find(is_call);
    rules.extend(call.map(|call| (call.next_ip(), Rule::UNSUPPORTED)));
    rules
}

fn is_call(instruction: &Instruction) -> bool {
    matches!(
        instruction.flow_control(),
        FlowControl::Call | FlowControl::IndirectCall
    )
}

/// Before each call, the function stores on the new stack what it will need to come back: the goroutine,
/// or, when it was on the system's stack already, the stack pointer that it had (up to Go 1.20).
fn calls_of_c(code: &[u8], moved: u64, noted: Option<Noted>) -> Vec<(u64, Rule)> {
    let mut rules = vec![(moved, Rule::UNSUPPORTED)];
    let (mut own, mut before) = (Register::None, Register::None);
    let mut has_returned = false;
    for instruction in instructions(code) {
        let to = instruction.op0_register();
        let is_move = instruction.mnemonic() == Mnemonic::Mov;
        if instruction.ip() < moved {
            if is_move
                && instruction.segment_prefix() == Register::FS
                && instruction.op1_kind() == OpKind::Memory
            {
                own = to;
            } else if is_move && instruction.op1_register() == Register::RSP {
                before = to;
            }
            continue;
        }
        let to_stack = is_move
            && instruction.op0_kind() == OpKind::Memory
            && instruction.memory_base() == Register::RSP;
        let stored = if to_stack {
            instruction.op1_register()
        } else {
            Register::None
        };
        let place = instruction.memory_displacement64();
        let rule = if stored == Register::None {
            None
        } else if stored == own && !has_returned {
            noted.and_then(|it| it.rule(Some(place), 1))
        } else if stored == before && has_returned {
            words(place).and_then(|it| Rule::new(Kind::StackPointerSaved, it, 0))
        } else {
            None
        };
        if let Some(rule) = rule {
            rules.push((instruction.next_ip(), rule));
            // Both are used for something else now.
            (own, before) = if has_returned {
                (own, Register::None)
            } else {
                (Register::None, before)
            };
        } else if is_call(&instruction) {
            rules.push((instruction.next_ip(), Rule::UNSUPPORTED));
        }
        has_returned |= instruction.flow_control() == FlowControl::Return;
    }
    rules
}

fn instructions(code: &[u8]) -> impl Iterator<Item = Instruction> {
    Decoder::with_ip(64, code, 0, DecoderOptions::NONE).into_iter()
}
