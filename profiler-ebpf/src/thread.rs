//! The state of the thread a program runs on.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use unfreed_common::loss::Loss;
use unfreed_common::thread::{NEAR_THREADS, Thread};

use crate::loss::lost;
use crate::maps::{BLANK_THREAD, NEAR, NEAR_OWNERS, THREADS};

/// Kernel thread id of the current thread.
#[inline(always)]
pub fn current_tid() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// The state of the current thread, if it has any.
#[inline(always)]
pub fn existing() -> Option<&'static mut Thread> {
    let tid = current_tid();
    if let Some(near) = near(tid)
        && near.owner == tid
    {
        return Some(near);
    }
    let thread = THREADS.get_ptr_mut(tid)?;
    // SAFETY: an element is touched and removed only by programs that run on its own thread, one at
    // a time: probes and tracepoints do not interrupt each other on one thread.
    Some(unsafe { &mut *thread })
}

/// The state of the current thread, made when it has none.
#[inline(always)]
pub fn current() -> Option<&'static mut Thread> {
    if let Some(thread) = existing() {
        return Some(thread);
    }
    let tid = current_tid();
    let blank = BLANK_THREAD.get(0)?;
    if let Some(near) = near(tid)
        && NEAR_OWNERS
            .insert(place(tid), tid, u64::from(BPF_NOEXIST))
            .is_ok()
        && NEAR.set(place(tid), blank, 0).is_ok()
    {
        near.owner = tid;
    } else if THREADS.insert(tid, blank, u64::from(BPF_NOEXIST)).is_err() {
        lost(Loss::ThreadMapFull);
        return None;
    }
    existing()
}

/// Forgets the current thread.
#[inline(always)]
pub fn forget() {
    let tid = current_tid();
    // Nothing is lost when removal fails: the entry is reused should the id come back, and its pending
    // call is then recognized as stale.
    let _: Result<(), i32> = match near(tid) {
        Some(near) if near.owner == tid => {
            near.owner = 0;
            NEAR_OWNERS.remove(place(tid))
        }
        _ => THREADS.remove(tid),
    };
}

/// What is at the thread's place, which may be another one's. `None`: there are fewer places.
#[inline(always)]
fn near(tid: u32) -> Option<&'static mut Thread> {
    let near = NEAR.get_ptr_mut(place(tid))?;
    // SAFETY: as in `existing`, but for the owner, which is only read of other threads' states, and written by the
    // thread that has inserted itself in `NEAR_OWNERS`.
    Some(unsafe { &mut *near })
}

#[inline(always)]
const fn place(tid: u32) -> u32 {
    tid & (NEAR_THREADS - 1)
}
