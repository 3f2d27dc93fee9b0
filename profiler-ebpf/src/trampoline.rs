//! The code that return probes put in the place of return addresses.

use core::ops::Range;

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
