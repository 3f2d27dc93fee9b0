//! The only writer of the map of touches: which touch of a page is kept is decided here.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::{bpf_get_smp_processor_id, bpf_jiffies64};
use unfreed_common::alloc::BlockKey;
use unfreed_common::loss::Loss;
use unfreed_common::page::{Kept, NEIGHBOURS, SMALLEST_PAGE, Touches, replaces, replaces_any};
use unfreed_common::thread::Thread;
use unfreed_common::unwind::Stop;

use crate::bound::masked;
use crate::loss::lost;
use crate::machine::{self, Interrupted, REGISTER_WORDS};
use crate::maps::{FAULTING, LAST_CLOCK, TOUCHES};
use crate::window;
use crate::{insert, memo, unwind};

/// Addresses of user space are below this one, on every machine.
const USER_END: u64 = 1 << 63;

/// Errors of map updates, errno-base.h.
const E2BIG: i32 = -7;
const EEXIST: i32 = -17;

/// A fault at `address`, by a thread that was in user mode at `place`. True: the touch is to be kept, its
/// stack is to be walked, and [`end`] must follow.
#[inline(always)]
pub fn begin(
    tgid: u32,
    address: u64,
    how: u64,
    place: impl FnOnce(&mut Thread) -> Interrupted,
) -> bool {
    if address >= USER_END {
        return false;
    }
    let Some(thread) = state() else {
        return false;
    };
    // A walk reads the stack, which faults where that is not in memory: our own doing, and such a
    // fault brings nothing.
    if thread.walk.busy != 0 {
        return false;
    }
    thread.key.tgid = tgid;
    thread.key.padding = 0;
    thread.key.address = Touches::place(address).0;
    thread.page = address;
    if !replaces_any(how) {
        let before = kept(thread).and_then(|kept| {
            // SAFETY: a pointer into an element that is not removed during a recording, read at once.
            unsafe { kept.read() }.touch()
        });
        if !replaces(before.map(|touch| touch.how), how) {
            return false;
        }
    }
    thread.touch.how = how;
    // Of another moment.
    window::forget(&mut thread.window);
    let place = place(thread);
    if let Some(stack) = unwind::same_as_before(place.pc, &place, thread) {
        end(thread, stack);
        return false;
    }
    unwind::begin_at(&place, tgid, thread);
    true
}

/// What a program of a fault works with, until its last tail call is over.
#[inline(always)]
pub fn state() -> Option<&'static mut Thread> {
    let state = FAULTING.get_ptr_mut(0)?;
    // SAFETY: an element is this processor's, and only programs of page faults have it. The tracepoints are
    // called with interrupts off (arch/x86/mm/fault.c, `handle_page_fault`), perf's event without preemption
    // (kernel/events/core.c, `__perf_sw_event`): only a fault of the program's own reading comes between, and
    // that one leaves when it sees that a walk is under way.
    Some(unsafe { &mut *state })
}

/// The stack of the touch is known.
#[inline(always)]
pub fn end(thread: &mut Thread, stack: u64) {
    thread.touch.stack = stack;
    store(thread);
    memo::taken(memo::of(thread), stack, SMALLEST_PAGE);
}

/// Sets the time of a touch, which is at most a jiffy late, and in order: whatever comes later has a later one. To read
/// the clock takes as long as a sixth of all else here, so it is read when another processor has had a touch, or
/// something else happened whose time matters, and each jiffy; touches between are a nanosecond apart.
#[inline(always)]
fn set_time(thread: &mut Thread) {
    // SAFETY: helpers without arguments.
    let (processor, jiffies) = unsafe { (bpf_get_smp_processor_id(), bpf_jiffies64()) };
    let processor = u64::from(processor) + 1;
    let Some(last) = LAST_CLOCK.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: a pointer to an array element, a word that is read and written as a whole. Of two processors that write
    // at once, which one has the later time does not matter.
    let same = unsafe { last.read_volatile() } == processor;
    if same && jiffies == thread.jiffies {
        thread.touch.time += 1;
        return;
    }
    if !same {
        // SAFETY: as above.
        unsafe { last.write_volatile(processor) };
    }
    thread.jiffies = jiffies;
    // SAFETY: a helper without arguments.
    thread.touch.time = unsafe { bpf_ktime_get_ns() };
}

/// Touches from now on have times from now on, on all processors.
#[inline(always)]
pub fn set_clocks() {
    if let Some(last) = LAST_CLOCK.get_ptr_mut(0) {
        // SAFETY: as in `set_time`.
        unsafe { last.write_volatile(0) };
    }
}

/// What is kept of the page that is touched, if there is an entry for it.
#[inline(always)]
fn kept(thread: &Thread) -> Option<*mut Kept> {
    let key: &BlockKey = &thread.key;
    let touches = TOUCHES.get_ptr_mut(key)?;
    // SAFETY: within the element.
    Some(unsafe { (&raw mut (*touches).kept).cast::<Kept>().add(index(thread)) })
}

/// Which of its entry's pages the one is that is touched.
#[inline(always)]
fn index(thread: &Thread) -> usize {
    masked::<{ NEIGHBOURS - 1 }>(Touches::place(thread.page).1) as usize
}

#[inline(always)]
fn store(thread: &mut Thread) {
    set_time(thread);
    let touch = Kept::of(&thread.touch);
    if let Some(kept) = kept(thread) {
        // SAFETY: as in `begin`. Should two threads touch the page at once, either stack is right, and so is
        // either time.
        unsafe { kept.write(touch) };
        return;
    }
    let new = &raw mut thread.touches.kept;
    // SAFETY: within the entry.
    let new = unsafe { new.cast::<Kept>().add(index(thread)) };
    // SAFETY: as above.
    unsafe { new.write(touch) };
    let (key, value): (&BlockKey, &Touches) = (&thread.key, &thread.touches);
    let error = insert::insert(&TOUCHES, key, value, u64::from(BPF_NOEXIST));
    for word in 0..size_of::<Kept>() / size_of::<u64>() {
        // SAFETY: as above. Volatile, since LLVM would make a call of memset of it.
        unsafe { new.cast::<u64>().add(word).write_volatile(0) };
    }
    match error {
        0 => {}
        E2BIG => lost(Loss::TouchMapFull),
        _ => match kept(thread) {
            // SAFETY: as above. A neighbour was touched meanwhile, by another thread.
            Some(kept) if error == EEXIST => unsafe { kept.write(touch) },
            _ => lost(Loss::TouchInsertFailed),
        },
    }
}

/// Where the thread was in user mode, from the registers at `regs` in the kernel's memory, of the kernel where it
/// faulted itself; all zeros for one that never was there (the kernel's workers that act for a process).
#[inline(always)]
pub fn user_mode(thread: &mut Thread, regs: u64) -> Interrupted {
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
