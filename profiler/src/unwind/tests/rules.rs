//! From unwind information to rules: what compilers write rarely, or never.

use gimli::{
    DW_OP_and, DW_OP_breg6, DW_OP_breg7, DW_OP_breg16, DW_OP_deref, DW_OP_ge, DW_OP_lit3,
    DW_OP_lit11, DW_OP_lit15, DW_OP_plus, DW_OP_plus_uconst, DW_OP_shl,
};
use unfreed_common::unwind::x86_64::SAVED_AT_FRAME_POINTER;
use unfreed_common::unwind::{Kind, Rule, aarch64};

use super::super::Table;
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
    // r10, of which GCC makes frames that are realigned; rbx + 16, as in the loader
    let r10 = some(Kind::Interrupted, 2, 0);
    assert_eq!(rule(&[0x0c, 10, 0]), r10);
    let rbx = some(Kind::Interrupted, 2 << 5 | 0b1011, 0);
    assert_eq!(rule(&[0x0c, 3, 16]), rbx);
    for unsupported in [
        // 64 MiB and a multiple of 4
        &[0x0e, 0x80, 0x80, 0x80, 0x20][..],
        &[0x0e, 12],
        // xmm0, which is no word
        &[0x0c, 17, 0],
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
