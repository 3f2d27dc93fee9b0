//! Lets aya read and write the shared types as plain bytes.

use aya::Pod;

use crate::alloc::{Block, BlockKey, GivenBack};
use crate::config::{Control, Ended, Traps};
use crate::page::{Move, Touches};
use crate::sample::Sampling;
use crate::stack::{StackHeader, StackTotals};
use crate::thread::Thread;
use crate::unwind::{Mapping, ProcessTable};

// SAFETY: repr(C), made of integers only, without implicit padding: any bytes are a value and no byte
// is uninitialized.
unsafe impl Pod for BlockKey {}
// SAFETY: as above.
unsafe impl Pod for Block {}
// SAFETY: as above.
unsafe impl Pod for GivenBack {}
// SAFETY: as above.
unsafe impl Pod for Touches {}
// SAFETY: as above.
unsafe impl Pod for Move {}
// SAFETY: as above.
unsafe impl Pod for StackTotals {}
// SAFETY: as above.
unsafe impl Pod for Thread {}
// SAFETY: as above.
unsafe impl Pod for Control {}
// SAFETY: as above.
unsafe impl Pod for Ended {}
// SAFETY: as above.
unsafe impl Pod for Traps {}
// SAFETY: as above.
unsafe impl Pod for Sampling {}
// SAFETY: as above.
unsafe impl Pod for Mapping {}
// SAFETY: as above.
unsafe impl Pod for ProcessTable {}
// SAFETY: as above.
unsafe impl Pod for StackHeader {}
