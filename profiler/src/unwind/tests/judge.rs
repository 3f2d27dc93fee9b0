//! Every row that `readelf` (binutils has its own reader) makes of a file's unwind information must be
//! in the table, and nothing else.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Command;

use unfreed_common::unwind::{Kind, Rule, aarch64, x86_64};

use super::super::Table;
use super::{LIBC, check_shape, mapped, rule_at};

/// A row of `readelf`'s: the columns by name.
pub type Columns = HashMap<String, String>;

/// A function of `readelf`'s.
#[derive(Default)]
pub struct Function {
    offset: String,
    /// Its first address.
    pub start: u64,
    /// Behind its last.
    pub end: u64,
    is_signal_frame: bool,
    /// The column of the return address is the machine's own.
    is_usual: bool,
    /// From which address on.
    pub rows: Vec<(u64, Columns)>,
}

fn readelf(how: &str, path: &Path) -> String {
    let output = Command::new("readelf")
        .arg(format!("--debug-dump=no-follow-links,{how}"))
        .arg(path)
        .output()
        .expect("binutils is there where a linker is");
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// All that the file describes.
pub fn functions(path: &Path) -> Vec<Function> {
    let mut common: HashMap<String, Function> = HashMap::new();
    let mut found = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut current: Option<Function> = None;
    let mut finish = |function: Option<Function>, common: &mut HashMap<String, Function>| {
        let Some(function) = function else { return };
        if function.end == 0 {
            common.insert(function.offset.clone(), function);
        } else {
            found.push(function);
        }
    };
    let text = readelf("frames-interp", path);
    for line in text.lines() {
        // A register is "r9 (r9)".
        let words = line.split_whitespace().filter(|it| !it.starts_with('('));
        let words: Vec<_> = words.collect();
        match *words {
            [offset, _, _, "CIE", augmentation, .., return_address] => {
                finish(current.take(), &mut common);
                current = Some(Function {
                    offset: offset.to_owned(),
                    is_signal_frame: augmentation.contains('S'),
                    is_usual: matches!(return_address, "ra=16" | "ra=30"),
                    ..Function::default()
                });
            }
            [offset, _, _, "FDE", cie, pc] => {
                finish(current.take(), &mut common);
                let cie = cie.strip_prefix("cie=").unwrap();
                let (start, end) = pc.strip_prefix("pc=").unwrap().split_once("..").unwrap();
                let number = |text| u64::from_str_radix(text, 16).unwrap();
                let of = &common[cie];
                current = Some(Function {
                    offset: offset.to_owned(),
                    start: number(start),
                    end: number(end),
                    is_signal_frame: of.is_signal_frame,
                    is_usual: of.is_usual,
                    // Replaced by the function's own, if there are any.
                    rows: of.rows.clone(),
                });
            }
            ["LOC", ref columns @ ..] => {
                names = columns.iter().map(|&name| name.to_owned()).collect();
                if let Some(function) = &mut current {
                    function.rows.clear();
                }
            }
            [address, ref values @ ..] if values.len() == names.len() && address.len() == 16 => {
                let address = u64::from_str_radix(address, 16).unwrap();
                let values = values.iter().map(|&value| value.to_owned());
                let columns = names.iter().cloned().zip(values).collect();
                current.as_mut().unwrap().rows.push((address, columns));
            }
            _ => {}
        }
    }
    finish(current, &mut common);
    // Those of a common entry are at address 0.
    for function in &mut found {
        if let [(address @ 0, _)] = &mut *function.rows {
            *address = function.start;
        }
    }
    found
}

/// `register+number`
fn sum(value: &str) -> Option<(&str, i64)> {
    let (register, offset) = value.split_once('+')?;
    Some((register, offset.parse().unwrap()))
}

/// `c-number`
fn from_cfa(value: &str) -> Option<i64> {
    value.strip_prefix('c')?.parse().ok()
}

/// Rules that `readelf`'s "exp" may stand for.
const EXPRESSIONS: &[Kind] = &[
    Kind::FramePointerSaved,
    Kind::StackPointerSaved,
    Kind::LinkageTable,
    Kind::Unsupported,
];

fn expected_x86_64(function: &Function, columns: &Columns, rule: Rule) -> Rule {
    if function.is_signal_frame {
        return Rule::SIGNAL;
    }
    match &*columns["ra"] {
        "c-8" => {}
        "u" => return Rule::END,
        _ => return Rule::UNSUPPORTED,
    }
    let saved = match columns.get("rbp").map_or("u", String::as_str) {
        "u" | "s" => x86_64::SAVED_NOT,
        "exp" => x86_64::SAVED_AT_FRAME_POINTER,
        place => match from_cfa(place) {
            Some(offset @ -248..=-16) if offset % 8 == 0 => ((-offset - 8) / 8) as u32,
            _ => return Rule::UNSUPPORTED,
        },
    };
    if columns["CFA"] == "exp" {
        let of_expression = EXPRESSIONS.iter().any(|kind| *kind as u32 == rule.kind());
        let same = rule.saved() == saved || rule == Rule::UNSUPPORTED;
        return if of_expression && same {
            rule
        } else {
            Rule::NONE
        };
    }
    let made = match sum(&columns["CFA"]) {
        Some(("rsp", offset)) if offset % 8 == 0 => {
            Rule::new(Kind::StackPointer, (offset / 8) as u32, saved)
        }
        Some(("rbp", offset)) if offset % 8 == 0 => {
            Rule::new(Kind::FramePointer, (offset / 8) as u32, saved)
        }
        Some((register, offset)) if offset % 8 == 0 => {
            let order = [
                "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx",
                "rdx", "rax", "rcx",
            ];
            let position = order.iter().position(|name| *name == register);
            position.and_then(|position| {
                let n = (offset / 8) as u32 * 32 + position as u32;
                Rule::new(Kind::Interrupted, n, saved)
            })
        }
        _ => None,
    };
    made.unwrap_or(Rule::UNSUPPORTED)
}

fn expected_aarch64(ends: &HashSet<String>, function: &Function, columns: &Columns) -> Rule {
    let place = |name| match columns.get(name).map_or("u", String::as_str) {
        "u" | "s" => Some(None),
        place => Some(Some(from_cfa(place)?)),
    };
    let made = || {
        let (register, offset) = sum(&columns["CFA"])?;
        let base = match register {
            "sp" => Kind::StackPointer,
            "x29" => Kind::FramePointer,
            _ => return None,
        };
        let link = place("ra")?;
        if link.is_none() && ends.contains(&function.offset) {
            return Some(Rule::END);
        }
        aarch64::rule(base, offset, link, place("x29")?)
    };
    made().unwrap_or(Rule::UNSUPPORTED)
}

/// The entries that say that there is no return address, which `readelf`'s rows do not tell from
/// those that say nothing.
fn ends(path: &Path) -> HashSet<String> {
    let mut found = HashSet::new();
    let mut offset = "";
    let text = readelf("frames", path);
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match *words {
            [at, _, _, "FDE" | "CIE", ..] => offset = at,
            ["DW_CFA_undefined:", "r30", ..] => {
                found.insert(offset.to_owned());
            }
            _ => {}
        }
    }
    found
}

/// Compares all rows. Returns how many rules were compared, and how many of these cannot be followed.
fn compare(path: impl AsRef<Path>, is_aarch64: bool) -> (usize, usize) {
    let path = path.as_ref();
    let table = Table::of_elf(&mapped(path)).unwrap();
    check_shape(&table);
    let ends = if is_aarch64 {
        ends(path)
    } else {
        HashSet::new()
    };
    let mut functions = functions(path);
    functions.sort_by_key(|it| it.start);
    let (mut compared, mut unsupported) = (0, 0);
    let mut end = 0;
    for function in &functions {
        if function.start < end {
            continue;
        }
        if end < function.start && end != 0 {
            let rule = rule_at(&table, end);
            let known = [Rule::NONE, Rule::SIGNAL, Rule::END].contains(&rule);
            assert!(known, "{path:?}: {end:#x} is in no function: {rule:?}");
        }
        end = function.end;
        let next = function.rows.iter().skip(1).map(|(address, _)| *address);
        let next = next.chain([function.end]);
        for ((address, columns), next) in function.rows.iter().zip(next) {
            if *address == next {
                continue;
            }
            let rule = rule_at(&table, *address);
            let expected = if !function.is_usual {
                Rule::UNSUPPORTED
            } else if is_aarch64 {
                expected_aarch64(&ends, function, columns)
            } else {
                expected_x86_64(function, columns, rule)
            };
            for address in [*address, next - 1] {
                let rule = rule_at(&table, address);
                assert_eq!(rule, expected, "{path:?}: {address:#x}: {columns:?}");
                compared += 1;
            }
            unsupported += usize::from(expected == Rule::UNSUPPORTED);
        }
    }
    (compared, unsupported)
}

#[test]
fn libc() {
    let (compared, unsupported) = compare(LIBC, false);
    assert!(compared > 40_000, "{compared}");
    assert!(unsupported < 20, "{unsupported} of {compared}");
}

#[test]
fn libstdcxx() {
    let (compared, unsupported) = compare("/usr/lib/x86_64-linux-gnu/libstdc++.so.6", false);
    assert!(compared > 50_000, "{compared}");
    assert!(unsupported < 20, "{unsupported} of {compared}");
}

/// Made by rustc and LLVM, most of it without optimization.
#[test]
fn this_program() {
    let (compared, unsupported) = compare(std::env::current_exe().unwrap(), false);
    assert!(compared > 20_000, "{compared}");
    assert!(unsupported * 1000 < compared, "{unsupported} of {compared}");
}

/// It has next to nothing to compare, but an entry point and a place for signal handlers to return to.
#[test]
fn musl() {
    let (compared, unsupported) = compare("/lib/ld-musl-x86_64.so.1", false);
    assert!(
        compared >= 4 && unsupported == 0,
        "{unsupported} of {compared}"
    );
}

#[test]
fn libc_for_aarch64() {
    let (compared, unsupported) = compare("/usr/aarch64-linux-gnu/lib/libc.so.6", true);
    assert!(compared > 10_000, "{compared}");
    assert!(unsupported < 20, "{unsupported} of {compared}");
}
