//! Numbers that the verifier can see to be small enough.

use core::arch::asm;

/// The bits of `number` in `MASK`. In assembly, since LLVM leaves out a mask that it knows to change
/// nothing, and then compares a copy of the register: the verifiers of Linux 5.10 to 6.1 do not carry what
/// a comparison says over to the copy.
#[inline(always)]
pub fn masked<const MASK: u64>(mut number: u64) -> u64 {
    // SAFETY: masks a register.
    unsafe { asm!("{0} &= {1}", inout(reg) number, const MASK) };
    number
}
