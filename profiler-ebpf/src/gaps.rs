//! A recording whose cost is bounded may have gaps.

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::pt_regs;
use unfreed_common::config::{Control, TRAP_PLACES, trap_place};

use crate::bound::masked;
use crate::loss::add;
use crate::machine::Registers;
use crate::maps::{CONTROL, TRAPS};

/// What a program of a uprobe runs for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// An instruction under a probe.
    Site,
    /// The kernel's trampoline, to which a function has returned.
    Return,
    /// To go on where an entry's program has left off.
    Walk,
}

/// Counts a run of a uprobe's program, whether it is recorded or not: it costs as much.
#[inline(always)]
pub fn count_trap(ctx: &impl EbpfContext, run: Run) {
    if control().is_none() {
        return;
    }
    let Some(traps) = TRAPS.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: pointers into an element of an array; its words see only atomic adds.
    let runs = unsafe {
        match run {
            Run::Site => {
                let address = Registers::of(ctx.as_ptr().cast::<pt_regs>()).instruction_pointer();
                let place = masked::<{ TRAP_PLACES as u64 - 1 }>(trap_place(address) as u64);
                (&raw mut (*traps).sites).cast::<u64>().add(place as usize)
            }
            Run::Return => &raw mut (*traps).returns,
            Run::Walk => &raw mut (*traps).walks,
        }
    };
    add(runs, 1);
}

/// Whether a block of this time is from before the last gap: it may have been given back unseen.
#[inline(always)]
pub fn is_stale(time: u64) -> bool {
    control().is_some_and(|control| time < control.since)
}

#[inline(always)]
fn control() -> Option<&'static Control> {
    CONTROL.get(0).filter(|control| control.bounded != 0)
}
