//! The only writer of the live map and of what was given back.

use aya_ebpf::bindings::BPF_NOEXIST;
use unfreed_common::alloc::{Block, BlockKey, VACANT_PLACES};
use unfreed_common::loss::Loss;

use crate::loss::{add, lost};
use crate::maps::{GIVEN_BACK, HELD, HELD_PLACES, LIVE, SAMPLING, VACANT};
use crate::{counters, gaps, insert, settings};

/// Errors of map updates, errno-base.h.
const E2BIG: i32 = -7;
const EEXIST: i32 = -17;
const ENOENT: i32 = -2;

/// A new block exists.
#[inline(always)]
pub fn take(key: &BlockKey, block: &Block) {
    count_sampled(key.address, 1);
    if !put(key, block) {
        // The address is handed out again, so the block that had it was freed unseen.
        replace(key, block);
    }
}

/// A block that was set aside is there again.
#[inline(always)]
pub fn restore(key: &BlockKey, block: &Block) {
    count_aside(key.address, u64::MAX);
    if !put(key, block) {
        lost(Loss::FreeMissed);
    }
}

/// False: the address is a live block's. Each other failure is counted.
#[inline(always)]
fn put(key: &BlockKey, block: &Block) -> bool {
    if vacant(key.address).is_some_and(|vacant| vacant != 0)
        && let Some(entry) = entry(key)
    {
        let is_vacant = entry.is_vacant();
        if is_vacant {
            count_vacant(key.address, u64::MAX);
            write(entry, block);
        }
        return is_vacant;
    }
    let error = insert::insert(&LIVE, key, block, u64::from(BPF_NOEXIST));
    match error {
        0 | EEXIST => {}
        E2BIG => lost(Loss::LiveMapFull),
        _ => lost(Loss::LiveInsertFailed),
    }
    error != EEXIST
}

/// Puts a block in the place of one that was freed unseen: in a gap of the recording, or by a function that is
/// not traced.
#[inline(always)]
fn replace(key: &BlockKey, block: &Block) {
    let Some(entry) = entry(key) else {
        lost(Loss::LiveInsertFailed);
        return;
    };
    if gaps::is_stale(entry.time) {
        count_sampled(key.address, u64::MAX);
    } else {
        lost(Loss::FreeMissed);
        count_given_back(key.address, entry.size);
    }
    write(entry, block);
}

/// What the map has at this address: a live block, or a vacant entry.
#[inline(always)]
fn entry(key: &BlockKey) -> Option<&'static mut Block> {
    let entry = LIVE.get_ptr_mut(key)?;
    // SAFETY: an address is taken or given back by one thread at a time (two would be a double free in the target),
    // and only those read, write or remove its entry.
    Some(unsafe { &mut *entry })
}

/// Field by field: a copy of the whole would be a call of memmove, with a frame of its own.
#[inline(always)]
fn write(to: &mut Block, from: &Block) {
    to.size = from.size;
    to.stack = from.stack;
    to.time = from.time;
}

/// Takes a block out of the map. False: it is not there any more.
///
/// Its entry stays, vacant, if no other one whose address has the same hash does: an allocator hands the same addresses
/// out again and again, and to find an entry takes a fraction of what its insertion and its removal take.
#[inline(always)]
fn remove(key: &BlockKey, entry: &mut Block) -> bool {
    if vacant(key.address) == Some(0) {
        entry.vacate();
        count_vacant(key.address, 1);
        return true;
    }
    match LIVE.remove(key) {
        Ok(()) => true,
        Err(ENOENT) => false,
        Err(_) => {
            lost(Loss::LiveDeleteFailed);
            false
        }
    }
}

/// How many entries are vacant whose address has the same hash; `None`: none may be.
#[inline(always)]
fn vacant(address: u64) -> Option<u64> {
    counters::at::<VACANT_PLACES>(&VACANT, address)
}

/// An entry is vacant, or not any more.
#[inline(always)]
fn count_vacant(address: u64, change: u64) {
    counters::count::<VACANT_PLACES>(&VACANT, address, change);
}

/// Whether the address can be that of a block that is set aside or, when not every block is recorded, of a live
/// one: in less time than it takes to look.
#[inline(always)]
pub fn may_hold(address: u64) -> bool {
    counters::at::<HELD_PLACES>(&HELD, address).is_none_or(|held| held != 0)
}

/// A block is live, or not any more.
#[inline(always)]
fn count_sampled(address: u64, change: u64) {
    if settings::sampled() {
        count_held(address, change);
    }
}

/// A block is set aside, or not any more. When not every block is recorded it is counted as a live one all the
/// time.
#[inline(always)]
fn count_aside(address: u64, change: u64) {
    if !settings::sampled() {
        count_held(address, change);
    }
}

#[inline(always)]
fn count_held(address: u64, change: u64) {
    counters::count::<HELD_PLACES>(&HELD, address, change);
}

/// Takes a block out of the map without counting it as given back. False: it is from before the recording, or not a
/// block.
#[inline(always)]
pub fn set_aside(key: &BlockKey, into: &mut Block) -> bool {
    let Some(entry) = entry(key).filter(|entry| !entry.is_vacant()) else {
        return false;
    };
    write(into, entry);
    let is_set_aside = remove(key, entry);
    if is_set_aside {
        count_aside(key.address, 1);
    }
    is_set_aside
}

/// A block is given back: what `free` means. False: it is not in the live map.
#[inline(always)]
pub fn give_back(key: &BlockKey) -> bool {
    let Some(entry) = entry(key).filter(|entry| !entry.is_vacant()) else {
        return false;
    };
    let size = entry.size;
    if remove(key, entry) {
        count_given_back(key.address, size);
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
        Some(sampling) if settings::sampled() => sampling.stands_for(size),
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
