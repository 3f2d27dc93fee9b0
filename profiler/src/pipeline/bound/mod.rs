//! A bound on what recording costs: its programs are counted, each is taken to cost what was measured on
//! this machine, and when that is more than the share of the target's CPU time that was granted, the probes
//! are taken away until it is not. While they are, it is seen what they cost this target.

mod gaps;
mod least_squares;
mod own;
mod removal;
mod trap;

use crate::bpf::Runs;
use crate::profile::{Slice, Slices};
pub use gaps::Gaps;
use own::{Fit, Own, Phase};
use trap::RECORDING;
pub use trap::{Cost, load};

/// How much more than granted may be spent before the probes are taken away, nanoseconds: to take them away
/// and to bring them back costs, too.
const SLACK: f64 = 50e6;

/// The same where they go at once: many short slices tell more than a few long ones.
const SHORT_SLACK: f64 = 20e6;

/// Which part of what is granted is spent as far as it can be counted. The rest is for what cannot: probes being
/// brought and taken away, and caches.
const COUNTED: f64 = 0.6;

/// Which share of its CPU time is a target's own at least, where that is not known any better: what was recorded is not
/// nothing.
const LEAST_OWN: f64 = 0.02;

/// How far the share that is observed may be off, in units of itself, where nothing was seen of what probes cost the
/// target.
const UNSEEN: f64 = 0.5;

/// The same where it was seen, at best: a processor that is shared is slower for seconds on end, and a call of the target
/// then takes longer. What was seen is of some moments.
const CHANGING: f64 = 0.1;

/// Where the target and the clocks are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// CPU time of the target so far, nanoseconds.
    pub cpu: u64,
    /// How often programs have run so far.
    pub runs: Runs,
    /// Blocks that were taken less those that were given back, while events counted; `None`: not every block is
    /// recorded.
    pub net: Option<i64>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    GoOn,
    /// The probes are to be taken away.
    Pause,
    /// They are to come back.
    Resume,
}

/// The account of one recording.
#[derive(Debug, Clone)]
pub struct Bound {
    /// Which share of the target's own CPU time may be spent.
    granted: f64,
    slack: f64,
    cost: Cost,
    begin: Reading,
    /// Since when it is recorded, if it is.
    since: Option<Reading>,
    /// Those that are over: where they began and ended.
    slices: Vec<(Reading, Reading)>,
    /// The target's CPU time in them, nanoseconds, and what was counted.
    over: (f64, Runs),
    /// What was seen of the target while probes were removed.
    own: Own,
    fit: Option<Fit>,
}

impl Bound {
    /// `percent` of the target's own CPU time may be spent. `at_once`: so do probes go. Recording begins now.
    pub fn of(percent: f64, cost: Cost, at_once: bool, begin: Reading) -> Self {
        Self {
            slack: if at_once { SHORT_SLACK } else { SLACK },
            granted: percent / 100.0,
            cost,
            begin,
            since: Some(begin),
            slices: Vec::new(),
            over: (0.0, Runs::default()),
            own: Own::default(),
            fit: None,
        }
    }

    /// Whether the probes are to be removed so slowly that something can be seen of what they cost: at first, and now
    /// and then. Its number among those.
    pub fn is_to_learn(&self) -> Option<usize> {
        const AT_FIRST: usize = 5;
        const EACH: usize = 8;
        let turn = self.slices.len();
        if turn <= AT_FIRST {
            return Some(turn);
        }
        turn.is_multiple_of(EACH).then_some(AT_FIRST + turn / EACH)
    }

    /// What was seen while probes were removed.
    pub fn learn(&mut self, phases: impl IntoIterator<Item = Phase>) {
        for phase in phases {
            self.own.add(phase);
        }
        self.fit = self.own.fit();
    }

    /// What is to be done now.
    pub fn step(&self, now: Reading) -> Step {
        let Account { own, spent, .. } = self.account(now);
        let credit = self.granted * COUNTED * own - spent;
        match self.since {
            Some(_) if credit < -self.slack => Step::Pause,
            None if credit >= 0.0 => Step::Resume,
            _ => Step::GoOn,
        }
    }

    /// Events do not count any more.
    pub fn paused(&mut self, now: Reading) {
        if let Some(since) = self.since.take() {
            self.slices.push((since, now));
            self.over.0 += time(since, now);
            self.over.1 += now.runs - since.runs;
        }
    }

    /// Events count again.
    pub fn resumed(&mut self, now: Reading) {
        self.since = Some(now);
    }

    /// What it came to. The recording is over.
    pub fn slices(mut self, now: Reading) -> Slices {
        self.paused(now);
        let whole = matches!(self.slices[..], [slice] if slice == (self.begin, now));
        let account = self.account(now);
        let share = if whole {
            1.0
        } else {
            self.observed(now, account)
        };
        // How the slices compare with each other is known exactly, by what was done in them.
        let done = |&(begin, end): &(Reading, Reading)| calls(end.runs - begin.runs).max(1.0);
        let all: f64 = self.slices.iter().map(done).sum();
        Slices {
            slices: self
                .slices
                .iter()
                .map(|slice| Slice {
                    begin: slice.0.time,
                    share: share * done(slice) / all,
                    net: slice
                        .1
                        .net
                        .zip(slice.0.net)
                        .map(|(after, before)| after - before),
                })
                .collect(),
            error: self.fit.map_or(UNSEEN, |fit| fit.error.hypot(CHANGING)),
            cost: account.spent / account.own.max(1.0),
            granted: self.granted,
        }
    }

    /// Which share of what the target did was observed, in slices with gaps between them.
    fn observed(&self, now: Reading, account: Account) -> f64 {
        if account.recorded > 0.0 && account.own > 0.0 {
            return (account.recorded / account.own).min(1.0);
        }
        let time = |from: Reading, to: Reading| to.time.saturating_sub(from.time) as f64;
        let all = time(self.begin, now);
        let slices: f64 = self.slices.iter().map(|&(from, to)| time(from, to)).sum();
        if all > 0.0 { slices / all } else { 1.0 }
    }

    /// Up to now.
    fn account(&self, now: Reading) -> Account {
        let (mut cpu, mut recorded) = self.over;
        if let Some(since) = self.since {
            cpu += time(since, now);
            recorded += now.runs - since.runs;
        }
        let all = time(self.begin, now);
        let others = now.runs - self.begin.runs - recorded;
        let (in_slices, between) = if let Some(fit) = self.fit {
            // With programs that do more than those it was learnt with.
            let spent = (cpu - fit.call * calls(recorded)).max(0.0);
            (
                spent.min(cpu * (1.0 - LEAST_OWN)),
                fit.probes * self.cost.on_ourselves(others),
            )
        } else {
            let cost = |runs| RECORDING * self.cost.on_ourselves(runs);
            (cost(recorded).min(cpu * (1.0 - LEAST_OWN)), cost(others))
        };
        let spent = in_slices + between;
        Account {
            own: (all - spent).max(0.0),
            recorded: cpu - in_slices,
            spent,
        }
    }
}

/// CPU time of a target since the recording began: nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Account {
    /// Its own.
    own: f64,
    /// Of that, what was recorded.
    recorded: f64,
    /// What recording cost.
    spent: f64,
}

fn time(from: Reading, to: Reading) -> f64 {
    to.cpu.saturating_sub(from.cpu) as f64
}

/// Of all functions that are probed.
fn calls(runs: Runs) -> f64 {
    (runs.emulated + runs.single_stepped) as f64
}

#[cfg(test)]
mod tests;
