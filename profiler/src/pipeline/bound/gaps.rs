//! Takes the probes away and brings them back, as the bound says.

use std::thread::JoinHandle;

use super::reading::Meter;
use super::{Bound, Cost, Step};
use crate::bpf::{self, Bpf, ClockSamples};
use crate::profile::{Slices, Unwind};

/// The bound of one recording, and the probes on their way out.
pub struct Gaps {
    pid: u32,
    unwind: Unwind,
    bound: Bound,
    meter: Meter,
    removal: Option<JoinHandle<()>>,
    /// From the end of the first slice on, while there are probes. A recording that stays within its bound has none.
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
        let meter = Meter::of(bpf, pid)?;
        Ok(Self {
            pid,
            unwind,
            bound: Bound::of(percent, cost, bpf.removes_at_once(), meter.last),
            meter,
            removal: None,
            samples: None,
        })
    }

    /// To be asked often. True: the probes are about to come back, [`Gaps::resume`] is to be called.
    pub fn tick(&mut self, bpf: &mut Bpf) -> anyhow::Result<bool> {
        let now = self.meter.read(bpf)?;
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
                let now = self.meter.read(bpf)?;
                self.bound.paused(now);
                if self.samples.is_none() {
                    self.sample(bpf);
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
        self.sample(bpf);
        bpf.resume()?;
        bpf.set_recording(self.pid, self.unwind, true)?;
        let now = self.meter.read(bpf)?;
        self.bound.resumed(now);
        Ok(())
    }

    /// What it has come to so far, as of the last reading.
    pub fn so_far(&self) -> Slices {
        self.bound.clone().slices(self.meter.last)
    }

    /// What it came to. Events do not count any more.
    pub fn end(mut self, bpf: &Bpf) -> Slices {
        let now = self.meter.read(bpf).unwrap_or(self.meter.last);
        self.bound.slices(now)
    }

    /// Without samples a slice is taken to be like those that have some.
    fn sample(&mut self, bpf: &mut Bpf) {
        match bpf.sample_clocks() {
            Ok(samples) => self.samples = Some(samples),
            Err(error) => tracing::warn!(%error, "what recording costs is not seen"),
        }
    }
}
