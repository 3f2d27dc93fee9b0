//! What is read of the target and of the programs' counters, and what has come between two readings.

use std::ops::{AddAssign, Sub};

use unfreed_common::config::Clock;

use crate::bpf::Runs;

/// Where the target and the clocks are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// CPU time of the target so far, nanoseconds.
    pub cpu: u64,
    /// Which part of that was in user mode, as the kernel has it: known to a tick of its own clock.
    pub user: u64,
    /// How often programs have run so far.
    pub runs: Runs,
    /// Samples of the processors' clocks so far, which are taken while there are probes.
    pub clock: Clock,
    /// Blocks that were taken less those that were given back, while events counted; `None`: not every block is
    /// recorded.
    pub net: Option<i64>,
}

/// What has come between readings.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Span {
    /// CPU time of the target, nanoseconds.
    pub cpu: f64,
    /// Of that, in user mode.
    pub user: f64,
    /// How often programs ran.
    pub runs: Runs,
    /// Samples of the processors' clocks.
    pub clock: Clock,
}

impl Sub for Reading {
    type Output = Span;

    fn sub(self, before: Self) -> Span {
        Span {
            cpu: self.cpu.saturating_sub(before.cpu) as f64,
            // The kernel's splitting of a process's time goes by all of it, and may take back what it said.
            user: self.user.saturating_sub(before.user) as f64,
            runs: self.runs - before.runs,
            clock: self.clock - before.clock,
        }
    }
}

impl AddAssign for Span {
    fn add_assign(&mut self, other: Self) {
        self.cpu += other.cpu;
        self.user += other.user;
        self.runs += other.runs;
        self.clock += other.clock;
    }
}
