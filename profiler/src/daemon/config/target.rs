//! A target: which processes, what is recorded of them, and when.

use std::time::Duration;

use crate::daemon::matching::Match;
use crate::daemon::store::Retention;
use crate::daemon::trigger;
use crate::profile::View;

/// What is recorded of some processes. Equal targets are recorded in the same way, so that a reload leaves their
/// recordings alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Its name: letters, digits and `.`, `_`, `-`; at most 64 bytes.
    pub name: String,
    /// Which processes.
    pub matching: Match,
    /// What is recorded: at least one, each once.
    pub views: Vec<View>,
    /// When.
    pub schedule: Schedule,
    /// What is younger at the end of a recording is left out of it. Shorter than the window.
    pub min_age: Duration,
    /// Mean bytes between samples of the heap; 0: every block is recorded.
    pub sample: u64,
    /// Which share of a process's CPU time recording its heap may cost, percent; `None`: whatever it takes.
    pub max_overhead: Option<f64>,
    /// Of how many of its processes something is recorded at the same time.
    pub max_processes: usize,
    /// How much of it is kept; what is not given is bounded by the store's retention alone.
    pub retention: Retention,
    /// What it is recorded on, besides when it is time to; at least one if it is recorded on nothing else.
    pub triggers: Vec<trigger::Settings>,
}

/// When a target is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// Always. When a process ends, what it had is known.
    Continuous {
        /// After which time a recording is stored and the next one begun.
        window: Duration,
    },
    /// Now and then.
    Every {
        /// For how long; at most the period.
        window: Duration,
        /// From one beginning to the next.
        period: Duration,
    },
    /// When a trigger fires.
    Triggered {
        /// For how long.
        window: Duration,
    },
}

impl Schedule {
    /// How long one recording takes.
    pub fn window(self) -> Duration {
        match self {
            Self::Continuous { window }
            | Self::Every { window, .. }
            | Self::Triggered { window } => window,
        }
    }
}
