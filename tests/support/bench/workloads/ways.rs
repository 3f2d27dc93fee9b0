//! Who watches a target, and how.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use unfreed_tests::paths;
use unfreed_tests::unfreed::Unfreed;

use super::launch::{Launch, on_path};
use super::targets::Workload;
use super::tracers;
use super::watcher::{Tool, Watcher};
use crate::floor::Sites;

/// What is measured, one a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nobody.
    Untouched,
    /// Empty probes where unfreed has its own.
    Floor,
    /// `unfreed heap`
    Heap,
    /// `unfreed heap --sample 512KiB`
    Sample,
    /// `unfreed pages`
    Pages,
    /// Empty probes on first instructions.
    EntryFloor,
    /// bpftrace with what memleak does.
    Bpftrace,
    /// memleak of bcc, or of libbpf-tools.
    Memleak,
    /// heaptrack.
    Heaptrack,
    /// memcheck.
    Valgrind,
}

/// How far apart sampled bytes are.
const SAMPLE: &str = "512KiB";

impl Way {
    /// In the order of their rows.
    pub const ALL: [Self; 10] = [
        Self::Untouched,
        Self::Floor,
        Self::Heap,
        Self::Sample,
        Self::Pages,
        Self::EntryFloor,
        Self::Bpftrace,
        Self::Memleak,
        Self::Heaptrack,
        Self::Valgrind,
    ];

    /// The name of its row.
    pub fn name(self) -> &'static str {
        match self {
            Self::Untouched => "untouched",
            Self::Floor => "empty probes",
            Self::Heap => "`unfreed heap`",
            Self::Sample => "`unfreed heap --sample 512KiB`",
            Self::Pages => "`unfreed pages`",
            Self::EntryFloor => "empty probes at entries",
            Self::Bpftrace => "bpftrace",
            Self::Memleak => "memleak",
            Self::Heaptrack => "heaptrack",
            Self::Valgrind => "valgrind",
        }
    }

    /// What it is.
    pub fn about(self) -> &'static str {
        match self {
            Self::Untouched => "The process alone.",
            Self::Floor => {
                "Probes whose programs return at once, on every entry and every return that \
                 `unfreed heap` probes in the process, and at the same instructions: no tracing of \
                 these functions can be cheaper there."
            }
            Self::Heap => "Every block, with its stack: the default.",
            Self::Sample => {
                "One block for each 512 KiB on average, with its stack; all are probed nevertheless."
            }
            Self::Pages => "The pages view, which probes no allocator.",
            Self::EntryFloor => {
                "The same empty probes, with those on entries and on returns at the functions' \
                 first instructions, where other tools have theirs: the floor of these."
            }
            Self::Bpftrace => {
                "A script with uprobes on malloc, calloc, realloc and free of the allocator that \
                 the process calls, which keeps the size and the stack of each block until it is \
                 freed, as memleak does. It walks stacks by frame pointers only, which redis and \
                 sqlite3 do not have: what it keeps there is hardly a stack, and costs less."
            }
            Self::Memleak => "memleak of bcc or of libbpf-tools, on the same process.",
            Self::Heaptrack => {
                "heaptrack's library in a process that is started with it, writing to a file \
                 instead of to its interpreter, whose time would be another process's."
            }
            Self::Valgrind => {
                "The process started under memcheck with --leak-check=full; the search for leaks \
                 comes at the end and is not in it."
            }
        }
    }

    /// Whether what it adds is compared with what empty probes add, which differs by a few percent.
    pub fn is_compared(self) -> bool {
        matches!(
            self,
            Self::Untouched | Self::Floor | Self::Heap | Self::Sample
        )
    }

    /// Whether the target is started under it.
    pub fn starts_target(self) -> bool {
        matches!(self, Self::Heaptrack | Self::Valgrind)
    }

    /// How a target is started for it; `directory` is for what the tool writes.
    pub fn launch(self, workload: Workload, directory: &Path) -> Result<Launch> {
        match self {
            Self::Heaptrack => Launch::heaptrack(&directory.join(format!("{workload:?}"))),
            Self::Valgrind => Launch::valgrind(),
            _ => Ok(Launch::default()),
        }
    }

    /// An error when it cannot be measured at all, that says why.
    pub fn check(self, directory: &Path) -> Result<()> {
        match self {
            Self::Sample => ensure!(
                has_option("--sample")?,
                "this build of unfreed has no `--sample`"
            ),
            Self::Bpftrace => ensure!(on_path("bpftrace"), "not found"),
            Self::Memleak => ensure!(tracers::memleak_program().is_some(), "not found"),
            _ => drop(self.launch(Workload::Pairs, directory)?),
        }
        Ok(())
    }

    /// Begins to watch a process, and returns when everything is seen.
    pub fn begin(self, pid: u32) -> Result<Watcher> {
        let tool = match self {
            Self::Untouched | Self::Heaptrack | Self::Valgrind => Tool::Nobody,
            Self::Floor => Tool::Empty(Sites::of(pid, false)?.probe(pid)?),
            Self::EntryFloor => Tool::Empty(Sites::of(pid, true)?.probe(pid)?),
            Self::Heap => Tool::Unfreed(Unfreed::heap(pid, &[])?),
            Self::Sample => Tool::Unfreed(Unfreed::heap(pid, &["--sample", SAMPLE])?),
            Self::Pages => Tool::Unfreed(Unfreed::pages(pid, &[])?),
            Self::Bpftrace => Tool::Other(tracers::bpftrace(pid)?),
            Self::Memleak => Tool::Other(tracers::memleak(pid)?),
        };
        Watcher::of(tool)
    }
}

/// Whether `unfreed heap` has an option.
fn has_option(option: &str) -> Result<bool> {
    let help = Command::new(paths::unfreed()?)
        .args(["heap", "--help"])
        .output()
        .context("asking unfreed for its options")?;
    let text = String::from_utf8_lossy(&help.stdout);
    Ok(text.split([' ', '\n', '=', ',']).any(|word| word == option))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_apart() {
        for (index, way) in Way::ALL.into_iter().enumerate() {
            assert_eq!(way as usize, index);
        }
        assert!(Way::Sample.name().contains(SAMPLE));
    }
}
