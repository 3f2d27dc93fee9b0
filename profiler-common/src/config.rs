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
