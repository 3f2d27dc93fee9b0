//! Programs of Go: their rows against the `.debug_frame` that Go's linker writes, as `readelf` reads it,
//! with and without symbols.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use unfreed_common::unwind::x86_64::{Goroutine, IS_R14, SAVED_NOT, by_rule};
use unfreed_common::unwind::{Frame, Kind, Rule, Stack, Stop};

use super::super::Table;
use super::judge;
use super::{check_shape, rule_at};
use crate::gopclntab::Functions;
use crate::gopclntab::made::{PLAIN, Program, WITH_C};

/// A function's name, and what is known at one of its instructions.
fn rules(elf: &[u8], table: &Table) -> BTreeMap<String, BTreeSet<Rule>> {
    let mut rules: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for function in Functions::of_elf(elf).unwrap().iter() {
        let found = function
            .range
            .clone()
            .map(|address| rule_at(table, address));
        rules
            .entry(function.name.to_owned())
            .or_default()
            .extend(found);
    }
    rules
}

/// Functions that `.debug_frame` has no right rules for: those that have no caller, that leave their
/// stack, or are not called.
const OTHERWISE: &[&str] = &[
    "_rt0_amd64",
    "_rt0_amd64_linux",
    "gogo",
    "runtime.asmcgocall",
    "runtime.asyncPreempt",
    "runtime.callCgoMmap",
    "runtime.callCgoMunmap",
    "runtime.callCgoSigaction",
    "runtime.clone",
    "runtime.debugCallV2",
    "runtime.goexit",
    "runtime.gopreempt_m",
    "runtime.goschedImpl",
    "runtime.mcall",
    "runtime.morestack",
    "runtime.mstart",
    "runtime.nanotime1",
    "runtime.preemptPark",
    "runtime.rt0_go",
    "runtime.schedule",
    "runtime.sigfwd",
    "runtime.sigpanic",
    "runtime.sigpanic0",
    "runtime.sigreturn",
    "runtime.systemstack",
    "syscall.rawVforkSyscall",
    "time.now",
];

/// Every row of `.debug_frame` is in the table, but for those functions.
fn compare(program: &Program) {
    compare_at(program.path());
}

fn compare_at(path: &Path) {
    let elf = std::fs::read(path).unwrap();
    let table = Table::of_elf(&elf).unwrap();
    check_shape(&table);
    let functions = Functions::of_elf(&elf).unwrap();
    let (mut compared, mut otherwise) = (0, BTreeSet::new());
    for described in judge::functions(path) {
        let Some(function) = functions.at(described.start) else {
            continue;
        };
        let next = described.rows.iter().skip(1).map(|(address, _)| *address);
        for ((address, columns), next) in described.rows.iter().zip(next.chain([described.end])) {
            let offset = columns["CFA"].strip_prefix("rsp+").unwrap();
            let words = offset.parse::<u32>().unwrap() / 8;
            // Go's linker ends each function's last row a byte too early.
            for address in (*address < next)
                .then_some([*address, next - 1])
                .into_iter()
                .flatten()
            {
                let rule = rule_at(&table, address);
                if rule.kind() == Kind::StackPointer as u32 && rule.n() == words {
                    compared += 1;
                } else {
                    otherwise.insert(function.name);
                }
            }
        }
    }
    assert!(compared > 5000, "{compared}");
    let expected: BTreeSet<_> = OTHERWISE.iter().copied().collect();
    // Frames of 64 MiB and more, which nobody has.
    otherwise.retain(|name| !name.starts_with("runtime.call"));
    let surprise: Vec<_> = otherwise.difference(&expected).collect();
    assert!(surprise.is_empty(), "{surprise:?}");
}

#[test]
fn rows_are_those_of_debug_frame() {
    compare(&Program::built(&[], PLAIN));
    compare(&Program::built(&["-buildmode=pie"], PLAIN));
    compare(&Program::built(&[], WITH_C));
}

#[test]
fn without_symbols_the_rows_are_the_same() {
    for source in [PLAIN, WITH_C] {
        for mode in ["-buildmode=exe", "-buildmode=pie"] {
            let [whole, stripped] = ["", "-s -w"].map(|flags| {
                let elf = Program::built(&["-ldflags", flags, mode], source).bytes();
                let table = Table::of_elf(&elf).unwrap();
                check_shape(&table);
                rules(&elf, &table)
            });
            assert!(whole.len() > 1000);
            assert!(whole == stripped, "{mode} {source}");
        }
    }
}

/// What only the runtime's own table knows.
#[test]
fn special_functions() {
    let elf = Program::built(&[], WITH_C).bytes();
    let rules = rules(&elf, &Table::of_elf(&elf).unwrap());
    let has = |name: &str, kind: Kind| rules[name].iter().any(|rule| rule.kind() == kind as u32);
    for outermost in ["runtime.goexit", "runtime.mstart", "runtime.rt0_go"] {
        assert!(has(outermost, Kind::End), "{outermost}");
        assert!(!has(outermost, Kind::StackPointer), "{outermost}");
    }
    for scheduler in [
        "runtime.schedule",
        "runtime.goschedImpl",
        "runtime.preemptPark",
    ] {
        assert_eq!(rules[scheduler].first(), Some(&Rule::NONE));
        assert_eq!(rules[scheduler].last(), Some(&Rule::END), "{scheduler}");
    }
    assert!(has("runtime.mcall", Kind::End) && has("runtime.mcall", Kind::StackPointer));
    assert!(has("runtime.sigreturn", Kind::Signal));
    assert!(has("runtime.asyncPreempt", Kind::Unsupported));
    assert!(!has("runtime.sigtramp", Kind::End));
    // Where Go 1.19 has all that.
    let noted = |place, above| Goroutine {
        thread: 6,
        current: 24,
        stack_pointer: 7,
        place,
        above,
    };
    for (switch, noted) in [
        ("runtime.systemstack", noted(0, 1)),
        ("runtime.morestack", noted(0, 0)),
        ("runtime.asmcgocall", noted(7, 1)),
    ] {
        let of_kind = rules[switch]
            .iter()
            .filter(|rule| rule.kind() == Kind::Goroutine as u32);
        let expected = noted.rule().unwrap();
        assert_eq!(of_kind.copied().collect::<Vec<_>>(), [expected], "{switch}");
        assert!(has(switch, Kind::StackPointer), "{switch}");
    }
    let saved = Rule::new(Kind::StackPointerSaved, 5, 0).unwrap();
    assert!(rules["runtime.asmcgocall"].contains(&saved));
}

/// Whatever the compiler gave a frame saves the frame pointer; some of the assembly does not.
#[test]
fn frame_pointers() {
    let elf = Program::built(&[], PLAIN).bytes();
    let rules = rules(&elf, &Table::of_elf(&elf).unwrap());
    let with_frame = |rule: &&Rule| rule.kind() == Kind::StackPointer as u32 && rule.n() > 1;
    let (mut with, mut without) = (0, Vec::new());
    for (name, rules) in &rules {
        let mut framed = rules.iter().filter(with_frame).peekable();
        if framed.peek().is_none() {
            continue;
        }
        if framed.any(|rule| rule.saved() == 1) {
            with += 1;
        } else {
            without.push(name);
        }
    }
    assert!(with > 700, "{with}");
    assert!(without.len() < 30, "{without:?}");
    // Before it is stored, it is where it was.
    let main = &rules["main.main"];
    assert!(
        main.iter()
            .any(|rule| with_frame(&rule) && rule.saved() == SAVED_NOT),
        "{main:?}"
    );
}

/// Memory by address.
struct Memory(HashMap<u64, u64>);

impl Stack for Memory {
    fn word(&mut self, address: u64) -> Option<u64> {
        self.0.get(&address).copied()
    }
}

/// A thread at 0x1000 with the system's goroutine at 0x2000 and the current one at 0x3000, which was left
/// with the stack pointer 0x4000.
fn memory() -> Memory {
    Memory(HashMap::from([
        (0x2000 + 6 * 8, 0x1000),
        (0x1000, 0x2000),
        (0x1000 + 24 * 8, 0x3000),
        (0x3000 + 7 * 8, 0x4000),
        (0x3000 + 8 * 8, 0xaaaa),
        (0x4000, 0xbbbb),
        (0x4008, 0xcccc),
        (0x7000 + 6 * 8, 0x3000),
    ]))
}

fn caller(place: u32, above: u32, mut registers: u64) -> Result<(u64, u64), Stop> {
    let noted = Goroutine {
        thread: 6,
        current: 24,
        stack_pointer: 7,
        place,
        above,
    };
    let frame = Frame {
        pc: 0x9000,
        sp: 0x7000,
        fp: 0x7100,
        interrupted: 0,
    };
    let rule = noted.rule().unwrap();
    let caller = by_rule(rule, &frame, &mut registers, &mut memory())?;
    assert_eq!((caller.fp, caller.interrupted), (0x7100, 0));
    Ok((caller.pc, caller.sp))
}

#[test]
fn from_the_systems_stack_to_the_goroutines() {
    let register = 0x2000 | IS_R14;
    // The program counter that was noted, or the return address that the stack pointer is at, or above.
    assert_eq!(caller(0, 0, register), Ok((0xaaaa, 0x4000)));
    assert_eq!(caller(0, 1, register), Ok((0xbbbb, 0x4008)));
    assert_eq!(caller(0, 2, register), Ok((0xcccc, 0x4010)));
    // The goroutine is on the stack.
    assert_eq!(caller(7, 1, 0), Ok((0xbbbb, 0x4008)));
    // r14 is something else, or where a signal has put the registers.
    assert_eq!(caller(0, 1, 0x3000 | IS_R14), Err(Stop::Unreadable));
    assert_eq!(
        caller(0, 1, (0x2000 - 24 * 8 + 48) | IS_R14),
        Err(Stop::Unreadable)
    );
    assert_eq!(caller(0, 1, 0x2000), Err(Stop::Unsupported));
    let mut other = memory();
    other.0.insert(0x1000, 0x2008);
    let rule = Goroutine {
        thread: 6,
        current: 24,
        stack_pointer: 7,
        place: 0,
        above: 1,
    }
    .rule();
    let frame = Frame {
        pc: 0x9000,
        sp: 0x7000,
        fp: 0,
        interrupted: 0,
    };
    let stopped = by_rule(rule.unwrap(), &frame, &mut { register }, &mut other);
    assert_eq!(stopped, Err(Stop::Unsupported));
    let too_far = Goroutine {
        thread: 64,
        current: 0,
        stack_pointer: 0,
        place: 0,
        above: 0,
    };
    assert_eq!(too_far.rule(), None);
}

/// A rule by another register than the frame pointer is for what a signal interrupted, whose registers
/// are on the stack: not for a walk that has begun there.
#[test]
fn r14_is_no_signal_frame() {
    let rule = Rule::new(Kind::Interrupted, 32, 0).unwrap();
    let frame = Frame {
        pc: 0x9000,
        sp: 0x7000,
        fp: 0,
        interrupted: 1,
    };
    let stopped = by_rule(rule, &frame, &mut (0x3000 | IS_R14), &mut memory());
    assert_eq!(stopped, Err(Stop::Unsupported));
}
