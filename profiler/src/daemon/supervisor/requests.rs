//! What is asked of the supervisor from outside.

use std::time::{Duration, Instant};

use super::Supervisor;
use super::recordings::Ordered;
use super::run::Answer;
use crate::daemon::control::Request;
use crate::daemon::entry::Why;
use crate::daemon::matching::Candidate;
use crate::profile::View;

/// As on the command line.
const MIN_AGE: Duration = Duration::from_millis(500);

/// The target's name of a process that is nobody's.
const NOBODYS: &str = "asked";

impl Supervisor {
    /// Does what is asked, or says why not.
    pub(super) fn request(&mut self, request: Request) {
        match request {
            Request::Start {
                pid,
                view,
                duration,
                only_uid,
                answer,
            } => self.start_asked(pid, view, duration, only_uid, answer),
            Request::Stop {
                pid,
                view,
                only_uid,
                answer,
            } => {
                let now = Instant::now();
                let mut runs = self.runs.values_mut();
                match runs.find(|run| {
                    run.pid == pid
                        && run.view == view
                        && run.stopping.is_none()
                        && is_meant(run.uid, only_uid)
                }) {
                    Some(run) => {
                        run.stop(now);
                        run.answers.push(answer);
                    }
                    None => refuse(
                        answer,
                        format!("the {} of process {pid} is not being recorded", view.name()),
                    ),
                }
            }
        }
    }

    fn start_asked(
        &mut self,
        pid: u32,
        view: View,
        duration: Duration,
        only_uid: Option<u32>,
        answer: Answer,
    ) {
        let candidate = Candidate::of(pid);
        let Some(candidate) = candidate.filter(|candidate| is_meant(candidate.uid, only_uid))
        else {
            // The same words for both: that somebody else has such a process is nobody's business.
            let whose = only_uid.map_or_else(String::new, |uid| format!(" of the user {uid}"));
            return refuse(answer, format!("there is no process {pid}{whose}"));
        };
        let is_going_on =
            |run: &super::run::Run| run.pid == pid && run.view == view && run.stopping.is_none();
        if self.runs.values().any(is_going_on) {
            let name = view.name();
            return refuse(
                answer,
                format!("the {name} of process {pid} is being recorded already"),
            );
        }
        let process = self.processes.get(&pid);
        let target = process.and_then(|process| self.config.targets.get(process.target));
        let order = Ordered {
            target: target.map_or_else(|| NOBODYS.to_owned(), |target| target.name.clone()),
            pid,
            uid: candidate.uid,
            view,
            duration: Some(duration),
            min_age: target.map_or(MIN_AGE, |target| target.min_age),
            sample: target.map_or(0, |target| target.sample),
            max_overhead: target.and_then(|target| target.max_overhead),
            only_uid,
        };
        match self.start(&order, Why::Asked, None) {
            Ok(id) => {
                if let Some(run) = self.runs.get_mut(&id) {
                    run.answers.push(answer);
                }
            }
            Err(failure) => refuse(answer, failure.reason),
        }
    }
}

/// Whether what belongs to this user is meant by who means only what is of `only_uid`, if that.
fn is_meant(uid: u32, only_uid: Option<u32>) -> bool {
    only_uid.is_none_or(|only| only == uid)
}

fn refuse(answer: Answer, why: String) {
    // Nobody may be waiting any more.
    let _gone = answer.send(Err(why));
}
