//! What is read of the target and of the programs' counters, and what has come between two readings.

use std::ops::{AddAssign, Sub};
use std::sync::Arc;

use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use procfs::process::Process;
use unfreed_common::config::Clock;

use crate::bpf::{Bpf, Runs, TrapCounts};
use crate::target::monotonic_now;

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

/// Reads that.
pub struct Meter {
    pid: u32,
    counts: Arc<TrapCounts>,
    /// The target's CPU time.
    cpu: ClockId,
    /// The last reading: the target may be gone at the end.
    pub last: Reading,
}

impl Meter {
    /// Of the process `pid`. With a first reading.
    pub fn of(bpf: &Bpf, pid: u32) -> anyhow::Result<Self> {
        let mut meter = Self {
            pid,
            counts: bpf.trap_counts(),
            cpu: clock_getcpuclockid(Pid::from_raw(pid.cast_signed()))?,
            last: Reading::default(),
        };
        meter.read(bpf)?;
        Ok(meter)
    }

    /// Now. Of a target that has ended, its last times.
    pub fn read(&mut self, bpf: &Bpf) -> anyhow::Result<Reading> {
        let traps = self.counts.read()?;
        self.last = Reading {
            time: monotonic_now(),
            cpu: now(self.cpu).unwrap_or(self.last.cpu),
            user: user_time(self.pid).unwrap_or(self.last.user),
            runs: bpf.runs(&traps),
            clock: traps.clock,
            net: bpf.net(&traps),
        };
        Ok(self.last)
    }
}

/// CPU time of a process in user mode: nanoseconds.
fn user_time(pid: u32) -> procfs::ProcResult<u64> {
    let stat = Process::new(pid.cast_signed())?.stat()?;
    Ok(stat.utime * (1_000_000_000 / procfs::ticks_per_second()))
}

/// Nanoseconds.
pub fn now(clock: ClockId) -> nix::Result<u64> {
    let time = clock_gettime(clock)?;
    Ok(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
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
