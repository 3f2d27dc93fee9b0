//! The kernel side as the rest of unfreed sees it. The only files that name aya.

mod attach;
mod barrier;
mod batch;
mod call;
#[cfg(test)]
mod frames_test;
mod load;
mod multi;
mod object;
mod pausable;
mod processes;
mod read;
mod tables;

pub use attach::{AttachError, ClockSamples, FaultEvents, Probe};
pub use load::{Bpf, LoadError, Sizes, Walkers};
pub use object::Memory;
pub use pausable::{Link, Runs, TrapCounts, remove, remove_hit_first};
pub use processes::Processes;
pub use read::{NewStack, PendingBlock, StackEntry, descriptor, drain, drain_moves};
pub use tables::Tables;

/// A ring buffer that programs write and we read.
pub type Ring = aya::maps::RingBuf<aya::maps::MapData>;

/// Whether this kernel has the kind of map that stacks leave it through.
pub fn has_ring_buffer() -> Result<bool, aya::sys::SyscallError> {
    aya::sys::is_map_supported(aya::maps::MapType::RingBuf)
}
