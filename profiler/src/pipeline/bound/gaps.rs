//! Takes the probes away and brings them back, as the bound says.

use std::sync::Arc;

use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use unfreed_common::config::Traps;

use super::removal::{Removal, Seen};
use super::{Bound, Cost, Reading, Step};
use crate::bpf::{Bpf, TrapCounts};
use crate::profile::{Slices, Unwind};
use crate::target::monotonic_now;

/// The bound of one recording, and the probes on their way out.
pub struct Gaps {
    pid: u32,
    unwind: Unwind,
    cost: Cost,
    bound: Bound,
    counts: Arc<TrapCounts>,
    /// The target's CPU time.
    cpu: ClockId,
    /// The last reading: the target may be gone at the end.
    last: Reading,
    removal: Option<Removal>,
    /// What was counted while events counted, in the slices that are over.
    recorded: Traps,
    /// What was counted when the last slice began.
    before: Traps,
}

impl Gaps {
    /// Recording has begun.
    pub fn of(
        bpf: &Bpf,
        pid: u32,
        unwind: Unwind,
        percent: f64,
        cost: Cost,
    ) -> anyhow::Result<Self> {
        let cpu = clock_getcpuclockid(Pid::from_raw(pid.cast_signed()))?;
        let counts = bpf.trap_counts();
        let before = counts.read()?;
        let begin = Reading {
            time: monotonic_now(),
            cpu: now(cpu)?,
            runs: bpf.runs(&before),
            net: bpf.net(&before),
        };
        Ok(Self {
            pid,
            unwind,
            cost,
            bound: Bound::of(percent, cost, bpf.removes_at_once(), begin),
            counts,
            cpu,
            last: begin,
            removal: None,
            recorded: Traps::NONE,
            before,
        })
    }

    /// To be asked often. True: the probes are about to come back, [`Gaps::resume`] is to be called.
    pub fn tick(&mut self, bpf: &mut Bpf) -> anyhow::Result<bool> {
        self.learn();
        let (reading, _) = self.read(bpf)?;
        match self.bound.step(reading) {
            Step::GoOn => {}
            Step::Pause => {
                bpf.set_recording(self.pid, self.unwind, false)?;
                let (now, traps) = self.read(bpf)?;
                self.bound.paused(now);
                self.recorded.add(&traps.since(&self.before));
                let seen = self.bound.is_to_learn().map(|turn| Seen {
                    turn,
                    counts: Arc::clone(&self.counts),
                    recorded: self.recorded,
                    cost: self.cost,
                    cpu: self.cpu,
                });
                self.removal = Some(Removal::begin(bpf.pause(), seen));
            }
            Step::Resume => return Ok(self.removal.is_none()),
        }
        Ok(false)
    }

    /// Brings the probes back.
    pub fn resume(&mut self, bpf: &mut Bpf) -> anyhow::Result<()> {
        bpf.resume()?;
        bpf.set_recording(self.pid, self.unwind, true)?;
        let (now, traps) = self.read(bpf)?;
        self.bound.resumed(now);
        self.before = traps;
        Ok(())
    }

    /// Takes what was seen while probes were removed, when that is over.
    fn learn(&mut self) {
        if let Some(removal) = self.removal.take_if(|removal| removal.is_over()) {
            self.bound.learn(removal.end());
        }
    }

    /// What it has come to so far, as of the last reading.
    pub fn so_far(&self) -> Slices {
        self.bound.clone().slices(self.last)
    }

    /// What it came to. Events do not count any more.
    pub fn end(mut self, bpf: &Bpf) -> Slices {
        // Probes that are on their way out need not be waited for.
        self.learn();
        let now = self.read(bpf).map_or(self.last, |(now, _)| now);
        self.bound.slices(now)
    }

    fn read(&mut self, bpf: &Bpf) -> anyhow::Result<(Reading, Traps)> {
        let traps = self.counts.read()?;
        self.last = Reading {
            time: monotonic_now(),
            // The last one, when it has ended.
            cpu: now(self.cpu).unwrap_or(self.last.cpu),
            runs: bpf.runs(&traps),
            net: bpf.net(&traps),
        };
        Ok((self.last, traps))
    }
}

/// Nanoseconds.
pub fn now(clock: ClockId) -> nix::Result<u64> {
    let time = clock_gettime(clock)?;
    Ok(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}
