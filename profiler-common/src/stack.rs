//! Call stacks and what hangs on them.

/// The most frames of one stack that are kept, counted from the innermost.
pub const MAX_FRAMES: usize = 127;

/// The stack id of blocks whose stack could not be stored because the table of stacks was full.
pub const OVERFLOW_STACK: u64 = 0;

/// A stack as it leaves through the ring buffer: its header and the first `depth` of `frames`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct StackRecord {
    /// What is known of it.
    pub header: StackHeader,
    /// The innermost function's address, then return addresses outwards; behind a signal handler's
    /// return the address of the interrupted instruction.
    pub frames: [u64; MAX_FRAMES],
}

/// What is known of a stack beside its frames.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StackHeader {
    /// Its id everywhere else.
    pub hash: u64,
    /// When it was seen first: `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// The process's tables that it was walked by: `ProcessTable::generation`.
    pub generation: u64,
    /// The process it belongs to.
    pub tgid: u32,
    /// How many frames, at least 1.
    pub depth: u32,
    /// Why it ended: a [`Stop`](crate::unwind::Stop).
    pub stop: u32,
    /// Bits of [`flag`](crate::unwind::flag).
    pub flags: u32,
    /// Which of the first 128 frames are interrupted instructions rather than return addresses.
    pub interrupted: [u64; 2],
}

/// What one stack took since the recording began. All fields only grow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StackTotals {
    /// Bytes of blocks taken at this stack.
    pub taken_bytes: u64,
    /// How many blocks.
    pub taken_count: u64,
    /// 1 once its frames went through the ring buffer.
    pub sent: u64,
}
