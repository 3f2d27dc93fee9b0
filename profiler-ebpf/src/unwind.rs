//! Walks a stack: by unwind tables, by the frame pointer where there is no table.
//!
//! At a function's entry the return address is at the top of the stack, so the innermost frame needs
//! no rule. No return probe has replaced that address yet; those of outer functions of ours are known.

use unfreed_common::stack::MAX_FRAMES;
use unfreed_common::thread::Thread;
use unfreed_common::unwind::{
    Frame, KEPT_LISTS, ProcessTable, Stop, check_frame_pointer, flag, mode,
};

use crate::machine::{BY_FRAME_POINTER, Interrupted, Registers, follows_call, slot_below, step};
use crate::maps::{BLANK_PROCESS, CHANGES, CONTROL, PROCESSES};
use crate::memo;
use crate::rules::{self, UNMAPPED};
use crate::trampoline;
use crate::window;
use crate::word::set;

/// How many frames one program walks: the verifier of older kernels (and any, with more) gives up on
/// all 127 at once. At most 33 programs can follow each other (`MAX_TAIL_CALL_CNT`).
const AT_ONCE: u32 = 16;

/// No code is below this address: Linux's smallest `vm.mmap_min_addr` on distributions.
pub const LOWEST_CODE: u64 = 0x1000;

/// Who called the function that was entered by the call that has just begun; a pc of 0: not known.
#[inline(always)]
pub fn caller(regs: Registers, thread: &Thread) -> Interrupted {
    let mut caller = thread.call.return_address;
    if trampoline::is_one(caller) {
        // The function was jumped to by one that has a return probe.
        caller = trampoline::replaced(thread, thread.call.slot);
    }
    Interrupted {
        pc: caller,
        sp: regs.caller_stack_pointer(),
        fp: regs.frame_pointer(),
        link: 0,
    }
}

/// Prepares the walk from the caller of `function`.
#[inline(always)]
pub fn begin(function: u64, caller: &Interrupted, tgid: u32, thread: &mut Thread) {
    thread.record.frames[0] = function;
    thread.record.frames[1] = caller.pc;
    let walk = &mut thread.walk;
    walk.depth = 1 + u64::from(caller.pc != 0);
    walk.sure = 2;
    walk.frame.pc = caller.pc;
    walk.frame.sp = caller.sp;
    walk.frame.fp = caller.fp;
    set(&mut walk.frame.interrupted, 0);
    walk.link = 0;
    begin_with(tgid, thread, 0);
}

/// Prepares the walk from an instruction that the kernel has interrupted.
#[inline(always)]
pub fn begin_at(place: &Interrupted, tgid: u32, thread: &mut Thread) {
    thread.record.frames[0] = place.pc;
    let walk = &mut thread.walk;
    walk.depth = 1;
    walk.sure = 1;
    walk.frame.pc = place.pc;
    walk.frame.sp = place.sp;
    walk.frame.fp = place.fp;
    walk.frame.interrupted = 1;
    walk.link = place.link;
    begin_with(tgid, thread, 1);
}

/// `interrupted`: the bits of the first frames that are interrupted instructions.
#[inline(always)]
fn begin_with(tgid: u32, thread: &mut Thread, interrupted: u64) {
    let walk = &mut thread.walk;
    let record = &mut thread.record;
    walk.busy = 1;
    walk.doubtful = 0;
    record.header.flags = 0;
    set(&mut record.header.interrupted[0], interrupted);
    set(&mut record.header.interrupted[1], 0);
    window::forget(&mut thread.window);
    memo::begin(&mut thread.memo, record.frames[0], &walk.frame, walk.link);
    let Some(process) = process(tgid) else {
        return;
    };
    let changes = CHANGES.get(process.changes_index).copied().unwrap_or(0);
    walk.tables.first = process.first;
    walk.tables.count = process.count;
    walk.tables.generation = process.generation;
    walk.tables.sequence = process.sequence;
    walk.tables.changes = changes;
    walk.tables.changes_index = process.changes_index;
    walk.seed = u64::from(process.layout);
    record.header.generation = process.generation;
    if changes != process.settled_at {
        record.header.flags = flag::UNSETTLED;
    }
}

/// Walks some frames further. True: there are more.
#[inline(always)]
pub fn go_on(thread: &mut Thread) -> bool {
    let how = CONTROL.get(0).map_or(mode::AUTO, |control| control.unwind);
    for _ in 0..AT_ONCE {
        if let Err(stop) = add_caller(how, thread) {
            thread.record.header.stop = stop as u32;
            return false;
        }
    }
    true
}

/// Ends the walk.
#[inline(always)]
pub fn end(tgid: u32, thread: &mut Thread) {
    let header = &mut thread.record.header;
    header.depth = thread.walk.depth as u32;
    let tables = &thread.walk.tables;
    let sequence = process(tgid).map_or(0, |process| process.sequence);
    let newer = sequence.wrapping_sub(tables.sequence);
    if newer > 0 {
        header.flags |= flag::UNSETTLED;
    }
    if newer > KEPT_LISTS {
        // The list of mappings may have been overwritten meanwhile.
        header.depth = header.depth.min(thread.walk.sure as u32);
        header.stop = Stop::MappingsChanged as u32;
    }
    if header.flags & flag::UNSETTLED != 0 {
        // Both only grow, so the sum is another one after every change.
        thread.walk.seed |= tables.generation.wrapping_add(tables.changes) << 32;
    }
    thread.walk.busy = 0;
}

/// Adds the caller of the outermost frame.
#[inline(always)]
fn add_caller(how: u32, thread: &mut Thread) -> Result<(), Stop> {
    let walk = &mut thread.walk;
    let memo = &mut thread.memo;
    let frame = Frame {
        pc: walk.frame.pc,
        sp: walk.frame.sp,
        fp: walk.frame.fp,
        interrupted: walk.frame.interrupted,
    };
    if frame.pc == 0 {
        return Err(Stop::ReturnProbe);
    }
    let mut rule = rules::at(&walk.tables, frame.pc - 1 + frame.interrupted);
    let by_pointer = rules::is_none(rule);
    if by_pointer {
        let mapped = rule.0 != UNMAPPED.0;
        if !mapped {
            // Code that a compiler makes and changes at run time.
            memo::forget(memo);
        }
        if walk.doubtful != 0 && !mapped && !follows_call(frame.pc) {
            walk.depth -= 1;
            return Err(Stop::NoTable);
        }
        if how == mode::TABLES {
            return Err(Stop::NoTable);
        }
        check_frame_pointer(&frame)?;
        thread.record.header.flags |= flag::APPROXIMATE;
        rule = BY_FRAME_POINTER;
        // Code that is in no file is made by a compiler at run time, and those keep it.
        walk.doubtful = u64::from(mapped);
    } else {
        walk.doubtful = 0;
    }
    memo::step(memo, rule);
    let mut stack = window::Near {
        window: &mut thread.window,
        memo,
        sp: frame.sp,
    };
    let mut caller = step(rule, &frame, &mut walk.link, &mut stack)?;
    if trampoline::is_one(caller.pc) {
        memo::forget(memo);
        caller.pc = trampoline::replaced(thread, slot_below(caller.sp));
        if caller.pc == 0 {
            return Err(Stop::ReturnProbe);
        }
    }
    if caller.pc < LOWEST_CODE {
        // A stack that was set up by hand begins with a return address of 0, and a frame pointer of 0
        // where those are kept.
        let is_end = caller.pc == 0 && !(by_pointer && caller.fp != 0);
        memo::depends_on_frame_pointer(&mut thread.memo);
        return Err(if is_end {
            Stop::FramePointerEnd
        } else {
            Stop::NoTable
        });
    }
    let depth = thread.walk.depth as usize;
    if depth >= MAX_FRAMES {
        return Err(Stop::Depth);
    }
    thread.record.frames[depth] = caller.pc;
    thread.record.header.interrupted[depth >> 6 & 1] |= caller.interrupted << (depth & 63);
    let walk = &mut thread.walk;
    walk.depth = depth as u64 + 1;
    walk.frame.pc = caller.pc;
    walk.frame.sp = caller.sp;
    walk.frame.fp = caller.fp;
    walk.frame.interrupted = caller.interrupted;
    Ok(())
}

/// The stack that a walk from `place` would end with, if it is remembered. Else, or if it has changed, the
/// walk is to be remembered there.
#[inline(always)]
pub fn same_as_before(innermost: u64, place: &Interrupted, thread: &mut Thread) -> Option<u64> {
    thread.walk.memo = memo::index(innermost, place);
    if !memo::is_of(memo::of(thread), innermost, place) {
        return None;
    }
    // Reading the stack can fault.
    thread.walk.busy = 1;
    let same = memo::holds(thread);
    thread.walk.busy = 0;
    same.then(|| memo::of(thread).stack)
}

/// What is published of a process; zeros when nothing is.
#[inline(always)]
fn process(tgid: u32) -> Option<&'static ProcessTable> {
    // SAFETY: the user side replaces elements as a whole, rarely; after a walk the sequence tells.
    unsafe { PROCESSES.get(tgid) }.or_else(|| BLANK_PROCESS.get(0))
}
