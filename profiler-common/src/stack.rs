//! Call stacks and what hangs on them.

/// The most frames of one stack that are kept, counted from the innermost.
pub const MAX_FRAMES: usize = 127;

/// The stack id of blocks whose stack could not be stored because the table of stacks was full.
pub const OVERFLOW_STACK: u64 = 0;

/// A stack as it leaves through the ring buffer: the first `16 + 8 * depth` bytes of this.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct StackRecord {
    /// Its id everywhere else.
    pub hash: u64,
    /// The process it belongs to.
    pub tgid: u32,
    /// How many of `frames` are filled, at least 1.
    pub depth: u32,
    /// The innermost function's address, then return addresses outwards.
    pub frames: [u64; MAX_FRAMES],
}

/// Bytes before `frames` in a [`StackRecord`].
pub const STACK_RECORD_HEADER: usize = 16;

/// What one stack took and gave back since the recording began. All fields only grow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StackTotals {
    /// Bytes of blocks taken at this stack.
    pub taken_bytes: u64,
    /// How many blocks.
    pub taken_count: u64,
    /// Bytes of those that were given back, from wherever.
    pub freed_bytes: u64,
    /// How many.
    pub freed_count: u64,
    /// 1 once its frames went through the ring buffer.
    pub sent: u64,
}
