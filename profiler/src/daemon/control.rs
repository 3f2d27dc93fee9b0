//! What the page and the API may ask of the supervisor.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::entry::Id;
use super::status::Status;
use crate::profile::View;

/// The supervisor's ear, and what it last said.
#[derive(Clone)]
pub struct Control {
    /// Where it listens.
    pub requests: mpsc::Sender<Request>,
    /// What it said last.
    pub status: watch::Receiver<Arc<Status>>,
}

/// A request, and where its answer goes.
pub enum Request {
    /// Record now.
    Start {
        /// Which process; need not be of a target.
        pid: u32,
        /// Of what.
        view: View,
        /// How long.
        duration: Duration,
        /// Only if it is a process of this user, from now until it is recorded. Whoever asks has looked, but the
        /// process may have another program since, or the pid be another process's.
        only_uid: Option<u32>,
        /// Where the name of the recording goes once it is stored; or why there is none.
        answer: oneshot::Sender<Result<Id, String>>,
    },
    /// End a recording now and keep what there is.
    Stop {
        /// The process.
        pid: u32,
        /// Of what.
        view: View,
        /// Only if the recording is of a process of this user.
        only_uid: Option<u32>,
        /// As above.
        answer: oneshot::Sender<Result<Id, String>>,
    },
}
