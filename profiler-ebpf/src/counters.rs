//! Counters by the hash of an address: to look at one costs less than a search for the address.

use aya_ebpf::maps::Array;

use crate::loss::add;

/// How many are counted at the address's hash, of `1 << BITS`. `None`: the array is smaller, and has none for it.
#[inline(always)]
pub fn at<const BITS: u32>(counters: &Array<u64>, address: u64) -> Option<u64> {
    counters.get(index::<BITS>(address)).copied()
}

/// Counts more there, or less: a number that wraps.
#[inline(always)]
pub fn count<const BITS: u32>(counters: &Array<u64>, address: u64, change: u64) {
    if let Some(counter) = counters.get_ptr_mut(index::<BITS>(address)) {
        add(counter, change);
    }
}

#[inline(always)]
fn index<const BITS: u32>(address: u64) -> u32 {
    // Blocks begin at multiples of 8 or 16.
    let hash = (address >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> (u64::BITS - BITS)) as u32
}
