//! begin / commit: allocator calls between their entry and their return. What a call means for the
//! live map is decided here and nowhere else.
//!
//! One user-visible call counts once: of nested calls only the outermost. Calls can be left without
//! a return (longjmp, exception), so a pending call is believed only as long as its frame can still
//! exist: the stack must not have been unwound past it, and its return address slot must still hold
//! what it held.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use unfreed_common::loss::{Loss, Note};
use unfreed_common::thread::{Call, MAX_INTERRUPTED, Thread, kind, seen};

use crate::loss::{lost, noted};
use crate::machine::{Registers, slot_holds};
use crate::maps::SAMPLING;
use crate::window::read_word;
use crate::{gaps, live, memo, settings, trampoline};

/// How far below a pending call's frame a nested call's frame can be. Further away is another stack
/// (a coroutine's, a signal stack).
pub const NESTED_WITHIN: u64 = 1 << 20;

/// The kernel follows this many return probes on one thread (`MAX_URETPROBE_DEPTH`).
const RETURN_DEPTH: u64 = 64;

/// What an entry probe knows of a call.
pub struct Entry {
    /// Requested bytes.
    pub size: u64,
    /// Old block or address of the result.
    pub argument: u64,
    /// One of `kind`.
    pub kind: u32,
    /// One of `seen`.
    pub seen: u32,
}

/// A call in flight, as far as it matters to those that begin.
pub struct Pending {
    /// As in `Call`.
    pub slot: u64,
    /// As in `Call`; only for those whose return is seen at an instruction.
    pub return_address: u64,
    /// As in `Call`.
    pub function: u64,
    /// One of `seen`.
    pub seen: u32,
}

/// An allocator function was entered. True: this is a call to be recorded, and [`stack_known`] or
/// [`not_recorded`] must follow.
#[inline(always)]
pub fn begin(regs: Registers, tgid: u32, thread: &mut Thread, entry: &Entry) -> bool {
    let slot = regs.slot_at_entry();
    let function = regs.instruction_pointer();
    let Some(return_address) = regs.return_address_and_more(&mut thread.window) else {
        lost(Loss::ResultUnreadable);
        return false;
    };
    if entry.seen == seen::TRAMPOLINE {
        trampoline::will_replace(thread, slot, return_address);
    }
    if thread.call.slot != 0 {
        let pending = Pending {
            slot: thread.call.slot,
            return_address: thread.call.return_address,
            function: thread.call.function,
            seen: thread.call.seen,
        };
        if is_nested(&pending, slot, function, return_address) {
            thread.nested += 1;
            if thread.nested == RETURN_DEPTH - 1 {
                lost(Loss::ReturnDepth);
            }
            return false;
        }
        abandon(tgid, thread);
    }
    forget_left_by_handlers(tgid, thread, slot);
    thread.nested = 0;
    thread.call.slot = slot;
    thread.call.return_address = return_address;
    thread.call.function = function;
    thread.call.size = entry.size;
    thread.call.argument = entry.argument;
    thread.call.kind = entry.kind;
    thread.call.seen = entry.seen;
    thread.call.has_old = 0;
    true
}

/// The stack of the call that has just begun is `stack`.
#[inline(always)]
pub fn stack_known(tgid: u32, thread: &mut Thread, stack: u64) {
    thread.call.stack = stack;
    thread.call.recorded = 1;
    set_old_aside(tgid, thread);
}

/// The block of the call that has just begun is not to be recorded.
#[inline(always)]
pub fn not_recorded(tgid: u32, thread: &mut Thread) {
    thread.call.recorded = 0;
    set_old_aside(tgid, thread);
}

#[inline(always)]
fn set_old_aside(tgid: u32, thread: &mut Thread) {
    let has_argument = thread.call.argument != 0;
    if has_argument && (thread.call.kind == kind::REALLOC || thread.call.kind == kind::RESIZE) {
        // Before the allocator can give the address to another thread.
        let address = thread.call.argument;
        set_key(thread, tgid, address);
        thread.call.has_old = u64::from(live::set_aside(&thread.key, &mut thread.call.old));
    }
}

/// A probed function returned to `slot` with `result`.
#[inline(always)]
pub fn commit(tgid: u32, thread: &mut Thread, slot: u64, result: u64) {
    if thread.call.slot != slot {
        let pending = thread.call.slot;
        let nested = pending != 0 && slot < pending && pending - slot < NESTED_WITHIN;
        if nested || !resume(tgid, thread, slot) {
            // Nested, or entered before the recording.
            return;
        }
    }
    thread.call.slot = 0;
    match thread.call.kind {
        kind::BLOCK => taken(tgid, thread, result),
        kind::OUT_POINTER => {
            if result == 0 {
                match read_word(thread.call.argument) {
                    Some(address) => taken(tgid, thread, address),
                    None => lost(Loss::ResultUnreadable),
                }
            }
        }
        kind::RESIZE => {
            // In place or not at all: the block was counted as new even when it is from before the
            // recording, like realloc's.
            if result >= thread.call.size {
                old_given_back(thread);
                let address = thread.call.argument;
                taken(tgid, thread, address);
            } else {
                old_restored(tgid, thread);
            }
        }
        _ => {
            if result != 0 || thread.call.size == 0 {
                old_given_back(thread);
                taken(tgid, thread, result);
            } else {
                old_restored(tgid, thread);
            }
        }
    }
}

/// A signal handler is about to run on this thread: what it allocates is not part of the call that it
/// interrupts.
#[inline(always)]
pub fn interrupt(thread: &mut Thread) {
    if thread.call.slot == 0 {
        return;
    }
    let index = thread.interrupted_count as usize;
    if index >= MAX_INTERRUPTED {
        lost(Loss::SignalDepth);
        return;
    }
    copy(&mut thread.interrupted[index], &thread.call);
    thread.interrupted_count = index as u64 + 1;
    thread.call.slot = 0;
}

/// The stack was unwound up to `stack_pointer` by an exception: calls below it will not return.
#[inline(always)]
pub fn unwound(tgid: u32, thread: &mut Thread, stack_pointer: u64) {
    let slot = thread.call.slot;
    if slot != 0 && slot < stack_pointer && stack_pointer - slot < NESTED_WITHIN {
        abandon(tgid, thread);
    }
}

/// The block that is being freed from a frame at `slot` may have been set aside by a realloc that was
/// left by longjmp. Then it is put back, and this is true. A realloc that still runs frees the block
/// itself, from a deeper frame.
#[inline(always)]
pub fn is_back(tgid: u32, slot: u64, address: u64) -> bool {
    let Some(thread) = crate::thread::existing() else {
        return false;
    };
    let call = &thread.call;
    if call.slot == 0 || call.has_old == 0 || call.argument != address || slot < call.slot {
        return false;
    }
    abandon(tgid, thread);
    true
}

/// The thread exits: its calls will not return.
#[inline(always)]
pub fn drop_calls(tgid: u32, thread: &mut Thread) {
    if thread.call.slot != 0 {
        abandon(tgid, thread);
    }
    for index in 0..MAX_INTERRUPTED {
        if (index as u64) < thread.interrupted_count {
            copy(&mut thread.call, &thread.interrupted[index]);
            abandon(tgid, thread);
        }
    }
}

/// Whether a call entered at `slot` runs inside `pending`, which then must still be on the stack.
#[inline(always)]
pub fn is_nested(pending: &Pending, slot: u64, function: u64, return_address: u64) -> bool {
    if slot > pending.slot || pending.slot - slot > NESTED_WITHIN {
        return false;
    }
    let by_trampoline = pending.seen == seen::TRAMPOLINE;
    let expected = pending.return_address;
    let is_it = |held| {
        if by_trampoline {
            trampoline::is_one(held)
        } else {
            held == expected
        }
    };
    if slot != pending.slot {
        return slot_holds(pending.slot, is_it);
    }
    // At the same slot this is a tail call: the slot holds the trampoline already, or the function is
    // another one. The same function again is a new call from the same place after the pending one
    // was left by an exception.
    is_it(return_address) && (by_trampoline || function != pending.function)
}

/// Forgets interrupted calls whose frames a new call's frame at `slot` has replaced: their signal
/// handlers were left by longjmp. (A signal stack just above the interrupted frame looks the same, and
/// then the interrupted call is forgotten, too.)
#[inline(always)]
fn forget_left_by_handlers(tgid: u32, thread: &mut Thread, slot: u64) {
    for index in (0..MAX_INTERRUPTED).rev() {
        if index as u64 + 1 != thread.interrupted_count {
            continue;
        }
        let interrupted = thread.interrupted[index].slot;
        if slot >= interrupted && slot - interrupted < NESTED_WITHIN {
            copy(&mut thread.call, &thread.interrupted[index]);
            abandon(tgid, thread);
            thread.interrupted_count = index as u64;
        }
    }
}

/// Makes the interrupted call that returns to `slot` the current one again.
#[inline(always)]
fn resume(tgid: u32, thread: &mut Thread, slot: u64) -> bool {
    for index in (0..MAX_INTERRUPTED).rev() {
        if (index as u64) < thread.interrupted_count && thread.interrupted[index].slot == slot {
            if thread.call.slot != 0 {
                // The handler was left without its allocation's return.
                abandon(tgid, thread);
            }
            copy(&mut thread.call, &thread.interrupted[index]);
            thread.interrupted_count = index as u64;
            return true;
        }
    }
    false
}

/// The pending call did not and will not return.
#[inline(always)]
fn abandon(tgid: u32, thread: &mut Thread) {
    thread.call.slot = 0;
    noted(Note::Unreturned);
    old_restored(tgid, thread);
}

#[inline(always)]
fn taken(tgid: u32, thread: &mut Thread, address: u64) {
    if address == 0 || thread.call.recorded == 0 {
        return;
    }
    set_key(thread, tgid, address);
    thread.block.size = thread.call.size;
    thread.block.stack = thread.call.stack;
    // SAFETY: a helper without arguments.
    thread.block.time = unsafe { bpf_ktime_get_ns() };
    let (stack, size) = (thread.call.stack, thread.call.size);
    match SAMPLING.get(0) {
        Some(sampling) if settings::sampled() => {
            let (bytes, count) = sampling.stands_for(size);
            memo::add_to_totals(stack, bytes, count);
        }
        _ => memo::taken(memo::of(thread), stack, size),
    }
    gaps::count_taken();
    live::take(&thread.key, &thread.block);
}

#[inline(always)]
fn old_given_back(thread: &mut Thread) {
    if thread.call.argument != 0 {
        gaps::count_given_back(thread.call.argument, thread.call.has_old != 0);
    }
    if thread.call.has_old != 0 {
        live::give_back_aside(thread.call.argument, thread.call.old.size);
    }
}

#[inline(always)]
fn old_restored(tgid: u32, thread: &mut Thread) {
    if thread.call.has_old != 0 {
        thread.call.has_old = 0;
        let address = thread.call.argument;
        set_key(thread, tgid, address);
        // It has been counted when it was taken.
        live::restore(&thread.key, &thread.call.old);
    }
}

#[inline(always)]
fn set_key(thread: &mut Thread, tgid: u32, address: u64) {
    thread.key.tgid = tgid;
    thread.key.padding = 0;
    thread.key.address = address;
}

/// Field by field: a copy of the whole would be a call of memmove, with a frame of its own.
#[inline(always)]
fn copy(to: &mut Call, from: &Call) {
    let Call {
        slot,
        return_address,
        function,
        size,
        argument,
        stack,
        kind,
        seen,
        recorded,
        has_old,
        old,
    } = from;
    to.slot = *slot;
    to.return_address = *return_address;
    to.function = *function;
    to.size = *size;
    to.argument = *argument;
    to.stack = *stack;
    to.kind = *kind;
    to.seen = *seen;
    to.recorded = *recorded;
    to.has_old = *has_old;
    to.old.size = old.size;
    to.old.stack = old.stack;
    to.old.time = old.time;
}
