//! What does not change while the programs are loaded. The verifier knows the values, and leaves out of each program
//! what is not for them.

use core::ptr::read_volatile;

/// 1: not every block is recorded, `Sampling` says which. The user side sets it.
#[unsafe(no_mangle)]
static SAMPLED: u32 = 0;

/// 1: the recording may have gaps, to keep its cost within a bound. The user side sets it.
#[unsafe(no_mangle)]
static BOUNDED: u32 = 0;

/// Whether not every block is recorded.
#[inline(always)]
pub fn sampled() -> bool {
    is_set(&SAMPLED)
}

/// Whether the recording may have gaps.
#[inline(always)]
pub fn bounded() -> bool {
    is_set(&BOUNDED)
}

/// Volatile, as the compiler would take it for the value above.
#[inline(always)]
fn is_set(setting: &u32) -> bool {
    // SAFETY: a valid reference.
    unsafe { read_volatile(setting) != 0 }
}
