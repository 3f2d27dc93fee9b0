//! A recording whose cost is bounded may have gaps.

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::pt_regs;
use unfreed_common::config::{Control, TRAP_PLACES, Traps, trap_place};

use crate::bound::masked;
use crate::loss::add;
use crate::machine::Registers;
use crate::maps::{CONTROL, TRAPS};
use crate::{settings, thread};

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
    match run {
        Run::Site => {
            let address = Registers::of(ctx.as_ptr().cast::<pt_regs>()).instruction_pointer();
            let place = masked::<{ TRAP_PLACES as u64 - 1 }>(trap_place(address) as u64);
            // SAFETY: less than `TRAP_PLACES`.
            count(|traps| unsafe { (&raw mut (*traps).sites).cast::<u64>().add(place as usize) });
        }
        // SAFETY: a pointer to a field.
        Run::Return => count(|traps| unsafe { &raw mut (*traps).returns }),
        // SAFETY: a pointer to a field.
        Run::Walk => count(|traps| unsafe { &raw mut (*traps).walks }),
    }
}

/// Counts one more where the recording may have gaps. `of`: where, in what it is called with.
#[inline(always)]
fn count(of: impl Fn(*mut Traps) -> *mut u64) {
    if settings::bounded()
        && let Some(traps) = TRAPS.get_ptr_mut(0)
    {
        // An element of an array, whose words see only atomic adds.
        add(of(traps), 1);
    }
}

/// A block was taken.
#[inline(always)]
pub fn count_taken() {
    // SAFETY: a pointer to a field.
    count(|traps| unsafe { &raw mut (*traps).taken });
}

/// The block at `address` was given back. `known`: it was in the live map. If not, it was taken before the
/// recording or in a gap, or this is part of the call that has just given it back.
#[inline(always)]
pub fn count_given_back(address: u64, known: bool) {
    let Some(control) = control() else {
        return;
    };
    let Some(thread) = thread::current() else {
        return;
    };
    if !known && thread.call.slot != 0 && thread.call.argument == address {
        // Part of a realloc, which counts it when it returns.
        return;
    }
    let again = thread.given_back == address && thread.given_back_since == control.since;
    thread.given_back = address;
    thread.given_back_since = control.since;
    if known || !again {
        // SAFETY: a pointer to a field.
        count(|traps| unsafe { &raw mut (*traps).given_back });
    }
}

/// Whether a block of this time is from before the last gap: it may have been given back unseen.
#[inline(always)]
pub fn is_stale(time: u64) -> bool {
    control().is_some_and(|control| time < control.since)
}

#[inline(always)]
fn control() -> Option<&'static Control> {
    settings::bounded().then(|| CONTROL.get(0)).flatten()
}
