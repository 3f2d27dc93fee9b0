//! The code that return probes put in the place of return addresses.

use core::ops::Range;

use unfreed_common::thread::{MAX_REPLACED, Thread};

/// Where uretprobes return to: the kernel puts its page of trampolines as high in the address space
/// as it gets (kernel/events/uprobes.c, `xol_add_vma`), which is the last page. With 4-level paging
/// that ends at 2^47 - 4096, with 5-level paging at 2^56 - 4096. No code of a program is up there.
const TRAMPOLINES: [Range<u64>; 2] = [
    (1 << 47) - 2 * 4096..(1 << 47),
    (1 << 56) - 2 * 4096..(1 << 56),
];

/// Whether a return address was replaced by a return probe, ours or another tool's.
#[inline(always)]
pub fn is_one(address: u64) -> bool {
    let [four_levels, five_levels] = &TRAMPOLINES;
    four_levels.contains(&address) || five_levels.contains(&address)
}

/// How far below a place on a stack others of the same stack can be.
pub const SAME_STACK: u64 = 1 << 20;

/// The kernel is about to replace the return address at `slot`.
#[inline(always)]
pub fn will_replace(thread: &mut Thread, slot: u64, return_address: u64) {
    if is_one(return_address) {
        // Two return probes on one slot: what it was is known, or another tool was there first.
        return;
    }
    // Calls whose slots are not above this one have returned, or were left.
    for _ in 0..MAX_REPLACED {
        let last = thread.replaced_count.wrapping_sub(1) as usize;
        if last >= MAX_REPLACED || slot.wrapping_sub(thread.replaced[last].slot) >= SAME_STACK {
            break;
        }
        thread.replaced_count = last as u64;
    }
    let index = thread.replaced_count as usize;
    if index < MAX_REPLACED {
        thread.replaced[index].slot = slot;
        thread.replaced[index].return_address = return_address;
        thread.replaced_count = index as u64 + 1;
    }
}

/// The return address that a return probe of ours has replaced at `slot`; 0 when none is known.
#[inline(always)]
pub fn replaced(thread: &Thread, slot: u64) -> u64 {
    let mut found = 0;
    for (index, replaced) in thread.replaced.iter().enumerate() {
        if (index as u64) < thread.replaced_count && replaced.slot == slot {
            found = replaced.return_address;
        }
    }
    found
}
