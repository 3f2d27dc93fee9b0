//! The only writer of the map of touches: which touch of a page is kept is decided here.

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use unfreed_common::alloc::BlockKey;
use unfreed_common::loss::Loss;
use unfreed_common::page::{SMALLEST_PAGE, Touch, replaces, replaces_any};
use unfreed_common::thread::Thread;
use unfreed_common::unwind::Stop;

use crate::loss::lost;
use crate::machine::{self, Interrupted, REGISTER_WORDS};
use crate::maps::TOUCHES;
use crate::window;
use crate::{insert, memo, thread, unwind};

/// Addresses of user space are below this one, on every machine.
const USER_END: u64 = 1 << 63;

/// Errors of map updates, errno-base.h.
const E2BIG: i32 = -7;

/// A fault at `address`, with the registers at `regs` in the kernel's memory, of the kernel where it
/// faulted itself. True: the touch is to be kept, its stack is to be walked, and [`end`] must follow.
#[inline(always)]
pub fn begin(tgid: u32, address: u64, regs: u64, how: u64) -> bool {
    if address >= USER_END {
        return false;
    }
    let Some(thread) = thread::current() else {
        return false;
    };
    // A walk reads the stack, which faults where that is not in memory: our own doing, and such a
    // fault brings nothing.
    if thread.walk.busy != 0 {
        return false;
    }
    thread.key.tgid = tgid;
    thread.key.padding = 0;
    thread.key.address = address & !(SMALLEST_PAGE - 1);
    if !replaces_any(how) {
        let key: &BlockKey = &thread.key;
        // SAFETY: the element is only read, at once.
        let before = unsafe { TOUCHES.get(key) }.map(|touch| touch.how);
        if !replaces(before, how) {
            return false;
        }
    }
    thread.touch.how = how;
    let place = user_mode(thread, regs);
    if let Some(stack) = unwind::same_as_before(place.pc, &place, thread) {
        end(thread, stack);
        return false;
    }
    unwind::begin_at(&place, tgid, thread);
    true
}

/// The stack of the touch is known.
#[inline(always)]
pub fn end(thread: &mut Thread, stack: u64) {
    thread.touch.stack = stack;
    store(thread);
    memo::taken(memo::of(thread), stack, SMALLEST_PAGE);
}

#[inline(always)]
fn store(thread: &mut Thread) {
    // SAFETY: a helper without arguments.
    thread.touch.time = unsafe { bpf_ktime_get_ns() };
    let (key, value): (&BlockKey, &Touch) = (&thread.key, &thread.touch);
    if let Some(touch) = TOUCHES.get_ptr_mut(key) {
        // SAFETY: a pointer into an element that is not removed during a recording. Should two threads
        // touch the page at once, either stack is right, and so is either time.
        unsafe {
            (*touch).stack = value.stack;
            (*touch).time = value.time;
            (*touch).how = value.how;
        }
        return;
    }
    match insert::insert(&TOUCHES, key, value, u64::from(BPF_ANY)) {
        Ok(()) => {}
        Err(E2BIG) => lost(Loss::TouchMapFull),
        Err(_) => lost(Loss::TouchInsertFailed),
    }
}

/// Where the thread was in user mode; all zeros for one that never was there (the kernel's workers that
/// act for a process).
#[inline(always)]
fn user_mode(thread: &mut Thread, regs: u64) -> Interrupted {
    let kernel_stack = match registers(thread, regs) {
        Some(Ok(place)) => return place,
        Some(Err(kernel_stack)) => kernel_stack,
        None => 0,
    };
    for padding in 0..2 {
        if kernel_stack != 0
            && let Some(Ok(place)) =
                registers(thread, machine::user_registers(kernel_stack, padding))
        {
            return place;
        }
    }
    thread.record.header.stop = Stop::Unreadable as u32;
    Interrupted {
        pc: 0,
        sp: 0,
        fp: 0,
        link: 0,
    }
}

#[inline(always)]
fn registers(thread: &mut Thread, address: u64) -> Option<Result<Interrupted, u64>> {
    window::read_kernel::<REGISTER_WORDS>(&mut thread.window, address)
        .then(|| machine::interrupted(&thread.window.words))
}
