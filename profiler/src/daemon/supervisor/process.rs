//! A process that is to be recorded.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::daemon::config::{Schedule, Target};
use crate::daemon::entry::{How, Why};
use crate::daemon::growth::History;
use crate::daemon::matching::Candidate;
use crate::daemon::reading::{Reading, Wants};
use crate::daemon::trigger::Watch;
use crate::profile::View;

/// The first wait after a recording that failed; each further failure doubles it.
const FIRST_RETRY: Duration = Duration::from_secs(10);

/// How often waits are doubled.
const MOST_DOUBLINGS: u32 = 6;

/// A process of a target.
pub struct Process {
    /// Which.
    pub candidate: Candidate,
    /// Of which target, by its index in the configuration.
    pub target: usize,
    /// RSS and VSZ over time.
    pub history: History,
    /// The last reading.
    pub reading: Option<Reading>,
    /// When it is read next.
    pub next_reading: Instant,
    /// One for each trigger of the target.
    watches: Vec<Watch>,
    /// One for each view of the target.
    pub slots: BTreeMap<View, Slot>,
    /// Why nothing is recorded although it should be.
    pub problem: Option<String>,
    /// Why a trigger cannot fire.
    pub lack: Option<String>,
    /// The kernel wants to end it for want of memory.
    pub is_victim: bool,
    /// The last signal that it took and that may have ended it.
    pub signal: Option<i32>,
}

impl Process {
    /// One that was just found.
    pub fn new(candidate: Candidate, target: usize, settings: &Target, now: Instant) -> Self {
        let due = match settings.schedule {
            Schedule::Continuous { .. } | Schedule::Every { .. } => Some(now),
            Schedule::Triggered { .. } => None,
        };
        let slot = Slot { due, failures: 0 };
        Self {
            candidate,
            target,
            history: History::default(),
            reading: None,
            next_reading: now,
            watches: settings.triggers.iter().map(Watch::new).collect(),
            slots: settings.views.iter().map(|&view| (view, slot)).collect(),
            problem: None,
            lack: None,
            is_victim: false,
            signal: None,
        }
    }

    /// Reads its size. What of its triggers fired, in words; `None` when it is gone. What keeps triggers from firing
    /// at all is a problem.
    pub fn read(&mut self, wants: Wants) -> Option<Vec<String>> {
        let reading = Reading::of(self.candidate.pid, &wants)?;
        self.history.note(&reading);
        self.lack = self.watches.iter().find_map(|watch| watch.lack(&reading));
        let watches = self.watches.iter_mut();
        let fired = watches.filter_map(|watch| watch.look(&reading)).collect();
        self.reading = Some(reading);
        Some(fired)
    }

    /// How it has ended, now that it has.
    pub fn how(&self) -> How {
        match (self.is_victim, self.signal) {
            (true, _) => How::OutOfMemory,
            (false, Some(signal)) => How::Killed { signal },
            (false, None) => How::Exited,
        }
    }
}

/// When one view of a process is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// When the next recording is to begin; `None`: not by itself.
    pub due: Option<Instant>,
    failures: u32,
}

impl Slot {
    /// Whether one is to begin now, and why.
    pub fn begins(&self, schedule: Schedule, now: Instant) -> Option<Why> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        match schedule {
            Schedule::Continuous { .. } => Some(Why::Continuous),
            Schedule::Every { .. } => Some(Why::Scheduled),
            Schedule::Triggered { .. } => None,
        }
    }

    /// One has begun.
    pub fn begun(&mut self, schedule: Schedule, now: Instant) {
        self.due = match schedule {
            // The next one begins beside it, before this one ends.
            Schedule::Continuous { window } => Some(now + window),
            Schedule::Every { period, .. } => Some(now + period),
            Schedule::Triggered { .. } => None,
        };
    }

    /// One counts from now on.
    pub fn attached(&mut self, schedule: Schedule, now: Instant) {
        if let Schedule::Continuous { window } = schedule {
            // It is a whole window, however long attaching took.
            self.due = Some(now + window);
        }
    }

    /// One has failed.
    pub fn failed(&mut self, schedule: Schedule, now: Instant) {
        let wait = FIRST_RETRY * 2_u32.pow(self.failures.min(MOST_DOUBLINGS));
        self.failures += 1;
        if !matches!(schedule, Schedule::Triggered { .. }) {
            self.due = Some(now + wait);
        }
    }

    /// One was written.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn slot(due: Option<Instant>) -> Slot {
        Slot { due, failures: 0 }
    }

    #[test]
    fn a_schedule_goes_by_beginnings() {
        let now = Instant::now();
        let every = Schedule::Every {
            window: MINUTE,
            period: 10 * MINUTE,
        };
        let mut slot = slot(Some(now));
        assert_eq!(slot.begins(every, now), Some(Why::Scheduled));
        slot.begun(every, now);
        assert_eq!(slot.begins(every, now + 9 * MINUTE), None);
        assert_eq!(slot.begins(every, now + 10 * MINUTE), Some(Why::Scheduled));
    }

    #[test]
    fn a_trigger_is_waited_for() {
        let now = Instant::now();
        let triggered = Schedule::Triggered { window: MINUTE };
        let mut slot = slot(None);
        slot.failed(triggered, now);
        assert_eq!(slot.begins(triggered, now + 100 * MINUTE), None);
    }

    #[test]
    fn failures_are_tried_again_less_and_less_often() {
        let now = Instant::now();
        let schedule = Schedule::Continuous { window: MINUTE };
        let mut slot = slot(Some(now));
        let mut waits = Vec::new();
        for _ in 0..9 {
            slot.failed(schedule, now);
            waits.push((slot.due.unwrap() - now).as_secs());
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 640, 640]);
        slot.succeeded();
        slot.failed(schedule, now);
        assert_eq!(slot.due, Some(now + FIRST_RETRY));
    }
}
