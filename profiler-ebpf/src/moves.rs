//! Memory that is moved with what is in it: libc's `mremap`, which its `realloc` calls, too. Pages that
//! are moved do not fault.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::{uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use unfreed_common::loss::Loss;
use unfreed_common::page::{Move, SMALLEST_PAGE};

use crate::gaps::Run;
use crate::loss::lost;
use crate::machine::Registers;
use crate::maps::MOVES;
use crate::{process, thread, touch};

/// Results from here on are errors: -4095 to -1 (include/linux/err.h).
const ERRORS: u64 = 4095_u64.wrapping_neg();

/// `mremap(old, old_size, new_size, ..) -> new`
#[uprobe]
pub fn mremap(ctx: ProbeContext) -> u32 {
    if process::recorded_by_probe(&ctx, Run::Site).is_some()
        && let Some(thread) = thread::current()
    {
        let regs = Registers::of(ctx.regs);
        let (old_size, new_size) = (regs.argument(1), regs.argument(2));
        let size = old_size.min(new_size);
        thread.moved.from = regs.argument(0);
        // The kernel rounds sizes up to pages. A size of 0 copies a shared mapping: nothing is moved.
        thread.moved.length = size.wrapping_add(SMALLEST_PAGE - 1) & !(SMALLEST_PAGE - 1);
        // SAFETY: a helper without arguments.
        thread.moved.called = unsafe { bpf_ktime_get_ns() };
        touch::set_clocks();
    }
    0
}

/// Its return.
#[uretprobe]
pub fn mremap_return(ctx: RetProbeContext) -> u32 {
    if process::recorded_by_probe(&ctx, Run::Return).is_some()
        && let Some(thread) = thread::existing()
    {
        let moved = &mut thread.moved;
        moved.to = Registers::of(ctx.regs).result();
        // SAFETY: a helper without arguments.
        moved.returned = unsafe { bpf_ktime_get_ns() };
        touch::set_clocks();
        let is_move = moved.to != moved.from && moved.to < ERRORS && moved.length != 0;
        if is_move && MOVES.output::<Move>(&*moved, 0).is_err() {
            lost(Loss::MoveNotSent);
        }
        moved.length = 0;
    }
    0
}
