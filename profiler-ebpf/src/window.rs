//! Reads the target's stack: 2 KiB at a time, since a read of any size costs about the same.

use aya_ebpf::helpers::{bpf_probe_read_kernel_buf, bpf_probe_read_user, bpf_probe_read_user_buf};
use unfreed_common::thread::{Memo, WINDOW_WORDS, Window};
use unfreed_common::unwind::Stack;

use crate::bound::masked;
use crate::memo;
use crate::trampoline::SAME_STACK;

/// How much a walk reads at a time.
const BYTES: u64 = 2048;

/// How many words can be read: one less than there is room for, so that a mask of the length is its bound.
pub const LARGEST_SPAN: u64 = WINDOW_WORDS as u64 - 1;
const PAGE: u64 = 4096;

/// How far below a word that is needed the window begins, when the stack pointer is far away: saved
/// registers are read after the return address above them.
const BELOW: u64 = 256;

/// Forgets what was read: the stack changes between two events.
#[inline(always)]
pub fn forget(window: &mut Window) {
    window.length = 0;
}

/// The stack around a frame.
pub struct Near<'a> {
    /// What has been read of it.
    pub window: &'a mut Window,
    /// Takes note of what is read.
    pub memo: &'a mut Memo,
    /// The frame's stack pointer.
    pub sp: u64,
}

impl Stack for Near<'_> {
    #[inline(always)]
    fn word(&mut self, address: u64) -> Option<u64> {
        let word = word(self.window, self.sp, address)?;
        memo::note(self.memo, address, word);
        Some(word)
    }

    #[inline(always)]
    fn saved_frame_pointer(&mut self, address: u64) -> Option<u64> {
        let word = word(self.window, self.sp, address)?;
        memo::note_later(self.memo, address, word);
        Some(word)
    }
}

/// The word at `address` of the stack whose pointer is `sp`; `None` where nothing is mapped or it is
/// not in memory.
#[inline(always)]
fn word(window: &mut Window, sp: u64, address: u64) -> Option<u64> {
    if let Some(word) = held(window, address) {
        return Some(word);
    }
    if !address.is_multiple_of(8) {
        return read_single(window, address);
    }
    let start = if address.wrapping_sub(sp) < BYTES / 2 {
        sp & !7
    } else {
        address.wrapping_sub(BELOW)
    };
    fill(window, start, BYTES);
    held(window, address).or_else(|| read_single(window, address))
}

#[inline(always)]
fn held(window: &Window, address: u64) -> Option<u64> {
    let offset = address.wrapping_sub(window.start);
    if offset.is_multiple_of(8) && offset < window.length {
        let index = masked::<{ 8 * LARGEST_SPAN }>(offset) >> 3;
        return window.words.get(index as usize).copied();
    }
    None
}

/// Reads `length` bytes from `start` on, or less where the stack ends.
#[inline(always)]
fn fill(window: &mut Window, start: u64, length: u64) {
    window.start = start;
    window.length = 0;
    // Reading across the end of the stack's mapping fails as a whole, and costs a fault: it is done
    // once for each thread.
    let room = window.limit.wrapping_sub(start);
    if room < length {
        read(window, start, room);
    } else if !read(window, start, length) {
        let room = PAGE - start % PAGE;
        if room < length && read(window, start, room) {
            window.limit = start + room;
        }
    }
}

/// The word at the top of the stack; and reads, at the same time, as much of the stack as a walk that is remembered
/// may need.
#[inline(always)]
#[cfg_attr(
    bpf_target_arch = "aarch64",
    expect(dead_code, reason = "what is at the top is in a register there")
)]
pub fn top(window: &mut Window, sp: u64) -> Option<u64> {
    // The end of one stack is known. On others, once that matters, no read beyond the end is risked: it would fail
    // time and again in a thread that changes between stacks.
    let room = window.limit.wrapping_sub(sp);
    let length = if window.limit == 0 || room < SAME_STACK {
        window.ahead.max(8)
    } else {
        8
    };
    fill(window, sp, length);
    if window.length == 0 {
        // Also where the stack's end was taken to be: a page of it was not in memory then.
        read(window, sp, 8);
    }
    (window.length > 0).then_some(window.words[0])
}

/// Where the `length` bytes of the stack from `start` on are in the window, bytes; they are read unless the window has
/// them: at most [`LARGEST_SPAN`] words.
#[inline(always)]
pub fn hold(window: &mut Window, start: u64, length: u64) -> Option<u64> {
    let lead = start.wrapping_sub(window.start);
    if lead.is_multiple_of(8) && lead <= window.length {
        let needed = lead + length;
        if needed <= window.length {
            return Some(lead);
        }
        // Next time at once.
        window.ahead = window.ahead.max(needed);
    }
    window.start = start;
    read(window, start, length).then_some(0)
}

#[inline(always)]
fn read(window: &mut Window, start: u64, length: u64) -> bool {
    let length = masked::<{ 8 * LARGEST_SPAN }>(length);
    // SAFETY: `length` is less than the size of the words, which are any initialized bytes; the kernel
    // checks the source address.
    let read = unsafe {
        let bytes = core::slice::from_raw_parts_mut(
            window.words.as_mut_ptr().cast::<u8>(),
            length as usize,
        );
        bpf_probe_read_user_buf(start as *const u8, bytes).is_ok()
    };
    window.length = if read { length & !7 } else { 0 };
    read
}

#[inline(always)]
fn read_single(window: &mut Window, address: u64) -> Option<u64> {
    window.length = 0;
    read(window, address, 8).then(|| {
        window.length = 0;
        window.words[0]
    })
}

/// Reads words of the kernel's memory into the window, which then holds nothing of a stack.
#[inline(always)]
pub fn read_kernel<const WORDS: usize>(window: &mut Window, address: u64) -> bool {
    forget(window);
    // SAFETY: at most as many bytes as there are words, which are any initialized bytes; the kernel
    // checks the source address.
    unsafe {
        let bytes =
            core::slice::from_raw_parts_mut(window.words.as_mut_ptr().cast::<u8>(), 8 * WORDS);
        bpf_probe_read_kernel_buf(address as *const u8, bytes).is_ok()
    }
}

/// Reads one word of the target's memory; `None` where nothing is mapped or it is not in memory.
#[inline(always)]
pub fn read_word(address: u64) -> Option<u64> {
    // SAFETY: the kernel checks the address; any bytes are a u64.
    unsafe { bpf_probe_read_user(address as *const u64).ok() }
}
