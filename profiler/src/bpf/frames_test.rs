//! Proves on the built object that no program's frame can be overwritten by another task.
//!
//! Linux 6.13+ gives programs of these types a private stack, one for each CPU, when a frame is 64
//! bytes or larger after rounding up to 16 (kernel/bpf/verifier.c, `check_max_stack_depth` and
//! `round_up_stack_depth`), unless there is a tail call in the program. Uprobe programs are
//! preemptible since 6.0, so another task can run on the same private stack in the middle of one.

use std::collections::BTreeMap;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

const PRIVATE_FROM: i32 = 64;
const ROUNDED_TO: i32 = 16;
const FRAME_POINTER: u8 = 10;
const TAIL_CALL: i32 = 12;

#[derive(Debug, Default, PartialEq, Eq)]
struct Facts {
    /// Bytes below the frame pointer that are used.
    frame: i32,
    tail_call: bool,
    /// Calls of functions of our own, whose frames would have to be added.
    subprogram_calls: usize,
}

/// One instruction: include/uapi/linux/bpf.h, `struct bpf_insn`.
struct Instruction {
    code: u8,
    destination: u8,
    source: u8,
    offset: i32,
    immediate: i32,
}

fn decode(bytes: &[u8]) -> Instruction {
    Instruction {
        code: bytes[0],
        destination: bytes[1] & 15,
        source: bytes[1] >> 4,
        offset: i32::from(i16::from_le_bytes([bytes[2], bytes[3]])),
        immediate: i32::from_le_bytes(bytes[4..8].try_into().unwrap()),
    }
}

fn facts(code: &[u8]) -> Facts {
    const LDX: u8 = 1;
    const ST: u8 = 2;
    const STX: u8 = 3;
    const CALL: u8 = 0x85;
    const MOVE: u8 = 0xbf;
    const ADD_IMMEDIATE: u8 = 0x07;
    const LOAD_64: u8 = 0x18;
    const PSEUDO_CALL: u8 = 1;
    let mut facts = Facts::default();
    let mut lowest = 0;
    let mut copies: Vec<u8> = Vec::new();
    let mut instructions = code.chunks_exact(8).map(decode);
    while let Some(instruction) = instructions.next() {
        let class = instruction.code & 7;
        let base = match class {
            LDX => instruction.source,
            ST | STX => instruction.destination,
            _ => u8::MAX,
        };
        if base == FRAME_POINTER {
            lowest = lowest.min(instruction.offset);
        }
        match instruction.code {
            MOVE if instruction.source == FRAME_POINTER => copies.push(instruction.destination),
            ADD_IMMEDIATE if copies.contains(&instruction.destination) => {
                lowest = lowest.min(instruction.immediate);
                copies.retain(|&register| register != instruction.destination);
            }
            CALL if instruction.source == PSEUDO_CALL => facts.subprogram_calls += 1,
            CALL => facts.tail_call |= instruction.immediate == TAIL_CALL,
            // Two slots long.
            LOAD_64 => drop(instructions.next()),
            _ => {}
        }
    }
    facts.frame = -lowest;
    facts
}

fn programs(object: &[u8]) -> BTreeMap<String, (String, Facts)> {
    let file = object::File::parse(object).unwrap();
    let mut programs = BTreeMap::new();
    for symbol in file.symbols() {
        let Some(index) = symbol.section_index() else {
            continue;
        };
        let section = file.section_by_index(index).unwrap();
        let kind = section.name().unwrap().to_owned();
        if symbol.kind() == SymbolKind::Text && kind != ".text" {
            let start = symbol.address() as usize;
            let code = &section.data().unwrap()[start..start + symbol.size() as usize];
            programs.insert(symbol.name().unwrap().to_owned(), (kind, facts(code)));
        }
    }
    programs
}

fn gets_a_private_stack(facts: &Facts) -> bool {
    let rounded = (facts.frame + ROUNDED_TO - 1) / ROUNDED_TO * ROUNDED_TO;
    rounded >= PRIVATE_FROM && !facts.tail_call
}

#[test]
fn no_program_gets_a_private_stack() {
    for (object, at_least) in [(super::object::OBJECT, 15), (super::processes::OBJECT, 6)] {
        let programs = programs(object);
        assert!(programs.len() >= at_least, "{programs:#?}");
        for (name, (kind, facts)) in programs {
            assert!(!gets_a_private_stack(&facts), "{kind} {name}: {facts:?}");
            assert_eq!(facts.subprogram_calls, 0, "{kind} {name}: {facts:?}");
        }
    }
}

#[test]
fn the_rule_tells_frames_apart() {
    let store = |offset: i16| {
        let offset = offset.to_le_bytes();
        // *(u64 *)(r10 + offset) = r1
        vec![0x7b, 0x1a, offset[0], offset[1], 0, 0, 0, 0]
    };
    let pointer = [
        // r2 = r10; r2 += -56
        [0xbf, 0xa2, 0, 0, 0, 0, 0, 0],
        [0x07, 0x02, 0, 0, 0xc8, 0xff, 0xff, 0xff],
    ]
    .concat();
    let tail_call = vec![0x85, 0, 0, 0, 12, 0, 0, 0];
    assert!(!gets_a_private_stack(&facts(&store(-48))));
    assert!(gets_a_private_stack(&facts(&store(-56))));
    assert!(gets_a_private_stack(&facts(&pointer)));
    assert!(!gets_a_private_stack(&facts(
        &[pointer, tail_call].concat()
    )));
}
