//! Many tables at once, as at the moment of attaching to a process.

use std::cmp::Reverse;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{NoTable, Table};

/// A file's content, and that of the file its debug information was moved to.
#[derive(Debug, Clone, Copy)]
pub struct Source<'data> {
    /// The file that is mapped.
    pub bytes: &'data [u8],
    /// The other one, where there is one.
    pub debug: Option<&'data [u8]>,
}

/// The tables of `sources`, in their order, made on as many threads as there are processors for.
pub fn build_all(sources: &[Source<'_>]) -> Vec<Result<Table, NoTable>> {
    // The largest first, so that none begins with it when all others are done.
    let mut order: Vec<_> = (0..sources.len()).collect();
    order.sort_unstable_by_key(|at| Reverse(sources[*at].bytes.len()));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut built = Vec::new();
        while let Some(&at) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Source { bytes, debug } = sources[at];
            built.push((at, Table::of_elf_and_debug_file(bytes, debug)));
        }
        built
    };
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let mut built = thread::scope(|scope| {
        let others: Vec<_> = (1..processors.min(sources.len()))
            .map(|_| scope.spawn(work))
            .collect();
        let mut built = work();
        for other in others {
            built.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        built
    });
    built.sort_unstable_by_key(|(at, _)| *at);
    built.into_iter().map(|(_, table)| table).collect()
}
