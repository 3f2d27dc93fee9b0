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
    /// When its allocation returned: `CLOCK_MONOTONIC`, nanoseconds; 0: it was given back, and its entry in the live map is
    /// vacant, kept for the next block at that address.
    pub time: u64,
}

impl Block {
    /// Whether this is a vacant entry and no block.
    #[inline(always)]
    #[must_use]
    pub const fn is_vacant(&self) -> bool {
        self.time == 0
    }

    /// The block is no more.
    #[inline(always)]
    pub const fn vacate(&mut self) {
        self.time = 0;
    }
}

/// Binary logarithm of how many entries of the live map can be vacant.
pub const VACANT_PLACES: u32 = 14;
