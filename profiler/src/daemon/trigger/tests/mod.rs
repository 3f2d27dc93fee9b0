//! Tests of triggers, without any process.

mod lacks;
mod settings;
mod watch;

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Settings;
use crate::daemon::reading::{CgroupReading, Reading};

const MIB: u64 = 1 << 20;

/// All readings of a test are later.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A reading of which nothing is known but RSS.
fn reading(seconds: u64, rss: u64) -> Reading {
    Reading {
        at: Timestamp::UNIX_EPOCH,
        moment: *BEGIN + Duration::from_secs(seconds),
        rss,
        vsz: 2 * rss,
        mappings: None,
        most_mappings: None,
        cgroup: None,
        pressure: None,
    }
}

/// A cgroup with these counts of events.
fn cgroup(directory: &str, high: Option<u64>, max: Option<u64>) -> CgroupReading {
    CgroupReading {
        directory: PathBuf::from(directory),
        limit: None,
        current: 0,
        events_high: high,
        events_max: max,
        oom_kill: None,
    }
}

/// From the lines of a trigger in the configuration.
fn settings(lines: &str) -> Settings {
    toml::from_str(lines).unwrap_or_else(|error| panic!("{lines}: {error}"))
}
