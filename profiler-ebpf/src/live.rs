//! The only writer of the live map and of what was given back.

use aya_ebpf::bindings::BPF_NOEXIST;
use unfreed_common::alloc::{Block, BlockKey};
use unfreed_common::loss::Loss;

use crate::loss::{add, lost};
use crate::maps::{GIVEN_BACK, HELD, HELD_PLACES, LIVE, SAMPLING};
use crate::{gaps, insert, sampler};

/// Errors of map updates, errno-base.h.
const E2BIG: i32 = -7;
const EEXIST: i32 = -17;
const ENOENT: i32 = -2;

/// A new block exists.
#[inline(always)]
pub fn take(key: &BlockKey, block: &Block) {
    count_sampled(key.address, 1);
    if insert(key, block) == Err(EEXIST) {
        // The address is handed out again, so the block that had it was freed unseen.
        forget(key);
        let _counted = insert(key, block);
    }
}

/// A block that was set aside is there again.
#[inline(always)]
pub fn restore(key: &BlockKey, block: &Block) {
    count_aside(key.address, u64::MAX);
    if insert(key, block) == Err(EEXIST) {
        lost(Loss::FreeMissed);
    }
}

/// Fails when the address is a live block's. Each other failure is counted.
#[inline(always)]
fn insert(key: &BlockKey, block: &Block) -> Result<(), i32> {
    let result = insert::insert(&LIVE, key, block, u64::from(BPF_NOEXIST));
    match result {
        Ok(()) | Err(EEXIST) => {}
        Err(E2BIG) => lost(Loss::LiveMapFull),
        Err(_) => lost(Loss::LiveInsertFailed),
    }
    result
}

/// Whether the address can be that of a block that is set aside or, when not every block is recorded, of a live
/// one: in less time than it takes to look.
#[inline(always)]
pub fn may_hold(address: u64) -> bool {
    HELD.get(held_index(address)).is_none_or(|held| *held != 0)
}

/// A block is live, or not any more.
#[inline(always)]
fn count_sampled(address: u64, change: u64) {
    if sampler::is_on() {
        count_held(address, change);
    }
}

/// A block is set aside, or not any more. When not every block is recorded it is counted as a live one all the
/// time.
#[inline(always)]
fn count_aside(address: u64, change: u64) {
    if !sampler::is_on() {
        count_held(address, change);
    }
}

#[inline(always)]
fn count_held(address: u64, change: u64) {
    if let Some(held) = HELD.get_ptr_mut(held_index(address)) {
        add(held, change);
    }
}

#[inline(always)]
fn held_index(address: u64) -> u32 {
    // Blocks begin at multiples of 8 or 16.
    let hash = (address >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> (u64::BITS - HELD_PLACES)) as u32
}

/// Takes a block out of the map without counting it as given back. `None`: it is from before the
/// recording, or not a block.
#[inline(always)]
pub fn set_aside(key: &BlockKey, into: &mut Block) -> bool {
    // SAFETY: the element is only read, at once; an address is freed by one thread at a time (two
    // would be a double free in the target).
    let Some(block) = (unsafe { LIVE.get(key) }) else {
        return false;
    };
    // Field by field: a copy of the whole would be a call of memmove, with a frame of its own.
    into.size = block.size;
    into.stack = block.stack;
    into.time = block.time;
    match LIVE.remove(key) {
        Ok(()) => {
            count_aside(key.address, 1);
            true
        }
        Err(ENOENT) => false,
        Err(_) => {
            lost(Loss::LiveDeleteFailed);
            false
        }
    }
}

/// A block was freed unseen: in a gap of the recording, or by a function that is not traced.
#[inline(always)]
fn forget(key: &BlockKey) {
    // SAFETY: as in `set_aside`.
    if unsafe { LIVE.get(key) }.is_some_and(|block| gaps::is_stale(block.time)) {
        count_sampled(key.address, u64::MAX);
        // Fails only when there is none any more.
        let _: Result<(), i32> = LIVE.remove(key);
        return;
    }
    lost(Loss::FreeMissed);
    let _freed = give_back(key);
}

/// A block is given back: what `free` means. False: it is not in the live map.
#[inline(always)]
pub fn give_back(key: &BlockKey) -> bool {
    // SAFETY: as in `set_aside`.
    let Some(block) = (unsafe { LIVE.get(key) }) else {
        return false;
    };
    let size = block.size;
    match LIVE.remove(key) {
        Ok(()) => count_given_back(key.address, size),
        Err(ENOENT) => {}
        Err(_) => lost(Loss::LiveDeleteFailed),
    }
    true
}

/// A block that was set aside is given back.
#[inline(always)]
pub fn give_back_aside(address: u64, size: u64) {
    count_aside(address, u64::MAX);
    count_given_back(address, size);
}

/// Adds a block to what was given back.
#[inline(always)]
fn count_given_back(address: u64, size: u64) {
    count_sampled(address, u64::MAX);
    let (bytes, count) = match SAMPLING.get(0) {
        Some(sampling) if sampler::is_on() => sampling.stands_for(size),
        _ => (size, 1),
    };
    if let Some(sum) = GIVEN_BACK.get_ptr_mut(0) {
        // SAFETY: a pointer into an element of an array; the fields see only atomic adds.
        unsafe {
            add(&raw mut (*sum).bytes, bytes);
            add(&raw mut (*sum).count, count);
        }
    }
}
