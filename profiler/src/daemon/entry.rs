//! What is known of a stored recording without opening it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::profile::View;

/// The name of a recording: sorts by time of its beginning, is part of file names and of addresses of the page.
/// Only lowercase letters, digits and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Id(String);

impl Id {
    /// The longest there may be, bytes.
    pub const LONGEST: usize = 80;

    /// Of a recording that begins now: the time to the microsecond, the view, and the process.
    pub fn new(begin: Timestamp, view: View, pid: u32) -> Self {
        let time = begin.strftime("%Y%m%dt%H%M%S%6f");
        Self(format!("{time}-{}-{pid}", view.name()))
    }

    /// What somebody has typed, if it can be a name at all. `None`: it cannot, and no file is looked for.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(allowed);
        fits.then(|| Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no recording's name")))
    }
}

/// Why it was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Why {
    /// Its time had come.
    Scheduled,
    /// The target is recorded all the time.
    Continuous,
    /// A trigger fired.
    Triggered {
        /// Which, in words with figures: `RSS grew by 52.1 MiB in 10 min`.
        trigger: String,
    },
    /// Somebody asked for it.
    Asked,
}

/// How it ended, as far as the target is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "how")]
pub enum How {
    /// The target lives on: the window was over, or the recording was stopped.
    Over,
    /// The target exited.
    Exited,
    /// A signal ended it.
    Killed {
        /// Which.
        signal: i32,
    },
    /// The kernel ended it for want of memory.
    OutOfMemory,
    /// It replaced its program (exec).
    Exec,
}

/// Bytes, and in how many blocks or pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Bytes.
    pub bytes: u64,
    /// Blocks or pages.
    pub count: u64,
}

/// A stored recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub id: Id,
    /// The target's name in the configuration.
    pub target: String,
    /// The process.
    pub pid: u32,
    /// Its short name.
    pub comm: String,
    /// Its executable.
    pub exe: String,
    /// The user it runs as: who may read the recording over the socket.
    pub uid: u32,
    /// Of what: `heap`, `pages`.
    pub view: String,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, seconds.
    pub duration_seconds: f64,
    /// Why it was begun.
    pub why: Why,
    /// How it ended.
    pub how: How,
    /// What was unfreed at the end.
    pub unfreed: Amount,
    /// How many events were lost.
    pub lost: u64,
    /// Size of its files, bytes.
    pub size: u64,
}
