//! The pure model of a finished recording: frames, stacks, weights, totals. No I/O, no clock.

mod bounds;
mod diff;
mod pages;
mod slices;
mod stack;
mod unwinding;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use bounds::Bounds;
pub use diff::{Change, Diff, Side};
pub use pages::{ByKind, GivenBackLazily, Kind, Reconciliation, Resident};
pub use slices::{Growth, Slice, Slices};
pub use stack::{Frame, Stack, Walk, Weight};
pub use unwinding::{Unwind, Unwinding};

use crate::warning::Warning;

/// Which kind of memory a recording is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// Blocks of the heap, from the allocator's functions.
    Heap,
    /// Resident pages, from page faults.
    Pages,
}

impl View {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Heap, Self::Pages];

    /// The name used in the JSON, in titles and as the command.
    pub fn name(self) -> &'static str {
        match self {
            Self::Heap => "heap",
            Self::Pages => "pages",
        }
    }
}

/// What the stacks of a profile weigh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What was taken during the recording and not given back by its end.
    Unfreed,
    /// Everything taken during the recording.
    All,
}

impl Mode {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Unfreed, Self::All];

    /// The name used in the JSON and in titles.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unfreed => "unfreed",
            Self::All => "all",
        }
    }
}

/// Why a recording ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The requested duration was over.
    Duration,
    /// SIGINT or SIGTERM.
    Interrupted,
    /// The target exited with this status, where it is known (only of a started command).
    Exited(Option<i32>),
    /// The target was killed by this signal, where it is known (only of a started command).
    Killed(i32),
    /// The target replaced its program by exec.
    Exec,
    /// The main thread ended while other threads go on: the kernel then drops our probes.
    MainThreadExited,
    /// As a recording that was read back says it: a sentence.
    Recorded(String),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Duration => write!(f, "the duration was over"),
            Self::Interrupted => write!(f, "interrupted"),
            Self::Exited(None) => write!(f, "the target exited"),
            Self::Exited(Some(status)) => write!(f, "the target exited with status {status}"),
            Self::Killed(signal) => write!(f, "the target was killed by signal {signal}"),
            Self::Exec => write!(f, "the target replaced its program (exec)"),
            Self::MainThreadExited => write!(f, "the target's main thread exited"),
            Self::Recorded(words) => f.write_str(words),
        }
    }
}

/// The process a recording is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Process id as seen by unfreed.
    pub pid: u32,
    /// The kernel's short name of it, up to 15 bytes.
    pub comm: String,
    /// Path of the executable, as the process itself sees it.
    pub exe: String,
}

/// A file that frames are in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Module {
    /// As [`Frame::module`] has it. Two modules can have the same path: a file that was replaced meanwhile.
    pub path: String,
    /// Its build id in hexadecimal digits, where it has one.
    pub build_id: Option<String>,
}

/// Sums over the whole recording.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Everything taken during the recording.
    pub taken: Weight,
    /// Of that, what was given back before the end.
    pub given_back: Weight,
    /// Of that, what is unfreed and at least `min_age` old.
    pub unfreed: Weight,
}

/// How the blocks of a recording were picked. Weights are estimates then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampled {
    /// Mean bytes between samples.
    pub mean_bytes: u64,
    /// How many blocks the unfreed ones were estimated from.
    pub samples: u64,
}

/// The kernel's own account of the process, in bytes (`/proc/PID/statm` times the page size).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessMemory {
    /// Resident set size when the recording began.
    pub rss_before: u64,
    /// Resident set size at the last reading before it ended.
    pub rss_after: u64,
    /// Virtual size when the recording began.
    pub vsz_before: u64,
    /// Virtual size at the last reading before it ended.
    pub vsz_after: u64,
}

/// A finished recording: symbolized, unless its stacks are still addresses.
#[derive(Debug, Clone)]
pub struct Profile<S = Stack> {
    /// What kind of memory.
    pub view: View,
    /// What the stacks weigh.
    pub mode: Mode,
    /// Whose.
    pub process: Process,
    /// When the recording began, RFC 3339.
    pub started_at: String,
    /// How long it lasted.
    pub duration: Duration,
    /// Blocks younger than this at the end are left out of `stacks` and `totals.unfreed`.
    pub min_age: Duration,
    /// Why it ended.
    pub end: End,
    /// Sums.
    pub totals: Totals,
    /// How blocks were sampled; `None`: every one was recorded, and all numbers are exact.
    pub sampled: Option<Sampled>,
    /// When events counted, where the cost of recording was bounded.
    pub slices: Option<Slices>,
    /// RSS and VSZ.
    pub memory: ProcessMemory,
    /// Why RSS has changed, where the view tells.
    pub reconciliation: Option<Reconciliation>,
    /// How stacks were walked, and how many of them to their end.
    pub unwinding: Unwinding,
    /// Every reason for which an event can be lost, by name, with how many were; zeros included.
    pub losses: BTreeMap<String, u64>,
    /// Counters that are not losses but help to judge the recording (such as calls that were left
    /// by an exception), by name.
    pub notes: BTreeMap<String, u64>,
    /// What is doubtful about the result.
    pub warnings: Vec<Warning>,
    /// The files that the stacks' frames are in, by path; empty unless symbolized.
    pub modules: Vec<Module>,
    /// What weighs something; once symbolized, largest first.
    pub stacks: Vec<S>,
}

impl<S> Profile<S> {
    /// The same recording with other stacks.
    pub fn with_stacks<T>(self, stacks: Vec<T>) -> Profile<T> {
        let Self {
            view,
            mode,
            process,
            started_at,
            duration,
            min_age,
            end,
            totals,
            sampled,
            slices,
            memory,
            reconciliation,
            unwinding,
            losses,
            notes,
            warnings,
            modules,
            stacks: _,
        } = self;
        Profile {
            view,
            mode,
            process,
            started_at,
            duration,
            min_age,
            end,
            totals,
            sampled,
            slices,
            memory,
            reconciliation,
            unwinding,
            losses,
            notes,
            warnings,
            modules,
            stacks,
        }
    }

    /// How many events were lost, for whatever reason.
    pub fn lost(&self) -> u64 {
        self.losses.values().sum()
    }
}
