//! Which pages of a process are resident, and of which kind: what RSS counts, page by page.

mod closer;
mod frames;
mod mappings;
mod pagemap;
mod scan;

use std::fs::File;
use std::ops::Range;

use anyhow::Context as _;

use super::monotonic_now;
use crate::profile::{ByKind, Kind};
pub use closer::settle;
use mappings::{Class, MappedRange};

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// Bytes of a huge page.
pub const HUGE_PAGE: u64 = 2 << 20;

/// How to find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The ioctl `PAGEMAP_SCAN`: Linux 6.7.
    Scan,
    /// Reading `/proc/PID/pagemap` of all that is mapped.
    Pagemap,
}

/// Neighbouring resident pages of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Address.
    pub start: u64,
    /// Address behind it.
    pub end: u64,
    /// Of what.
    pub kind: Kind,
    /// Mapped as huge pages, whatever the kind.
    pub huge: bool,
    /// Small pages that came together all the same, as far as that was looked for.
    pub folio: Option<Folio>,
    /// Given back with `MADV_FREE` once, and perhaps written again since; as far as it was looked for.
    pub lazy: bool,
}

/// Memory that the kernel took at once, for one touch; some of it may not be there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folio {
    /// Address.
    pub start: u64,
    /// Address behind it.
    pub end: u64,
}

/// A mapping in which memory was given back with `MADV_FREE` that the kernel has not taken yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lazy {
    /// Address.
    pub start: u64,
    /// Address behind it.
    pub end: u64,
    /// How much of it was not written again since.
    pub bytes: u64,
}

/// The resident pages of a process at one moment.
#[derive(Debug, Clone, Default)]
pub struct Residency {
    /// In the order of addresses.
    pub runs: Vec<Run>,
    /// What is mapped, whatever it is: addresses, in their order.
    pub mappings: Vec<Range<u64>>,
    /// In the order of addresses, as far as it was looked for.
    pub lazily: Vec<Lazy>,
    /// Bytes that were given back lazily, and it cannot be known where.
    pub hidden: u64,
    /// How many pages larger than the smallest the machine has made.
    pub large_made: u64,
    /// When the look at them began: `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
}

/// Pages as the kernel tells of them, before it is known what is mapped there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Present {
    start: u64,
    end: u64,
    /// Of a file or shared memory.
    file: bool,
    huge: bool,
}

impl Method {
    /// The best that this kernel has.
    pub fn probe() -> Self {
        let tried =
            File::open("/proc/self/pagemap").and_then(|pagemap| scan::present(&pagemap, 0..PAGE));
        if tried.is_ok() {
            Self::Scan
        } else {
            Self::Pagemap
        }
    }
}

impl Residency {
    /// Looks at the process `pid`. Fails when it has ended.
    pub fn of(pid: u32, method: Method) -> anyhow::Result<Self> {
        let time = monotonic_now();
        let path = format!("/proc/{pid}/pagemap");
        let pagemap = File::open(&path).with_context(|| format!("opening {path}"))?;
        let mapped = mappings::read(pid)?;
        let present = match method {
            Method::Scan => scan::present(&pagemap, 0..scan::USER_END),
            Method::Pagemap => pagemap::present(&pagemap, &mapped),
        };
        let present = present.with_context(|| format!("reading {path}"))?;
        Ok(Self {
            runs: classify(&present, &mapped),
            mappings: mapped.iter().map(|range| range.start..range.end).collect(),
            lazily: Vec::new(),
            hidden: 0,
            large_made: closer::large_made(),
            time,
        })
    }

    /// Bytes by kind.
    pub fn bytes(&self) -> ByKind {
        let mut bytes = ByKind::default();
        for run in &self.runs {
            bytes.add(run.kind, run.end - run.start);
        }
        bytes
    }
}

/// Cuts pages at the borders of mappings, and leaves out what RSS does not count.
fn classify(present: &[Present], mapped: &[MappedRange]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut mapped = mapped.iter().peekable();
    for pages in present {
        let mut start = pages.start;
        while start < pages.end {
            while mapped.next_if(|range| range.end <= start).is_some() {}
            // What has been mapped since is taken for what it looks like.
            let (end, class) = match mapped.peek() {
                Some(range) if range.start <= start => (range.end, range.class),
                Some(range) => (range.start, Class::File),
                None => (pages.end, Class::File),
            };
            let end = end.min(pages.end);
            if let Some(kind) = class.kind(pages.file, pages.huge) {
                runs.push(Run {
                    start,
                    end,
                    kind,
                    huge: pages.huge,
                    folio: None,
                    lazy: false,
                });
            }
            start = end;
        }
    }
    runs
}

#[cfg(test)]
mod tests;
