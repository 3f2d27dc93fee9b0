//! The contract between unfreed's eBPF programs and its user side: the maps' keys and values, the
//! ring buffer's records and the counters. Every type is `repr(C)` with its padding spelled out.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::todo,
        clippy::unimplemented,
        clippy::dbg_macro
    )
)]
#![no_std]
#![expect(
    clippy::inline_always,
    reason = "an eBPF program must be one function: a call would add a frame that the kernel counts"
)]

pub mod alloc;
pub mod config;
pub mod life;
pub mod loss;
pub mod page;
pub mod sample;
pub mod stack;
pub mod thread;
pub mod unwind;

#[cfg(feature = "user")]
mod pod;
