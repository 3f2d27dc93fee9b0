//! What is recorded, one file per view.

mod heap;
mod unstripped;

pub use heap::Heap;
pub use unstripped::Unstripped;
