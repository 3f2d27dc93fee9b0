//! A recording that is going on, as the supervisor sees it.

use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::daemon::entry::{Entry, How, Id, Why};
use crate::daemon::store::Draft;
use crate::daemon::worker::{Ended, Message, Order, Progress, Worker, Written};
use crate::profile::View;

/// Where the name of a recording goes once it is stored, or why there is none.
pub type Answer = oneshot::Sender<Result<Id, String>>;

/// A recording.
pub struct Run {
    /// Its name.
    pub id: Id,
    /// Of which target, by name; of a process that is nobody's when somebody asked for it.
    pub target: String,
    /// The process.
    pub pid: u32,
    /// The user it runs as.
    pub uid: u32,
    /// Of what.
    pub view: View,
    /// Why.
    pub why: Why,
    /// When it was begun.
    pub since: Timestamp,
    /// Who waits for it.
    pub answers: Vec<Answer>,
    /// Which recording it takes the place of, once it is attached.
    pub replaces: Option<Id>,
    /// How the process has ended, if it has.
    pub how: Option<How>,
    /// The last signal that the process took and that may have ended it.
    pub signal: Option<i32>,
    /// Everything is attached.
    pub attached: bool,
    /// How it goes, as of the last word of the worker.
    pub progress: Option<Progress>,
    /// Since when it is to stop.
    pub stopping: Option<Instant>,
    /// The last word of the worker, if that was its last.
    result: Option<Result<Written, Failure>>,
    worker: Worker,
    draft: Draft,
}

/// Why there is no recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In words.
    pub reason: String,
    /// For want of space.
    pub no_space: bool,
}

/// What the supervisor has to do about a worker's word.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing.
    Nothing,
    /// Everything is attached. The recording that it takes the place of is to stop.
    Attached(Option<Id>),
    /// To be logged.
    Warning(String),
    /// It was its last: there is a recording now, or there will be none. The worker may take its time to be gone.
    Last,
}

/// A recording that is over.
pub struct Over {
    /// What is known of it, and its files.
    pub stored: Result<(Entry, Draft), Failure>,
    /// Who waits for it.
    pub answers: Vec<Answer>,
}

impl Run {
    /// One whose worker has been started.
    pub fn new(
        id: Id,
        target: String,
        uid: u32,
        order: &Order,
        why: Why,
        worker: Worker,
        draft: Draft,
    ) -> Self {
        Self {
            id,
            target,
            pid: order.pid,
            uid,
            view: order.view,
            why,
            since: Timestamp::now(),
            answers: Vec::new(),
            replaces: None,
            how: None,
            signal: None,
            attached: false,
            progress: None,
            stopping: None,
            result: None,
            worker,
            draft,
        }
    }

    /// Has it end and write what there is.
    pub fn stop(&mut self, now: Instant) {
        self.worker.stop();
        self.stopping.get_or_insert(now);
    }

    /// Ends it at once, without a result.
    pub fn kill(&mut self) {
        self.worker.kill();
    }

    /// The worker says something.
    pub fn said(&mut self, message: Message) -> Said {
        match message {
            Message::Warning { text } => return Said::Warning(text),
            Message::Recording { .. } => {
                self.attached = true;
                return Said::Attached(self.replaces.take());
            }
            Message::Progress(progress) => self.progress = Some(progress),
            Message::Written(written) => {
                self.result = Some(Ok(written));
                return Said::Last;
            }
            Message::Failed { reason, no_space } => {
                self.result = Some(Err(Failure { reason, no_space }));
                return Said::Last;
            }
        }
        Said::Nothing
    }

    /// How the process has ended, now that it has, as far as its recording tells: it may be nobody's target.
    pub fn seen(&self) -> How {
        self.signal
            .map_or(How::Exited, |signal| How::Killed { signal })
    }

    /// The worker has said its last word.
    pub fn is_over(&self) -> bool {
        self.result.is_some()
    }

    /// It has, and how the process has ended is known, if that is what it was about.
    pub fn is_settled(&self) -> bool {
        match &self.result {
            Some(Ok(written)) => written.ended != Ended::Exited || self.how.is_some(),
            Some(Err(_)) => true,
            None => false,
        }
    }

    /// The worker has said its last word, or is gone without one, and how.
    pub fn over(self, gone: &str) -> Over {
        let Self {
            id,
            target,
            pid,
            uid,
            view,
            why,
            answers,
            how,
            result,
            draft,
            ..
        } = self;
        let result = result.unwrap_or_else(|| {
            Err(Failure {
                reason: gone.to_owned(),
                no_space: false,
            })
        });
        let stored = result.map(|written| {
            let how = match (written.ended, how) {
                (Ended::Over, _) => How::Over,
                (Ended::Exec, _) => How::Exec,
                (Ended::Exited, how) => how.unwrap_or(How::Exited),
            };
            let entry = Entry {
                id,
                target,
                pid,
                comm: written.comm,
                exe: written.exe,
                uid,
                view: view.name().to_owned(),
                started_at: written.started_at,
                duration_seconds: written.duration_seconds,
                why,
                how,
                unfreed: written.unfreed,
                lost: written.lost,
                size: 0,
            };
            (entry, draft)
        });
        Over { stored, answers }
    }
}
