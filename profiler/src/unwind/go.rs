//! Functions of Go, by the table of Go's runtime ([`crate::gopclntab`]): every Go program has it, and it
//! is what the runtime walks stacks by, so it is exact at every instruction. The `.debug_frame` of Go's
//! linker is made of the same numbers, but does not know outermost functions, nor those that move to
//! another stack, nor where the frame pointer is (Go 1.19 to 1.25, `cmd/link/internal/ld/dwarf.go`). x86-64.

mod frame_pointer;
mod stack_pointer;
mod switch;

use std::ops::Range;

use unfreed_common::unwind::x86_64::SAVED_NOT;
use unfreed_common::unwind::{Kind, Rule};

use super::NoTable;
use super::elf::Elf;
use super::layout::Layout;
use crate::gopclntab::{Function, Functions};
use switch::Noted;

/// The caller's frame pointer is in the word below the return address.
const SAVED_FIRST: u32 = 1;

/// Where stacks begin, which the flag of later versions says too.
const OUTERMOST: &[&str] = &["runtime.goexit", "runtime.mstart", "runtime.rt0_go"];

/// What the kernel begins with: there is no return address. Not `_rt0_amd64_linux_lib`, which the dynamic
/// linker calls.
const ENTRIES: &[&str] = &["_rt0_amd64_linux", "_rt0_amd64"];

/// Flagged as outermost, since the runtime does not look through signal frames.
const SIGNAL_HANDLER: &str = "runtime.sigtramp";

/// What it returns to, before Go 1.21 and since.
const SIGNAL_RETURNS: &[&str] = &["runtime.sigreturn", "runtime.sigreturn__sigaction"];

/// Where a goroutine is said to be while it is on the system's stack, and where Go that C has called is
/// said to return to. Never called; up to Go 1.20 the address is its first instruction's.
const SAID_TO_CALL: &str = "runtime.systemstack_switch";

/// Where another life begins: on the system's stack for the scheduler, whatever goroutine it was; on the
/// first stack of a thread.
const LEAVES_FOR_GOOD: &[&str] = &["runtime.mcall", "runtime.clone"];

/// The scheduler, and how it is come to when a goroutine has to pause that wanted a larger stack: the
/// goroutine that the thread is said to run is another one then, or none.
const SCHEDULER: &[&str] = &[
    "runtime.schedule",
    "runtime.gopreempt_m",
    "runtime.goschedImpl",
    "runtime.preemptPark",
];

/// By whose code it is known where the stack is noted that a goroutine was left at.
const NOTES_STACK: &str = "runtime.systemstack";

/// Move to another stack, but keep the frame that the table says on both (Go 1.16 and before, and later).
const ON_BOTH_STACKS: &[&str] = &["runtime.cgocallback", "runtime.cgocallback_gofunc"];

/// Not called: a signal handler makes an interrupted function look as if it had called these. So the
/// return address is not behind a call, and the byte before it may be another frame's. Rather nothing
/// than a wrong caller.
const INJECTED: &[&str] = &[
    "runtime.asyncPreempt",
    "runtime.sigpanic",
    "runtime.sigpanic0",
    "runtime.debugCallV1",
    "runtime.debugCallV2",
];

/// How many bytes are on a function's stack, and up to which byte of its code.
type Sizes = [(u64, i32)];

/// Adds the functions of a Go program to `layout`.
pub fn read(elf: &Elf<'_>, layout: &mut Layout) -> Result<(), NoTable> {
    let Some(functions) = Functions::of_elf(elf.data()) else {
        return Ok(());
    };
    let noted = functions.iter().find(|it| it.name == NOTES_STACK);
    // Before Go 1.17, which is the first to say what is special, r14 was any register.
    let noted = noted
        .filter(|it| it.special.is_some())
        .and_then(|it| Noted::of(code_of(elf, &it.range)));
    let mut functions = functions.iter().peekable();
    let mut sizes = Vec::new();
    let mut end = 0;
    while let Some(function) = functions.next() {
        // A damaged table could go back and forth over the same code, without end.
        if function.range.start < end || function.range.is_empty() {
            continue;
        }
        end = function.range.end;
        let start = function.range.start;
        let next = functions.peek().map(|it| it.name);
        // A return address is looked up one byte earlier, and of these two it is the first one.
        let borrowed =
            |name: &str| u64::from(SIGNAL_RETURNS.contains(&name) || name == SAID_TO_CALL);
        read_sizes(&function, end - start, &mut sizes);
        let limit = end - start - next.map_or(0, borrowed);
        let size = sizes.last().map_or(0, |(end, _)| *end).min(limit);
        let before = borrowed(function.name);
        let place = start.checked_sub(before);
        let Some(place) = place.and_then(|start| layout.place(start, size + before)) else {
            continue;
        };
        let code = code_of(elf, &(start..start + size));
        layout.add(place, |rows| {
            if SIGNAL_RETURNS.contains(&function.name) {
                rows.push(0, Rule::SIGNAL);
            } else {
                if before > 0 {
                    rows.push(0, rule(0, false));
                }
                add(&function, &sizes, code, noted, &mut |offset, rule| {
                    rows.push(before + offset, rule);
                });
            }
        })?;
    }
    layout.settle();
    Ok(())
}

/// The code at these addresses, as far as the file has it; none where a damaged table has them end before they begin.
fn code_of<'data>(elf: &Elf<'data>, range: &Range<u64>) -> &'data [u8] {
    let code = elf.mapped(range.start).unwrap_or_default();
    let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0);
    &code[..code.len().min(length)]
}

fn read_sizes(function: &Function<'_>, length: u64, sizes: &mut Vec<(u64, i32)>) {
    sizes.clear();
    for (end, size) in function.stack_sizes() {
        sizes.push((end.min(length), size));
        if end >= length {
            break;
        }
    }
}

/// The rows of a function whose code is `code`.
fn add(
    function: &Function<'_>,
    sizes: &Sizes,
    code: &[u8],
    noted: Option<Noted>,
    push: &mut impl FnMut(u64, Rule),
) {
    let name = function.name;
    let flagged = function.special.is_some_and(|it| it.is_outermost) && name != SIGNAL_HANDLER;
    let ends = [OUTERMOST, ENTRIES, SCHEDULER];
    if flagged || ends.iter().any(|names| names.contains(&name)) {
        push(0, Rule::END);
        return;
    }
    if INJECTED.contains(&name) {
        push(0, Rule::UNSUPPORTED);
        return;
    }
    let may_move = match function.special {
        Some(special) => special.moves_stack,
        // Only the runtime's own assembly does.
        None => name.starts_with("runtime."),
    };
    let is_looked_at = may_move && !ON_BOTH_STACKS.contains(&name);
    let moved = if is_looked_at {
        stack_pointer::moved(code)
    } else {
        None
    };
    let saved = frame_pointer::saved(sizes, code);
    let (mut start, mut last) = (0, 0);
    for &(end, size) in sizes {
        if moved.is_some_and(|moved| moved <= start) {
            break;
        }
        let from = saved.filter(|saved| start < *saved && *saved < end && size > 0);
        let is_saved = size > 0 && saved.is_some_and(|saved| saved <= start);
        push(start, rule(size, is_saved));
        if let Some(from) = from {
            push(from, rule(size, true));
        }
        (start, last) = (end, size);
    }
    match moved {
        Some(moved) if LEAVES_FOR_GOOD.contains(&name) => push(moved, Rule::END),
        Some(moved) => {
            let before = (moved, last, saved.is_some_and(|saved| saved < moved));
            for (from, rule) in switch::rules(name, code, before, noted) {
                push(from, rule);
            }
        }
        None => {}
    }
}

/// With so many bytes on the stack below the return address.
fn rule(size: i32, is_saved: bool) -> Rule {
    let words = u32::try_from(size).ok().filter(|size| size % 8 == 0);
    let saved = if is_saved { SAVED_FIRST } else { SAVED_NOT };
    words
        .and_then(|size| Rule::new(Kind::StackPointer, size / 8 + 1, saved))
        .unwrap_or(Rule::UNSUPPORTED)
}
