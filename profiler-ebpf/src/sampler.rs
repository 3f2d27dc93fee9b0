//! Which calls are recorded when not all are. The others are to cost next to nothing: what must be known
//! of them is not in the thread's state, to find which takes a search, but in a `Sampler`.

use aya_ebpf::helpers::bpf_get_prandom_u32;
use unfreed_common::thread::{SAMPLERS as SLOTS, Sampler, Thread, kind, seen};

use crate::machine::Registers;
use crate::maps::{SAMPLERS, SAMPLING};
use crate::thread::current_tid;
use crate::track::{self, Entry, NESTED_WITHIN, Pending};
use crate::word::set;
use crate::{live, settings};

/// What is to be done with a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it is not recorded, or is part of one that is not.
    Nothing,
    /// Its block is recorded.
    Picked,
    /// Its block is not, but the old one may have been.
    OldBlockOnly,
    /// That depends on the thread's state, see [`picks`].
    Undecided,
}

/// An allocator function was entered.
#[inline(always)]
pub fn begin(regs: Registers, entry: &Entry) -> Verdict {
    if !settings::sampled() {
        return Verdict::Picked;
    }
    let Some(sampler) = current() else {
        return Verdict::Undecided;
    };
    if sampler.busy != 0 {
        return Verdict::Undecided;
    }
    let slot = regs.slot_at_entry();
    let function = regs.instruction_pointer();
    if sampler.slot != 0 {
        let Some(return_address) = regs.return_address() else {
            return Verdict::Undecided;
        };
        let pending = Pending {
            slot: sampler.slot,
            return_address: sampler.return_address,
            function: sampler.function,
            seen: sampler.seen,
        };
        if track::is_nested(&pending, slot, function, return_address) {
            return Verdict::Nothing;
        }
        sampler.slot = 0;
    }
    let is_picked = is_reached(&mut sampler.until, entry.size);
    let has_old = entry.kind == kind::REALLOC || entry.kind == kind::RESIZE;
    if is_picked {
        return Verdict::Picked;
    }
    if has_old && live::may_hold(entry.argument) {
        return Verdict::OldBlockOnly;
    }
    sampler.slot = slot;
    sampler.function = function;
    sampler.seen = entry.seen;
    if entry.seen == seen::INSTRUCTION {
        // A slot that cannot be read is no call's that is in flight.
        sampler.return_address = regs.return_address().unwrap_or(0);
    }
    Verdict::Nothing
}

/// Whether a call that is [`Verdict::Undecided`], and none that is nested, is recorded.
#[inline(always)]
pub fn picks(thread: &mut Thread, size: u64) -> bool {
    match existing() {
        Some(sampler) => is_reached(&mut sampler.until, size),
        None => is_reached(&mut thread.until, size),
    }
}

/// The thread's state has a call in flight from now on, or may have none any more.
#[inline(always)]
pub fn note(thread: &Thread) {
    if let Some(sampler) = existing() {
        let busy = thread.call.slot != 0 || thread.interrupted_count != 0;
        sampler.busy = u64::from(busy);
    }
}

/// A function returned to `slot`. True: that is all, no call that is recorded is in flight.
#[inline(always)]
pub fn has_returned(slot: u64) -> bool {
    let Some(sampler) = existing() else {
        return false;
    };
    if sampler.slot == slot {
        sampler.slot = 0;
        return true;
    }
    sampler.busy == 0
}

/// A signal handler is about to run: its calls are not part of the one it interrupts.
#[inline(always)]
pub fn interrupt() {
    if let Some(sampler) = existing() {
        sampler.slot = 0;
    }
}

/// The stack was unwound up to `stack_pointer` by an exception: calls below it will not return.
#[inline(always)]
pub fn unwound(stack_pointer: u64) {
    if let Some(sampler) = existing()
        && sampler.slot < stack_pointer
        && stack_pointer - sampler.slot < NESTED_WITHIN
    {
        sampler.slot = 0;
    }
}

/// The current thread exits.
#[inline(always)]
pub fn forget() {
    if let Some(sampler) = existing() {
        sampler.owner = 0;
    }
}

/// The current thread's, if it has one.
#[inline(always)]
fn existing() -> Option<&'static mut Sampler> {
    let sampler = SAMPLERS.get_ptr_mut(index())?;
    // SAFETY: a pointer into an array; all but the owner is touched only by the owner's thread, on which
    // programs do not interrupt each other.
    let sampler = unsafe { &mut *sampler };
    (sampler.owner == current_tid()).then_some(sampler)
}

/// The current thread's, made when nobody else has its place.
#[inline(always)]
fn current() -> Option<&'static mut Sampler> {
    if let Some(sampler) = existing() {
        return Some(sampler);
    }
    // SAFETY: as above. Two threads may take it at the same moment (5.10 has no instruction that compares
    // and exchanges), and the later one has it. The other one then finds that it has none; what it has
    // written meanwhile is a random number as good as any, a flag that is made right at the next call, and
    // a call on another stack.
    let sampler = unsafe { &mut *SAMPLERS.get_ptr_mut(index())? };
    if sampler.owner != 0 {
        return None;
    }
    set(&mut sampler.until, 0);
    set(&mut sampler.slot, 0);
    set(&mut sampler.busy, 0);
    sampler.owner = current_tid();
    Some(sampler)
}

#[inline(always)]
fn index() -> u32 {
    current_tid() & (SLOTS as u32 - 1)
}

/// Whether a block of this size has a byte that is picked, the next one of which is at `until`.
#[inline(always)]
fn is_reached(until: &mut u64, size: u64) -> bool {
    if *until == 0 {
        *until = interval();
    }
    if *until > size {
        *until -= size;
        return false;
    }
    *until = interval();
    true
}

#[inline(always)]
fn interval() -> u64 {
    // SAFETY: helpers without arguments.
    let random =
        unsafe { u64::from(bpf_get_prandom_u32()) << 32 | u64::from(bpf_get_prandom_u32()) };
    SAMPLING
        .get(0)
        .map_or(u64::MAX, |sampling| sampling.interval(random))
}
