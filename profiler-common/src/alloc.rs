//! Live blocks of the heap.

/// Key of the live map: one address in one address space.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockKey {
    /// The process that owns the address space.
    pub tgid: u32,
    /// Always 0.
    pub padding: u32,
    /// What the allocator returned.
    pub address: u64,
}

/// Recorded blocks that were given back, since the recording began. Both fields only grow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenBack {
    /// Their bytes.
    pub bytes: u64,
    /// How many.
    pub count: u64,
}

/// Value of the live map: one block that was taken and not given back.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Requested size, bytes.
    pub size: u64,
    /// Hash of the stack that took it.
    pub stack: u64,
    /// When its allocation returned: `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
}
