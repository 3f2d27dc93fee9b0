//! Where the target's CPU time goes while there are probes: samples of the processors' clocks.

use aya_ebpf::macros::perf_event;
use aya_ebpf::programs::PerfEventContext;
use unfreed_common::config::{Clock, Traps};

use crate::loss::add;
use crate::machine::{self, Registers};
use crate::maps::TRAPS;
use crate::process;

/// perf's software event `cpu-clock`: in the interrupt of a timer, whatever it has interrupted.
#[perf_event]
pub fn clock_sample(ctx: PerfEventContext) -> u32 {
    if process::watched_thread().is_some()
        && let Some(traps) = TRAPS.get_ptr_mut(0)
    {
        // SAFETY: a field of the context, which the verifier lets us read.
        let regs = Registers::of(unsafe { &raw mut (*ctx.ctx).regs });
        let address = regs.instruction_pointer();
        count(traps, |clock| &raw mut clock.samples);
        if !in_kernel(address) && !machine::is_at_probe(address) {
            count(traps, |clock| &raw mut clock.own);
        }
    }
    0
}

/// Counts one more.
#[inline(always)]
fn count(traps: *mut Traps, of: impl Fn(&mut Clock) -> *mut u64) {
    // SAFETY: an element of an array, whose words see only atomic adds.
    add(of(unsafe { &mut (*traps).clock }), 1);
}

/// The kernel has the upper half of all addresses, on every machine that this runs on.
#[inline(always)]
const fn in_kernel(address: u64) -> bool {
    address.cast_signed() < 0
}
