//! What a view needs of the rest: a source, and room in the maps.

use std::path::PathBuf;

use unfreed_common::thread::NEAR_THREADS;

use super::{Settings, What};
use crate::bpf::Sizes;
use crate::check::Kernel;
use crate::source::{Heap, Pages, Source, Unstripped};
use crate::target::Target;

/// How large the maps may grow. `threads`: how many the target has; `rows`: of unwind tables.
pub fn sizes(settings: &Settings, kernel: Kernel, threads: u32, rows: u32) -> Sizes {
    const UNUSED: u32 = 1;
    let (live, touches, near_threads) = match settings.what {
        What::Heap { max_live, .. } => (kernel.entries(max_live), UNUSED, NEAR_THREADS),
        What::Pages { max_pages, .. } => (UNUSED, kernel.entries(max_pages), UNUSED),
    };
    Sizes {
        live,
        touches,
        threads: kernel.threads(threads),
        near_threads,
        rows,
        new_stacks: settings.footprint.new_stacks,
        sampled: matches!(settings.what, What::Heap { sample: 1.., .. }),
        bounded: settings.max_overhead().is_some(),
        at_once: settings.max_overhead().is_some(),
        memory: kernel.memory,
    }
}

/// Where events come from; and the path of a module, and of a file with its symbols.
#[expect(clippy::type_complexity, reason = "a pair that is taken apart at once")]
pub fn source(
    settings: &Settings,
    kernel: Kernel,
    target: &Target,
) -> anyhow::Result<(Box<dyn Source>, Option<(String, PathBuf)>)> {
    match &settings.what {
        What::Heap {
            hints,
            unstripped,
            sample,
            ..
        } => {
            let exe = &target.process.exe;
            let copy = unstripped.as_ref().map(|path| Unstripped::read(path, exe));
            let heap = Heap::of(target.pid, hints.clone(), copy.transpose()?, *sample);
            let symbols = unstripped.clone().map(|path| (exe.clone(), path));
            Ok((Box::new(heap), symbols))
        }
        What::Pages { events, max_pages } => {
            let events = events.unwrap_or(kernel.faults);
            let room = kernel.entries(*max_pages);
            Ok((Box::new(Pages::of(target.pid, events, room)), None))
        }
    }
}
