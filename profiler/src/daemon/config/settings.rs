//! What a configuration comes to: defaults are filled in, everything has been checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tracing::Level;

use super::target::Target;
use crate::daemon::store::Retention;

/// All of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where the page, the API and the metrics are; `None`: nowhere.
    pub http: Option<Http>,
    /// The API for users of this host; `None`: there is none.
    pub socket: Option<Socket>,
    /// Where recordings are kept, and for how long.
    pub store: Store,
    /// Least severity of what is logged.
    pub log: Level,
    /// How often RSS and VSZ of processes are read.
    pub sample_every: Duration,
    /// What is recorded. Names differ.
    pub targets: Vec<Target>,
}

/// Where HTTP is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// The address and port. Beyond loopback only with a token.
    pub listen: SocketAddr,
    /// The file that has the bearer token, an absolute path; whether it is there is not known yet.
    pub token_file: Option<PathBuf>,
    /// Names of this host that clients without a token may call it by, besides those of loopback; lowercase.
    pub hosts: Vec<String>,
}

/// Where the Unix socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// Its absolute path.
    pub path: PathBuf,
    /// The group whose members may connect; whether it is there is not known yet.
    pub group: String,
}

/// Where recordings are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    /// The directory, an absolute path.
    pub directory: PathBuf,
    /// For how long; all three bounds are given.
    pub retention: Retention,
}
