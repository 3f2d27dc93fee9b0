//! The life of the target and of its threads: exec, exit, signals.

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use aya_ebpf::macros::{tracepoint, uprobe};
use aya_ebpf::programs::{ProbeContext, TracePointContext};
use unfreed_common::config::{Control, ended};

use crate::gaps::Run;
use crate::loss::add;
use crate::maps::{CHANGED, CHANGES, CONTROL, ENDED, GUESTS, GUESTS_COUNT, NO_PROGRAMS, PROCESSES};
use crate::{gaps, memo, sampler, settings, thread, track};

/// The idle task's process id, which no program is run for.
const NOBODY: u32 = 0;

/// The target's process id while events count.
///
/// Uprobes attached to a pid fire only for tasks that share its address space, so every event is the
/// target's, also in a child between vfork and exec: its frees are real ones of the same heap.
#[inline(always)]
pub fn recorded() -> Option<u32> {
    target(|control| control.recording != 0)
}

/// [`recorded`], and also in a gap of the recording: what happens to the process matters then, too.
#[inline(always)]
fn watched() -> Option<u32> {
    target(|control| control.recording != 0 || settings::bounded())
}

/// [`watched`], for programs that run on every thread there is: only on the target's.
#[inline(always)]
pub fn watched_thread() -> Option<u32> {
    watched().filter(|&tgid| tgid == current_tgid())
}

/// The target's process id, unless it has ended.
#[inline(always)]
fn target(is_on: impl Fn(&Control) -> bool) -> Option<u32> {
    let control = CONTROL.get(0)?;
    let end = ENDED.get(0)?;
    (is_on(control) && end.reason == ended::NO).then_some(control.tgid)
}

/// [`recorded`], for programs that run on every thread there is: only on the target's.
#[inline(always)]
pub fn recorded_thread() -> Option<u32> {
    recorded().filter(|&tgid| tgid == current_tgid())
}

/// [`recorded_thread`], and also on a process that has the recorded one's memory until it executes a program
/// of its own. Not for what the kernel touches: by the time that such a process is seen to execute, the kernel
/// has written to its new memory.
#[inline(always)]
pub fn recorded_memory() -> Option<u32> {
    let recorded = recorded()?;
    let current = current_tgid();
    let is_guest = || {
        GUESTS_COUNT.get(0).is_some_and(|count| *count > 0)
            // SAFETY: whether there is an element, nothing of it.
            && unsafe { GUESTS.get(current) }.is_some()
    };
    (current == recorded || is_guest()).then_some(recorded)
}

/// [`recorded`], for the programs of uprobes.
///
/// The tail call goes nowhere, on the path that does nothing anyway. That it is there turns off the
/// per-CPU private stacks that Linux 6.13+ gives to programs with frames of 64 bytes and more
/// (kernel/bpf/verifier.c, `check_max_stack_depth`): uprobe programs are preemptible, so a task that
/// gets the CPU in the middle of a program would overwrite its frame. Tracepoints run with
/// preemption off.
#[inline(always)]
pub fn recorded_by_probe(ctx: &impl EbpfContext, run: Run) -> Option<u32> {
    gaps::count_trap(ctx, run);
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
    let Some(tgid) = recorded_by_probe(&ctx, Run::Site).or_else(watched) else {
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

/// `task:task_newtask`, on the parent, before the new task runs.
#[tracepoint]
pub fn task_newtask(ctx: TracePointContext) -> u32 {
    /// The child has the parent's memory; it is a thread of the parent's process (`sched.h`).
    const CLONE_VM: u64 = 0x100;
    const CLONE_THREAD: u64 = 0x1_0000;
    /// Offsets in the tracepoint's record (`events/task/task_newtask/format`): the same from Linux 5.10 on.
    const PID: usize = 8;
    const FLAGS: usize = 32;
    if recorded_memory().is_none() {
        return 0;
    }
    // SAFETY: within the tracepoint's record.
    let (pid, flags) = unsafe { (ctx.read_at::<u32>(PID), ctx.read_at::<u64>(FLAGS)) };
    if let (Ok(pid), Ok(flags)) = (pid, flags)
        && flags & (CLONE_VM | CLONE_THREAD) == CLONE_VM
        && GUESTS.insert(pid, 0, u64::from(BPF_NOEXIST)).is_ok()
        && let Some(count) = GUESTS_COUNT.get_ptr_mut(0)
    {
        add(count, 1);
    }
    0
}

/// The current process has memory of its own now, or is gone.
#[inline(always)]
fn leave() {
    let Some(count) = GUESTS_COUNT.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: a pointer into an array element, read once.
    if unsafe { *count } > 0 && GUESTS.remove(current_tgid()).is_ok() {
        add(count, u64::MAX);
    }
}

/// `sched:sched_process_exec`, on the task that has just got its new program.
#[tracepoint]
pub fn process_exec(_: TracePointContext) -> u32 {
    leave();
    if watched().unwrap_or(NOBODY) == current_tgid() {
        end(ended::EXEC);
    }
    0
}

/// `sched:sched_process_exit`, on every exiting thread.
#[tracepoint]
pub fn process_exit(_: TracePointContext) -> u32 {
    let recorded = watched().unwrap_or(NOBODY);
    if let Some(state) = thread::existing() {
        // After the recording the user side reads what is left of each thread.
        if recorded != NOBODY {
            track::drop_calls(recorded, state);
            memo::settle_all(state);
            thread::forget();
        }
    }
    sampler::forget();
    if thread::current_tid() == current_tgid() {
        leave();
        if recorded == current_tgid() {
            end(ended::MAIN_THREAD_EXITED);
        }
    }
    0
}

/// `signal:signal_deliver`, on the thread that takes a signal, also one that it ignores or dies of.
#[tracepoint]
pub fn signal_deliver(ctx: TracePointContext) -> u32 {
    // SAFETY: within the tracepoint's record, whose layout is the same since Linux 2.6.30 and in
    // events/signal/signal_deliver/format.
    let handler: Result<u64, _> = unsafe { ctx.read_at(SA_HANDLER) };
    if handler.is_ok_and(|handler| handler > SIG_IGN) {
        sampler::interrupt();
        if let Some(state) = thread::existing() {
            track::interrupt(state);
        }
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
