//! Processes come and go.

use std::time::Instant;

use tracing::{debug, info, warn};
use unfreed_common::life::{Event, kind};

use super::Supervisor;
use super::process::Process;
use crate::daemon::entry::How;
use crate::daemon::matching::Candidate;

impl Supervisor {
    /// Something happened.
    pub(super) fn live(&mut self) {
        let now = Instant::now();
        for event in self.lives.get_mut().drain() {
            self.happened(event, now);
        }
        let lost = self.lives.get_ref().lost();
        if lost > self.health.events_lost {
            warn!(
                "{} events of processes were lost; all processes are looked at instead",
                lost - self.health.events_lost
            );
            self.health.events_lost = lost;
            self.next_scan = now;
        }
    }

    fn happened(&mut self, event: Event, now: Instant) {
        let Event {
            kind, pid, detail, ..
        } = event;
        match kind {
            // A child is what its parent is, until it has another program.
            kind::FORK if self.processes.contains_key(&detail) => self.arrivals.add(pid, now),
            kind::EXEC => {
                self.ended(pid, Some(How::Exec));
                self.arrivals.add(pid, now);
            }
            kind::EXIT => {
                self.arrivals.remove(pid);
                self.ended(pid, None);
            }
            kind::SIGNAL => {
                let signal = Some(detail.cast_signed());
                if let Some(process) = self.processes.get_mut(&pid) {
                    process.signal = signal;
                }
                for run in self.runs.values_mut().filter(|run| run.pid == pid) {
                    run.signal = signal;
                }
            }
            kind::OUT_OF_MEMORY => self.is_victim(pid),
            _ => {}
        }
    }

    /// The kernel has chosen the process of this thread.
    fn is_victim(&mut self, tid: u32) {
        let process = if self.processes.contains_key(&tid) {
            Some(tid)
        } else {
            let has =
                |pid: &&u32| std::path::Path::new(&format!("/proc/{pid}/task/{tid}")).exists();
            self.processes.keys().find(has).copied()
        };
        if let Some(process) = process.and_then(|pid| self.processes.get_mut(&pid)) {
            warn!(
                pid = process.candidate.pid,
                comm = process.candidate.comm,
                "out of memory: the kernel ends it"
            );
            process.is_victim = true;
        }
    }

    /// The process is gone, or has another program. Its recordings end by themselves. `how`: what is known
    /// beside what was seen of it before.
    pub(super) fn ended(&mut self, pid: u32, how: Option<How>) {
        let process = self.processes.remove(&pid);
        let how = how.or_else(|| process.as_ref().map(Process::how));
        for run in self.runs.values_mut().filter(|run| run.pid == pid) {
            let how = how.clone().unwrap_or_else(|| run.seen());
            debug!(pid, ?how, "ended");
            run.how.get_or_insert(how);
        }
        self.settle();
    }

    /// The process lives, but is not to be recorded any more.
    pub(super) fn release(&mut self, pid: u32) {
        if let Some(process) = self.processes.remove(&pid) {
            info!(pid, comm = process.candidate.comm, "no target any more");
        }
        let now = Instant::now();
        for run in self.runs.values_mut().filter(|run| run.pid == pid) {
            run.stop(now);
        }
    }

    /// Looks at all processes.
    pub(super) fn scan(&mut self) {
        let mut there = std::collections::BTreeSet::new();
        for candidate in Candidate::all() {
            there.insert(candidate.pid);
            self.consider(candidate);
        }
        // How those that are gone have ended.
        self.live();
        let gone: Vec<u32> = self.processes.keys().copied().collect();
        for pid in gone.into_iter().filter(|pid| !there.contains(pid)) {
            self.ended(pid, None);
        }
    }

    /// Looks at one process.
    pub(super) fn look_at(&mut self, pid: u32) {
        if let Some(candidate) = Candidate::of(pid) {
            self.consider(candidate);
        }
    }

    fn consider(&mut self, candidate: Candidate) {
        let pid = candidate.pid;
        // Not ourselves, nor our workers.
        if candidate.exe == self.own_exe {
            return;
        }
        let mut targets = self.config.targets.iter().enumerate();
        let target = targets.find(|(_, target)| target.matching.matches(&candidate));
        let (index, known) = (target.map(|(index, _)| index), self.processes.get(&pid));
        match known {
            Some(known) if known.candidate.started != candidate.started => {
                self.live();
                self.ended(pid, None);
            }
            Some(known) if Some(known.target) != index => self.release(pid),
            Some(_) => return,
            None => {}
        }
        if let Some(index) = index
            && let Some(target) = self.config.targets.get(index)
        {
            info!(
                target = target.name,
                pid,
                comm = candidate.comm,
                exe = candidate.exe,
                "found"
            );
            let process = Process::new(candidate, index, target, Instant::now());
            self.processes.insert(pid, process);
        }
    }
}
