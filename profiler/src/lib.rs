//! unfreed: shows, for a running process, what it took and never gave back, by call stack.
//!
//! Data flows one way: probe -> maps -> [`collect`] -> [`symbolize`] -> [`profile::Profile`] ->
//! [`mod@write`].
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

pub mod allocator;
pub mod bpf;
pub mod check;
pub mod cli;
pub mod collect;
pub mod daemon;
#[cfg(test)]
mod damage;
pub mod gopclntab;
pub mod hash;
mod perf;
pub mod pipeline;
pub mod profile;
pub mod quantity;
pub mod read;
mod readiness;
pub mod site;
pub mod source;
pub mod symbolize;
pub mod target;
pub mod tracker;
pub mod unwind;
pub mod warning;
pub mod write;
