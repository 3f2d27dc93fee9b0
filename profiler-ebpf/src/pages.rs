//! Page faults: who touched a page first. Thin: entry points for the two ways in which the kernel tells
//! of a fault, and the programs in which they go on.

use core::ffi::c_void;

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::macros::{btf_tracepoint, perf_event};
use aya_ebpf::maps::ProgramArray;
use aya_ebpf::programs::{BtfTracePointContext, PerfEventContext};
use unfreed_common::loss::Loss;
use unfreed_common::page::how;
use unfreed_common::stack::OVERFLOW_STACK;
use unfreed_common::thread::Thread;
use unfreed_common::unwind::walker;

use crate::loss::lost;
use crate::maps::{FAULT_WALKERS, PERF_WALKERS};
use crate::{frame_pointer, machine, process, stack, touch, unwind};

/// Bits of the error code of a page fault on x86, the only machine with these tracepoints (Intel SDM,
/// volume 3, "Page-Fault Exceptions").
mod fault {
    /// A page was present: it was forbidden to touch it like this.
    pub const PRESENT: u64 = 1;
    /// It was a write.
    pub const WRITE: u64 = 2;
}

/// `exceptions:page_fault_user`: user mode touched a page. Before the fault is handled.
#[btf_tracepoint(function = "page_fault_user")]
pub fn page_fault_user(ctx: BtfTracePointContext) -> i32 {
    let Some(tgid) = process::recorded_memory() else {
        return 0;
    };
    let (address, code): (u64, u64) = (ctx.arg(0), ctx.arg(2));
    let regs: *const c_void = ctx.arg(1);
    if touch::begin(tgid, address, how(code), |_| machine::in_user_mode(regs)) {
        follow(&ctx, &FAULT_WALKERS, walker::WALK);
    }
    0
}

/// `exceptions:page_fault_kernel`: the kernel did, in a system call.
#[btf_tracepoint(function = "page_fault_kernel")]
pub fn page_fault_kernel(ctx: BtfTracePointContext) -> i32 {
    let Some(tgid) = process::recorded_thread() else {
        return 0;
    };
    let (address, regs, code): (u64, u64, u64) = (ctx.arg(0), ctx.arg(1), ctx.arg(2));
    let how = how(code) | how::KERNEL;
    if touch::begin(tgid, address, how, |state| touch::user_mode(state, regs)) {
        follow(&ctx, &FAULT_WALKERS, walker::WALK);
    }
    0
}

/// perf's software event `page-faults`, where the tracepoints do not exist or do not fire: it does not
/// tell whether a page was there.
#[perf_event]
pub fn page_fault_counted(ctx: PerfEventContext) -> u32 {
    if let Some(tgid) = process::recorded_thread() {
        // SAFETY: a field of the context, which the verifier lets us read.
        let address = unsafe { (*ctx.ctx).addr };
        // What the verifier shows as the registers begins, in truth, with where they are
        // (include/linux/bpf.h, `bpf_perf_event_data_kern`).
        // SAFETY: the kernel checks the address.
        let regs = unsafe { bpf_probe_read_kernel(ctx.ctx.cast::<u64>()) };
        if let Ok(regs) = regs
            && touch::begin(tgid, address, how::UNKNOWN, |state| {
                touch::user_mode(state, regs)
            })
        {
            follow(&ctx, &PERF_WALKERS, walker::WALK);
        }
    }
    0
}

/// A fault goes on here: the stack, by unwind tables.
#[btf_tracepoint(function = "page_fault_user")]
pub fn fault_walk_tables(ctx: BtfTracePointContext) -> i32 {
    walk_tables(&ctx, &FAULT_WALKERS);
    0
}

/// A fault goes on here: the stack, by frame pointers.
#[btf_tracepoint(function = "page_fault_user")]
pub fn fault_walk_frame_pointers(ctx: BtfTracePointContext) -> i32 {
    walk_frame_pointers(&ctx, &FAULT_WALKERS);
    0
}

/// A fault ends here.
#[btf_tracepoint(function = "page_fault_user")]
pub fn fault_keep_stack(_: BtfTracePointContext) -> i32 {
    keep();
    0
}

/// The same three for perf events.
#[perf_event]
pub fn perf_walk_tables(ctx: PerfEventContext) -> u32 {
    walk_tables(&ctx, &PERF_WALKERS);
    0
}

#[perf_event]
pub fn perf_walk_frame_pointers(ctx: PerfEventContext) -> u32 {
    walk_frame_pointers(&ctx, &PERF_WALKERS);
    0
}

#[perf_event]
pub fn perf_keep_stack(_: PerfEventContext) -> u32 {
    keep();
    0
}

/// What the error code of a page fault says.
#[inline(always)]
fn how(code: u64) -> u64 {
    let mut how = 0;
    if code & fault::PRESENT == 0 {
        how |= how::ABSENT;
    }
    if code & fault::WRITE != 0 {
        how |= how::WRITE;
    }
    how
}

#[inline(always)]
fn walk_tables(ctx: &impl EbpfContext, walkers: &ProgramArray) {
    if let Some((_, thread)) = walking() {
        let next = if unwind::go_on(thread) {
            walker::WALK
        } else {
            walker::KEEP
        };
        follow(ctx, walkers, next);
    }
}

#[inline(always)]
fn walk_frame_pointers(ctx: &impl EbpfContext, walkers: &ProgramArray) {
    if let Some((_, thread)) = walking() {
        frame_pointer::walk(thread);
        follow(ctx, walkers, walker::KEEP);
    }
}

#[inline(always)]
fn keep() {
    if let Some((tgid, thread)) = walking() {
        unwind::end(tgid, thread);
        let stack = stack::keep(tgid, thread);
        touch::end(thread, stack);
    }
}

/// The process that is recorded, and the thread whose stack is being walked.
#[inline(always)]
fn walking() -> Option<(u32, &'static mut Thread)> {
    Some((process::recorded_memory()?, touch::state()?))
}

/// Goes on in another program, which must be in the array.
#[inline(always)]
fn follow(ctx: &impl EbpfContext, walkers: &ProgramArray, index: u32) {
    // SAFETY: the programs in the array are of the same type; nothing is left behind.
    unsafe { walkers.tail_call(ctx, index) };
    // Not while the user side fills the array before it attaches anything.
    lost(Loss::StackMapFull);
    if let Some(thread) = touch::state() {
        thread.walk.busy = 0;
        touch::end(thread, OVERFLOW_STACK);
    }
}
