//! What the daemon knows at this moment: plain data, published whole by the supervisor, read by the page, the
//! API and the metrics.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::entry::{Amount, Why};

/// All of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Status {
    /// Targets in the configuration's order.
    pub targets: Vec<Target>,
    /// Of the daemon itself.
    pub health: Health,
}

/// A target of the configuration.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its processes that are running, by pid.
    pub processes: Vec<Process>,
    /// Triggers that fired, newest last; at most [`Target::MOST_FIRED`].
    pub fired: Vec<Fired>,
}

impl Target {
    /// How many triggers are remembered.
    pub const MOST_FIRED: usize = 50;
}

/// A trigger that fired.
#[derive(Debug, Clone, Serialize)]
pub struct Fired {
    /// When.
    pub at: Timestamp,
    /// The process.
    pub pid: u32,
    /// In words with figures.
    pub trigger: String,
}

/// A process of a target.
#[derive(Debug, Clone, Serialize)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its short name.
    pub comm: String,
    /// Its executable.
    pub exe: String,
    /// The user it runs as.
    pub uid: u32,
    /// RSS now, bytes.
    pub rss: u64,
    /// VSZ now, bytes.
    pub vsz: u64,
    /// By how much RSS grows, bytes a second; negative when it shrinks. `None`: too little is known.
    pub growth: Option<f64>,
    /// RSS and VSZ over time, oldest first; at most [`Process::MOST_SAMPLES`].
    pub samples: Vec<Sample>,
    /// What is being recorded of it, by view.
    pub recordings: BTreeMap<String, Running>,
    /// Why nothing is recorded although it should be.
    pub problem: Option<String>,
}

impl Process {
    /// How many samples are kept: older ones are thinned out.
    pub const MOST_SAMPLES: usize = 240;
}

/// RSS and VSZ at a moment.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// RSS, bytes.
    pub rss: u64,
    /// VSZ, bytes.
    pub vsz: u64,
}

/// A recording that is going on.
#[derive(Debug, Clone, Serialize)]
pub struct Running {
    /// When it was begun.
    pub since: Timestamp,
    /// Why.
    pub why: Why,
    /// Everything is attached: all counts.
    pub attached: bool,
    /// What is unfreed now, of any age; as of the last report of the recording.
    pub unfreed: Amount,
    /// Which share of what the target did was observed: 1 unless the cost is bounded.
    pub observed: f64,
    /// What recording cost, in units of the target's CPU time, where that is bounded.
    pub overhead: Option<f64>,
    /// Events lost so far, by reason; zeros included.
    pub losses: BTreeMap<String, u64>,
}

/// The daemon's own health.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Health {
    /// Why recordings cannot be stored at the moment, such as a full disk.
    pub store_problem: Option<String>,
    /// Recordings in the store.
    pub recordings: u64,
    /// Their files' size, bytes.
    pub stored_bytes: u64,
    /// Recordings that failed since the start, for whatever reason.
    pub failed: u64,
    /// Recordings that were not stored because the disk was full.
    pub not_stored: u64,
    /// Events of processes (fork, exec, exit) that were not seen for want of room; processes are then looked for.
    pub events_lost: u64,
}
