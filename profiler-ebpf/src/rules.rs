//! Which rule leads from an address to the caller's frame: a cache, then the process's mappings, then
//! the mapping's table.

use core::arch::asm;

use unfreed_common::thread::Tables;
use unfreed_common::unwind::{
    CACHE_ENTRIES, CACHE_VERSIONS, Kind, MAPPING_STEPS, ROW_STEPS, Row, Rule,
};

use crate::maps::{CACHE, MAPPINGS, ROWS};

/// The address is in no mapping that is known.
pub const UNMAPPED: Rule = Rule(15);

/// A cached rule has this many bits.
const RULE_BITS: u32 = 20;

/// The rule at `address`; [`UNMAPPED`] where there is no mapping, [`Rule::NONE`] where there is no
/// unwind information.
#[inline(always)]
pub fn at(tables: &Tables, address: u64) -> Rule {
    let cached = cache_slot(address);
    // One word holds the rest of the address, the generation and the rule, so that it is never half
    // of one entry and half of another.
    let generation = tables.generation % CACHE_VERSIONS;
    let tag = (address >> 16 & 0x7fff_ffff) * CACHE_VERSIONS + generation;
    if let Some(entry) = cached {
        // SAFETY: a pointer to an aligned word of an array; every value is an entry or 0.
        let entry = unsafe { entry.read_volatile() };
        if entry >> RULE_BITS == tag {
            return Rule(entry as u32 & ((1 << RULE_BITS) - 1));
        }
    }
    let rule = search(tables, address);
    if let Some(entry) = cached
        && rule.0 >> RULE_BITS == 0
        && rule.0 != UNMAPPED.0
    {
        // SAFETY: as above; others may write the same word, and whichever is last is right.
        unsafe { entry.write_volatile(tag << RULE_BITS | u64::from(rule.0)) };
    }
    rule
}

#[inline(always)]
fn search(tables: &Tables, address: u64) -> Rule {
    if tables.count == 0 {
        return UNMAPPED;
    }
    // The last mapping that begins at or below the address.
    let mut low = tables.first;
    let mut count = tables.count;
    for _ in 0..MAPPING_STEPS {
        let half = count >> 1;
        let Some(mapping) = MAPPINGS.get(low + half) else {
            return UNMAPPED;
        };
        low += not_above(mapping.start, address) as u32 * half;
        count = opaque(count - half);
    }
    let Some(mapping) = MAPPINGS.get(low) else {
        return UNMAPPED;
    };
    if address < mapping.start || address >= mapping.end {
        return UNMAPPED;
    }
    if mapping.row_count == 0 {
        return Rule::NONE;
    }
    let relative = address.wrapping_sub(mapping.bias);
    let mut low = mapping.first_row;
    let mut count = mapping.row_count;
    for _ in 0..ROW_STEPS {
        let half = count >> 1;
        let Some(row) = ROWS.get(low + half) else {
            return Rule::NONE;
        };
        low += not_above(u64::from(Row(*row).address()), relative) as u32 * half;
        count = opaque(count - half);
    }
    match ROWS.get(low) {
        Some(row) if u64::from(Row(*row).address()) <= relative => Row(*row).rule(),
        _ => Rule::NONE,
    }
}

/// The place in the cache for an address, which has at most 47 bits there: its lowest 16 bits, stirred with the others, so that these
/// bits and the others (which are in the entry) together are the address.
#[inline(always)]
fn cache_slot(address: u64) -> Option<*mut u64> {
    if address >> 47 != 0 {
        return None;
    }
    let stirred = (address >> 16).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    CACHE.get_ptr_mut(((address ^ stirred) as u32) & (CACHE_ENTRIES - 1))
}

/// 1 when `a <= b`, else 0, for numbers below 2^63. Without a branch: the verifier follows both ways
/// of each, and there are 35 of these for each frame.
#[inline(always)]
fn not_above(a: u64, b: u64) -> u64 {
    let mut difference = a.wrapping_sub(b).wrapping_sub(1);
    // SAFETY: shifts a register. In assembly, since LLVM would make a comparison of it again.
    unsafe { asm!("{0} >>= 63", inout(reg) difference) };
    difference
}

/// The same number. LLVM would compute all halves of a table's size once and keep them on the stack,
/// which is too small for that.
#[inline(always)]
fn opaque(mut number: u32) -> u32 {
    // SAFETY: adds 0. (Without an instruction, line information would name one place twice, which
    // the kernel refuses.)
    unsafe { asm!("{0} += 0", inout(reg) number) };
    number
}

/// Whether a rule is one for the frame pointer.
#[inline(always)]
pub fn is_none(rule: Rule) -> bool {
    rule.0 == UNMAPPED.0 || rule.kind() == Kind::None as u32
}
