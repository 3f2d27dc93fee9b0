//! unfreed: shows, for a running process, what it took and never gave back, by call stack.

pub mod allocator;
pub mod profile;
pub mod warning;
