//! The test suite: one file for each behaviour.

mod endings;
mod errors;
mod heap_matrix;
mod redis;
mod scale;
mod session;
