//! The kernel side as the rest of unfreed sees it. The only files that name aya.

mod attach;
mod batch;
#[cfg(test)]
mod frames_test;
mod load;
mod read;
mod tables;

pub use attach::{AttachError, Probe};
pub use load::{Bpf, LoadError, Sizes};
pub use read::{NewStack, PendingBlock, StackEntry, drain};
pub use tables::Tables;

/// The ring of new stacks.
pub type Ring = aya::maps::RingBuf<aya::maps::MapData>;
