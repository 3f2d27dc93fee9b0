//! Shared by the test suite and `cargo xtask accuracy`: programs that keep a ledger of what they
//! allocate, unfreed recording them, and the comparison of the two.
//!
//! `guest` is what runs the suite in a virtual machine.
//!
//! Every child process is owned by a value and killed when that is dropped; readiness is a line
//! that is read, never a time that is waited.

pub mod bounded;
pub mod browser;
pub mod build;
pub mod chain;
pub mod child;
pub mod compare;
pub mod daemon;
pub mod gdb;
pub mod guest;
pub mod ledger;
pub mod matrix;
pub mod objects;
pub mod paths;
pub mod program;
pub mod redis;
pub mod report;
pub mod system_call;
pub mod throughput;
pub mod unfreed;
pub mod uprobe;
