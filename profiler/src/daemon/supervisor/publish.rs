//! What the supervisor knows, for the page, the API and the metrics; and the sizes it reads for them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tracing::info;

use super::Supervisor;
use super::process::Process;
use super::run::Run;
use crate::daemon::status::{self, Fired, Running, Status};
use crate::daemon::systemd;

impl Supervisor {
    /// Reads the sizes of processes whose time has come, and begins what their triggers want.
    pub(super) fn read_sizes(&mut self, now: Instant) {
        let mut fired = Vec::new();
        let mut gone = Vec::new();
        for (&pid, process) in &mut self.processes {
            if process.next_reading > now {
                continue;
            }
            process.next_reading = now + self.config.sample_every;
            let Some(&wants) = self.wants.get(process.target) else {
                continue;
            };
            match process.read(wants) {
                Some(triggers) => fired.extend(triggers.into_iter().map(|trigger| (pid, trigger))),
                None => gone.push(pid),
            }
        }
        // How they have ended: the kernel has said so by now.
        self.live();
        for pid in gone {
            self.ended(pid, None);
        }
        for (pid, trigger) in fired {
            self.fire(pid, &trigger);
        }
    }

    fn fire(&mut self, pid: u32, trigger: &str) {
        let Some(process) = self.processes.get(&pid) else {
            return;
        };
        let Some(target) = self.config.targets.get(process.target) else {
            return;
        };
        info!(target = target.name, pid, trigger, "a trigger fired");
        let of_target = self.fired.entry(target.name.clone()).or_default();
        if of_target.len() >= status::Target::MOST_FIRED {
            of_target.pop_front();
        }
        of_target.push_back(Fired {
            at: Timestamp::now(),
            pid,
            trigger: trigger.to_owned(),
        });
        for view in target.views.clone() {
            self.triggered(pid, view, trigger);
        }
    }

    /// Says what is known now.
    pub(super) fn publish(&mut self) {
        let targets = self.config.targets.iter().enumerate();
        let targets = targets.map(|(index, target)| {
            let processes = self.processes.values();
            let of_target = processes.filter(|process| process.target == index);
            status::Target {
                name: target.name.clone(),
                processes: of_target.map(|process| self.process(process)).collect(),
                fired: self
                    .fired
                    .get(&target.name)
                    .map(|fired| fired.iter().cloned().collect())
                    .unwrap_or_default(),
            }
        });
        let targets = targets.collect();
        let doing = format!(
            "{} processes of {} targets, {} recordings going on",
            self.processes.len(),
            self.config.targets.len(),
            self.runs.len()
        );
        if doing != self.doing {
            systemd::status(&doing);
            self.doing = doing;
        }
        let entries = self.shelf.store.entries();
        self.health.recordings = entries.len() as u64;
        self.health.stored_bytes = entries.iter().map(|entry| entry.size).sum();
        self.status.send_replace(Arc::new(Status {
            targets,
            health: self.health.clone(),
        }));
    }

    fn process(&self, process: &Process) -> status::Process {
        let candidate = &process.candidate;
        let reading = process.reading.as_ref();
        let runs = self.runs.values();
        let of_process = runs.filter(|run| run.pid == candidate.pid && run.stopping.is_none());
        let mut recordings = BTreeMap::new();
        for run in of_process {
            // The older of two: the other one is about to take its place.
            let view = run.view.name().to_owned();
            recordings.entry(view).or_insert_with(|| running(run));
        }
        status::Process {
            pid: candidate.pid,
            comm: candidate.comm.clone(),
            exe: candidate.exe.clone(),
            uid: candidate.uid,
            rss: reading.map_or(0, |reading| reading.rss),
            vsz: reading.map_or(0, |reading| reading.vsz),
            growth: process.history.growth(),
            samples: process.history.samples(),
            recordings,
            problem: process.problem.clone().or_else(|| process.lack.clone()),
        }
    }
}

fn running(run: &Run) -> Running {
    let progress = run.progress.clone().unwrap_or_default();
    Running {
        since: run.since,
        why: run.why.clone(),
        attached: run.attached,
        unfreed: progress.unfreed,
        observed: if run.progress.is_some() {
            progress.observed
        } else {
            1.0
        },
        overhead: progress.overhead,
        losses: progress.losses,
    }
}
