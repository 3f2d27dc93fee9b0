//! A bound on what recording costs: its programs are counted, each is taken to cost what was measured on
//! this machine, and when that is more than the share of the target's CPU time that was granted, the probes
//! are taken away until it is not. While they are, it is seen what they cost this target.

mod gaps;
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
    /// and then. How often they were removed so before, or one more.
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
mod tests {
    use super::*;
    use crate::bpf::Kind;

    impl Cost {
        fn each(cost: f64) -> Self {
            Self {
                emulated: cost,
                single_stepped: cost,
                returning: cost,
            }
        }
    }

    fn emulated(runs: u64) -> Runs {
        Runs {
            emulated: runs,
            ..Runs::default()
        }
    }

    /// A program that would do `rate` runs a second, on one processor, for `seconds`; what it comes to.
    /// `expected`: what a run is taken to cost, of which it costs `cost`.
    fn run(rate: f64, cost: f64, expected: f64, seconds: f64) -> Slices {
        const TICK: f64 = 20e6;
        let reading = |time: f64, runs: f64| Reading {
            time: time as u64,
            cpu: time as u64,
            runs: emulated(runs as u64),
            net: None,
        };
        let mut bound = Bound::of(
            5.0,
            Cost::each(expected / RECORDING),
            false,
            Reading::default(),
        );
        let (mut time, mut runs) = (0.0, 0.0);
        while time < seconds * 1e9 {
            time += TICK;
            if bound.since.is_some() {
                // Each second of its own takes longer.
                runs += TICK * rate / 1e9 / (1.0 + rate * cost / 1e9);
            }
            let now = reading(time, runs);
            match bound.step(now) {
                Step::GoOn => {}
                Step::Pause => {
                    bound.paused(now);
                    // With both probes, and with one of them, which is cheaper than half.
                    let probes = [1, 2].map(|place| ((place, Kind::Emulated), 0.5, expected));
                    let one = 0.5 * (cost - own::TOGETHER.0 * 0.5 * expected);
                    bound.learn(
                        [(0..2, cost), (0..1, one), (1..2, one)].map(|(there, cost)| Phase {
                            time: 1e9 / rate + cost,
                            error: 0.0,
                            probes: probes[there].to_vec(),
                        }),
                    );
                }
                Step::Resume => bound.resumed(now),
            }
        }
        bound.slices(reading(time, runs))
    }

    #[test]
    fn what_costs_little_is_recorded_all_the_time() {
        let slices = run(10_000.0, 1000.0, 1000.0, 60.0);
        assert_eq!(slices.slices.len(), 1);
        assert!(slices.is_whole());
        assert!((slices.cost - 0.01).abs() < 1e-3, "{slices:?}");
    }

    #[test]
    fn what_costs_much_is_recorded_now_and_then() {
        for rate in [200_000.0, 1e6, 4e6] {
            // Where the target's own work is most of its time, what probes cost on ourselves is better known than
            // what they cost it.
            for (expected, tolerance) in [(400.0, 0.35), (500.0, 0.15), (600.0, 0.35)] {
                let slices = run(rate, 500.0, expected, 60.0);
                assert!(slices.slices.len() > 3, "{slices:?}");
                assert!((0.025..0.037).contains(&slices.cost), "{rate}: {slices:?}");
                let share = 0.05 * COUNTED / (rate * 500e-9);
                assert!(
                    (slices.share() / share - 1.0).abs() < tolerance,
                    "{rate}, {expected}: {slices:?}"
                );
            }
        }
    }

    /// Each time another entry is the last one that is left: each of two as often as the other.
    #[test]
    fn every_entry_is_left_in_its_turn() {
        let mut bound = Bound::of(5.0, Cost::each(1.0), true, Reading::default());
        let mut turns = Vec::new();
        for _ in 0..200 {
            turns.extend(bound.is_to_learn());
            bound.resumed(Reading::default());
            bound.paused(Reading::default());
        }
        let odd = turns.iter().filter(|turn| *turn % 2 == 1).count();
        assert!(turns.len().abs_diff(2 * odd) <= 1, "{turns:?}");
        assert!(turns.is_sorted_by(|a, b| a < b), "{turns:?}");
        assert!((20..40).contains(&turns.len()), "{turns:?}");
    }

    #[test]
    fn the_last_slice_tells_nothing_of_what_is_unfreed() {
        let reading = |time, runs| Reading {
            time,
            cpu: time,
            runs: emulated(runs),
            net: None,
        };
        let mut bound = Bound::of(5.0, Cost::each(200.0 / RECORDING), false, reading(0, 0));
        bound.paused(reading(100_000_000, 300_000));
        bound.resumed(reading(220_000_000, 300_000));
        let slices = bound.slices(reading(260_000_000, 400_000));
        // It did 40 ms of its own in the first one, 20 in the second, 120 between.
        assert!((slices.share() - 60.0 / 180.0).abs() < 1e-9, "{slices:?}");
        // Three quarters of what was done in slices was done in the first one.
        let (before, share) = slices.telling();
        assert_eq!(before, 220_000_000);
        assert!((share - 0.25).abs() < 1e-9, "{slices:?}");
    }

    #[test]
    fn what_is_recorded_is_not_nothing() {
        let reading = |time, runs| Reading {
            time,
            cpu: time,
            runs: emulated(runs),
            net: None,
        };
        // These probes would have taken more time than there was.
        let mut bound = Bound::of(5.0, Cost::each(1e5), true, reading(0, 0));
        bound.paused(reading(1_000_000, 100));
        bound.resumed(reading(1_000_000_000, 100));
        bound.paused(reading(1_001_000_000, 200));
        let slices = bound.slices(reading(1_500_000_000, 200));
        let share = 0.04e6 / (1498e6 + 0.04e6);
        assert!((slices.share() - share).abs() < 1e-9, "{slices:?}");
    }

    #[test]
    fn a_target_that_does_nothing_is_recorded_by_time() {
        let reading = |time| Reading {
            time,
            ..Reading::default()
        };
        let mut bound = Bound::of(5.0, Cost::each(500.0), false, reading(0));
        assert_eq!(bound.step(reading(1_000)), Step::GoOn);
        bound.paused(reading(1_000));
        assert_eq!(bound.step(reading(3_000)), Step::Resume);
        bound.resumed(reading(3_000));
        let slices = bound.slices(reading(4_000));
        assert!((slices.share() - 0.5).abs() < 1e-9, "{slices:?}");
    }
}
