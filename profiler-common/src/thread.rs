//! What is kept of a thread between the entry of an allocator function and its return.

use crate::alloc::{Block, BlockKey};
use crate::page::{Move, Touch, Touches};
use crate::stack::StackRecord;
use crate::unwind::Frame;

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
    /// 1: its block is recorded; 0: another one will be, or its old block is all that matters.
    pub recorded: u64,
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

/// Words of a [`Window`].
pub const WINDOW_WORDS: usize = 512;

/// A part of a thread's stack, read at once: that is much cheaper than to read word by word.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Window {
    /// Address of the first word.
    pub start: u64,
    /// How many bytes are valid.
    pub length: u64,
    /// Where reading failed before: the end of the stack, if it is near; 0: nowhere.
    pub limit: u64,
    /// How much of the stack the walks that are remembered need, from the top when a function is entered: bytes.
    pub ahead: u64,
    /// The words.
    pub words: [u64; WINDOW_WORDS],
}

/// Most return addresses of a thread that are known to be replaced by our return probes.
pub const MAX_REPLACED: usize = 16;

/// A return address that a return probe of ours has replaced.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Replaced {
    /// Where it was.
    pub slot: u64,
    /// What it was.
    pub return_address: u64,
}

/// A walk of a thread's stack that goes on in the next program.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Walk {
    /// The outermost frame so far.
    pub frame: Frame,
    /// Of what a signal interrupted: the link register, on machines that have one; else where its
    /// registers are.
    pub link: u64,
    /// How many frames there are.
    pub depth: u64,
    /// How many of them are known without any table.
    pub sure: u64,
    /// 1 while the walk goes on: it reads the stack, which can fault.
    pub busy: u64,
    /// 1: the last frame was found by a frame pointer of code that may use it for something else.
    pub doubtful: u64,
    /// What beside its addresses tells this stack from another: the same address can mean another
    /// file later.
    pub seed: u64,
    /// The process's tables.
    pub tables: Tables,
    /// Where it is remembered: an index of [`Thread::memos`].
    pub memo: u64,
}

/// Words of the stack that a [`Memo`] can hold.
pub const MEMO_WORDS: usize = 64;

/// How many of them are compared before it is asked whether they were the same. A power of two.
pub const MEMO_GROUP: usize = 4;

/// How many walks are remembered of each thread: a program that does some work again and again does so
/// from a few places. A power of two.
pub const MEMOS: usize = 8;

/// How many blocks or pages are counted in a [`Memo`] before they are added to their stack's totals: to
/// find those costs as much as all else that is done for a touch from the same place.
pub const MEMO_PENDING: u64 = 64;

/// A walk of a thread's stack, and all that it depended on: when another one begins with the same
/// registers and would read the same words, it would end with the same stack.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Memo {
    /// The stack's innermost address: where the walk began, or the allocator's function that was called.
    pub innermost: u64,
    /// Where the walk began.
    pub pc: u64,
    /// Stack pointer there.
    pub sp: u64,
    /// Frame pointer register there.
    pub fp: u64,
    /// 1: the walk depended on `fp`, which most code uses for something else.
    pub fp_needed: u64,
    /// 1: the walk has read a caller's frame pointer from the stack, so it does not depend on `fp` from
    /// there on.
    pub fp_restored: u64,
    /// Link register there.
    pub link: u64,
    /// `ProcessTable::sequence` of the tables that were used.
    pub sequence: u64,
    /// How often the process's mappings had changed.
    pub changes: u64,
    /// `ProcessTable::changes_index`.
    pub changes_index: u32,
    /// Always 0.
    pub padding: u32,
    /// The stack's hash.
    pub stack: u64,
    /// Blocks or pages taken at that stack that are not in its totals yet: less than [`MEMO_PENDING`].
    pub pending_count: u64,
    /// Their bytes.
    pub pending_bytes: u64,
    /// How many words were read; more than there is room for: not kept.
    pub count: u64,
    /// How much of the stack above `sp` they are within: words.
    pub span: u64,
    /// A caller's frame pointer that was read and is noted as soon as the walk depends on it: where it was; 0: there
    /// is none.
    pub later_at: u64,
    /// What it was.
    pub later: u64,
    /// Where they were: bytes above `sp`. Half-words, so that few cache lines are read. Up to a multiple of
    /// [`MEMO_GROUP`] they are filled up with the first one.
    pub places: [u16; MEMO_WORDS],
    /// What they were.
    pub words: [u64; MEMO_WORDS],
}

/// A process's tables at one moment.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Tables {
    /// Index of the first mapping.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// `ProcessTable::generation`.
    pub generation: u64,
    /// `ProcessTable::sequence`.
    pub sequence: u64,
    /// How often the process's mappings have changed.
    pub changes: u64,
    /// `ProcessTable::changes_index`.
    pub changes_index: u32,
    /// Always 0.
    pub padding: u32,
}

/// How many threads have their [`Thread`] where it is found at once, by the thread's id modulo this: of several the first
/// one, until it exits. A power of two.
pub const NEAR_THREADS: u32 = 1 << 8;

/// How many threads have a [`Sampler`] at a time. A power of two.
pub const SAMPLERS: usize = 1 << 12;

/// What sampling needs of a thread at each call, where it is found at once: by the thread's id modulo
/// [`SAMPLERS`]. Of several threads the first one has it, until it exits.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Sampler {
    /// The thread's id; 0: none.
    pub owner: u32,
    /// How the return of the call in `slot` is seen: one of [`seen`].
    pub seen: u32,
    /// Bytes up to the next one that is picked, itself included; 0: not known yet.
    pub until: u64,
    /// The call in flight that is not recorded: where on the stack its return address is; 0: none.
    pub slot: u64,
    /// Its return address, where that is needed to know that it is still in flight.
    pub return_address: u64,
    /// Address of its function.
    pub function: u64,
    /// 1: [`Thread`] may have a call in flight.
    pub busy: u64,
}

/// All that is kept of one thread, which only programs running on that thread touch; or what those of page faults work
/// with, on one processor.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Thread {
    /// Of a state that is found by the thread's id alone (see [`NEAR_THREADS`]): the thread whose it is; 0: nobody's.
    pub owner: u32,
    /// Always 0.
    pub padding: u32,
    /// The outermost allocator call in flight.
    pub call: Call,
    /// Calls in flight that a signal handler interrupted, the oldest first.
    pub interrupted: [Call; MAX_INTERRUPTED],
    /// How many of `interrupted` are in use.
    pub interrupted_count: u64,
    /// Calls nested in `call` so far.
    pub nested: u64,
    /// Where gaps may be: the address that was given back last,
    pub given_back: u64,
    /// and the [`Control::since`](crate::config::Control::since) of then.
    pub given_back_since: u64,
    /// Sampling: as [`Sampler::until`], of a thread that has no [`Sampler`].
    pub until: u64,
    /// Return addresses that return probes have replaced, the outermost first, nested calls included.
    /// Those of calls that have returned meanwhile may still be among them.
    pub replaced: [Replaced; MAX_REPLACED],
    /// How many of `replaced` are in use.
    pub replaced_count: u64,
    /// Scratch: a key for the live map. Scratch lives here because since Linux 6.0 uprobe programs
    /// are preemptible, so per-CPU scratch is shared with whoever runs next, and because frames of
    /// 64 bytes and more get a per-CPU private stack since 6.13, with the same consequence.
    pub key: BlockKey,
    /// Scratch: a value for the live map.
    pub block: Block,
    /// Scratch: a touch, of the page at this address,
    pub page: u64,
    /// and the touch itself.
    pub touch: Touch,
    /// When the clock was read for `touch`: jiffies.
    pub jiffies: u64,
    /// Scratch: a new entry for the map of touches; no touches in it otherwise.
    pub touches: Touches,
    /// The `mremap` it is in.
    pub moved: Move,
    /// Scratch: how far the walk has got.
    pub walk: Walk,
    /// Walks before, each at the place that [`Walk::memo`] says.
    pub memos: [Memo; MEMOS],
    /// Scratch: the walk under way, as it may be remembered.
    pub memo: Memo,
    /// Scratch: a part of its stack.
    pub window: Window,
    /// Scratch: the stack being walked.
    pub record: StackRecord,
}
