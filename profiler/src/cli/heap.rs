//! `unfreed heap`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::record::Record;
use crate::allocator::Hints;
use crate::pipeline::What;
use crate::quantity::{percent, size};

/// Blocks of the heap that were allocated during the recording and not freed by its end.
#[derive(Debug, Args)]
pub struct Heap {
    #[command(flatten)]
    record: Record,

    /// Most live blocks to keep track of; costs 16 bytes of kernel memory each, and about 100 more
    /// for each block that is live (before Linux 6.1: 100 each from the start) [default: 4000000;
    /// before Linux 6.1: 1000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_live: Option<u32>,

    /// Record not every block but one for each SIZE bytes on average, such as 512KiB: each byte has the same
    /// chance, and all numbers become estimates. 0: every block, exactly
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = size::parse_mean)]
    sample: u64,

    /// Most of the target's CPU time that recording may cost, in percent. Where it would cost more, the target is
    /// recorded now and then, and all numbers become estimates [default: whatever it takes]
    #[arg(long, value_name = "PERCENT", value_parser = percent::parse)]
    max_overhead: Option<f64>,

    /// Prefix of the allocator's functions (`my_` for `my_malloc`), or an unstripped copy of the
    /// executable (a path with a slash), where detection cannot know
    #[arg(long, value_name = "PATH|PREFIX")]
    allocator: Option<String>,

    /// Where a function's entry is probed: auto takes the first instruction that the kernel emulates, if
    /// nothing is different there; others cost a single step each
    #[arg(long, value_enum, default_value_t)]
    probe_sites: SitesArg,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum SitesArg {
    #[default]
    Auto,
    /// Always the first instruction
    Entry,
}

impl Heap {
    /// Records and writes.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let (unstripped, prefix) = match self.allocator {
            Some(path) if path.contains('/') => (Some(PathBuf::from(path)), None),
            prefix => (None, prefix),
        };
        self.record.run(What::Heap {
            max_live: self.max_live,
            sample: self.sample,
            max_overhead: self.max_overhead,
            hints: Hints {
                prefix,
                at_entry: self.probe_sites == SitesArg::Entry,
                ..Hints::default()
            },
            unstripped,
        })
    }
}
