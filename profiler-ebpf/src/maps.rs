//! Every map: what it holds, how large it may grow, and what happens when it is full.

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, ProgramArray, RingBuf};
use unfreed_common::alloc::{Block, BlockKey, GivenBack, VACANT_PLACES};
use unfreed_common::config::{Control, Ended, Traps};
use unfreed_common::loss::{Loss, Note};
use unfreed_common::page::Touches;
use unfreed_common::sample::Sampling;
use unfreed_common::stack::StackTotals;
use unfreed_common::thread::{NEAR_THREADS, SAMPLERS as SAMPLER_SLOTS, Sampler, Thread};
use unfreed_common::unwind::{
    CACHE_ENTRIES, MAPPINGS as MAPPINGS_OF_ALL, MAX_PROCESSES, Mapping, ProcessTable, walker,
};

/// Blocks taken and not given back, and vacant entries. Memory is taken per entry, so the size (`--max-live`, set by the
/// user side) costs 16 bytes an entry up front. Full: the block is lost, `Loss::LiveMapFull`.
#[map]
pub static LIVE: HashMap<BlockKey, Block> = HashMap::with_max_entries(1 << 20, BPF_F_NO_PREALLOC);

/// What was given back: a sum for each processor, so that they do not wait for each other. (Uprobe
/// programs are preemptible since Linux 6.0, so even these see only atomic adds.)
#[map]
pub static GIVEN_BACK: PerCpuArray<GivenBack> = PerCpuArray::with_max_entries(1, 0);

/// How many blocks have an address of this hash: those that a realloc has set aside and, when not every block is
/// recorded, those that are live. That of most frees is none, and a look here costs less than a search.
#[map]
pub static HELD: Array<u64> = Array::with_max_entries(1 << HELD_PLACES, 0);

/// Binary logarithm of how many hashes there are.
pub const HELD_PLACES: u32 = 15;

/// How many entries of LIVE are vacant, by the hash of their address. The user side makes it small when LIVE is to be
/// small; hashes without a place have no vacant entries.
#[map]
pub static VACANT: Array<u64> = Array::with_max_entries(1 << VACANT_PLACES, 0);

/// How often uprobes' programs ran, on each processor, when the recording may have gaps.
#[map]
pub static TRAPS: PerCpuArray<Traps> = PerCpuArray::with_max_entries(1, 0);

/// Touches by page. Memory is taken per entry where the kernel lets us; the user side sets the size
/// (`--max-pages`). Full: the touch is lost, `Loss::TouchMapFull`.
#[map]
pub static TOUCHES: HashMap<BlockKey, Touches> =
    HashMap::with_max_entries(1 << 10, BPF_F_NO_PREALLOC);

/// Which processor's time a touch has had last, from 1 on: see `touch::set_time`.
#[map]
pub static LAST_CLOCK: Array<u64> = Array::with_max_entries(1, 0);

/// Memory that was moved, on its way to the user side. Full: `Loss::MoveNotSent`.
#[map]
pub static MOVES: RingBuf = RingBuf::with_byte_size(256 << 10, 0);

/// Distinct stacks by their hash. Full: blocks go to `OVERFLOW_STACK`, `Loss::StackMapFull`.
#[map]
pub static STACKS: HashMap<u64, StackTotals> = HashMap::with_max_entries(1 << 17, 0);

/// New stacks on their way to the user side, about 200 bytes each. Full: `Loss::StackNotSent`, and
/// the stack is sent at its next use.
#[map]
pub static NEW_STACKS: RingBuf = RingBuf::with_byte_size(16 << 20, 0);

/// The state of threads that have their place to themselves: to find it takes no search. The user side makes it small
/// where threads' states are hardly asked for.
#[map]
pub static NEAR: Array<Thread> = Array::with_max_entries(NEAR_THREADS, 0);

/// Whose place is whose: the thread's id, by the index in NEAR. Of two threads that want one at the same moment, one gets
/// to insert itself.
#[map]
pub static NEAR_OWNERS: HashMap<u32, u32> = HashMap::with_max_entries(NEAR_THREADS, 0);

/// One entry for each other thread that ever allocated, removed at its exit. Full: `Loss::ThreadMapFull`.
#[map]
pub static THREADS: HashMap<u32, Thread> = HashMap::with_max_entries(1 << 16, BPF_F_NO_PREALLOC);

/// What the programs of page faults have in the place of a thread's state: one for each processor, as they run
/// with interrupts off, or at least without being preempted (see `touch`).
#[map]
pub static FAULTING: PerCpuArray<Thread> = PerCpuArray::with_max_entries(1, 0);

/// The value a new thread starts with: it is too large for a program's stack.
#[map]
pub static BLANK_THREAD: Array<Thread> = Array::with_max_entries(1, 0);

/// What a new stack starts with.
#[map]
pub static BLANK_TOTALS: Array<StackTotals> = Array::with_max_entries(1, 0);

/// The rows of all unwind tables (`unwind::Row`), written by the user side, which also sets the size.
#[map]
pub static ROWS: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// The executable mappings of the recorded processes: a list for each, and the one before it, which a
/// walk may still be at work in.
#[map]
pub static MAPPINGS: Array<Mapping> = Array::with_max_entries(MAPPINGS_OF_ALL, BPF_F_MMAPABLE);

/// Where a process's mappings are.
#[map]
pub static PROCESSES: HashMap<u32, ProcessTable> = HashMap::with_max_entries(MAX_PROCESSES, 0);

/// What stands for a process of which nothing is published.
#[map]
pub static BLANK_PROCESS: Array<ProcessTable> = Array::with_max_entries(1, 0);

/// How often the mappings of a process changed, by `ProcessTable::changes_index`.
#[map]
pub static CHANGES: Array<u64> = Array::with_max_entries(MAX_PROCESSES, 0);

/// Which of a process's tables are published (`ProcessTable::sequence`), by `ProcessTable::changes_index`:
/// an array, since that is looked into at once. Written by the user side, after `PROCESSES`.
#[map]
pub static PUBLISHED: Array<u64> = Array::with_max_entries(MAX_PROCESSES, 0);

/// Tells the user side that mappings have changed: the process's id.
#[map]
pub static CHANGED: RingBuf = RingBuf::with_byte_size(4096, 0);

/// Rules found before, by address: see `rules::cached`.
#[map]
pub static CACHE: Array<u64> = Array::with_max_entries(CACHE_ENTRIES, BPF_F_MMAPABLE);

/// Processes that have the recorded one's memory for now (vfork), by process id. Full: what they touch is
/// nobody's.
#[map]
pub static GUESTS: HashMap<u32, u32> = HashMap::with_max_entries(1 << 10, 0);

/// How many those are: an array, since that is looked into at once.
#[map]
pub static GUESTS_COUNT: Array<u64> = Array::with_max_entries(1, 0);

/// Written by the user side: how to sample.
#[map]
pub static SAMPLING: Array<Sampling> = Array::with_max_entries(1, 0);

/// See `Sampler`. The user side makes it small when every block is recorded.
#[map]
pub static SAMPLERS: Array<Sampler> = Array::with_max_entries(SAMPLER_SLOTS as u32, 0);

/// Written by the user side: whether events count.
#[map]
pub static CONTROL: Array<Control> = Array::with_max_entries(1, 0);

/// Written here: the target ended the recording.
#[map]
pub static ENDED: Array<Ended> = Array::with_max_entries(1, 0);

/// One counter for each `Loss`. Not per CPU: uprobe programs are preemptible since Linux 6.0, and
/// these are rare enough for an atomic add.
#[map]
pub static LOSSES: Array<u64> = Array::with_max_entries(Loss::ALL.len() as u32, 0);

/// One counter for each `Note`.
#[map]
pub static NOTES: Array<u64> = Array::with_max_entries(Note::ALL.len() as u32, 0);

/// The programs that an allocator function's entry goes on in: at `walker::WALK` one of
/// `heap::heap_walk_*`, at `walker::KEEP` `heap::heap_keep_stack`.
#[map]
pub static WALKERS: ProgramArray = ProgramArray::with_max_entries(walker::COUNT, 0);

/// The same for faults that tracepoints tell of: programs of another type have an array of their own.
#[map]
pub static FAULT_WALKERS: ProgramArray = ProgramArray::with_max_entries(walker::COUNT, 0);

/// The same for faults that perf events tell of.
#[map]
pub static PERF_WALKERS: ProgramArray = ProgramArray::with_max_entries(walker::COUNT, 0);

/// Always empty: see `process::recorded_by_probe`.
#[map]
pub static NO_PROGRAMS: ProgramArray = ProgramArray::with_max_entries(1, 0);
