//! The kernel side as the rest of unfreed sees it. The only files that name aya.

mod attach;
mod batch;
#[cfg(test)]
mod frames_test;
mod load;
mod read;

pub use attach::{AttachError, Probe};
pub use load::{Bpf, LoadError, Sizes};
pub use read::{NewStack, PendingBlock, StackEntry, drain};

/// The ring of new stacks.
pub type Ring = aya::maps::RingBuf<aya::maps::MapData>;
