//! One program per calling shape of allocator functions, and two for their returns. Thin: they
//! decode arguments.

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::{uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use unfreed_common::alloc::BlockKey;
use unfreed_common::thread::{kind, seen};

use crate::registers::Registers;
use crate::track::Entry;
use crate::{live, process, thread, track};

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

/// `f(block, ..)`. Nested calls need no care: the block is gone after the first.
#[uprobe]
pub fn heap_free(ctx: ProbeContext) -> u32 {
    let regs = Registers::of(ctx.regs);
    let address = regs.argument(0);
    if address == 0 {
        return 0;
    }
    if let Some(tgid) = process::recorded_by_probe(&ctx) {
        let key = BlockKey {
            tgid,
            padding: 0,
            address,
        };
        if !live::give_back(&key) && track::is_back(tgid, regs.stack_pointer(), address) {
            let _freed = live::give_back(&key);
        }
    }
    0
}

/// The return of a function, by the kernel's trampoline: the return address has been popped.
#[uretprobe]
pub fn heap_return(ctx: RetProbeContext) -> u32 {
    let regs = Registers::of(ctx.regs);
    returned(&ctx, regs, regs.stack_pointer().wrapping_sub(8))
}

/// The return of a function, at its `ret` instruction: the return address is about to be popped.
#[uprobe]
pub fn heap_return_instruction(ctx: ProbeContext) -> u32 {
    let regs = Registers::of(ctx.regs);
    returned(&ctx, regs, regs.stack_pointer())
}

/// `__cxa_begin_catch`: an exception has reached its handler.
#[uprobe]
pub fn heap_caught(ctx: ProbeContext) -> u32 {
    if let Some(tgid) = process::recorded_by_probe(&ctx)
        && let Some(thread) = thread::existing()
    {
        track::unwound(tgid, thread, Registers::of(ctx.regs).stack_pointer());
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
    if let Some(tgid) = process::recorded_by_probe(ctx)
        && let Some(thread) = thread::current()
    {
        let entry = Entry {
            size,
            argument,
            kind,
            seen,
        };
        track::begin(Registers::of(ctx.regs), tgid, thread, &entry);
    }
    0
}

#[inline(always)]
fn returned(ctx: &impl EbpfContext, regs: Registers, slot: u64) -> u32 {
    if let Some(tgid) = process::recorded_by_probe(ctx)
        && let Some(thread) = thread::existing()
    {
        track::commit(tgid, thread, slot, regs.result());
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
