//! What the daemon and a worker say to each other: one JSON object a line.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::daemon::entry::Amount;
use crate::profile::View;

/// What to record; the first line to a worker. Whatever comes after it, the end of the stream above all, means: stop
/// and write what there is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The process.
    pub pid: u32,
    /// Of what.
    pub view: View,
    /// How long; `None`: until told to stop.
    pub duration: Option<Duration>,
    /// What younger blocks are left out.
    pub min_age: Duration,
    /// Mean bytes between samples of the heap; 0: every block.
    pub sample: u64,
    /// Which share of the target's CPU time recording the heap may cost, percent.
    pub max_overhead: Option<f64>,
    /// Most live blocks or touched pages to keep track of.
    pub max_entries: u32,
    /// Only if it is a process of this user when it is recorded; else there is no recording.
    pub only_uid: Option<u32>,
    /// Where the recording is written as JSON.
    pub json: PathBuf,
    /// Where it is written as pprof.
    pub pprof: PathBuf,
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Message {
    /// Something about this machine is doubtful.
    Warning {
        /// What.
        text: String,
    },
    /// Everything is attached: from now on all counts.
    Recording {
        /// Where probes are, in words.
        probes: String,
    },
    /// How it is going.
    Progress(Progress),
    /// Both files are there, whole.
    Written(Written),
    /// There is no recording.
    Failed {
        /// Why.
        reason: String,
        /// For want of space where it is written.
        no_space: bool,
    },
}

impl Message {
    /// Whether nothing comes after it.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Written(_) | Self::Failed { .. })
    }
}

/// How a recording is going.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What is unfreed now, of any age.
    pub unfreed: Amount,
    /// Which share of what the target did was observed.
    pub observed: f64,
    /// What recording cost, in units of the target's CPU time, where that is bounded.
    pub overhead: Option<f64>,
    /// Events lost so far, by reason; zeros included.
    pub losses: BTreeMap<String, u64>,
}

/// What a recording came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// The process's short name.
    pub comm: String,
    /// Its executable.
    pub exe: String,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, seconds.
    pub duration_seconds: f64,
    /// What was unfreed at the end.
    pub unfreed: Amount,
    /// How many events were lost.
    pub lost: u64,
    /// Why it ended.
    pub ended: Ended,
}

/// Why a recording ended, as the worker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The time was over, or the daemon stopped it.
    Over,
    /// The target is gone.
    Exited,
    /// It replaced its program.
    Exec,
}
