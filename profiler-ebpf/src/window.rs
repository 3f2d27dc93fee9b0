//! Reads the target's stack: 2 KiB at a time, since a read of any size costs about the same.

use aya_ebpf::helpers::{bpf_probe_read_kernel_buf, bpf_probe_read_user, bpf_probe_read_user_buf};
use unfreed_common::thread::{Memo, WINDOW_WORDS, Window};
use unfreed_common::unwind::Stack;

use crate::bound::masked;
use crate::memo;

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
    fill(window, start);
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

#[inline(always)]
fn fill(window: &mut Window, start: u64) {
    window.start = start;
    window.length = 0;
    // Reading across the end of the stack's mapping fails as a whole, and costs a fault: it is done
    // once for each thread.
    let room = window.limit.wrapping_sub(start);
    if room < BYTES {
        read(window, start, room);
    } else if !read(window, start, BYTES) {
        let room = PAGE - start % PAGE;
        if room < BYTES && read(window, start, room) {
            window.limit = start + room;
        }
    }
}

/// Reads the `length` bytes from `start` on, at most [`LARGEST_SPAN`] words.
#[inline(always)]
pub fn read_stack(window: &mut Window, start: u64, length: u64) -> bool {
    window.start = start;
    read(window, start, length)
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
