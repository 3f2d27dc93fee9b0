//! Takes the probes away and brings them back, as the bound says.

use std::sync::Arc;
use std::thread::JoinHandle;

use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use procfs::process::Process;

use super::reading::Reading;
use super::{Bound, Cost, Step};
use crate::bpf::{self, Bpf, ClockSamples, TrapCounts};
use crate::profile::{Slices, Unwind};
use crate::target::monotonic_now;

/// The bound of one recording, and the probes on their way out.
pub struct Gaps {
    pid: u32,
    unwind: Unwind,
    bound: Bound,
    counts: Arc<TrapCounts>,
    /// The target's CPU time.
    cpu: ClockId,
    /// The last reading: the target may be gone at the end.
    last: Reading,
    removal: Option<JoinHandle<()>>,
    /// From the end of the first slice on, while there are probes: how much is the target's own of what is left when
    /// everything else is counted. A recording that stays within its bound has none.
    samples: Option<ClockSamples>,
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
        let mut gaps = Self {
            pid,
            unwind,
            bound: Bound::of(percent, cost, bpf.removes_at_once(), Reading::default()),
            counts: bpf.trap_counts(),
            cpu: clock_getcpuclockid(Pid::from_raw(pid.cast_signed()))?,
            last: Reading::default(),
            removal: None,
            samples: None,
        };
        let begin = gaps.read(bpf)?;
        gaps.bound = Bound::of(percent, cost, bpf.removes_at_once(), begin);
        Ok(gaps)
    }

    /// To be asked often. True: the probes are about to come back, [`Gaps::resume`] is to be called.
    pub fn tick(&mut self, bpf: &mut Bpf) -> anyhow::Result<bool> {
        let now = self.read(bpf)?;
        if let Some(removal) = self.removal.take_if(|removal| removal.is_finished()) {
            // It cannot panic.
            let _removed = removal.join();
            self.samples = None;
            self.bound.gone(now);
        }
        match self.bound.step(now) {
            Step::GoOn => {}
            Step::Pause => {
                bpf.set_recording(self.pid, self.unwind, false)?;
                let now = self.read(bpf)?;
                self.bound.paused(now);
                if self.samples.is_none() {
                    self.samples = Some(bpf.sample_clocks()?);
                }
                let links = bpf.pause();
                self.removal = Some(std::thread::spawn(|| bpf::remove_hit_first(links)));
            }
            Step::Resume => {
                self.bound.returning(now);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Brings the probes back.
    pub fn resume(&mut self, bpf: &mut Bpf) -> anyhow::Result<()> {
        self.samples = Some(bpf.sample_clocks()?);
        bpf.resume()?;
        bpf.set_recording(self.pid, self.unwind, true)?;
        let now = self.read(bpf)?;
        self.bound.resumed(now);
        Ok(())
    }

    /// What it has come to so far, as of the last reading.
    pub fn so_far(&self) -> Slices {
        self.bound.clone().slices(self.last)
    }

    /// What it came to. Events do not count any more.
    pub fn end(mut self, bpf: &Bpf) -> Slices {
        let now = self.read(bpf).unwrap_or(self.last);
        self.bound.slices(now)
    }

    fn read(&mut self, bpf: &Bpf) -> anyhow::Result<Reading> {
        let traps = self.counts.read()?;
        self.last = Reading {
            time: monotonic_now(),
            // The last one, when it has ended.
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
