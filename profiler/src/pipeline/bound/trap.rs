//! What a probe costs on this machine, measured on ourselves.

use std::num::NonZeroU32;
use std::path::Path;

use anyhow::Context as _;
use nix::time::ClockId;

use crate::bpf::{Bpf, Probe, Runs, Sizes};
use crate::check;

/// CPU time to measure for, nanoseconds.
const MEASURED: f64 = 20e6;

/// Our executable.
const OURSELVES: &str = "/proc/self/exe";

/// How often the probed function is called between two looks at the clock.
const CALLS: u32 = 1_000;

/// What a probe costs in a program, in units of what it costs here, where its program does nothing and nothing else
/// is in the caches: 1.44 was measured of two and a half million pairs of malloc and free a second.
pub(super) const RECORDING: f64 = 1.5;

/// What each run of a program that does nothing costs, its trap included: nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Where the kernel emulates the instruction under the probe.
    pub emulated: f64,
    /// Where it single-steps it.
    pub single_stepped: f64,
    /// On a function's return: what has to be done for it at the entry included.
    pub returning: f64,
}

/// Loads the programs, with links that go at once if this kernel has them. What is refused later than now would end a
/// recording.
pub fn load(sizes: Sizes) -> anyhow::Result<Bpf> {
    let mut bpf = Bpf::load(sizes)?;
    let probe = Probe::nothing(check::own_offset(probed as *const () as u64)?);
    if sizes.at_once && !bpf.links_go_at_once(probe, Path::new(OURSELVES)) {
        bpf = Bpf::load(Sizes {
            at_once: false,
            ..sizes
        })?;
    }
    if sizes.bounded {
        drop(bpf.sample_clocks()?);
    }
    Ok(bpf)
}

impl Cost {
    /// Measures each. Nothing is recorded yet.
    pub fn measure(bpf: &mut Bpf) -> anyhow::Result<Self> {
        let pid = NonZeroU32::new(std::process::id()).context("our process id")?;
        let path = Path::new(OURSELVES);
        let offset = check::own_offset(probed as *const () as u64)?;
        let bare = time_calls()?;
        let (entry, both) = {
            let _entry = bpf.link(Probe::nothing(offset), path, pid)?;
            let entry = time_calls()?;
            let _return = bpf.link(Probe::nothing_on_return(offset), path, pid)?;
            (entry, time_calls()?)
        };
        let stepped = {
            let probe = Probe::nothing(offset + FIRST_LENGTH);
            let _link = bpf.link(probe, path, pid)?;
            time_calls()?
        };
        Ok(Self {
            emulated: (entry - bare).max(1.0),
            single_stepped: (stepped - bare).max(1.0),
            returning: (both - entry).max(1.0),
        })
    }

    /// What these cost on ourselves.
    pub fn on_ourselves(&self, runs: Runs) -> f64 {
        self.emulated * (runs.emulated + runs.walks) as f64
            + self.single_stepped * runs.single_stepped as f64
            + self.returning * runs.returns as f64
    }
}

/// Length of the first instruction of [`probed`].
#[cfg(target_arch = "x86_64")]
const FIRST_LENGTH: u64 = 1;
#[cfg(target_arch = "aarch64")]
const FIRST_LENGTH: u64 = 4;

/// Does nothing, with a null pointer, in instructions that are known: the kernel emulates the first one and
/// single-steps the second.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
extern "C" fn probed(_: u64) {
    std::arch::naked_asm!("push rbx", "pop rbx", "ret");
}

#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
extern "C" fn probed(_: u64) {
    std::arch::naked_asm!("nop", "mov x9, x0", "ret");
}

/// What a call takes: nanoseconds of CPU time.
fn time_calls() -> anyhow::Result<f64> {
    let now = || {
        let time = super::reading::now(ClockId::CLOCK_THREAD_CPUTIME_ID);
        anyhow::Ok(time.context("reading a clock")? as f64)
    };
    let begin = now()?;
    let mut calls = 0.0;
    loop {
        for _ in 0..CALLS {
            probed(std::hint::black_box(0));
        }
        calls += f64::from(CALLS);
        let end = now()?;
        if end - begin >= MEASURED {
            return Ok((end - begin) / calls);
        }
    }
}
