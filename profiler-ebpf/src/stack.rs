//! Where am I? Walks the target's call stack and stores each distinct stack once.
//!
//! The walk follows frame pointers. At a function's entry the return address is at the top of the
//! stack, so the direct caller of the probed function is always there; callers compiled without
//! frame pointers further out are skipped, and code that uses the register for data ends the walk.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_probe_read_user_buf;
use unfreed_common::loss::Loss;
use unfreed_common::stack::{
    MAX_FRAMES, OVERFLOW_STACK, STACK_RECORD_HEADER, StackRecord, StackTotals,
};
use unfreed_common::thread::Thread;

use crate::loss::lost;
use crate::maps::{BLANK_TOTALS, NEW_STACKS, STACKS};
use crate::registers::Registers;

/// A frame larger than this is taken for a register that is not a frame pointer.
const MAX_FRAME_BYTES: u64 = 16 << 20;

/// Walks the stack, makes sure that the user side gets its frames, and returns its id.
/// `return_address` is what stands at the top of the stack.
#[inline(always)]
pub fn capture(regs: Registers, return_address: u64, tgid: u32, thread: &mut Thread) -> u64 {
    walk(regs, return_address, thread);
    let hash = hash(tgid, &thread.record);
    thread.record.hash = hash;
    thread.record.tgid = tgid;
    store(hash, &thread.record)
}

#[inline(always)]
fn walk(regs: Registers, return_address: u64, thread: &mut Thread) {
    let record = &mut thread.record;
    record.frames[0] = regs.instruction_pointer();
    record.frames[1] = return_address;
    record.depth = 2;
    let mut below = regs.stack_pointer();
    let mut frame = regs.frame_pointer();
    for depth in 2..MAX_FRAMES {
        if frame <= below || frame & 7 != 0 || frame - below > MAX_FRAME_BYTES {
            return;
        }
        if !read_user(frame, &mut thread.frame) {
            return;
        }
        let [next, caller] = thread.frame;
        if caller < 0x1000 {
            return;
        }
        record.frames[depth] = caller;
        record.depth = depth as u32 + 1;
        below = frame;
        frame = next;
    }
    if frame != 0 {
        lost(Loss::StackTruncated);
    }
}

/// Multiply-xorshift over the frames, seeded with the process: one step is a bijection of the state,
/// so stacks collide with probability 2^-64. Never `OVERFLOW_STACK`.
#[inline(always)]
fn hash(tgid: u32, record: &StackRecord) -> u64 {
    let mut hash = u64::from(tgid) ^ 0x9e37_79b9_7f4a_7c15;
    for (index, frame) in record.frames.iter().enumerate() {
        if index as u32 >= record.depth {
            break;
        }
        hash = (hash ^ frame).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 32;
    }
    hash | u64::from(hash == OVERFLOW_STACK)
}

/// Makes sure that `hash` has totals and that its frames were sent. A stack counts as sent only
/// after the ring buffer took it, so a full ring delays a stack instead of losing it.
#[inline(always)]
fn store(hash: u64, record: &StackRecord) -> u64 {
    let Some(totals) = STACKS.get_ptr_mut(hash).or_else(|| insert(hash)) else {
        lost(Loss::StackMapFull);
        return OVERFLOW_STACK;
    };
    // SAFETY: a pointer into an element, and elements of STACKS are never removed; every writer of
    // the flag stores the same value.
    unsafe {
        if (*totals).sent == 0 && send(record) {
            (*totals).sent = 1;
        }
    }
    hash
}

#[inline(always)]
fn insert(hash: u64) -> Option<*mut StackTotals> {
    // Another thread may be faster; then its element serves both.
    let _either_way = STACKS.insert(hash, BLANK_TOTALS.get(0)?, u64::from(BPF_NOEXIST));
    STACKS.get_ptr_mut(hash)
}

#[inline(always)]
fn send(record: &StackRecord) -> bool {
    let depth = (record.depth as usize) & MAX_FRAMES;
    // SAFETY: the header and `depth` <= MAX_FRAMES frames of a record, all of it initialized memory
    // in a map value.
    let bytes = unsafe {
        core::slice::from_raw_parts(
            core::ptr::from_ref(record).cast::<u8>(),
            STACK_RECORD_HEADER + depth * size_of::<u64>(),
        )
    };
    let sent = NEW_STACKS.output::<[u8]>(bytes, 0).is_ok();
    if !sent {
        lost(Loss::StackNotSent);
    }
    sent
}

/// Reads two words of the target's stack; false where nothing is mapped or it is not in memory.
#[inline(always)]
fn read_user(address: u64, words: &mut [u64; 2]) -> bool {
    // SAFETY: two u64 are 16 initialized bytes; the kernel checks the source address.
    unsafe {
        let bytes = core::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), 16);
        bpf_probe_read_user_buf(address as *const u8, bytes).is_ok()
    }
}

/// Reads one word of the target's memory; `None` where nothing is mapped or it is not in memory.
#[inline(always)]
pub fn read_word(address: u64) -> Option<u64> {
    // SAFETY: the kernel checks the address; any bytes are a u64.
    unsafe { aya_ebpf::helpers::bpf_probe_read_user(address as *const u64).ok() }
}
