//! Code that nothing describes, and that is known all the same: the program's entry point, which has
//! no caller, what calls `main`, and what signal handlers return to. musl's have no unwind information.

use std::ops::Range;

use iced_x86::{Decoder, DecoderOptions, FlowControl};
use unfreed_common::unwind::Rule;

use super::NoTable;
use super::elf::{Elf, Machine};
use super::layout::Layout;
use super::musl_start;

/// No entry point has more code up to its first call.
const MAX_ENTRY: usize = 128;

/// Smaller gaps are what fills up to the next function's alignment. Looking into these would read all
/// the code of the file.
const MIN_SEARCHED: u64 = 16;

/// How many bytes are searched for what signal handlers return to: ten times musl.
const MAX_SEARCHED: usize = 8 << 20;

/// Adds it to `layout`.
pub fn fill(elf: &Elf<'_>, layout: &mut Layout) -> Result<(), NoTable> {
    let mut searched = 0;
    let calls_main = musl_start::calls_main(elf);
    for gap in layout.gaps() {
        if gap.end - gap.start < MIN_SEARCHED && !gap.contains(&elf.entry()) {
            continue;
        }
        let Some(code) = elf.mapped(gap.start) else {
            continue;
        };
        let code = &code[..code.len().min((gap.end - gap.start) as usize)];
        let place = |range: Range<usize>| {
            let start = gap.start + range.start as u64;
            layout.place(start, range.len() as u64)
        };
        let entry = elf.entry().checked_sub(gap.start);
        let entry = entry
            .and_then(|at| Some((at as usize, code.get(at as usize..)?)))
            .filter(|(_, code)| !code.is_empty())
            .and_then(|(at, code)| place(at..at + entry_len(elf.machine, code)));
        let mut found = Vec::from_iter(entry.map(|it| (it, Rule::END)));
        let outermost = calls_main.iter().filter(|it| gap.contains(&it.start));
        found.extend(outermost.filter_map(|it| {
            let place = layout.place(it.start, it.end.min(gap.end) - it.start)?;
            Some((place, Rule::END))
        }));
        let returns = signal_return(elf.machine);
        let code = &code[..code.len().min(MAX_SEARCHED - searched)];
        searched += code.len();
        for (pattern, alignment) in returns {
            let mut at = 0;
            while let Some(next) = find(&code[at..], pattern) {
                // The address that is looked up is the one before: a return address less 1.
                let start = (at + next).saturating_sub(*alignment);
                let end = at + next + pattern.len();
                if (gap.start + (at + next) as u64).is_multiple_of(*alignment as u64) {
                    found.extend(place(start..end).map(|it| (it, Rule::SIGNAL)));
                }
                at = end;
            }
        }
        for (place, rule) in found {
            layout.add(place, |rows| rows.push(0, rule))?;
        }
    }
    layout.settle();
    Ok(())
}

/// Code that signal handlers return to, with the alignment of its instructions. gdb goes by the same
/// (`amd64_linux_sigtramp_start`, `aarch64_linux_rt_sigframe`), libgcc too.
fn signal_return(machine: Machine) -> &'static [(&'static [u8], usize)] {
    match machine {
        // mov $__NR_rt_sigreturn, %rax (or %eax); syscall
        Machine::X86_64 => &[
            (&[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05], 1),
            (&[0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05], 1),
        ],
        // mov x8, #__NR_rt_sigreturn; svc #0
        Machine::Aarch64 => &[(&[0x68, 0x11, 0x80, 0xd2, 0x01, 0, 0, 0xd4], 4)],
    }
}

fn find(code: &[u8], pattern: &[u8]) -> Option<usize> {
    let last = *pattern.last()?;
    let mut at = pattern.len() - 1;
    // Its last byte first, which is rarer than its first.
    while let Some(next) = code.get(at..)?.iter().position(|byte| *byte == last) {
        at += next + 1;
        if code[..at].ends_with(pattern) {
            return Some(at - pattern.len());
        }
    }
    None
}

/// How many bytes there are from the entry point to behind its first call or jump: what lies behind
/// is another function, or is reached no more.
fn entry_len(machine: Machine, code: &[u8]) -> usize {
    let code = &code[..code.len().min(MAX_ENTRY)];
    match machine {
        Machine::X86_64 => {
            let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
            while decoder.can_decode() {
                if decoder.decode().flow_control() != FlowControl::Next {
                    break;
                }
            }
            decoder.position()
        }
        // Unconditional branches, with and without link, to an immediate or to a register ("Arm
        // Architecture Reference Manual", A64 instruction set encoding, "Branches").
        Machine::Aarch64 => {
            let is_branch = |code: &[u8]| code[3] & 0x7c == 0x14 || code[3] & 0xfe == 0xd6;
            let words = code.chunks_exact(4);
            let before = words.clone().take_while(|it| !is_branch(it)).count();
            words.len().min(before + 1) * 4
        }
    }
}
