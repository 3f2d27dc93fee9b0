//! Where in a function probes go: what its machine code can do, instruction by instruction.
//!
//! A probe on anything but the first byte of an instruction corrupts the process it is put into.
//! So an instruction counts only when control flow leads to it from the function's entry (or from
//! the entry of one of its exception handlers): nothing here sweeps over bytes and guesses.
//! x86-64 only.

use std::collections::BTreeMap;
use std::ops::Range;

use iced_x86::{Code as Opcode, Decoder, DecoderOptions, FlowControl, Instruction};
use iced_x86::{Mnemonic, OpKind, Register};

/// Where a jump or call leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An address in the same file.
    Here(u64),
    /// A function of that name in some other file, through the PLT or GOT.
    Elsewhere(String),
}

/// The code of one file, at its virtual addresses as linked.
pub trait Code {
    /// The bytes from an address to the end of its executable segment; none outside of one.
    fn bytes(&self, address: u64) -> &[u8];
    /// The function, or the part of one, that an address lies in, when its ends are known.
    fn extent(&self, address: u64) -> Option<Range<u64>>;
    /// Entries of the exception handlers of the function that an address lies in.
    fn handlers(&self, address: u64) -> Vec<u64>;
    /// What the pointer in a GOT slot leads to, where a relocation says so.
    fn slot(&self, address: u64) -> Option<Place>;
}

/// One way from an instruction to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edge {
    /// To an instruction that is in the graph too.
    To(u64),
    /// Out of what was followed: a tail call.
    Out(Place),
    /// To an address that only the running program knows.
    Unknown,
}

/// What an instruction does to control flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Goes along its edges: nothing special, a jump or a branch.
    Plain,
    /// Calls, then goes along its edge, which is missing where the function's end is reached: such
    /// a call does not return. `None`: an address that only the running program knows.
    Call(Option<Place>),
    /// Returns to the caller. No edges.
    Return,
    /// Goes nowhere: a trap. No edges.
    End,
}

/// One instruction.
#[derive(Debug, Clone)]
pub struct Step {
    /// The instruction; `ip()` is its address, prefixes included.
    pub instruction: Instruction,
    /// What it does.
    pub kind: Kind,
    /// Where it goes; of a conditional branch the taken way is the first.
    pub edges: Vec<Edge>,
}

/// What can be reached from an entry, by address.
pub type Graph = BTreeMap<u64, Step>;

/// Why a function's code could not be read to the end. Reads as the middle of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Neither unwind information nor a symbol says where the function ends.
    #[error("nothing says where the code at {0:#x} ends")]
    NoExtent(u64),
    /// No instruction there, or one that reaches beyond the function.
    #[error("the code at {0:#x} cannot be decoded")]
    Undecodable(u64),
    /// Two ways of control flow disagree about where instructions begin.
    #[error("instructions overlap at {0:#x}")]
    Overlap(u64),
    /// More instructions than were allowed for.
    #[error("its code is too long to be followed")]
    TooLong,
}

/// How far `explore` goes.
pub struct Limits<'a> {
    /// Whether to go on where a jump leaves the function for that address.
    pub follow: &'a dyn Fn(u64) -> bool,
    /// Whether to look into exception handlers, which no instruction leads to.
    pub handlers: bool,
    /// Instructions that may still be decoded; counted down.
    pub budget: &'a mut usize,
}

/// Everything that can be executed from `entry` on until it returns, without what it calls.
pub fn explore(code: &dyn Code, entry: u64, limits: &mut Limits<'_>) -> Result<Graph, Lost> {
    let mut graph = Graph::new();
    // By start. Parts that overlap, as only a damaged file has them, are looked up more than once.
    let mut parts: BTreeMap<u64, Range<u64>> = BTreeMap::new();
    let mut todo = vec![entry];
    while let Some(address) = todo.pop() {
        if graph.contains_key(&address) {
            continue;
        }
        let part = parts
            .range(..=address)
            .next_back()
            .map(|(_, part)| part.clone());
        let extent = if let Some(part) = part.filter(|part| part.contains(&address)) {
            part
        } else {
            let part = code.extent(address).ok_or(Lost::NoExtent(address))?;
            if parts.insert(part.start, part.clone()).is_none() && limits.handlers {
                todo.extend(code.handlers(address));
            }
            part
        };
        *limits.budget = limits.budget.checked_sub(1).ok_or(Lost::TooLong)?;
        let instruction = decode(code, address, &extent).ok_or(Lost::Undecodable(address))?;
        let step = step(code, instruction, &extent, limits.follow)?;
        todo.extend(step.edges.iter().filter_map(|edge| match edge {
            Edge::To(next) => Some(*next),
            Edge::Out(_) | Edge::Unknown => None,
        }));
        graph.insert(address, step);
    }
    let mut end = 0;
    for (address, step) in &graph {
        if *address < end {
            return Err(Lost::Overlap(*address));
        }
        end = step.instruction.next_ip();
    }
    Ok(graph)
}

/// Where a function goes that does nothing but jump on (`endbr64` allowed), such as a PLT stub.
/// `None` for any other code.
pub fn forwards_to(code: &dyn Code, address: u64) -> Option<Place> {
    let everything = 0..u64::MAX;
    let mut jump = decode(code, address, &everything)?;
    if jump.mnemonic() == Mnemonic::Endbr64 {
        jump = decode(code, jump.next_ip(), &everything)?;
    }
    match jump.flow_control() {
        FlowControl::UnconditionalBranch => direct(&jump).map(Place::Here),
        FlowControl::IndirectBranch => indirect(code, &jump),
        _ => None,
    }
}

/// A target as the program means it: a PLT stub is replaced by what it leads to.
pub fn behind(code: &dyn Code, target: u64) -> Place {
    let everything = 0..u64::MAX;
    let first = decode(code, target, &everything);
    let jump = match first {
        Some(first) if first.mnemonic() == Mnemonic::Endbr64 => {
            decode(code, first.next_ip(), &everything)
        }
        other => other,
    };
    jump.filter(|jump| jump.flow_control() == FlowControl::IndirectBranch)
        .and_then(|jump| indirect(code, &jump))
        .unwrap_or(Place::Here(target))
}

fn decode(code: &dyn Code, address: u64, extent: &Range<u64>) -> Option<Instruction> {
    let bytes = code.bytes(address);
    let room = usize::try_from(extent.end.checked_sub(address)?).unwrap_or(usize::MAX);
    let bytes = bytes.get(..bytes.len().min(room).min(15))?;
    let instruction = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).decode();
    (instruction.code() != Opcode::INVALID).then_some(instruction)
}

fn step(
    code: &dyn Code,
    instruction: Instruction,
    extent: &Range<u64>,
    follow: &dyn Fn(u64) -> bool,
) -> Result<Step, Lost> {
    let next = instruction.next_ip();
    let fall = (next < extent.end).then_some(Edge::To(next));
    let go = || fall.clone().ok_or(Lost::Undecodable(next));
    let jump = |target: u64| {
        if extent.contains(&target) {
            return Edge::To(target);
        }
        match behind(code, target) {
            Place::Here(there) if follow(there) => Edge::To(there),
            place => Edge::Out(place),
        }
    };
    let (kind, edges) = match instruction.flow_control() {
        FlowControl::Next | FlowControl::Interrupt | FlowControl::Exception
            if traps(&instruction) =>
        {
            (Kind::End, Vec::new())
        }
        FlowControl::Next | FlowControl::Interrupt | FlowControl::Exception => {
            (Kind::Plain, vec![go()?])
        }
        FlowControl::Return if instruction.mnemonic() == Mnemonic::Ret => {
            (Kind::Return, Vec::new())
        }
        FlowControl::Return | FlowControl::XbeginXabortXend => (Kind::Plain, vec![Edge::Unknown]),
        FlowControl::UnconditionalBranch => {
            let edge = direct(&instruction).map_or(Edge::Unknown, jump);
            (Kind::Plain, vec![edge])
        }
        FlowControl::ConditionalBranch => {
            let edge = direct(&instruction).map_or(Edge::Unknown, jump);
            (Kind::Plain, vec![edge, go()?])
        }
        FlowControl::IndirectBranch => {
            let edge = match indirect(code, &instruction) {
                Some(Place::Here(there)) if follow(there) => Edge::To(there),
                Some(place) => Edge::Out(place),
                None => Edge::Unknown,
            };
            (Kind::Plain, vec![edge])
        }
        FlowControl::Call if instruction.is_call_near() => {
            let target = direct(&instruction).map(|target| behind(code, target));
            (Kind::Call(target), fall.into_iter().collect())
        }
        // syscall and its like
        FlowControl::Call => (Kind::Plain, vec![go()?]),
        FlowControl::IndirectCall => (
            Kind::Call(indirect(code, &instruction)),
            fall.into_iter().collect(),
        ),
    };
    Ok(Step {
        instruction,
        kind,
        edges,
    })
}

/// `hlt`, `int3`, `ud2`: what compilers put where control must not get to.
fn traps(instruction: &Instruction) -> bool {
    instruction.flow_control() == FlowControl::Exception
        || matches!(instruction.mnemonic(), Mnemonic::Hlt | Mnemonic::Int3)
}

fn direct(instruction: &Instruction) -> Option<u64> {
    (instruction.op0_kind() == OpKind::NearBranch64).then(|| instruction.near_branch64())
}

/// `jmp *slot(%rip)` and `call *slot(%rip)`, and with an absolute slot in code linked to a fixed address.
fn indirect(code: &dyn Code, instruction: &Instruction) -> Option<Place> {
    let fixed = matches!(instruction.memory_base(), Register::RIP | Register::None)
        && instruction.memory_index() == Register::None
        && instruction.segment_prefix() == Register::None;
    if instruction.op0_kind() != OpKind::Memory || !fixed {
        return None;
    }
    code.slot(instruction.memory_displacement64())
}

pub mod emulation;
pub mod entry;
#[cfg(test)]
mod tests;
