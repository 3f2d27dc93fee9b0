//! Recordings begin, end and are stored.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tracing::{debug, info, warn};

use super::Supervisor;
use super::run::{Failure, Over, Run, Said};
use crate::daemon::config::Schedule;
use crate::daemon::entry::{Id, Why};
use crate::daemon::store::{Draft, StoreError};
use crate::daemon::worker::{Heard, Order, Worker};
use crate::profile::View;

/// Most live blocks or touched pages that a recording keeps track of. Each costs 16 bytes of kernel memory from the
/// beginning, and about 100 more when it is there.
const MAX_ENTRIES: u32 = 1_000_000;

/// The same where one stands for at least [`FAR_BETWEEN`] bytes: these are 64 GiB.
const MAX_SAMPLES: u32 = 250_000;

/// Mean bytes between samples from which on they are few.
const FAR_BETWEEN: u64 = 256 << 10;

/// How many workers may have the kernel add or remove their probes before no recording begins by itself any more. It removes
/// some ten probes a second, of all recordings in turn, and until then each worker has its memory.
const MOST_MOVING: usize = 8;

/// For how long a worker counts as one that has probes added: one that takes longer is not to hold up the others.
const ARRIVAL: SignedDuration = SignedDuration::from_secs(10);

/// How long a recording that is to stop may take to be written.
const PATIENCE: Duration = Duration::from_mins(2);

impl Supervisor {
    /// Begins what is due.
    pub(super) fn begin_due(&mut self, now: Instant) {
        let mut due = Vec::new();
        for process in self.processes.values() {
            let Some(target) = self.config.targets.get(process.target) else {
                continue;
            };
            for (&view, slot) in &process.slots {
                if let Some(why) = slot.begins(target.schedule, now) {
                    due.push((slot.due, process.candidate.pid, view, why));
                }
            }
        }
        // Who has waited longest is the first.
        due.sort_by_key(|&(since, ..)| since);
        for (_, pid, view, why) in due {
            let moving = self.leaving.len() + self.arriving();
            if moving < MOST_MOVING {
                self.begin(pid, view, why);
            } else {
                let problem = format!(
                    "the kernel is still adding or removing the probes of {moving} other recordings"
                );
                self.problem(pid, Some(problem));
            }
        }
        self.give_up(now);
    }

    /// How many recordings have their probes added.
    fn arriving(&self) -> usize {
        let now = Timestamp::now();
        let runs = self.runs.values();
        runs.filter(|run| !run.attached && !run.is_over())
            .filter(|run| now.duration_since(run.since) < ARRIVAL)
            .count()
    }

    /// Begins a recording of a target's process, unless there is one or may be none.
    pub(super) fn begin(&mut self, pid: u32, view: View, why: Why) {
        let now = Instant::now();
        let Some(process) = self.processes.get(&pid) else {
            return;
        };
        let Some(target) = self.config.targets.get(process.target) else {
            return;
        };
        let going_on = self.going_on(pid, view);
        // One that has not even begun to count is not to be replaced.
        if going_on.is_some_and(|run| why != Why::Continuous || !run.attached) {
            return;
        }
        let replaces = going_on.map(|run| run.id.clone());
        if replaces.is_none() && self.recorded_of(process.target, pid) >= target.max_processes {
            let problem = format!(
                "as many processes of this target are recorded as max_processes allows ({})",
                target.max_processes
            );
            self.problem(pid, Some(problem));
            return;
        }
        if !self.shelf.has_space(now) {
            self.problem(pid, Some("there is no space for recordings".to_owned()));
            return;
        }
        let duration = match target.schedule {
            Schedule::Continuous { .. } => None,
            Schedule::Every { window, .. } | Schedule::Triggered { window } => Some(window),
        };
        let order = Ordered {
            target: target.name.clone(),
            pid,
            uid: process.candidate.uid,
            view,
            duration,
            min_age: target.min_age,
            sample: target.sample,
            max_overhead: target.max_overhead,
            only_uid: None,
        };
        let schedule = target.schedule;
        let begun = self.start(&order, why, replaces);
        if let Some(process) = self.processes.get_mut(&pid) {
            let slot = process.slots.get_mut(&view);
            match (begun, slot) {
                (Ok(_), Some(slot)) => {
                    slot.begun(schedule, now);
                    process.problem = None;
                }
                (Err(failure), Some(slot)) => {
                    slot.failed(schedule, now);
                    process.problem = Some(failure.reason);
                }
                (_, None) => {}
            }
        }
    }

    /// The newest recording of a view of a process, as long as it is to go on.
    pub(super) fn going_on(&self, pid: u32, view: View) -> Option<&Run> {
        self.runs.values().rev().find(|run| {
            let goes_on = run.how.is_none() && run.stopping.is_none() && !run.is_over();
            run.pid == pid && run.view == view && goes_on
        })
    }

    /// A trigger wants a recording. One that is going on knows what came before, and more than a new one would: it is
    /// marked with the trigger and, if it would go on for long, stored now.
    pub(super) fn triggered(&mut self, pid: u32, view: View, trigger: &str) {
        let why = Why::Triggered {
            trigger: trigger.to_owned(),
        };
        let Some(id) = self.going_on(pid, view).map(|run| run.id.clone()) else {
            return self.begin(pid, view, why);
        };
        if let Some(run) = self.runs.get_mut(&id)
            && run.attached
        {
            let cut = run.why == Why::Continuous;
            run.why = why;
            if cut && let Some(slot) = self.slot(pid, view) {
                slot.due = Some(Instant::now());
            }
        }
    }

    /// Starts a worker.
    pub(super) fn start(
        &mut self,
        what: &Ordered,
        why: Why,
        replaces: Option<Id>,
    ) -> Result<Id, Failure> {
        let id = Id::new(Timestamp::now(), what.view, what.pid);
        let started = self.shelf.store.draft(&id).map_err(|error| Failure {
            no_space: matches!(error, StoreError::Full { .. }),
            reason: error.to_string(),
        });
        let started = started.and_then(|draft| {
            let order = what.order(&draft);
            let worker = Worker::start(&order, &id, self.ear.clone()).map_err(|error| Failure {
                reason: format!("{error:#}"),
                no_space: false,
            })?;
            let mut run = Run::new(
                id.clone(),
                what.target.clone(),
                what.uid,
                &order,
                why,
                worker,
                draft,
            );
            run.replaces = replaces;
            Ok(run)
        });
        match started {
            Ok(run) => {
                info!(recording = %id, target = what.target, pid = what.pid, why = ?run.why, "begins");
                self.runs.insert(id.clone(), run);
                Ok(id)
            }
            Err(failure) => {
                self.not_recorded(&id, &failure);
                Err(failure)
            }
        }
    }

    /// A worker is heard.
    pub(super) fn hear(&mut self, id: &Id, heard: Heard) {
        // What has happened to the process comes first.
        self.live();
        match heard {
            Heard::Said(message) => {
                let Some(run) = self.runs.get_mut(id) else {
                    return;
                };
                debug!(recording = %id, ?message);
                match run.said(message) {
                    Said::Nothing => {}
                    Said::Warning(text) => warn!(recording = %id, "{text}"),
                    Said::Attached(old) => {
                        let (pid, view) = (run.pid, run.view);
                        self.attached(pid, view, old.as_ref());
                    }
                    Said::Last => {
                        self.leaving.insert(id.clone());
                        // If the kernel has not said yet how the process ended: it will before the worker is gone.
                        self.settle();
                    }
                }
            }
            Heard::Gone(how) => {
                self.leaving.remove(id);
                self.end_run(id, &how);
            }
        }
    }

    /// More is known of how processes have ended, or nothing more will be: what was recorded of them may be stored.
    pub(super) fn settle(&mut self) {
        let is_settled = |run: &Run| run.is_settled() || (self.is_ending && run.is_over());
        let settled = self.runs.iter().filter(|(_, run)| is_settled(run));
        let ids: Vec<Id> = settled.map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.end_run(&id, "");
        }
    }

    /// Nothing more comes of a worker. `gone`: how it went, if without a last word.
    fn end_run(&mut self, id: &Id, gone: &str) {
        if let Some(run) = self.runs.remove(id) {
            self.over(run, gone);
        }
    }

    /// A recording counts from now on, and the one before it need not go on.
    fn attached(&mut self, pid: u32, view: View, old: Option<&Id>) {
        let now = Instant::now();
        if let Some(old) = old.and_then(|old| self.runs.get_mut(old)) {
            old.stop(now);
        }
        let schedule = self.schedule_of(pid);
        if let (Some(schedule), Some(slot)) = (schedule, self.slot(pid, view)) {
            slot.attached(schedule, now);
        }
    }

    fn over(&mut self, run: Run, how: &str) {
        let (id, pid, view, is_gone) = (run.id.clone(), run.pid, run.view, run.how.is_some());
        let Over { stored, answers } = run.over(how);
        match stored {
            Ok((entry, draft)) => {
                if let Some(slot) = self.slot(pid, view) {
                    slot.succeeded();
                }
                self.shelf.put(entry, draft, answers);
            }
            Err(failure) => {
                for answer in answers {
                    let _gone = answer.send(Err(failure.reason.clone()));
                }
                // One that ended while it was being attached to is no failure of anybody's.
                if is_gone && !failure.no_space {
                    debug!(recording = %id, "nothing recorded: {}", failure.reason);
                    return;
                }
                self.not_recorded(&id, &failure);
                let schedule = self.schedule_of(pid);
                if let (Some(schedule), Some(slot)) = (schedule, self.slot(pid, view)) {
                    slot.failed(schedule, Instant::now());
                }
                self.problem(pid, Some(failure.reason));
            }
        }
    }

    /// There is no recording of this name.
    fn not_recorded(&mut self, id: &Id, failure: &Failure) {
        warn!(recording = %id, "not recorded: {}", failure.reason);
        if failure.no_space {
            self.no_space(&failure.reason);
        } else {
            self.health.failed += 1;
        }
    }

    /// Workers that take too long.
    fn give_up(&mut self, now: Instant) {
        for (id, run) in &mut self.runs {
            if run.stopping.is_some_and(|since| now >= since + PATIENCE) {
                warn!(recording = %id, "takes too long to be written, and is given up");
                run.kill();
            }
        }
    }

    /// How many other processes of this target are being recorded.
    fn recorded_of(&self, target: usize, pid: u32) -> usize {
        let of_target = self
            .processes
            .iter()
            .filter(|(other, process)| process.target == target && **other != pid);
        of_target
            .filter(|(pid, _)| self.runs.values().any(|run| run.pid == **pid))
            .count()
    }

    fn slot(&mut self, pid: u32, view: View) -> Option<&mut super::process::Slot> {
        self.processes.get_mut(&pid)?.slots.get_mut(&view)
    }

    fn schedule_of(&self, pid: u32) -> Option<Schedule> {
        let target = self.processes.get(&pid)?.target;
        Some(self.config.targets.get(target)?.schedule)
    }

    fn problem(&mut self, pid: u32, problem: Option<String>) {
        if let Some(process) = self.processes.get_mut(&pid) {
            process.problem = problem;
        }
    }
}

/// What is to be recorded.
pub struct Ordered {
    pub target: String,
    pub pid: u32,
    pub uid: u32,
    pub view: View,
    pub duration: Option<Duration>,
    pub min_age: Duration,
    pub sample: u64,
    pub max_overhead: Option<f64>,
    pub only_uid: Option<u32>,
}

impl Ordered {
    fn order(&self, draft: &Draft) -> Order {
        Order {
            pid: self.pid,
            view: self.view,
            duration: self.duration,
            min_age: self.min_age,
            sample: self.sample,
            max_overhead: self.max_overhead,
            max_entries: match self.view {
                View::Heap if self.sample >= FAR_BETWEEN => MAX_SAMPLES,
                View::Heap | View::Pages => MAX_ENTRIES,
            },
            only_uid: self.only_uid,
            json: draft.json(),
            pprof: draft.pprof(),
        }
    }
}
