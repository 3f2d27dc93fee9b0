//! What the two sides tell each other about the recording.

/// Written by the user side only.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// 1 while events count.
    pub recording: u32,
    /// The target.
    pub tgid: u32,
    /// How stacks are walked: one of [`mode`](crate::unwind::mode).
    pub unwind: u32,
    /// 1: not every block is recorded, [`Sampling`](crate::sample::Sampling) says which.
    pub sampled: u32,
    /// 1: the recording may have gaps, to keep its cost within a bound.
    pub bounded: u32,
    /// Always 0.
    pub padding: u32,
    /// When events began to count, for the last time: `CLOCK_MONOTONIC`, nanoseconds.
    pub since: u64,
}

/// How many places [`Traps`] tells apart.
pub const TRAP_PLACES: usize = 512;

/// How often uprobes' programs ran, by the [`trap_place`] of the instruction under the probe; returns all
/// have the one of the kernel's trampoline.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Traps(pub [u64; TRAP_PLACES]);

/// Of an address, or of the offset in the file that is mapped there: pages are mapped as a whole.
#[inline(always)]
#[must_use]
pub const fn trap_place(address: u64) -> usize {
    (address as usize & 0xfff) >> 3
}

/// Written by the eBPF side only: the target ended the recording by itself.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// One of [`ended`].
    pub reason: u64,
    /// When: `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
}

/// Values of [`Ended::reason`].
pub mod ended {
    /// It goes on.
    pub const NO: u64 = 0;
    /// The target replaced its program.
    pub const EXEC: u64 = 1;
    /// The target's first thread exited, alone or with the whole process.
    pub const MAIN_THREAD_EXITED: u64 = 2;
}
