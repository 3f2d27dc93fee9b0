//! The life of the target and of its threads: exec, exit, signals.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use aya_ebpf::macros::{tracepoint, uprobe};
use aya_ebpf::programs::{ProbeContext, TracePointContext};
use unfreed_common::config::ended;

use crate::loss::add;
use crate::maps::{CHANGED, CHANGES, CONTROL, ENDED, NO_PROGRAMS, PROCESSES};
use crate::{memo, thread, track};

/// The idle task's process id, which no program is run for.
const NOBODY: u32 = 0;

/// The target's process id while events count.
///
/// Uprobes attached to a pid fire only for tasks that share its address space, so every event is the
/// target's, also in a child between vfork and exec: its frees are real ones of the same heap.
#[inline(always)]
pub fn recorded() -> Option<u32> {
    let control = CONTROL.get(0)?;
    let end = ENDED.get(0)?;
    (control.recording != 0 && end.reason == ended::NO).then_some(control.tgid)
}

/// [`recorded`], for programs that run on every thread there is: only on the target's.
#[inline(always)]
pub fn recorded_thread() -> Option<u32> {
    recorded().filter(|&tgid| tgid == current_tgid())
}

/// [`recorded`], for the programs of uprobes.
///
/// The tail call goes nowhere, on the path that does nothing anyway. That it is there turns off the
/// per-CPU private stacks that Linux 6.13+ gives to programs with frames of 64 bytes and more
/// (kernel/bpf/verifier.c, `check_max_stack_depth`): uprobe programs are preemptible, so a task that
/// gets the CPU in the middle of a program would overwrite its frame. Tracepoints run with
/// preemption off.
#[inline(always)]
pub fn recorded_by_probe(ctx: &impl EbpfContext) -> Option<u32> {
    if let Some(tgid) = recorded() {
        return Some(tgid);
    }
    // SAFETY: the array stays empty, so the call returns here; there is nothing to leave behind.
    unsafe { NO_PROGRAMS.tail_call(ctx, 0) };
    None
}

/// `_dl_debug_state` of the dynamic linker, which debuggers watch: called before it maps or unmaps
/// libraries, and after (System V ABI's `r_debug`; glibc elf/dl-debug.c, musl ldso/dynlink.c). From now
/// on the unwind tables may be those of what was mapped before, until the user side has looked.
#[uprobe]
pub fn linker_state(ctx: ProbeContext) -> u32 {
    let Some(tgid) = recorded_by_probe(&ctx) else {
        return 0;
    };
    // SAFETY: only one field is read, and no element of a recorded process is removed.
    let Some(process) = (unsafe { PROCESSES.get(tgid) }) else {
        return 0;
    };
    if let Some(changes) = CHANGES.get_ptr_mut(process.changes_index) {
        add(changes, 1);
    }
    // Full: then the user side has many of these still to read, and looks at all mappings anyway.
    let _full: Result<(), i32> = CHANGED.output::<u32>(tgid, 0);
    0
}

/// `sched:sched_process_exec`, on the task that has just got its new program.
#[tracepoint]
pub fn process_exec(_: TracePointContext) -> u32 {
    if recorded().unwrap_or(NOBODY) == current_tgid() {
        end(ended::EXEC);
    }
    0
}

/// `sched:sched_process_exit`, on every exiting thread.
#[tracepoint]
pub fn process_exit(_: TracePointContext) -> u32 {
    let recorded = recorded().unwrap_or(NOBODY);
    if let Some(state) = thread::existing() {
        // After the recording the user side reads what is left of each thread.
        if recorded != NOBODY {
            track::drop_calls(recorded, state);
            memo::settle_all(state);
            thread::forget();
        }
    }
    if recorded == current_tgid() && thread::current_tid() == current_tgid() {
        end(ended::MAIN_THREAD_EXITED);
    }
    0
}

/// `signal:signal_deliver`, on the thread that takes a signal, also one that it ignores or dies of.
#[tracepoint]
pub fn signal_deliver(ctx: TracePointContext) -> u32 {
    // SAFETY: within the tracepoint's record, whose layout is the same since Linux 2.6.30 and in
    // events/signal/signal_deliver/format.
    let handler: Result<u64, _> = unsafe { ctx.read_at(SA_HANDLER) };
    if handler.is_ok_and(|handler| handler > SIG_IGN)
        && let Some(state) = thread::existing()
    {
        track::interrupt(state);
    }
    0
}

/// Offset of `sa_handler` in the tracepoint's record.
const SA_HANDLER: usize = 24;

/// The larger one of the two handlers that are none (`SIG_DFL` is 0).
const SIG_IGN: u64 = 1;

#[inline(always)]
fn current_tgid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

#[inline(always)]
fn end(reason: u64) {
    if let Some(end) = ENDED.get_ptr_mut(0) {
        // SAFETY: a pointer into an array element; only the target's own main thread gets here.
        unsafe {
            (*end).time = bpf_ktime_get_ns();
            (*end).reason = reason;
        }
    }
}
