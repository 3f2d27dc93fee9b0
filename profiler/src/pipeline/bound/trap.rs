//! What a probe costs on this machine, measured on ourselves.

use std::num::NonZeroU32;
use std::path::Path;

use anyhow::Context as _;
use nix::time::ClockId;
use nix::unistd::gettid;

use crate::bpf::{Bpf, Probe};
use crate::check;

/// CPU time to measure for: some hundred ticks of the kernel's clock, by which it tells user mode from kernel
/// mode.
const LONG: f64 = 800e6;

/// The same where the difference does not matter, or cannot be seen for the size of the whole.
const SHORT: f64 = 20e6;

/// How often the probed function is called between two looks at the clock.
const CALLS: u32 = 1_000;

/// What a probe costs in a program, in units of what it costs here, where its program does nothing and nothing else
/// is in the caches: 1.44 was measured of two and a half million pairs of malloc and free a second.
const RECORDING: f64 = 1.5;

/// What each run of a program costs, its trap included.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Where the kernel emulates the instruction under the probe: nanoseconds.
    pub emulated: f64,
    /// Where it single-steps it.
    pub single_stepped: f64,
    /// How much of either the kernel takes for user mode: the clock does not tick while interrupts are off, but
    /// as soon as they are on again, which may be there.
    pub in_user_mode: f64,
}

/// Nanoseconds of a thread's CPU time.
#[derive(Debug, Clone, Copy)]
struct Time {
    all: f64,
    user: f64,
}

impl Cost {
    /// Measures both. Nothing is recorded yet.
    pub fn measure(bpf: &mut Bpf) -> anyhow::Result<Self> {
        let clocks = [ClockId::CLOCK_THREAD_CPUTIME_ID, user_time_of_this_thread()];
        let pid = NonZeroU32::new(std::process::id()).context("our process id")?;
        let path = Path::new("/proc/self/exe");
        let offset = check::own_offset(probed as *const () as u64)?;
        let bare = time_calls(clocks, SHORT)?;
        let both = {
            let _entry = bpf.link(Probe::nothing(offset), path, pid)?;
            let _return = bpf.link(Probe::returns(offset), path, pid)?;
            time_calls(clocks, LONG)?
        };
        let stepped = {
            let probe = Probe::nothing(offset + FIRST_LENGTH);
            let _link = bpf.link(probe, path, pid)?;
            time_calls(clocks, SHORT)?
        };
        // Of a call with two probes.
        let added = |time: Time| (time.all - bare.all).max(1.0);
        Ok(Self {
            emulated: added(both) / 2.0 * RECORDING,
            single_stepped: added(stepped) * RECORDING,
            in_user_mode: (both.user - bare.all).max(0.0) / 2.0,
        })
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

/// What a call takes, measured for about so many nanoseconds. `clocks`: all of this thread's CPU time, and that
/// in user mode.
fn time_calls(clocks: [ClockId; 2], nanoseconds: f64) -> anyhow::Result<Time> {
    let now = || -> anyhow::Result<[f64; 2]> {
        let [all, user] = clocks.map(|clock| super::gaps::now(clock).context("reading a clock"));
        Ok([all? as f64, user? as f64])
    };
    let begin = now()?;
    let mut calls = 0.0;
    loop {
        for _ in 0..CALLS {
            probed(std::hint::black_box(0));
        }
        calls += f64::from(CALLS);
        let end = now()?;
        if end[0] - begin[0] >= nanoseconds {
            return Ok(Time {
                all: (end[0] - begin[0]) / calls,
                user: (end[1] - begin[1]) / calls,
            });
        }
    }
}

/// The clock of this thread's time in user mode.
fn user_time_of_this_thread() -> ClockId {
    // A thread's clocks have the third bit set; the lowest two say which (include/linux/posix-timers_types.h).
    const OF_THREAD: libc::clockid_t = 4;
    const USER: libc::clockid_t = 1;
    ClockId::from_raw(!gettid().as_raw() << 3 | OF_THREAD | USER)
}
