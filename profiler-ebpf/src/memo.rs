//! Remembers the last walk of a thread. A program that touches one page after the other does so from
//! the same place again and again, and to compare a few words costs a third of a walk.
//!
//! What is remembered is all that a walk depends on, so nothing is guessed: the registers it began with,
//! the version of the tables, and each word of the stack that it read.

use unfreed_common::page::SMALLEST_PAGE;
use unfreed_common::stack::OVERFLOW_STACK;
use unfreed_common::thread::{MEMO_PENDING, MEMO_WORDS, Memo, Thread, WINDOW_WORDS};
use unfreed_common::unwind::{Frame, Kind, Rule, Stop, flag};

use crate::loss::add;
use crate::machine::{Interrupted, LINK_LEADS_ON, needs_frame_pointer, restores_frame_pointer};
use crate::maps::{CHANGES, PUBLISHED, STACKS};
use crate::window;

/// A walk begins.
#[inline(always)]
pub fn begin(memo: &mut Memo, frame: &Frame, link: u64) {
    memo.valid = 0;
    memo.pc = frame.pc;
    memo.sp = frame.sp;
    memo.fp = frame.fp;
    memo.link = link;
    for word in [
        &mut memo.fp_needed,
        &mut memo.fp_restored,
        &mut memo.count,
        &mut memo.span,
    ] {
        // SAFETY: a valid reference. Volatile, since LLVM would make a call of memset of several zeros.
        unsafe { core::ptr::write_volatile(word, 0) };
    }
}

/// The walk goes on by this rule.
#[inline(always)]
pub fn step(memo: &mut Memo, rule: Rule) {
    if memo.fp_restored == 0 && needs_frame_pointer(rule) {
        memo.fp_needed = 1;
    }
    if restores_frame_pointer(rule) {
        memo.fp_restored = 1;
    }
    if rule.kind() == Kind::Goroutine as u32 {
        // Depends on a register and on memory that is no stack.
        forget(memo);
    }
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
    memo.places[index] = place as u8;
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
        memo.sequence = thread.walk.tables.sequence;
        memo.changes = thread.walk.tables.changes;
        memo.changes_index = thread.walk.tables.changes_index;
        memo.stack = OVERFLOW_STACK;
        memo.valid = 1;
    }
}

/// Whether the last walk began like this, and by the tables that there are now.
#[inline(always)]
pub fn is_of(memo: &Memo, place: &Interrupted) -> bool {
    memo.valid != 0
        && memo.stack != OVERFLOW_STACK
        && memo.pc == place.pc
        && memo.sp == place.sp
        && (memo.fp == place.fp || memo.fp_needed == 0)
        && (memo.link == place.link || !LINK_LEADS_ON)
        && memo.sp.is_multiple_of(8)
        && PUBLISHED.get(memo.changes_index).copied() == Some(memo.sequence)
        && CHANGES.get(memo.changes_index).copied() == Some(memo.changes)
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
        let place = memo.places[index] as usize;
        if thread.window.words[place] != memo.words[index] {
            return false;
        }
    }
    true
}

/// Counts a touch at the stack that is remembered.
#[inline(always)]
pub fn count(memo: &mut Memo) {
    memo.pending += 1;
    if memo.pending >= MEMO_PENDING {
        settle(memo);
    }
}

/// Adds what was counted to the stack's totals.
#[inline(always)]
pub fn settle(memo: &mut Memo) {
    let pages = memo.pending;
    if pages == 0 {
        return;
    }
    memo.pending = 0;
    if let Some(totals) = STACKS.get_ptr_mut(memo.stack) {
        // SAFETY: a pointer into an element that is never removed; the fields see only atomic adds.
        unsafe {
            add(&raw mut (*totals).taken_bytes, pages * SMALLEST_PAGE);
            add(&raw mut (*totals).taken_count, pages);
        }
    }
}
