//! What differs from machine to machine.

#[cfg(bpf_target_arch = "aarch64")]
mod aarch64;
#[cfg(bpf_target_arch = "x86_64")]
mod x86_64;

#[cfg(bpf_target_arch = "aarch64")]
pub use aarch64::*;
#[cfg(bpf_target_arch = "x86_64")]
pub use x86_64::*;

/// Where a thread was in user mode when the kernel took over.
pub struct Interrupted {
    /// The instruction that was to be executed, or executed again.
    pub pc: u64,
    /// Stack pointer.
    pub sp: u64,
    /// Frame pointer register.
    pub fp: u64,
    /// Link register, on machines that have one; else the register that Go's functions have their goroutine
    /// in, marked as such.
    pub link: u64,
}
