//! aarch64: rules and the steps they stand for are each other's inverse.

use std::collections::HashMap;

use unfreed_common::unwind::aarch64::{BY_FRAME_POINTER, by_rule, rule};
use unfreed_common::unwind::{Frame, Kind, Rule, Stack, Stop};

struct Memory(HashMap<u64, u64>);

impl Stack for Memory {
    fn word(&mut self, address: u64) -> Option<u64> {
        self.0.get(&address).copied()
    }
}

const CALLER: u64 = 0xffff_8000_1234;
/// As above, signed.
const SIGNED: u64 = 0x0039_ffff_8000_1234;

const FRAME: Frame = Frame {
    pc: 0xaaaa_0000_1000,
    sp: 0xffff_f000_0000,
    fp: 0xffff_f020_0000,
    interrupted: 0,
};

/// Memory with nothing in it but the two registers, which are so many bytes from the CFA.
fn memory(cfa: u64, link: Option<i64>, pointer: Option<i64>) -> Memory {
    let at = |offset: i64| cfa.wrapping_add_signed(offset);
    let link = link.map(|offset| (at(offset), SIGNED));
    let pointer = pointer.map(|offset| (at(offset), 0x77));
    Memory(link.into_iter().chain(pointer).collect())
}

#[test]
fn there_is_a_rule_for_every_place_in_a_usual_frame() {
    let mut rules = 0;
    for (kind, base) in [
        (Kind::StackPointer, FRAME.sp),
        (Kind::FramePointer, FRAME.fp),
    ] {
        for size in (0..=256).step_by(16).chain([4096, 65536, 1_048_560]) {
            let places: Vec<i64> = (-size..0)
                .step_by(8)
                .filter(|it| {
                    // From either end, as far as there are slots.
                    *it >= -512 || size + *it < 512
                })
                .collect();
            for &link in &places {
                let pointers = places
                    .iter()
                    .filter(|it| (1..=14).contains(&((link - **it) / 8)));
                for pointer in [None].into_iter().chain(pointers.map(|it| Some(*it))) {
                    let rule = rule(kind, size, Some(link), pointer)
                        .unwrap_or_else(|| panic!("{kind:?} {size} {link} {pointer:?}"));
                    let cfa = base + size as u64;
                    let mut memory = memory(cfa, Some(link), pointer);
                    let caller = by_rule(rule, &FRAME, &mut 0, &mut memory).unwrap();
                    let fp = if pointer.is_some() { 0x77 } else { FRAME.fp };
                    let expected = Frame {
                        pc: CALLER,
                        sp: cfa,
                        fp,
                        interrupted: 0,
                    };
                    assert_eq!(caller, expected, "{kind:?} {size} {link} {pointer:?}");
                    rules += 1;
                }
            }
        }
    }
    assert!(rules > 5000, "{rules}");
}

#[test]
fn large_frames() {
    for (size, link, pointer, there_is) in [
        (70048, -70040, Some(-70048), true),
        (70048, -70032, Some(-70040), true),
        (1 << 26, 8 - (1 << 26), Some(-(1 << 26)), true),
        // A frame record elsewhere, in a frame of 1 MiB; in the middle of one.
        (1 << 20, -8, Some(-16), false),
        (2048, -1024, Some(-1032), false),
        // The frame pointer as far as it can be from the link register, and farther.
        (256, -8, Some(-120), true),
        (256, -8, Some(-128), false),
        (256, -128, Some(-8), true),
        (256, -136, Some(-8), false),
        (256, -136, Some((8 << 32) - 136 + 32), false),
        // Not aligned; upside down; at the same place.
        (24, -16, Some(-24), false),
        (32, -24, Some(-16), true),
        (32, -24, Some(-24), false),
        (32, -20, None, false),
        (i64::MAX - 15, 0, Some(i64::MIN), false),
        (0, i64::MIN, Some(0), false),
    ] {
        let found = rule(Kind::StackPointer, size, Some(link), pointer);
        assert_eq!(found.is_some(), there_is, "{size} {link} {pointer:?}");
        if let Some(rule) = found {
            let cfa = FRAME.sp + size as u64;
            let mut memory = memory(cfa, Some(link), pointer);
            let caller = by_rule(rule, &FRAME, &mut 0, &mut memory).unwrap();
            assert_eq!((caller.pc, caller.sp, caller.fp), (CALLER, cfa, 0x77));
        }
    }
}

#[test]
fn a_leaf_function_returns_to_the_link_register() {
    let leaf = rule(Kind::StackPointer, 48, None, None).unwrap();
    let mut empty = Memory(HashMap::new());
    let interrupted = Frame {
        interrupted: 1,
        ..FRAME
    };
    let caller = by_rule(leaf, &interrupted, &mut { SIGNED }, &mut empty).unwrap();
    let expected = Frame {
        pc: CALLER,
        sp: FRAME.sp + 48,
        fp: FRAME.fp,
        interrupted: 0,
    };
    assert_eq!(caller, expected);
    // Further out it would have been overwritten by the call.
    let step = by_rule(leaf, &FRAME, &mut { SIGNED }, &mut empty);
    assert_eq!(step, Err(Stop::Unsupported));
}

#[test]
fn a_signal_frame() {
    // offsetof(ucontext_t, uc_mcontext.regs[29], .regs[30], .sp, .pc) behind 128 bytes of siginfo
    let places = [(544, 29), (552, 30), (560, 31), (568, 32)];
    let words = places.map(|(offset, value)| (FRAME.sp + offset, value));
    let mut memory = Memory(words.into());
    let mut link = 0;
    let frame = by_rule(Rule::SIGNAL, &FRAME, &mut link, &mut memory).unwrap();
    let expected = Frame {
        pc: 32,
        sp: 31,
        fp: 29,
        interrupted: 1,
    };
    assert_eq!((frame, link), (expected, 30));
}

#[test]
fn ends() {
    let mut empty = Memory(HashMap::new());
    let mut stop = |rule| by_rule(rule, &FRAME, &mut 0, &mut empty).unwrap_err();
    assert_eq!(stop(Rule::END), Stop::End);
    assert_eq!(stop(Rule::UNSUPPORTED), Stop::Unsupported);
    assert_eq!(stop(Rule::SIGNAL), Stop::Unreadable);
    assert_eq!(stop(BY_FRAME_POINTER), Stop::Unreadable);
}
