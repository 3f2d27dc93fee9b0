//! Remembers the last walk of a thread. A program that touches one page after the other does so from
//! the same place again and again, and to compare a few words costs a third of a walk.
//!
//! What is remembered is all that a walk depends on, so nothing is guessed: the registers it began with,
//! the version of the tables, and each word of the stack that it read.

use unfreed_common::stack::OVERFLOW_STACK;
use unfreed_common::thread::{MEMO_WORDS, Memo, Thread, WINDOW_WORDS};
use unfreed_common::unwind::{Frame, Stop, flag};

use crate::machine::Interrupted;
use crate::window;

/// A walk begins.
#[inline(always)]
pub fn begin(memo: &mut Memo, frame: &Frame) {
    memo.valid = 0;
    memo.pc = frame.pc;
    memo.sp = frame.sp;
    memo.fp = frame.fp;
    memo.count = 0;
    // SAFETY: a valid reference. Volatile, since LLVM would make a call of memset of two zeros.
    unsafe { core::ptr::write_volatile(&raw mut memo.span, 0) };
}

/// The walk has read a word.
#[inline(always)]
pub fn note(memo: &mut Memo, address: u64, word: u64) {
    let index = memo.count as usize;
    let place = address.wrapping_sub(memo.sp) >> 3;
    if index >= MEMO_WORDS || place >= WINDOW_WORDS as u64 || address & 7 != 0 {
        forget(memo);
        return;
    }
    memo.places[index] = place;
    memo.words[index] = word;
    memo.count = index as u64 + 1;
    if place >= memo.span {
        memo.span = place + 1;
    }
}

/// The walk depends on something that is not remembered.
#[inline(always)]
pub fn forget(memo: &mut Memo) {
    memo.count = MEMO_WORDS as u64 + 1;
}

/// The walk is over.
#[inline(always)]
pub fn end(thread: &mut Thread) {
    let header = &thread.record.header;
    let memo = &mut thread.memo;
    let whole = header.stop == Stop::End as u32 || header.stop == Stop::FramePointerEnd as u32;
    if whole && header.flags & flag::UNSETTLED == 0 && memo.count <= MEMO_WORDS as u64 {
        memo.generation = thread.walk.tables.generation;
        memo.changes = thread.walk.tables.changes;
        memo.stack = OVERFLOW_STACK;
        memo.valid = 1;
    }
}

/// Whether the last walk began like this.
#[inline(always)]
pub fn is_of(memo: &Memo, place: &Interrupted, generation: u64, changes: u64) -> bool {
    memo.valid != 0
        && memo.stack != OVERFLOW_STACK
        && memo.pc == place.pc
        && memo.sp == place.sp
        && memo.fp == place.fp
        && memo.generation == generation
        && memo.changes == changes
        && memo.sp.is_multiple_of(8)
}

/// Whether the stack still holds the words.
#[inline(always)]
pub fn holds(thread: &mut Thread) -> bool {
    let memo = &thread.memo;
    if !window::read_stack(&mut thread.window, memo.sp, 8 * memo.span) {
        return false;
    }
    for index in 0..MEMO_WORDS {
        if index as u64 >= memo.count {
            break;
        }
        let place = memo.places[index] as usize & (WINDOW_WORDS - 1);
        if thread.window.words[place] != memo.words[index] {
            return false;
        }
    }
    true
}
