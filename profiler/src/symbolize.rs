//! Addresses -> functions, files and lines; each distinct address once.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context as _;
use blazesym::symbolize::source::{Elf, Source};
use blazesym::symbolize::{CodeInfo, Input, Sym, Symbolized, Symbolizer};

use crate::collect::{RawFrame, RawFrames, RawProfile, RawStack};
use crate::gopclntab::{Function, Functions};
use crate::hash::{HashMap, HashSet};
use crate::profile::{self, Frame, Profile, Stack};
use crate::target::Module;

/// blazesym's own search for debug files is off.
const NO_DIRECTORIES: [&str; 0] = [];

/// How many addresses of a module are symbolized at a time.
const BATCH: usize = 4096;

/// Names every frame of a recording.
pub fn symbolize(raw: RawProfile, modules: &[Module]) -> Profile {
    let names = Names::of(&raw.stacks, modules);
    let mut stacks = raw
        .stacks
        .iter()
        .map(|stack| Stack {
            weight: stack.weight,
            taken: stack.taken,
            unfreed: stack.unfreed,
            frames: names.frames(&stack.frames),
            walk: stack.walk.clone(),
            kind: stack.kind,
        })
        .collect::<Vec<_>>();
    stacks.sort_by(|a, b| {
        let order = b.weight.cmp(&a.weight);
        order.then_with(|| labels(a).cmp(labels(b)))
    });
    Profile {
        modules: names.modules,
        ..raw.with_stacks(stacks)
    }
}

fn labels(stack: &Stack) -> impl Iterator<Item = (Option<&str>, Option<u64>)> {
    stack
        .frames
        .iter()
        .map(|frame| (frame.function.as_deref(), frame.offset))
}

/// What every address of a recording is called.
struct Names {
    known: HashMap<RawFrame, Vec<Arc<Frame>>>,
    /// The modules of these addresses, by path.
    modules: Vec<profile::Module>,
}

impl Names {
    fn of(stacks: &[RawStack], modules: &[Module]) -> Self {
        let mut addresses: Vec<HashSet<RawFrame>> = vec![HashSet::default(); modules.len()];
        let mut known = HashMap::default();
        for &frame in stacks.iter().flat_map(|stack| known_frames(&stack.frames)) {
            match frame.module {
                Some(module) => {
                    addresses[module].insert(frame);
                }
                None => {
                    known.insert(frame, vec![Arc::new(unnamed(frame, None))]);
                }
            }
        }
        let mut used = BTreeSet::new();
        for (module, addresses) in modules.iter().zip(addresses) {
            if !addresses.is_empty() {
                used.insert(profile::Module {
                    path: module.path.clone(),
                    build_id: module.build_id(),
                });
            }
            let mut addresses = addresses.into_iter().collect::<Vec<_>>();
            addresses.sort_unstable();
            name_module(module, &addresses, &mut known);
        }
        Self {
            known,
            modules: used.into_iter().collect(),
        }
    }

    fn frames(&self, frames: &RawFrames) -> Vec<Arc<Frame>> {
        let placeholder = |label: &str| {
            vec![Arc::new(Frame {
                function: Some(label.to_owned()),
                ..Frame::default()
            })]
        };
        match frames {
            RawFrames::Lost => placeholder("[stack lost]"),
            RawFrames::Overflow => placeholder("[stack table full]"),
            RawFrames::Known(frames) => frames
                .iter()
                .filter_map(|frame| self.known.get(frame))
                .flatten()
                .cloned()
                .collect(),
        }
    }
}

fn known_frames(frames: &RawFrames) -> &[RawFrame] {
    match frames {
        RawFrames::Known(frames) => frames,
        RawFrames::Lost | RawFrames::Overflow => &[],
    }
}

fn name_module(
    module: &Module,
    addresses: &[RawFrame],
    known: &mut HashMap<RawFrame, Vec<Arc<Frame>>>,
) {
    if addresses.is_empty() {
        return;
    }
    // One symbolizer a module, so that its debug information is given back before the next one's.
    let symbolizer = Symbolizer::builder()
        .enable_code_info(true)
        .enable_inlined_fns(true)
        .enable_demangling(true)
        // It would follow the name of the open file into our own file system, where another build
        // may have that name.
        .set_debug_dirs(Some(NO_DIRECTORIES))
        .build();
    let image = module.bytes().ok().flatten();
    let functions = image.as_deref().and_then(Functions::of_elf);
    for batch in addresses.chunks(BATCH) {
        let calls = batch
            .iter()
            .map(|frame| frame.address.saturating_sub(frame.is_return.into()))
            .collect::<Vec<_>>();
        // The symbol table has the whole name of a function, also where debug information has only
        // the last part of it (C++'s unnamed namespaces); and it may be whole where debug
        // information is damaged.
        let plain = symbolize_batch(&symbolizer, module, &calls, false).unwrap_or_default();
        let rich = symbolize_batch(&symbolizer, module, &calls, true).unwrap_or_default();
        for (position, &frame) in batch.iter().enumerate() {
            let (plain, rich) = (at(&plain, position), at(&rich, position));
            let function = functions.as_ref().and_then(|it| {
                // What returns to a function's first byte was not called from the one before: Go's
                // runtime goes by the same.
                let whole = it.at(frame.address);
                whole
                    .filter(|it| it.range.start == frame.address)
                    .or_else(|| it.at(calls[position]))
            });
            if let Some(function) = function {
                known.insert(frame, go(&function, plain, rich, frame, module));
                continue;
            }
            let frames = match (plain, rich) {
                (Some(plain), Some(rich)) => named(&plain.name, rich, frame, module),
                (Some(only), None) | (None, Some(only)) => named(&only.name, only, frame, module),
                (None, None) => vec![Arc::new(unnamed(frame, Some(module)))],
            };
            known.insert(frame, frames);
        }
    }
}

/// A function of Go, by the name that Go's own stack traces have, stripped or not: symbols are those of
/// its calling conventions (`.abi0`) and of its type parameters. Symbols of something else do not count.
fn go(
    function: &Function<'_>,
    plain: Option<&Sym<'_>>,
    rich: Option<&Sym<'_>>,
    frame: RawFrame,
    module: &Module,
) -> Vec<Arc<Frame>> {
    let mut symbols = [rich, plain].into_iter().flatten();
    match symbols.find(|symbol| symbol.addr == function.range.start) {
        Some(symbol) => named(function.name, symbol, frame, module),
        None => vec![Arc::new(Frame {
            function: Some(function.name.to_owned()),
            ..unnamed(frame, Some(module))
        })],
    }
}

fn at<'a, 'b>(symbols: &'a [Symbolized<'b>], position: usize) -> Option<&'a Sym<'b>> {
    symbols.get(position).and_then(Symbolized::as_sym)
}

fn symbolize_batch<'a>(
    symbolizer: &'a Symbolizer,
    module: &Module,
    addresses: &[u64],
    debug_syms: bool,
) -> anyhow::Result<Vec<Symbolized<'a>>> {
    let mut elf = Elf::new(module.debug_path().context("not a file")?);
    elf.debug_syms = debug_syms;
    Ok(symbolizer.symbolize(&Source::Elf(elf), Input::VirtOffset(addresses))?)
}

/// The function at an address, by `name`, and what the compiler put into it, innermost first.
fn named(name: &str, symbol: &Sym<'_>, frame: RawFrame, module: &Module) -> Vec<Arc<Frame>> {
    let frame = |name: &str, code: Option<&CodeInfo<'_>>, inlined| {
        Arc::new(Frame {
            function: Some(name.to_owned()),
            module: Some(module.path.clone()),
            offset: Some(frame.address),
            file: code.map(|code| code.to_path().to_string_lossy().into_owned()),
            line: code.and_then(|code| code.line),
            inlined,
        })
    };
    let inlined = symbol
        .inlined
        .iter()
        .rev()
        .map(|function| frame(&function.name, function.code_info.as_ref(), true));
    let outer = frame(name, symbol.code_info.as_deref(), false);
    inlined.chain([outer]).collect()
}

fn unnamed(frame: RawFrame, module: Option<&Module>) -> Frame {
    Frame {
        module: module.map(|module| module.path.clone()),
        offset: Some(frame.address),
        ..Frame::default()
    }
}
