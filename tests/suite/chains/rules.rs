//! What the stacks of a recording have to look like, given the chains that the program kept.

use std::collections::BTreeMap;
use std::fmt::Debug;

use unfreed_tests::chain::{self, Chains, Expected, Frame, Names, Stack, Walked};
use unfreed_tests::ledger::Weight;
use unfreed_tests::matrix::Allocator;

/// What a program ran with.
pub struct Place<'a> {
    /// Its file.
    pub executable: &'a str,
    /// Where its blocks come from.
    pub allocator: Allocator,
}

/// What is expected has to be there; more may be, such as a thread's own blocks.
pub fn missing<'a, K: Ord + Debug + 'a>(
    expected: impl IntoIterator<Item = (&'a K, Weight)>,
    got: &BTreeMap<K, Weight>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, expected) in expected {
        let got = got.get(key).copied().unwrap_or_default();
        if got != expected {
            wrong.push(format!("{key:?}: expected {expected}, got {got}"));
        }
    }
    wrong
}

/// Every stack has to be whole, and none a guess. glibc itself does not say that a stack of
/// makecontext ends where it does.
fn not_whole(walked: &Walked) -> Option<String> {
    let unwinding = &walked.unwinding;
    let ends_there = |stack: &&Stack| {
        stack
            .names()
            .last()
            .is_some_and(|name| name == "hop_coroutine")
    };
    let coroutines: u64 = walked
        .stacks
        .iter()
        .filter(ends_there)
        .map(|stack| stack.count)
        .sum();
    let whole = unwinding.complete + coroutines >= unwinding.walked && unwinding.approximate == 0;
    (!whole).then(|| format!("not every stack is whole: {unwinding:?}"))
}

impl Place<'_> {
    /// Every difference, as sentences; none when all is as the program says.
    pub fn wrong(&self, chains: &Chains, walked: &Walked) -> Vec<String> {
        let got = walked.by_chain();
        let mut wrong = Vec::new();
        if self.has_tables_everywhere() {
            let expected = chains.by_function();
            let expected = expected.iter().map(|(name, weight)| (name, *weight));
            wrong.extend(missing(expected, &chain::by_function(&got)));
            wrong.extend(not_whole(walked));
        }
        let certain = chains
            .expected
            .iter()
            .filter(|(_, expected)| self.is_certain(expected))
            .map(|(names, expected)| (names, expected.outstanding));
        wrong.extend(missing(certain, &got));
        wrong.extend(walked.stacks.iter().filter_map(|stack| {
            let why = self.doubt(stack, chains)?;
            Some(format!("{why}: {}", stack.line()))
        }));
        wrong
    }

    /// musl comes without unwind tables.
    fn has_tables_everywhere(&self) -> bool {
        !matches!(self.allocator, Allocator::Musl | Allocator::MuslStatic)
    }

    /// Libraries are a part of the executable.
    fn is_static(&self) -> bool {
        use Allocator::{GlibcStatic, MuslStatic, RustSystem};
        matches!(self.allocator, GlibcStatic | MuslStatic | RustSystem)
    }

    /// Whether no frame of a library is between the allocator and the outermost function.
    fn is_certain(&self, expected: &Expected) -> bool {
        self.has_tables_everywhere() || expected.marks.iter().all(|mark| *mark == ' ')
    }

    /// What is wrong with a stack, looked at alone.
    fn doubt(&self, stack: &Stack, chains: &Chains) -> Option<String> {
        let names = stack.names();
        if let Some(expected) = chains.expected.get(&names) {
            return if stack.is_doubtful() {
                None
            } else {
                self.between(stack, expected)
            };
        }
        let of_some = |whole: &Names| chain::is_part(&names, whole);
        if stack.is_doubtful() {
            let known = chains.expected.keys().any(of_some);
            return (!known).then(|| "a frame is invented".to_owned());
        }
        // The C library's own blocks, for a thread for example: taken for a function that called it.
        let is_site = names.first().is_some_and(|name| name.starts_with("site_"));
        let is_end = |whole: &Names| whole.ends_with(&names);
        let known = names.is_empty() || (!is_site && chains.expected.keys().any(is_end));
        (!known).then(|| "no such chain".to_owned())
    }

    /// What is wrong with the frames that are not the program's own.
    fn between(&self, stack: &Stack, expected: &Expected) -> Option<String> {
        let frames: Vec<&Frame> = stack.physical().collect();
        let own: Vec<usize> = (0..frames.len())
            .filter(|index| frames[*index].own().is_some())
            .collect();
        let (&first, &last) = (own.first()?, own.last()?);
        if first == 0 {
            return Some("the allocator's own function is missing".to_owned());
        }
        let through_library = expected.marks[0] == '>';
        let is_operator = |frame: &&Frame| {
            let name = frame.function.as_deref();
            name.is_some_and(|name| name.starts_with("operator new"))
        };
        if !through_library && !frames[1..first].iter().all(is_operator) {
            return Some("something is between the allocator and its caller".to_owned());
        }
        for (pair, mark) in own.windows(2).zip(&expected.marks) {
            let between = pair[1] - pair[0] - 1;
            let good = match mark {
                '^' => between > 0,
                '?' => true,
                _ => between == 0,
            };
            if !good {
                return Some(format!("{between} frames below {:?}", frames[pair[0]]));
            }
        }
        let outer = &frames[last + 1..];
        if let Some(frame) = frames.iter().find(|frame| !self.is_known(frame)) {
            return Some(format!("an unknown function, {frame:?}"));
        }
        self.end(frames[last], outer)
    }

    /// Whether it is one of the program's functions, or a library's.
    fn is_known(&self, frame: &Frame) -> bool {
        let Some(module) = frame.module.as_deref() else {
            return false;
        };
        if frame.own().is_some() || module != self.executable {
            return true;
        }
        let libraries = ["std::", "__gnu_cxx::", "_start"];
        let name = frame.function.as_deref();
        self.is_static()
            || name.is_some_and(|name| libraries.iter().any(|library| name.contains(library)))
    }

    /// What is wrong with the frames outside of the outermost function of the program.
    fn end(&self, outermost: &Frame, outer: &[&Frame]) -> Option<String> {
        let name = |frame: &Frame| frame.function.clone().unwrap_or_default();
        let good = match outermost.own()? {
            // What calls main in musl does not say who called it.
            "main" if !self.has_tables_everywhere() => (1..=3).contains(&outer.len()),
            // __libc_start_call_main, __libc_start_main and _start.
            "main" => outer.len() == 3 && name(outer[2]) == "_start",
            // start_thread and clone3, and what a thread of C++ adds before them; or __start_context.
            _ if self.is_static() => !outer.is_empty(),
            _ => {
                let module = outer.last()?.module.as_deref();
                module.is_some_and(|module| module.contains("/libc.so"))
            }
        };
        (!good).then(|| "it does not end where it should".to_owned())
    }
}
