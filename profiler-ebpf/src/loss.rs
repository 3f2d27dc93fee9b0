//! Counters that reach the user.

use core::arch::asm;

use unfreed_common::loss::{Loss, Note};

use crate::maps::{LOSSES, NOTES};

/// Adds to a field that other CPUs add to as well.
#[inline(always)]
pub fn add(counter: *mut u64, amount: u64) {
    // rustc's BPF target has no read-modify-write atomics (max_atomic_width without CAS); this is the
    // instruction itself, the one form that every kernel since 4.x has (no fetch, so no 5.12).
    // SAFETY: the pointer is to an aligned u64 in a map value, which only ever sees atomic adds here.
    unsafe {
        asm!("lock *(u64 *)({counter} + 0) += {amount}", counter = in(reg) counter, amount = in(reg) amount);
    }
}

/// Counts one lost event.
#[inline(always)]
pub fn lost(loss: Loss) {
    if let Some(counter) = LOSSES.get_ptr_mut(loss as u32) {
        add(counter, 1);
    }
}

/// Counts something worth knowing.
#[inline(always)]
pub fn noted(note: Note) {
    if let Some(counter) = NOTES.get_ptr_mut(note as u32) {
        add(counter, 1);
    }
}
