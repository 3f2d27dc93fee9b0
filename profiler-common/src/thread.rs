//! What is kept of a thread between the entry of an allocator function and its return.

use crate::alloc::{Block, BlockKey};
use crate::stack::StackRecord;

/// How many calls of one thread can be set aside while signal handlers run.
pub const MAX_INTERRUPTED: usize = 2;

/// An allocator call that has been entered and not left.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Where on the stack its return address is; 0: there is no such call.
    pub slot: u64,
    /// The return address, as it was before any return probe replaced it.
    pub return_address: u64,
    /// Address of the function.
    pub function: u64,
    /// Requested size; `u64::MAX` when n * size overflows.
    pub size: u64,
    /// The old block (realloc, xallocx) or where the result will be stored (`posix_memalign`).
    pub argument: u64,
    /// Hash of the stack at its entry.
    pub stack: u64,
    /// One of [`kind`].
    pub kind: u32,
    /// How its return is seen: one of [`seen`].
    pub seen: u32,
    /// realloc only: 1 when `old` was in the live map and is set aside here.
    pub has_old: u64,
    /// The block that realloc was given.
    pub old: Block,
}

/// What the return value of a call means.
pub mod kind {
    /// The block, or 0.
    pub const BLOCK: u32 = 1;
    /// 0, and the block is where the first argument points to.
    pub const OUT_POINTER: u32 = 2;
    /// The new block; 0 with a size of 0 means freed, 0 with another size means failed.
    pub const REALLOC: u32 = 3;
    /// The size the block now has: the resize succeeded when it is at least what was asked for.
    pub const RESIZE: u32 = 4;
}

/// How the return of a call is seen.
pub mod seen {
    /// By a uretprobe: the kernel has put its trampoline into the slot.
    pub const TRAMPOLINE: u32 = 1;
    /// By uprobes on the function's `ret` instructions: the slot keeps the return address.
    pub const INSTRUCTION: u32 = 2;
}

/// All that is kept of one thread. Only programs running on that thread touch it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Thread {
    /// The outermost allocator call in flight.
    pub call: Call,
    /// Calls in flight that a signal handler interrupted, the oldest first.
    pub interrupted: [Call; MAX_INTERRUPTED],
    /// How many of `interrupted` are in use.
    pub interrupted_count: u64,
    /// Calls nested in `call` so far.
    pub nested: u64,
    /// Scratch: a key for the live map. Scratch lives here because since Linux 6.0 uprobe programs
    /// are preemptible, so per-CPU scratch is shared with whoever runs next, and because frames of
    /// 64 bytes and more get a per-CPU private stack since 6.13, with the same consequence.
    pub key: BlockKey,
    /// Scratch: a value for the live map.
    pub block: Block,
    /// Scratch: a saved frame pointer and the return address above it.
    pub frame: [u64; 2],
    /// Scratch: the stack being walked.
    pub record: StackRecord,
}
