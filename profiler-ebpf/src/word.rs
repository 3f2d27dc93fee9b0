//! Words that are written one by one.

/// Sets a word. Volatile, since LLVM would make a call of memset of several zeros.
#[inline(always)]
pub fn set(word: &mut u64, value: u64) {
    // SAFETY: a valid reference.
    unsafe { core::ptr::write_volatile(word, value) };
}
