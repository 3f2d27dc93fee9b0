//! Walks a stack: by unwind tables, by the frame pointer where there is no table.
//!
//! At a function's entry the return address is at the top of the stack, so the innermost frame needs
//! no rule. No return probe has replaced that address yet; those of outer functions of ours are known.

use unfreed_common::stack::{MAX_FRAMES, StackHeader};
use unfreed_common::thread::Thread;
use unfreed_common::unwind::{
    Frame, KEPT_LISTS, ProcessTable, Stop, check_frame_pointer, flag, mode,
};

use crate::machine::{BY_FRAME_POINTER, Registers, follows_call, slot_below, step};
use crate::maps::{BLANK_PROCESS, CHANGES, CONTROL, PROCESSES};
use crate::rules::{self, UNMAPPED};
use crate::trampoline;
use crate::window;

/// How many frames one program walks: the verifier of older kernels (and any, with more) gives up on
/// all 127 at once. At most 33 programs can follow each other (`MAX_TAIL_CALL_CNT`).
const AT_ONCE: u32 = 16;

/// No code is below this address: Linux's smallest `vm.mmap_min_addr` on distributions.
pub const LOWEST_CODE: u64 = 0x1000;

/// Prepares the walk of the call that has just begun.
#[inline(always)]
pub fn begin(regs: Registers, tgid: u32, thread: &mut Thread) {
    let Some(process) = process(tgid) else {
        return;
    };
    let changes = CHANGES.get(process.changes_index).copied().unwrap_or(0);
    let mut caller = thread.call.return_address;
    if trampoline::is_one(caller) {
        // The function was jumped to by one that has a return probe.
        caller = trampoline::replaced(thread, thread.call.slot);
    }
    let walk = &mut thread.walk;
    walk.tables.first = process.first;
    walk.tables.count = process.count;
    walk.tables.generation = process.generation;
    walk.tables.sequence = process.sequence;
    walk.tables.changes = changes;
    walk.seed = u64::from(process.layout);
    walk.doubtful = 0;
    walk.depth = 1 + u64::from(caller != 0);
    walk.frame.pc = caller;
    walk.frame.sp = regs.caller_stack_pointer();
    walk.link = 0;
    walk.frame.fp = regs.frame_pointer();
    walk.frame.interrupted = 0;
    let record = &mut thread.record;
    record.frames[0] = regs.instruction_pointer();
    record.frames[1] = caller;
    record.header.generation = process.generation;
    record.header.flags = 0;
    if changes != process.settled_at {
        record.header.flags = flag::UNSETTLED;
    }
    forget_interrupted(&mut record.header);
    window::forget(&mut thread.window);
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
        // The list of mappings may have been overwritten meanwhile: the innermost caller needed none.
        header.depth = header.depth.min(2);
        header.stop = Stop::MappingsChanged as u32;
    }
    if header.flags & flag::UNSETTLED != 0 {
        // Both only grow, so the sum is another one after every change.
        thread.walk.seed |= tables.generation.wrapping_add(tables.changes) << 32;
    }
}

/// Adds the caller of the outermost frame.
#[inline(always)]
fn add_caller(how: u32, thread: &mut Thread) -> Result<(), Stop> {
    let walk = &mut thread.walk;
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
    let mut stack = window::Near {
        window: &mut thread.window,
        sp: frame.sp,
    };
    let mut caller = step(rule, &frame, &mut walk.link, &mut stack)?;
    if trampoline::is_one(caller.pc) {
        caller.pc = trampoline::replaced(thread, slot_below(caller.sp));
        if caller.pc == 0 {
            return Err(Stop::ReturnProbe);
        }
    }
    if caller.pc < LOWEST_CODE {
        // A stack that was set up by hand begins with a return address of 0, and a frame pointer of 0
        // where those are kept.
        let is_end = caller.pc == 0 && !(by_pointer && caller.fp != 0);
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

/// All frames are return addresses.
#[inline(always)]
fn forget_interrupted(header: &mut StackHeader) {
    for word in &mut header.interrupted {
        // SAFETY: a valid reference. Volatile, since LLVM would make a call of memset of it.
        unsafe { core::ptr::write_volatile(word, 0) };
    }
}

/// What is published of a process; zeros when nothing is.
#[inline(always)]
fn process(tgid: u32) -> Option<&'static ProcessTable> {
    // SAFETY: the user side replaces elements as a whole, rarely; after a walk the sequence tells.
    unsafe { PROCESSES.get(tgid) }.or_else(|| BLANK_PROCESS.get(0))
}
