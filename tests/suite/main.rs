//! The test suite: one file for each behaviour.

mod heap_matrix;
mod redis;
mod scale;
