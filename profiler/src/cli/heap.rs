//! `unfreed heap`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::record::Record;
use crate::allocator::Hints;
use crate::pipeline::What;

/// Blocks of the heap that were allocated during the recording and not freed by its end.
#[derive(Debug, Args)]
pub struct Heap {
    #[command(flatten)]
    record: Record,

    /// Most live blocks to keep track of; costs 16 bytes of kernel memory each, and about 100 more
    /// for each block that is live (before Linux 6.1: 100 each from the start) [default: 4194304;
    /// before Linux 6.1: 1048576]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_live: Option<u32>,

    /// Prefix of the allocator's functions (`my_` for `my_malloc`), or an unstripped copy of the
    /// executable (a path with a slash), where detection cannot know
    #[arg(long, value_name = "PATH|PREFIX")]
    allocator: Option<String>,
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
            hints: Hints { prefix },
            unstripped,
        })
    }
}
