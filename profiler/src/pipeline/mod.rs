//! Select -> attach -> collect -> symbolize -> [`Profile`]. What to do with the profile is the
//! caller's matter.

mod bound;
mod mappings;
mod recording;
mod view;
mod watcher;

use std::ffi::OsString;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;

use crate::allocator::Hints;
use crate::bpf::{self, Bpf, FaultEvents};
use crate::check;
use crate::profile::{Mode, Profile, Unwind};
use recording::Recording;
pub use watcher::{Progress, Until, Watcher, interrupted};

/// What to record.
#[derive(Debug, Clone)]
pub enum Selection {
    /// A running process.
    Pid(u32),
    /// A command to be started.
    Command(Vec<OsString>),
}

/// How to record.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The target.
    pub selection: Selection,
    /// When to end; `None`: at Ctrl-C or the target's end.
    pub duration: Option<Duration>,
    /// What younger blocks are left out.
    pub min_age: Duration,
    /// What the stacks weigh.
    pub mode: Mode,
    /// How stacks are walked.
    pub unwind: Unwind,
    /// What it may take of the machine.
    pub footprint: Footprint,
    /// What of it.
    pub what: What,
}

/// What a recording takes of the machine, beside memory for blocks or pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Rows of unwind tables, at 8 bytes: at least so many, and at least twice as many as the target needs at the
    /// beginning. A large browser or compiler has 2 or 3 million.
    pub rows: u32,
    /// Bytes of new stacks, about 200 each, on their way to the user side: a power of two.
    pub new_stacks: u32,
    /// How many probes are removed at a time. The kernel removes and attaches one after the other (`event_mutex`), in the
    /// order in which it was asked: who asks for many at once has everybody else wait.
    pub removals: usize,
}

impl Footprint {
    /// Of the only recording: 48 MiB.
    pub const ALONE: Self = Self {
        rows: 1 << 22,
        new_stacks: 16 << 20,
        removals: 16,
    };

    /// Of one of many at the same time: 20 MiB.
    pub const OF_MANY: Self = Self {
        rows: 1 << 21,
        new_stacks: 4 << 20,
        removals: 1,
    };
}

impl Settings {
    /// Which share of the target's CPU time recording may cost, percent, if that is bounded.
    fn max_overhead(&self) -> Option<f64> {
        match self.what {
            What::Heap { max_overhead, .. } => max_overhead,
            What::Pages { .. } => None,
        }
    }
}

/// Which view to record, with what only that one needs to know.
#[derive(Debug, Clone)]
pub enum What {
    /// Blocks of the heap.
    Heap {
        /// Entries of the live map; `None`: what the kernel makes of it.
        max_live: Option<u32>,
        /// Mean bytes between samples; 0: every block is recorded.
        sample: u64,
        /// Which share of the target's CPU time recording may cost, percent; `None`: whatever it takes.
        max_overhead: Option<f64>,
        /// What the user knows of the allocator.
        hints: Hints,
        /// An unstripped copy of the executable, to find the allocator of a stripped one with.
        unstripped: Option<PathBuf>,
    },
    /// Resident pages.
    Pages {
        /// Entries of the map of touches; `None`: what the kernel makes of it.
        max_pages: Option<u32>,
        /// How the kernel tells of faults; `None`: the best way there is.
        events: Option<FaultEvents>,
    },
}

/// What was recorded.
pub struct Recorded {
    /// The result.
    pub profile: Profile,
    /// The kernel takes its time to remove probes (an RCU grace period each), and a result need not
    /// wait for it.
    pub detaching: Detaching,
}

/// Probes that are being removed. Dropping it waits for the end.
pub struct Detaching(Option<JoinHandle<()>>);

impl Detaching {
    /// `at_a_time`: how many.
    fn begin(mut bpf: Bpf, at_a_time: usize) -> Self {
        Self(Some(std::thread::spawn(move || {
            bpf::remove(bpf.pause(), at_a_time);
        })))
    }
}

impl Drop for Detaching {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // It cannot panic, and if it did, the kernel removes the probes at our exit.
            let _removed = thread.join();
        }
    }
}

/// Records and symbolizes.
pub fn record(settings: &Settings, watcher: &mut dyn Watcher) -> anyhow::Result<Recorded> {
    let kernel = check::host()?;
    for trap in check::traps() {
        watcher.warn(trap);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(Recording::run(settings, watcher, kernel))
}
