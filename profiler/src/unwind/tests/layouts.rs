//! Which functions there are, and where: sections and segments as no linker writes them.

use unfreed_common::unwind::{Kind, Rule};

use super::super::{NoTable, Table};
use super::made::{CODE, Frames, Made};
use super::{check_shape, rule_at};

const NOP: u8 = 0x90;

/// The table of a file with 64 bytes of code.
fn table(frames: &Frames) -> Table {
    let table = Table::of_elf(&Made::x86_64(vec![NOP; 64], frames).elf()).unwrap();
    check_shape(&table);
    table
}

/// CFA = rsp + 8n
fn stack(n: u32) -> Rule {
    Rule::new(Kind::StackPointer, n, 0).unwrap()
}

/// Where a section's end is not known, a length of 0 is the end of its entries.
#[test]
fn stripped() {
    let mut frames = Frames::eh();
    frames.x86_64().function(CODE, 16, &[]);
    frames.bytes.extend([0; 4]);
    frames.function(CODE + 16, 16, &[0x0e, 16]);
    let made = || Made::x86_64(vec![NOP; 64], &frames);
    let rows = |made: Made| Table::of_elf(&made.elf()).unwrap().rows.len();
    assert_eq!(rows(made()), 3);
    assert_eq!(rows(made().stripped()), 2);
}

#[test]
fn functions_that_do_not_count() {
    let mut frames = Frames::eh();
    frames.x86_64();
    frames.function(CODE + 8, 8, &[0x0e, 16]);
    // Overlaps; dropped by the linker; not in code; of no length; too long.
    frames.function(CODE + 12, 8, &[0x0e, 24]);
    frames.function(0, 8, &[]);
    frames.function(CODE - 8, 8, &[]);
    frames.function(CODE + 60, 8, &[]);
    frames.function(CODE + 24, 0, &[]);
    frames.function(CODE + 24, u32::MAX, &[]);
    // What is returned to is in another register than the usual.
    frames.common("", 15, &[0x0c, 7, 8]);
    frames.function(CODE + 40, 8, &[]);
    let table = table(&frames);
    assert_eq!(table.base, CODE);
    let rows = table.rows.iter().map(|row| (row.address(), row.rule()));
    assert_eq!(
        rows.collect::<Vec<_>>(),
        [
            (0, Rule::NONE),
            (8, stack(2)),
            (16, Rule::NONE),
            (40, Rule::UNSUPPORTED),
            (48, Rule::NONE)
        ]
    );
}

/// As in the vDSO, with what the linker leaves of functions it has dropped.
#[test]
fn code_at_0() {
    let mut frames = Frames::eh();
    frames.x86_64().function(0, 8, &[]).function(16, 8, &[]);
    let made = Made {
        address: 0,
        ..Made::x86_64(vec![NOP; 64], &frames)
    };
    let table = Table::of_elf(&made.elf()).unwrap();
    let rows = table.rows.iter().map(|row| (row.address(), row.rule().n()));
    assert_eq!(rows.collect::<Vec<_>>(), [(0, 0), (16, 1), (24, 0)]);
}

#[test]
fn segments_in_any_order() {
    let mut frames = Frames::eh();
    let high = 0x90_0000;
    frames.x86_64().function(high, 16, &[]);
    let made = Made {
        address: high,
        ..Made::x86_64(vec![NOP; 64], &frames)
    };
    let mut elf = made.elf();
    // The second segment, at a lower address, becomes executable.
    elf[64 + 56 + 4] |= object::elf::PF_X as u8;
    let table = Table::of_elf(&elf).unwrap();
    check_shape(&table);
    assert!(table.base < high);
    assert_eq!(rule_at(&table, high), stack(1));
}

#[test]
fn functions_next_to_each_other_share_a_row() {
    let mut frames = Frames::eh();
    frames.x86_64();
    frames.function(CODE + 32, 32, &[]);
    frames.function(CODE, 32, &[0x50, 0x0e, 16, 0x48, 0x0e, 8]);
    let rows = table(&frames).rows;
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row.address(), row.rule().n()))
        .collect();
    assert_eq!(rows, [(0, 1), (16, 2), (24, 1), (64, 0)]);
}

#[test]
fn debug_frame_describes_the_rest() {
    let mut eh = Frames::eh();
    eh.x86_64().function(CODE + 16, 16, &[0x0e, 16]);
    let mut debug = Frames::debug();
    debug.x86_64();
    debug.function(CODE, 16, &[0x0e, 24]);
    debug.function(CODE + 8, 16, &[0x0e, 32]);
    debug.function(CODE + 16, 16, &[0x0e, 32]);
    debug.function(CODE + 32, 16, &[0x0e, 40]);
    let code = || Made::x86_64(vec![NOP; 64], &eh);
    let rows = |table: Table| {
        check_shape(&table);
        let rows = table.rows.iter().map(|row| (row.address(), row.rule().n()));
        rows.collect::<Vec<_>>()
    };
    let all = [(0, 3), (16, 2), (32, 5), (48, 0)];
    let both = code().with(".debug_frame", debug.bytes.clone()).elf();
    assert_eq!(rows(Table::of_elf(&both).unwrap()), all);
    // In a file of its own, as distributions have it.
    let alone = Made {
        sections: vec![(".debug_frame", debug.bytes.clone())],
        ..code()
    };
    let table = Table::of_elf_and_debug_file(&code().elf(), Some(&alone.elf()));
    assert_eq!(rows(table.unwrap()), all);
    let other = Made {
        machine: object::elf::EM_AARCH64,
        ..alone
    };
    let table = Table::of_elf_and_debug_file(&code().elf(), Some(&other.elf()));
    assert_eq!(rows(table.unwrap()), [(0, 0), (16, 2), (32, 0)]);
}

#[test]
fn no_table() {
    let of = |bytes: &[u8]| Table::of_elf(bytes).unwrap_err();
    assert_eq!(of(b""), NoTable::NotElf64);
    assert_eq!(
        of(b"#!/bin/sh\necho a script that is longer than a header\n"),
        NoTable::NotElf64
    );
    let mut frames = Frames::eh();
    frames.x86_64().function(CODE, 16, &[]);
    let good = Made::x86_64(vec![NOP; 64], &frames).elf();
    let changed = |at: usize, byte| {
        let mut elf = good.clone();
        elf[at] = byte;
        of(&elf)
    };
    assert_eq!(changed(4, 1), NoTable::NotElf64, "32 bits");
    assert_eq!(changed(5, 2), NoTable::NotElf64, "big-endian");
    assert_eq!(changed(18, 40), NoTable::Machine(40));
    assert_eq!(changed(39, 1), NoTable::Malformed("program headers"));
    assert_eq!(changed(68, 4), NoTable::Nothing, "not executable");
    let none = Made::x86_64(vec![NOP; 64], &Frames::eh());
    assert_eq!(of(&none.elf()), NoTable::Nothing);
}
