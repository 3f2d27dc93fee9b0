//! One program per calling shape of allocator functions, one for each way to walk the stack, and two
//! for returns. Thin: they decode arguments.

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::{uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use unfreed_common::alloc::BlockKey;
use unfreed_common::loss::Loss;
use unfreed_common::stack::OVERFLOW_STACK;
use unfreed_common::thread::{Thread, kind, seen};
use unfreed_common::unwind::walker;

use crate::gaps::Run;
use crate::loss::lost;
use crate::machine::Registers;
use crate::maps::WALKERS;
use crate::sampler::{self, Verdict};
use crate::track::Entry;
use crate::{frame_pointer, gaps, live, process, settings, stack, thread, track, unwind};

/// `f(size, ..) -> block`
#[uprobe]
pub fn heap_size(ctx: ProbeContext) -> u32 {
    size(&ctx, seen::TRAMPOLINE)
}

/// `f(size, ..) -> block`, where an exception may be thrown through `f`.
#[uprobe]
pub fn heap_size_throwing(ctx: ProbeContext) -> u32 {
    size(&ctx, seen::INSTRUCTION)
}

/// `f(n, size) -> block`
#[uprobe]
pub fn heap_count(ctx: ProbeContext) -> u32 {
    count(&ctx, seen::TRAMPOLINE)
}

/// `f(n, size) -> block`, where an exception may be thrown through `f`.
#[uprobe]
pub fn heap_count_throwing(ctx: ProbeContext) -> u32 {
    count(&ctx, seen::INSTRUCTION)
}

/// `f(alignment, size) -> block`
#[uprobe]
pub fn heap_size_second(ctx: ProbeContext) -> u32 {
    let regs = Registers::of(ctx.regs);
    entry(&ctx, regs.argument(1), 0, kind::BLOCK, seen::TRAMPOLINE)
}

/// `f(&out, alignment, size) -> 0`
#[uprobe]
pub fn heap_out_pointer(ctx: ProbeContext) -> u32 {
    let regs = Registers::of(ctx.regs);
    let (out, size) = (regs.argument(0), regs.argument(2));
    entry(&ctx, size, out, kind::OUT_POINTER, seen::TRAMPOLINE)
}

/// `f(old, size, ..) -> block`
#[uprobe]
pub fn heap_realloc(ctx: ProbeContext) -> u32 {
    realloc(&ctx, seen::TRAMPOLINE)
}

/// `f(old, size, ..) -> block`, where an exception may be thrown through `f`.
#[uprobe]
pub fn heap_realloc_throwing(ctx: ProbeContext) -> u32 {
    realloc(&ctx, seen::INSTRUCTION)
}

/// `f(.., old, size) -> block`
#[uprobe]
pub fn heap_realloc_second(ctx: ProbeContext) -> u32 {
    let regs = Registers::of(ctx.regs);
    let (old, size) = (regs.argument(1), regs.argument(2));
    entry(&ctx, size, old, kind::REALLOC, seen::TRAMPOLINE)
}

/// `f(old, n, size) -> block`
#[uprobe]
pub fn heap_realloc_array(ctx: ProbeContext) -> u32 {
    realloc_array(&ctx, seen::TRAMPOLINE)
}

/// `f(old, n, size) -> block`, where an exception may be thrown through `f`.
#[uprobe]
pub fn heap_realloc_array_throwing(ctx: ProbeContext) -> u32 {
    realloc_array(&ctx, seen::INSTRUCTION)
}

/// `f(block, size, extra, flags) -> real size`
#[uprobe]
pub fn heap_resize(ctx: ProbeContext) -> u32 {
    let regs = Registers::of(ctx.regs);
    let (old, size) = (regs.argument(0), regs.argument(1));
    entry(&ctx, size, old, kind::RESIZE, seen::TRAMPOLINE)
}

/// An entry goes on here, after any of the programs above: the stack, by unwind tables.
#[uprobe]
pub fn heap_walk_tables(ctx: ProbeContext) -> u32 {
    if let Some((tgid, thread)) = walking(&ctx) {
        let next = if unwind::go_on(thread) {
            walker::WALK
        } else {
            walker::KEEP
        };
        follow(&ctx, next, tgid, thread);
    }
    0
}

/// An entry goes on here, after any of the programs above: the stack, by frame pointers.
#[uprobe]
pub fn heap_walk_frame_pointers(ctx: ProbeContext) -> u32 {
    if let Some((tgid, thread)) = walking(&ctx) {
        frame_pointer::walk(thread);
        follow(&ctx, walker::KEEP, tgid, thread);
    }
    0
}

/// An entry ends here, after one of the two above.
#[uprobe]
pub fn heap_keep_stack(ctx: ProbeContext) -> u32 {
    if let Some((tgid, thread)) = walking(&ctx) {
        unwind::end(tgid, thread);
        let stack = stack::keep(tgid, thread);
        track::stack_known(tgid, thread, stack);
    }
    0
}

/// `f(block, ..)`. Nested calls need no care: the block is gone after the first.
#[uprobe]
pub fn heap_free(ctx: ProbeContext) -> u32 {
    let regs = Registers::of(ctx.regs);
    let address = regs.argument(0);
    if address == 0 {
        return 0;
    }
    if let Some(tgid) = process::recorded_by_probe(&ctx, Run::Site) {
        if settings::sampled() && !live::may_hold(address) {
            return 0;
        }
        let key = BlockKey {
            tgid,
            padding: 0,
            address,
        };
        let mut known = live::give_back(&key);
        if !known && live::may_hold(address) && track::is_back(tgid, regs.stack_pointer(), address)
        {
            known = live::give_back(&key);
        }
        gaps::count_given_back(address, known);
    }
    0
}

/// The return of a function, by the kernel's trampoline.
#[uretprobe]
#[inline(always)]
pub fn heap_return(ctx: RetProbeContext) -> u32 {
    let regs = Registers::of(ctx.regs);
    returned(&ctx, Run::Return, regs, regs.slot_at_trampoline())
}

/// The return of a function, at its `ret` instruction.
#[uprobe]
#[inline(always)]
pub fn heap_return_instruction(ctx: ProbeContext) -> u32 {
    let regs = Registers::of(ctx.regs);
    returned(&ctx, Run::Site, regs, regs.slot_at_return_instruction())
}

/// `__cxa_begin_catch`: an exception has reached its handler.
#[uprobe]
pub fn heap_caught(ctx: ProbeContext) -> u32 {
    if let Some(tgid) = process::recorded_by_probe(&ctx, Run::Site) {
        let stack_pointer = Registers::of(ctx.regs).stack_pointer();
        if settings::sampled() {
            sampler::unwound(stack_pointer);
        }
        if let Some(thread) = thread::existing() {
            track::unwound(tgid, thread, stack_pointer);
        }
    }
    0
}

#[inline(always)]
fn size(ctx: &ProbeContext, seen: u32) -> u32 {
    let regs = Registers::of(ctx.regs);
    entry(ctx, regs.argument(0), 0, kind::BLOCK, seen)
}

#[inline(always)]
fn count(ctx: &ProbeContext, seen: u32) -> u32 {
    let regs = Registers::of(ctx.regs);
    let size = product(regs.argument(0), regs.argument(1));
    entry(ctx, size, 0, kind::BLOCK, seen)
}

#[inline(always)]
fn realloc(ctx: &ProbeContext, seen: u32) -> u32 {
    let regs = Registers::of(ctx.regs);
    let (old, size) = (regs.argument(0), regs.argument(1));
    entry(ctx, size, old, kind::REALLOC, seen)
}

#[inline(always)]
fn realloc_array(ctx: &ProbeContext, seen: u32) -> u32 {
    let regs = Registers::of(ctx.regs);
    let size = product(regs.argument(1), regs.argument(2));
    entry(ctx, size, regs.argument(0), kind::REALLOC, seen)
}

#[inline(always)]
fn entry(ctx: &ProbeContext, size: u64, argument: u64, kind: u32, seen: u32) -> u32 {
    let Some(tgid) = process::recorded_by_probe(ctx, Run::Site) else {
        return 0;
    };
    let regs = Registers::of(ctx.regs);
    let entry = Entry {
        size,
        argument,
        kind,
        seen,
    };
    let verdict = sampler::begin(regs, &entry);
    if verdict == Verdict::Nothing {
        return 0;
    }
    if let Some(thread) = thread::current()
        && track::begin(regs, tgid, thread, &entry)
    {
        if is_recorded(verdict, thread, size) {
            let function = regs.instruction_pointer();
            let caller = unwind::caller(regs, thread);
            if let Some(stack) = unwind::same_as_before(function, &caller, thread) {
                track::stack_known(tgid, thread, stack);
            } else {
                unwind::begin(function, &caller, tgid, thread);
                follow(ctx, walker::WALK, tgid, thread);
            }
        } else {
            track::not_recorded(tgid, thread);
        }
    }
    0
}

/// Whether a call that has begun is recorded.
#[inline(always)]
fn is_recorded(verdict: Verdict, thread: &mut Thread, size: u64) -> bool {
    if !settings::sampled() {
        return true;
    }
    sampler::note(thread);
    match verdict {
        Verdict::Undecided => sampler::picks(thread, size),
        Verdict::Picked => true,
        Verdict::OldBlockOnly | Verdict::Nothing => false,
    }
}

/// The process that is recorded, and the thread whose stack is being walked.
#[inline(always)]
fn walking(ctx: &ProbeContext) -> Option<(u32, &'static mut Thread)> {
    Some((
        process::recorded_by_probe(ctx, Run::Walk)?,
        thread::existing()?,
    ))
}

/// Goes on in another program, which must be in the array.
#[inline(always)]
fn follow(ctx: &ProbeContext, index: u32, tgid: u32, thread: &mut Thread) {
    // SAFETY: the programs in the array are of the same type; nothing is left behind.
    unsafe { WALKERS.tail_call(ctx, index) };
    // Not while the user side fills the array before it attaches anything.
    lost(Loss::StackMapFull);
    track::stack_known(tgid, thread, OVERFLOW_STACK);
}

#[inline(always)]
fn returned(ctx: &impl EbpfContext, run: Run, regs: Registers, slot: u64) -> u32 {
    if let Some(tgid) = process::recorded_by_probe(ctx, run) {
        let samples = settings::sampled();
        if samples && sampler::has_returned(slot) {
            return 0;
        }
        if let Some(thread) = thread::existing() {
            track::commit(tgid, thread, slot, regs.result());
            if samples {
                sampler::note(thread);
            }
        }
    }
    0
}

/// n * size; `u64::MAX` when that does not fit, so that it cannot be taken for a size of 0.
#[inline(always)]
fn product(n: u64, size: u64) -> u64 {
    // In 32-bit halves: BPF has no 128-bit product, which LLVM makes of any other overflow check.
    const LOW: u64 = u32::MAX as u64;
    let (n_high, size_high) = (n >> 32, size >> 32);
    if n_high != 0 && size_high != 0 {
        return u64::MAX;
    }
    let cross = n_high * (size & LOW) + (n & LOW) * size_high;
    if cross > LOW {
        return u64::MAX;
    }
    let low = (n & LOW) * (size & LOW);
    let sum = low.wrapping_add(cross << 32);
    if sum < low { u64::MAX } else { sum }
}
