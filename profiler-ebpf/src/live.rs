//! The only writer of the live map and of what was given back.

use aya_ebpf::bindings::{BPF_ANY, BPF_NOEXIST};
use unfreed_common::alloc::{Block, BlockKey};
use unfreed_common::loss::Loss;

use crate::loss::{add, lost};
use crate::maps::{GIVEN_BACK, LIVE};

/// Errors of map updates, errno-base.h.
const E2BIG: i32 = -7;
const EEXIST: i32 = -17;
const ENOENT: i32 = -2;

/// A new block exists.
#[inline(always)]
pub fn take(key: &BlockKey, block: &Block) {
    let mut result = LIVE.insert(key, block, u64::from(BPF_NOEXIST));
    if result == Err(EEXIST) {
        // The address is handed out again, so the block that had it was freed unseen.
        lost(Loss::FreeMissed);
        let _freed = give_back(key);
        result = LIVE.insert(key, block, u64::from(BPF_ANY));
    }
    match result {
        Ok(()) => {}
        Err(E2BIG) => lost(Loss::LiveMapFull),
        Err(_) => lost(Loss::LiveInsertFailed),
    }
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
        Ok(()) => true,
        Err(ENOENT) => false,
        Err(_) => {
            lost(Loss::LiveDeleteFailed);
            false
        }
    }
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
        Ok(()) => count_given_back(size),
        Err(ENOENT) => {}
        Err(_) => lost(Loss::LiveDeleteFailed),
    }
    true
}

/// Adds a block to what was given back.
#[inline(always)]
pub fn count_given_back(size: u64) {
    if let Some(sum) = GIVEN_BACK.get_ptr_mut(0) {
        // SAFETY: a pointer into an element of an array; the fields see only atomic adds.
        unsafe {
            add(&raw mut (*sum).bytes, size);
            add(&raw mut (*sum).count, 1);
        }
    }
}
