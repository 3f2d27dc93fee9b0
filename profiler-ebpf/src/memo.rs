//! Remembers the last walks of a thread. A program that allocates again and again, or touches one page after
//! the other, does so from a few places, and to compare some words costs a third of a walk.
//!
//! What is remembered is all that a walk depends on, so nothing is guessed: the registers it began with,
//! the version of the tables, and each word of the stack that it read.

use core::arch::asm;

use unfreed_common::stack::OVERFLOW_STACK;
use unfreed_common::thread::{MEMO_GROUP, MEMO_PENDING, MEMO_WORDS, MEMOS, Memo, Thread};
use unfreed_common::unwind::{Frame, Kind, Rule, Stop, flag};

use crate::bound::masked;
use crate::loss::add;
use crate::machine::{Interrupted, LINK_LEADS_ON, needs_frame_pointer, restores_frame_pointer};
use crate::maps::{CHANGES, PUBLISHED, STACKS};
use crate::window::{self, LARGEST_SPAN};
use crate::word::set;

/// Where the walk that was begun last is to be remembered, or is.
#[inline(always)]
pub fn of(thread: &mut Thread) -> &mut Memo {
    &mut thread.memos[thread.walk.memo as usize & (MEMOS - 1)]
}

/// Where a walk that begins like this is remembered.
#[inline(always)]
pub fn index(innermost: u64, place: &Interrupted) -> u64 {
    let mixed = (innermost ^ place.pc.rotate_left(20) ^ place.sp.rotate_left(40))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed >> (u64::BITS - MEMOS.trailing_zeros())
}

/// A walk begins.
#[inline(always)]
pub fn begin(memo: &mut Memo, innermost: u64, frame: &Frame, link: u64) {
    memo.innermost = innermost;
    memo.pc = frame.pc;
    memo.sp = frame.sp;
    memo.fp = frame.fp;
    memo.link = link;
    set(&mut memo.fp_needed, 0);
    set(&mut memo.fp_restored, 0);
    set(&mut memo.count, 0);
    set(&mut memo.span, 0);
    set(&mut memo.later_at, 0);
}

/// The walk goes on by this rule.
#[inline(always)]
pub fn step(memo: &mut Memo, rule: Rule) {
    if needs_frame_pointer(rule) {
        if memo.fp_restored == 0 {
            memo.fp_needed = 1;
        }
        depends_on_frame_pointer(memo);
    }
    if restores_frame_pointer(rule) {
        memo.fp_restored = 1;
    }
    if rule.kind() == Kind::Goroutine as u32 {
        // Depends on a register and on memory that is no stack.
        forget(memo);
    }
}

/// The walk has read a caller's frame pointer, which few of them use as one: nothing depends on it yet.
#[inline(always)]
pub fn note_later(memo: &mut Memo, address: u64, word: u64) {
    memo.later_at = address;
    memo.later = word;
}

/// The walk depends on the frame pointer that it has read last.
#[inline(always)]
pub fn depends_on_frame_pointer(memo: &mut Memo) {
    if memo.later_at != 0 {
        note(memo, memo.later_at, memo.later);
        memo.later_at = 0;
    }
}

/// The walk has read a word.
#[inline(always)]
pub fn note(memo: &mut Memo, address: u64, word: u64) {
    let place = address.wrapping_sub(memo.sp) >> 3;
    if memo.count >= MEMO_WORDS as u64 || place >= LARGEST_SPAN || address & 7 != 0 {
        forget(memo);
        return;
    }
    let index = masked::<{ MEMO_WORDS as u64 - 1 }>(memo.count) as usize;
    memo.count = index as u64 + 1;
    if let (Some(at), Some(held)) = (memo.places.get_mut(index), memo.words.get_mut(index)) {
        *at = 8 * place as u16;
        *held = word;
    }
    if place >= memo.span {
        memo.span = place + 1;
    }
}

/// The walk depends on something that is not remembered.
#[inline(always)]
pub fn forget(memo: &mut Memo) {
    memo.count = MEMO_WORDS as u64 + 1;
}

/// The walk has ended with this stack. It is remembered, in the place of another one, unless it depended on
/// something that is not.
#[inline(always)]
pub fn keep(thread: &mut Thread, stack: u64) {
    let header = &thread.record.header;
    let whole = header.stop == Stop::End as u32 || header.stop == Stop::FramePointerEnd as u32;
    let new = &thread.memo;
    if !whole || header.flags & flag::UNSETTLED != 0 || new.count > MEMO_WORDS as u64 {
        return;
    }
    let memo = &mut thread.memos[thread.walk.memo as usize & (MEMOS - 1)];
    settle(memo);
    memo.innermost = new.innermost;
    memo.pc = new.pc;
    memo.sp = new.sp;
    memo.fp = new.fp;
    memo.fp_needed = new.fp_needed;
    memo.link = new.link;
    memo.sequence = thread.walk.tables.sequence;
    memo.changes = thread.walk.tables.changes;
    memo.changes_index = thread.walk.tables.changes_index;
    memo.stack = stack;
    memo.count = new.count;
    memo.span = new.span;
    let group = MEMO_GROUP as u64;
    for index in 0..MEMO_WORDS {
        if index as u64 >= (new.count + group - 1) & !(group - 1) {
            break;
        }
        let from = if (index as u64) < new.count { index } else { 0 };
        memo.places[index] = new.places[from];
        memo.words[index] = new.words[from];
    }
}

/// Whether the walk began like this, and by the tables that there are now.
#[inline(always)]
pub fn is_of(memo: &Memo, innermost: u64, place: &Interrupted) -> bool {
    memo.stack != OVERFLOW_STACK
        && memo.innermost == innermost
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
    let memo = &thread.memos[thread.walk.memo as usize & (MEMOS - 1)];
    let Some(lead) = window::hold(&mut thread.window, memo.sp, 8 * memo.span) else {
        return false;
    };
    let groups = memo.count.div_ceil(MEMO_GROUP as u64);
    let words = thread.window.words.as_ptr();
    difference(memo, masked::<{ 2 * GROUPS - 1 }>(groups), words, lead) == 0
}

/// How many groups of words there can be. A power of two.
const GROUPS: u64 = (MEMO_WORDS / MEMO_GROUP) as u64;

/// Compares so many groups of words with those of the window that begins at `window`, `lead` bytes from where the stack
/// does; 0: they are the same. In assembly: LLVM makes a branch for each word and keeps on the stack what it does not
/// find a register for, which takes twice as many instructions.
#[inline(always)]
fn difference(memo: &Memo, groups: u64, window: *const u64, lead: u64) -> u64 {
    let mut difference = 0_u64;
    // SAFETY: `groups` is at most twice as many as there are, beyond which the rest of the thread's state is read, and
    // `window` has one word more than the mask of a place says.
    unsafe {
        asm!(
            "1:",
            // Unsigned: of a comparison with 0 the verifiers before Linux 6.8 learn nothing.
            "if {groups} < 1 goto 2f",
            "{groups} += -1",
            "{word} = *(u16 *)({places} + 0)",
            "{word} += {lead}",
            "{word} &= {last}",
            "{word} += {window}",
            "{word} = *(u64 *)({word} + 0)",
            "{held} = *(u64 *)({words} + 0)",
            "{word} ^= {held}",
            "{difference} |= {word}",
            "{word} = *(u16 *)({places} + 2)",
            "{word} += {lead}",
            "{word} &= {last}",
            "{word} += {window}",
            "{word} = *(u64 *)({word} + 0)",
            "{held} = *(u64 *)({words} + 8)",
            "{word} ^= {held}",
            "{difference} |= {word}",
            "{word} = *(u16 *)({places} + 4)",
            "{word} += {lead}",
            "{word} &= {last}",
            "{word} += {window}",
            "{word} = *(u64 *)({word} + 0)",
            "{held} = *(u64 *)({words} + 16)",
            "{word} ^= {held}",
            "{difference} |= {word}",
            "{word} = *(u16 *)({places} + 6)",
            "{word} += {lead}",
            "{word} &= {last}",
            "{word} += {window}",
            "{word} = *(u64 *)({word} + 0)",
            "{held} = *(u64 *)({words} + 24)",
            "{word} ^= {held}",
            "{difference} |= {word}",
            "{places} += 8",
            "{words} += 32",
            "if {difference} == 0 goto 1b",
            "2:",
            groups = inout(reg) groups => _,
            places = inout(reg) memo.places.as_ptr() => _,
            words = inout(reg) memo.words.as_ptr() => _,
            window = in(reg) window,
            lead = in(reg) lead,
            difference = inout(reg) difference,
            word = out(reg) _,
            held = out(reg) _,
            last = const 8 * LARGEST_SPAN,
            options(readonly, nostack),
        );
    }
    difference
}

/// Counts what was taken at a stack, which may be the one that is remembered.
#[inline(always)]
pub fn taken(memo: &mut Memo, stack: u64, bytes: u64) {
    if stack == memo.stack {
        memo.pending_bytes += bytes;
        memo.pending_count += 1;
        if memo.pending_count >= MEMO_PENDING {
            settle(memo);
        }
    } else {
        add_to_totals(stack, bytes, 1);
    }
}

/// Adds what was counted to the stack's totals.
#[inline(always)]
pub fn settle(memo: &mut Memo) {
    let (bytes, count) = (memo.pending_bytes, memo.pending_count);
    if count == 0 {
        return;
    }
    set(&mut memo.pending_bytes, 0);
    set(&mut memo.pending_count, 0);
    add_to_totals(memo.stack, bytes, count);
}

/// The same for all walks that are remembered.
#[inline(always)]
pub fn settle_all(thread: &mut Thread) {
    for memo in &mut thread.memos {
        settle(memo);
    }
}

/// Adds blocks or pages to what was taken at a stack.
#[inline(always)]
pub fn add_to_totals(stack: u64, bytes: u64, count: u64) {
    if let Some(totals) = STACKS.get_ptr_mut(stack) {
        // SAFETY: a pointer into an element that is never removed; the fields see only atomic adds.
        unsafe {
            add(&raw mut (*totals).taken_bytes, bytes);
            add(&raw mut (*totals).taken_count, count);
        }
    }
}
