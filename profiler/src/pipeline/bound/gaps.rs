//! Takes the probes away and brings them back, as the bound says.

use std::thread::JoinHandle;

use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use super::{Bound, Cost, Reading, Step};
use crate::bpf::Bpf;
use crate::profile::{Slices, Unwind};
use crate::target::monotonic_now;

/// The bound of one recording, and the probes on their way out.
pub struct Gaps {
    pid: u32,
    unwind: Unwind,
    bound: Bound,
    clocks: Clocks,
    /// The last reading: the target may be gone at the end.
    last: Reading,
    removing: Option<JoinHandle<()>>,
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
        let clocks = Clocks::of(pid)?;
        let begin = Reading {
            time: monotonic_now(),
            cpu: now(clocks.cpu)?,
            user: now(clocks.user)?,
            runs: bpf.runs()?,
        };
        Ok(Self {
            pid,
            unwind,
            bound: Bound::of(percent, cost, begin),
            clocks,
            last: begin,
            removing: None,
        })
    }

    /// To be asked often. True: the probes are about to come back, [`Gaps::resume`] is to be called.
    pub fn tick(&mut self, bpf: &mut Bpf) -> anyhow::Result<bool> {
        let reading = self.read(bpf)?;
        match self.bound.step(reading) {
            Step::GoOn => {}
            Step::Pause => {
                bpf.set_recording(self.pid, self.unwind, false)?;
                let now = self.read(bpf)?;
                self.bound.paused(now);
                let links = bpf.pause();
                // One after the other: those that wait for their turn are hit all the same, and not counted.
                self.removing = Some(std::thread::spawn(|| drop(links)));
            }
            Step::Resume => return Ok(self.removing.as_ref().is_none_or(JoinHandle::is_finished)),
        }
        Ok(false)
    }

    /// Brings the probes back.
    pub fn resume(&mut self, bpf: &mut Bpf) -> anyhow::Result<()> {
        if let Some(removing) = self.removing.take() {
            // It cannot panic, and has ended.
            let _removed = removing.join();
        }
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
        // Probes that are on their way out need not be waited for.
        let now = self.read(bpf).unwrap_or(self.last);
        self.bound.slices(now)
    }

    fn read(&mut self, bpf: &Bpf) -> anyhow::Result<Reading> {
        self.last = Reading {
            time: monotonic_now(),
            // The last ones, when it has ended.
            cpu: now(self.clocks.cpu).unwrap_or(self.last.cpu),
            user: now(self.clocks.user).unwrap_or(self.last.user),
            runs: bpf.runs()?,
        };
        Ok(self.last)
    }
}

/// The target's CPU time.
struct Clocks {
    /// All of it.
    cpu: ClockId,
    /// In user mode.
    user: ClockId,
}

impl Clocks {
    fn of(pid: u32) -> nix::Result<Self> {
        // The lowest two bits say which of a process's clocks it is (include/linux/posix-timers_types.h).
        const WHICH: libc::clockid_t = 3;
        const USER: libc::clockid_t = 1;
        let cpu = clock_getcpuclockid(Pid::from_raw(pid.cast_signed()))?;
        let user = cpu.as_raw() & !WHICH | USER;
        Ok(Self {
            cpu,
            user: ClockId::from_raw(user),
        })
    }
}

/// Nanoseconds.
pub fn now(clock: ClockId) -> nix::Result<u64> {
    let time = clock_gettime(clock)?;
    Ok(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}
