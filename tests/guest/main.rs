//! Tests of what only a machine of one's own can be made to show: run by `cargo xtask vm-test`, in a
//! guest, one at a time.

mod company;
mod lockdown;
mod preempt;
mod refused;
