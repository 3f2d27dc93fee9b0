//! From unwind information to rules: what compilers write rarely, or never.

use gimli::{
    DW_OP_and, DW_OP_breg6, DW_OP_breg7, DW_OP_breg16, DW_OP_deref, DW_OP_ge, DW_OP_lit3,
    DW_OP_lit11, DW_OP_lit15, DW_OP_plus, DW_OP_plus_uconst, DW_OP_shl,
};
use unfreed_common::unwind::x86_64::SAVED_AT_FRAME_POINTER;
use unfreed_common::unwind::{Kind, Rule, aarch64};

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

/// The rule after these instructions.
fn rule(instructions: &[u8]) -> Rule {
    let mut frames = Frames::eh();
    frames.x86_64().function(CODE, 16, instructions);
    rule_at(&table(&frames), CODE)
}

fn some(kind: Kind, n: u32, saved: u32) -> Rule {
    Rule::new(kind, n, saved).unwrap()
}

/// `DW_CFA_def_cfa_expression`
fn cfa(expression: &[u8]) -> Vec<u8> {
    [&[0x0f, expression.len() as u8], expression].concat()
}

/// `DW_CFA_expression`
fn saved_at(register: u8, expression: &[u8]) -> Vec<u8> {
    [&[0x10, register, expression.len() as u8], expression].concat()
}

#[test]
fn registers() {
    assert_eq!(rule(&[]), some(Kind::StackPointer, 1, 0));
    // def_cfa rbp + 16, rbp at CFA - 16
    let framed = some(Kind::FramePointer, 2, 1);
    assert_eq!(rule(&[0x0c, 6, 16, 0x86, 2]), framed);
    assert_eq!(
        rule(&[0x0e, 0x80, 0x80, 0x80, 1]),
        some(Kind::StackPointer, 1 << 18, 0)
    );
    for unsupported in [
        // 64 MiB and a multiple of 4
        &[0x0e, 0x80, 0x80, 0x80, 0x20][..],
        &[0x0e, 12],
        // r10, of which GCC makes frames that are realigned
        &[0x0c, 10, 0],
        // return address at CFA - 16, and in rcx
        &[0x80 | 16, 2],
        &[0x09, 16, 2],
    ] {
        assert_eq!(rule(unsupported), Rule::UNSUPPORTED, "{unsupported:?}");
    }
    assert_eq!(rule(&[0x07, 16]), Rule::END);
}

#[test]
fn saved_frame_pointer() {
    let saved = |words| rule(&[0x80 | 6, words]);
    assert_eq!(saved(2), some(Kind::StackPointer, 1, 1));
    assert_eq!(saved(31), some(Kind::StackPointer, 1, 30));
    assert_eq!(saved(32), Rule::UNSUPPORTED);
    assert_eq!(saved(1), Rule::UNSUPPORTED, "that is the return address");
    assert_eq!(saved(0), Rule::UNSUPPORTED);
    // same_value, undefined, restored
    for unchanged in [&[0x08, 6][..], &[0x07, 6], &[0x86, 2, 0xc6]] {
        assert_eq!(rule(unchanged), some(Kind::StackPointer, 1, 0));
    }
    // in rbx, at rbp + 0, at rbp + 8
    assert_eq!(rule(&[0x09, 6, 3]), Rule::UNSUPPORTED);
    let at = |offset| rule(&saved_at(6, &[DW_OP_breg6.0, offset]));
    assert_eq!(at(0), some(Kind::StackPointer, 1, SAVED_AT_FRAME_POINTER));
    assert_eq!(at(8), Rule::UNSUPPORTED);
}

#[test]
fn expressions() {
    let (rbp, rsp, rip) = (DW_OP_breg6.0, DW_OP_breg7.0, DW_OP_breg16.0);
    let (deref, plus) = (DW_OP_deref.0, DW_OP_plus_uconst.0);
    let realigned = [cfa(&[rbp, 0x58, deref]), saved_at(6, &[rbp, 0])].concat();
    let kind = Kind::FramePointerSaved;
    assert_eq!(rule(&realigned), some(kind, 5, SAVED_AT_FRAME_POINTER));
    let hand_written = cfa(&[rsp, 16, deref, plus, 8]);
    assert_eq!(rule(&hand_written), some(Kind::StackPointerSaved, 2, 0));
    let stub = |offset, pushes, shift| {
        let (and, ge, shl, add) = (DW_OP_and.0, DW_OP_ge.0, DW_OP_shl.0, DW_OP_plus.0);
        let test = [rip, 0, DW_OP_lit15.0, and, pushes, ge, shift, shl, add];
        cfa(&[&[rsp, offset], &test[..]].concat())
    };
    let linkage = some(Kind::LinkageTable, 11, 0);
    assert_eq!(rule(&stub(8, DW_OP_lit11.0, DW_OP_lit3.0)), linkage);
    for unsupported in [
        stub(8, DW_OP_lit11.0, DW_OP_lit11.0),
        stub(16, DW_OP_lit11.0, DW_OP_lit3.0),
        cfa(&[rsp, 0x78, deref, plus, 8]),
        cfa(&[rsp, 16, deref, plus, 16]),
        cfa(&[rbp, 8, deref]),
        cfa(&[rsp, 16]),
        cfa(&[]),
        // without an end
        cfa(&[rsp, 0x80]),
        [cfa(&[rsp; 200]), vec![]].concat(),
    ] {
        assert_eq!(rule(&unsupported), Rule::UNSUPPORTED, "{unsupported:x?}");
    }
}

#[test]
fn signal_frames() {
    let (rsp, deref) = (DW_OP_breg7.0, DW_OP_deref.0);
    let saved = |rbp: u8| {
        [
            cfa(&[rsp, 0xa0, 1, deref]),
            saved_at(6, &[rsp, rbp, 0]),
            saved_at(16, &[rsp, 0xa8, 1]),
        ]
        .concat()
    };
    let rule = |rbp| {
        let mut frames = Frames::eh();
        frames.common("S", 16, &[]).function(CODE, 16, &saved(rbp));
        rule_at(&table(&frames), CODE)
    };
    assert_eq!(rule(0xf8), Rule::SIGNAL);
    assert_eq!(rule(0xf0), Rule::UNSUPPORTED, "rbp is elsewhere");
}

#[test]
fn programs() {
    let mut frames = Frames::eh();
    frames.x86_64().function(
        CODE,
        32,
        // advance 4; CFA 16; remember; advance 4; CFA 24; advance 4; restore; advance 4; an unknown
        // instruction
        &[0x44, 0x0e, 16, 0x0a, 0x44, 0x0e, 24, 0x44, 0x0b, 0x44, 0x3f],
    );
    // Nothing to be restored, and an advance of nothing; before its beginning; behind its end, in steps and at once.
    frames.function(CODE + 32, 8, &[0x40, 0x0e, 16, 0x44, 0x0b]);
    frames.function(CODE + 40, 8, &[0x44, 0x01, 0, 0, 0x90, 0xff]);
    frames.function(
        CODE + 48,
        8,
        &[0x44, 0x0e, 16, 0x44, 0x0e, 24, 0x7f, 0x0e, 32],
    );
    let table = table(&frames);
    let rule = |offset| rule_at(&table, CODE + offset);
    let stack = |n| some(Kind::StackPointer, n, 0);
    for (offset, expected) in [
        (0, stack(1)),
        (3, stack(1)),
        (4, stack(2)),
        (8, stack(3)),
        (11, stack(3)),
        (12, stack(2)),
        (16, Rule::UNSUPPORTED),
        (31, Rule::UNSUPPORTED),
        (32, stack(2)),
        (36, Rule::UNSUPPORTED),
        (40, stack(1)),
        (44, Rule::UNSUPPORTED),
        (48, stack(1)),
        (52, stack(2)),
        (55, stack(2)),
        (56, Rule::NONE),
        (63, Rule::NONE),
    ] {
        assert_eq!(rule(offset), expected, "{offset}");
    }
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
    let stack = some(Kind::StackPointer, 2, 0);
    assert_eq!(
        rows.collect::<Vec<_>>(),
        [
            (0, Rule::NONE),
            (8, stack),
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
    assert_eq!(rule_at(&table, high), some(Kind::StackPointer, 1, 0));
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
fn aarch64_states() {
    let rule = |instructions: &[u8]| {
        let mut frames = Frames::eh();
        frames.aarch64().function(CODE, 16, instructions);
        let table = Table::of_elf(&Made::aarch64(vec![0; 64], &frames).elf()).unwrap();
        check_shape(&table);
        rule_at(&table, CODE)
    };
    let (sp, fp) = (Kind::StackPointer, Kind::FramePointer);
    let expected = |base, cfa, link, pointer| aarch64::rule(base, cfa, link, pointer).unwrap();
    assert_eq!(rule(&[]), expected(sp, 0, None, None));
    assert_eq!(rule(&[0x07, 29]), expected(sp, 0, None, None));
    // CFA = sp + 32, frame record at its lower end
    let record = expected(sp, 32, Some(-24), Some(-32));
    assert_eq!(rule(&[0x0e, 32, 0x9d, 4, 0x9e, 3]), record);
    // the same with a signed return address
    assert_eq!(rule(&[0x2d, 0x0e, 32, 0x9d, 4, 0x9e, 3]), record);
    // CFA = x29 + 32, frame record at its upper end
    let above = expected(fp, 32, Some(-8), Some(-16));
    assert_eq!(rule(&[0x0c, 29, 32, 0x9d, 2, 0x9e, 1]), above);
    // the link register alone, and gone: the outermost function
    assert_eq!(
        rule(&[0x0e, 16, 0x9e, 2]),
        expected(sp, 16, Some(-16), None)
    );
    assert_eq!(rule(&[0x07, 30]), Rule::END);
    for unsupported in [&[0x0c, 0, 16][..], &[0x0e, 8], &[0x09, 30, 3]] {
        assert_eq!(rule(unsupported), Rule::UNSUPPORTED, "{unsupported:?}");
    }
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
