//! Stores each distinct stack once, whichever way it was walked.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use unfreed_common::loss::Loss;
use unfreed_common::stack::{MAX_FRAMES, OVERFLOW_STACK, StackHeader, StackRecord, StackTotals};
use unfreed_common::thread::Thread;
use unfreed_common::unwind::Stop;

use crate::loss::lost;
use crate::maps::{BLANK_TOTALS, NEW_STACKS, STACKS};
use crate::memo;

/// Makes sure that the user side gets the frames that a walk has left in the thread's record, and
/// returns the stack's id. Once they are on their way the walk may be remembered.
#[inline(always)]
pub fn keep(tgid: u32, thread: &mut Thread) -> u64 {
    if thread.record.header.stop == Stop::Depth as u32 {
        lost(Loss::StackTruncated);
    }
    let hash = hash(thread.walk.seed, tgid, &thread.record);
    let header = &mut thread.record.header;
    header.hash = hash;
    header.tgid = tgid;
    // SAFETY: a helper without arguments.
    header.time = unsafe { bpf_ktime_get_ns() };
    let Some(totals) = STACKS.get_ptr_mut(hash).or_else(|| insert(hash)) else {
        lost(Loss::StackMapFull);
        return OVERFLOW_STACK;
    };
    if is_sent(totals, &thread.record) {
        memo::keep(thread, hash);
    }
    hash
}

/// Multiply-xorshift over the frames and what is known of them: one step is a bijection of the state,
/// so stacks collide with probability 2^-64. Never `OVERFLOW_STACK`.
#[inline(always)]
fn hash(seed: u64, tgid: u32, record: &StackRecord) -> u64 {
    let header = &record.header;
    let mut hash = mix(seed, u64::from(tgid));
    hash = mix(hash, u64::from(header.stop) << 32 | u64::from(header.flags));
    for (index, frame) in record.frames.iter().enumerate() {
        if index as u32 >= header.depth {
            break;
        }
        hash = mix(hash, *frame);
    }
    hash | u64::from(hash == OVERFLOW_STACK)
}

#[inline(always)]
fn mix(hash: u64, word: u64) -> u64 {
    let hash = (hash ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ hash >> 32
}

/// Sends the frames of the stack with these totals, unless that was done before. A stack counts as sent
/// only after the ring buffer took it, so a full ring delays a stack instead of losing it.
#[inline(always)]
fn is_sent(totals: *mut StackTotals, record: &StackRecord) -> bool {
    // SAFETY: a pointer into an element, and elements of STACKS are never removed; every writer of
    // the flag stores the same value.
    unsafe {
        if (*totals).sent == 0 && send(record) {
            (*totals).sent = 1;
        }
        (*totals).sent != 0
    }
}

#[inline(always)]
fn insert(hash: u64) -> Option<*mut StackTotals> {
    // Another thread may be faster; then its element serves both.
    let _either_way = STACKS.insert(hash, BLANK_TOTALS.get(0)?, u64::from(BPF_NOEXIST));
    STACKS.get_ptr_mut(hash)
}

#[inline(always)]
fn send(record: &StackRecord) -> bool {
    let depth = (record.header.depth as usize) & MAX_FRAMES;
    // SAFETY: the header and `depth` <= MAX_FRAMES frames of a record, all of it initialized memory
    // in a map value.
    let bytes = unsafe {
        core::slice::from_raw_parts(
            core::ptr::from_ref(record).cast::<u8>(),
            size_of::<StackHeader>() + depth * size_of::<u64>(),
        )
    };
    let sent = NEW_STACKS.output::<[u8]>(bytes, 0).is_ok();
    if !sent {
        lost(Loss::StackNotSent);
    }
    sent
}
