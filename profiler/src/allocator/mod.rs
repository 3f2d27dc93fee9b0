//! Which functions of a module are an allocator's, how each takes its arguments, and where its
//! probes go. Reads symbol tables and machine code; knows nothing of processes or eBPF.
//!
//! A name alone does not decide. Several names of one function are probed once; a function that
//! only passes on to another known one (libstdc++'s `operator new` to `malloc`) is not probed; one
//! through which an exception may pass is watched at its `ret`s, since a uretprobe would end the
//! program. Names say which those are: the throwing variants of `operator new` and their like. A
//! nothrow variant may be left by no exception, and one that it catches itself is found by the
//! unwinder before it gets to the return address that a uretprobe has replaced.
//!
//! On aarch64 only entries are found: functions that may throw are refused, and operators of a
//! module without a `malloc` of its own are taken to pass on.

mod candidates;
mod forward;
mod frames;
mod image;
pub mod names;
mod plan;
mod returns;
mod sites;
mod symbols;
#[cfg(test)]
mod tests;

pub use plan::plan;

use crate::site::emulation::Emulation;

/// What is not in the file: what the user asks for, and knows where detection cannot, and what the kernel does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// A prefix before the C library's and jemalloc's names (`my_` for `my_malloc`): every such
    /// function is probed, even if some are missing and even if they pass on to `malloc`.
    pub prefix: Option<String>,
    /// Probes on functions' entries go to their first instructions, whatever that costs.
    pub at_entry: bool,
    /// What is cheap to probe.
    pub emulation: Emulation,
}

/// A file of which no plan can be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The bytes are not a 64-bit ELF file.
    #[error("not a 64-bit ELF file")]
    NotElf,
    /// For another processor: `e_machine`.
    #[error("for another kind of processor (ELF machine {0})")]
    Machine(u16),
    /// Headers or tables that lead nowhere.
    #[error("damaged ELF file: {0}")]
    Damaged(#[from] object::Error),
    /// More names of allocator functions than any real file has.
    #[error("thousands of allocator functions: not believable")]
    TooMany,
}

/// How a function takes its arguments. Each shape has one eBPF program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shape {
    /// `f(size, ..) -> block`: malloc, valloc, pvalloc, mallocx, every `operator new`.
    Size,
    /// `f(n, size) -> block`: calloc.
    Count,
    /// `f(alignment, size) -> block`: memalign, `aligned_alloc`.
    SizeSecond,
    /// `f(&out, alignment, size) -> 0`: `posix_memalign`.
    OutPointer,
    /// `f(old, size, ..) -> block`: realloc, rallocx.
    Realloc,
    /// `f(old, n, size) -> block`: reallocarray.
    ReallocArray,
    /// `f(block, size, extra, flags) -> real size`: xallocx, in place or not at all.
    Resize,
    /// `f(block, ..)`: free, cfree, dallocx, sdallocx, every `operator delete`.
    Free,
}

/// How the return of a function is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Returns {
    /// Not at all: the shape has no result that matters.
    Ignored,
    /// By a uretprobe. Never on a function through which an exception may be thrown: the unwinder
    /// of the language finds the kernel's trampoline instead of the return address, and ends the
    /// program (`std::terminate`).
    Trampoline,
    /// By uprobes on each of its `ret` instructions: file offsets.
    Instructions(Vec<u64>),
}

/// Where a function's entry is seen: at its first instruction, or at one that each call comes to from
/// there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// File offset of the instruction.
    pub offset: u64,
    /// Whether the kernel single-steps it under a probe, which costs several times as much as to emulate it.
    pub single_stepped: bool,
    /// How many registers after those that they were passed in its arguments are there.
    pub shift: isize,
}

/// One function to be probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// The symbol's name, mangled as in the symbol table.
    pub symbol: String,
    /// How it takes its arguments.
    pub shape: Shape,
    /// File offset of its first instruction.
    pub entry: u64,
    /// Where its entry is seen.
    pub site: Site,
    /// How its return is seen.
    pub returns: Returns,
}

/// A function that should be probed and cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The symbol's name.
    pub symbol: String,
    /// Why, as the middle of a sentence.
    pub reason: String,
}

/// What to probe in one module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Functions to probe, each entry address once.
    pub functions: Vec<Function>,
    /// Functions that should be and cannot be.
    pub refused: Vec<Refused>,
    /// Whether the module is an executable without any symbol of its own: an allocator inside it
    /// cannot be found by name.
    pub stripped_static: bool,
}
