//! What happens to processes: which come, which go, and what of.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use aya_ebpf::macros::{map, tracepoint};
use aya_ebpf::maps::{Array, LruHashMap, RingBuf};
use aya_ebpf::programs::TracePointContext;
use aya_log_ebpf::debug;
use unfreed_common::life::{self, Event, kind};

/// Events on their way to the user side. Full: `EVENTS_LOST`, and the user side looks at all processes.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// How many events found no room.
#[map]
static EVENTS_LOST: Array<u64> = Array::with_max_entries(1, 0);

/// The last signal that was sent to a thread and may end it. The kernel delivers SIGKILL in its place, when nothing
/// handles it and it leaves no core (kernel/signal.c, `complete_signal`).
#[map]
static SENT: LruHashMap<u32, u32> = LruHashMap::with_max_entries(1 << 12, 0);

/// `task:task_newtask`, on the parent, before the new task runs.
#[tracepoint]
pub fn newtask(ctx: TracePointContext) -> u32 {
    /// A thread of the parent's process (include/uapi/linux/sched.h).
    const CLONE_THREAD: u64 = 0x1_0000;
    /// Offsets in the tracepoint's record (`events/task/task_newtask/format`): the same from Linux 5.10 on.
    const PID: usize = 8;
    const FLAGS: usize = 32;
    // SAFETY: within the tracepoint's record.
    let (pid, flags) = unsafe { (ctx.read_at::<u32>(PID), ctx.read_at::<u64>(FLAGS)) };
    if let (Ok(pid), Ok(flags)) = (pid, flags)
        && flags & CLONE_THREAD == 0
    {
        tell(kind::FORK, pid, current_tgid());
    }
    0
}

/// `sched:sched_process_exec`, on the task that has just got its new program.
#[tracepoint]
pub fn exec(_: TracePointContext) -> u32 {
    tell(kind::EXEC, current_tgid(), 0);
    0
}

/// `sched:sched_process_exit`, on every exiting thread.
#[tracepoint]
pub fn exit(_: TracePointContext) -> u32 {
    let tgid = current_tgid();
    if bpf_get_current_pid_tgid() as u32 == tgid {
        tell(kind::EXIT, tgid, 0);
    }
    0
}

/// `signal:signal_generate`, on whoever sends a signal.
#[tracepoint]
pub fn signal_sent(ctx: TracePointContext) -> u32 {
    /// Offsets in the tracepoint's record (`events/signal/signal_generate/format`), the same since Linux 3.4.
    const SIGNAL: usize = 8;
    const PID: usize = 36;
    // SAFETY: within the tracepoint's record.
    let (signal, pid) = unsafe { (ctx.read_at::<u32>(SIGNAL), ctx.read_at::<u32>(PID)) };
    if let (Ok(signal), Ok(pid)) = (signal, pid)
        && 1 << (signal & 63) & life::HARMLESS == 0
    {
        // Fails when the map is busy: then it is known as SIGKILL.
        let _busy = SENT.insert(pid, signal, 0);
    }
    0
}

/// `signal:signal_deliver`, on the thread that takes a signal.
#[tracepoint]
pub fn signal_taken(ctx: TracePointContext) -> u32 {
    /// Offsets in the tracepoint's record (`events/signal/signal_deliver/format`), the same since Linux 2.6.30.
    const SIGNAL: usize = 8;
    const SA_HANDLER: usize = 24;
    const SIG_DFL: u64 = 0;
    // SAFETY: within the tracepoint's record.
    let (signal, handler) = unsafe { (ctx.read_at::<u32>(SIGNAL), ctx.read_at::<u64>(SA_HANDLER)) };
    if let (Ok(signal), Ok(SIG_DFL)) = (signal, handler)
        && 1 << (signal & 63) & life::HARMLESS == 0
    {
        let tgid = current_tgid();
        tell(
            kind::SIGNAL,
            tgid,
            if signal == SIGKILL {
                sent(tgid)
            } else {
                signal
            },
        );
    }
    0
}

/// `oom:mark_victim`, on whatever thread was in want of memory.
#[tracepoint]
pub fn mark_victim(ctx: TracePointContext) -> u32 {
    /// Offset in the tracepoint's record (`events/oom/mark_victim/format`): other fields have come, behind it.
    const PID: usize = 8;
    // SAFETY: within the tracepoint's record.
    if let Ok(pid) = unsafe { ctx.read_at::<u32>(PID) } {
        tell(kind::OUT_OF_MEMORY, pid, 0);
        debug!(&ctx, "thread {} is to end for want of memory", pid);
    }
    0
}

const SIGKILL: u32 = 9;

/// What was sent to a process that takes SIGKILL, or to the thread of it that does.
#[inline(always)]
fn sent(process: u32) -> u32 {
    let thread = bpf_get_current_pid_tgid() as u32;
    // SAFETY: an element is four bytes, and each of them that was there is a right one.
    let sent = unsafe { SENT.get(process).or_else(|| SENT.get(thread)) };
    sent.map_or(SIGKILL, |sent| *sent)
}

#[inline(always)]
fn current_tgid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

#[inline(always)]
fn tell(kind: u32, pid: u32, detail: u32) {
    let event = Event {
        kind,
        pid,
        detail,
        padding: 0,
        // SAFETY: a helper without arguments.
        time: unsafe { bpf_ktime_get_ns() },
    };
    if EVENTS.output::<Event>(event, 0).is_err()
        && let Some(lost) = EVENTS_LOST.get_ptr_mut(0)
    {
        // SAFETY: a pointer into an element of an array. Other processors count, too, and one of two may be lost: what
        // matters is whether it has changed.
        unsafe { *lost += 1 };
    }
}
