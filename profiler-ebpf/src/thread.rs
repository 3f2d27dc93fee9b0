//! The state of the thread a program runs on.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use unfreed_common::loss::Loss;
use unfreed_common::thread::Thread;

use crate::loss::lost;
use crate::maps::{BLANK_THREAD, THREADS};

/// Kernel thread id of the current thread.
#[inline(always)]
pub fn current_tid() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// The state of the current thread, if it has any.
#[inline(always)]
pub fn existing() -> Option<&'static mut Thread> {
    let thread = THREADS.get_ptr_mut(current_tid())?;
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
    let blank = BLANK_THREAD.get(0)?;
    if THREADS
        .insert(current_tid(), blank, u64::from(BPF_NOEXIST))
        .is_err()
    {
        lost(Loss::ThreadMapFull);
        return None;
    }
    existing()
}

/// Forgets the current thread.
#[inline(always)]
pub fn forget() {
    // Nothing is lost when this fails: the entry is reused should the id come back, and its pending
    // call is then recognized as stale.
    let _: Result<(), i32> = THREADS.remove(current_tid());
}
