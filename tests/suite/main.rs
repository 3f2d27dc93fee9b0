//! The test suite: one file for each behaviour.

mod bounded;
mod chains;
mod daemon;
mod emulated;
mod endings;
mod errors;
mod exits;
mod go;
mod heap_matrix;
mod heard;
mod judge;
mod losses;
mod modules;
mod packaging;
mod pages;
mod recorded;
mod redis;
mod sampling;
mod scale;
mod session;
mod stripped;
mod symbols;
mod toolchain;
mod traces;
mod unwinding;
mod whole;
