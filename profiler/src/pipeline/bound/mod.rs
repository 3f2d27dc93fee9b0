//! A bound on what recording costs: its programs are counted, each is taken to cost what was measured on
//! this machine, and when that is more than the share of the target's CPU time that was granted, the probes
//! are taken away until it is not.

mod gaps;
mod trap;

use crate::bpf::Runs;
use crate::profile::{Slice, Slices};
pub use gaps::Gaps;
pub use trap::Cost;

/// How much more than granted may be spent before the probes are taken away, nanoseconds: to take them away
/// and to bring them back costs, too.
const SLACK: f64 = 50e6;

/// Which part of what is granted is spent as far as it can be counted. The rest is for what cannot: probes being
/// brought and taken away, and caches.
const COUNTED: f64 = 0.6;

/// Less time in user mode than this is too few ticks of the kernel's clock, nanoseconds.
const LEAST_USER_TIME: f64 = 40e6;

/// Where the target and the clocks are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// CPU time of the target so far, nanoseconds.
    pub cpu: u64,
    /// Of that, in user mode: probes take the kernel's time.
    pub user: u64,
    /// How often programs have run so far.
    pub runs: Runs,
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
    cost: Cost,
    begin: Reading,
    /// Since when it is recorded, if it is.
    since: Option<Reading>,
    /// Those that are over: where they began and ended.
    slices: Vec<(Reading, Reading)>,
}

impl Bound {
    /// `percent` of the target's own CPU time may be spent. Recording begins now.
    pub fn of(percent: f64, cost: Cost, begin: Reading) -> Self {
        Self {
            granted: percent / 100.0,
            cost,
            begin,
            since: Some(begin),
            slices: Vec::new(),
        }
    }

    /// What is to be done now.
    pub fn step(&self, now: Reading) -> Step {
        let granted = self.granted * COUNTED * self.own(self.begin, now);
        let credit = granted - self.spent(self.begin, now);
        match self.since {
            Some(_) if credit < -SLACK => Step::Pause,
            None if credit >= 0.0 => Step::Resume,
            _ => Step::GoOn,
        }
    }

    /// Events do not count any more.
    pub fn paused(&mut self, now: Reading) {
        if let Some(since) = self.since.take() {
            self.slices.push((since, now));
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
        let share = if whole { 1.0 } else { self.observed(now) };
        // How the slices compare with each other is known exactly, by what was done in them.
        let done = |(begin, end): &(Reading, Reading)| {
            let done = runs(*begin, *end, |runs| runs.emulated + runs.single_stepped);
            if done > 0.0 { done } else { 1.0 }
        };
        let all: f64 = self.slices.iter().map(done).sum();
        let own = self.own(self.begin, now);
        let cost = self.spent(self.begin, now) / own.max(1.0);
        Slices {
            slices: self
                .slices
                .iter()
                .map(|slice| Slice {
                    begin: slice.0.time,
                    share: share * done(slice) / all,
                })
                .collect(),
            cost,
            granted: self.granted,
        }
    }

    /// Which share of what the target did was observed, in slices with gaps between them.
    fn observed(&self, now: Reading) -> f64 {
        let sum = |of: &dyn Fn(Reading, Reading) -> f64| {
            let parts = self.slices.iter().map(|&(begin, end)| of(begin, end));
            (parts.sum::<f64>(), of(self.begin, now))
        };
        // It does less while it is recorded, and takes as much longer for it, mostly in the kernel. (Its CPU time
        // less what was spent would be the difference of two large numbers, of which one is estimated.)
        let (user, all) = sum(&|from, to| self.user(from, to));
        if user >= LEAST_USER_TIME {
            return (user / all).min(1.0);
        }
        // Of too few ticks nothing can be said. By all of its CPU time the share is too large, and what it
        // stands for too little: a lower bound.
        let (cpu, all) = sum(&|from, to| to.cpu.saturating_sub(from.cpu) as f64);
        if cpu > 0.0 {
            return cpu / all;
        }
        let (time, all) = sum(&|from, to| to.time.saturating_sub(from.time) as f64);
        if time > 0.0 { time / all } else { 1.0 }
    }

    fn spent(&self, from: Reading, to: Reading) -> f64 {
        runs(from, to, |runs| runs.emulated) * self.cost.emulated
            + runs(from, to, |runs| runs.single_stepped) * self.cost.single_stepped
    }

    /// Time in user mode without what of the probes' counts as such.
    fn user(&self, from: Reading, to: Reading) -> f64 {
        let user = to.user.saturating_sub(from.user) as f64;
        (user - runs(from, to, |runs| runs.emulated + runs.single_stepped) * self.cost.in_user_mode)
            .max(0.0)
    }

    /// CPU time without what was spent.
    fn own(&self, from: Reading, to: Reading) -> f64 {
        let cpu = to.cpu.saturating_sub(from.cpu) as f64;
        (cpu - self.spent(from, to)).max(0.0)
    }
}

fn runs(from: Reading, to: Reading, of: fn(Runs) -> u64) -> f64 {
    of(to.runs).saturating_sub(of(from.runs)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Cost {
        fn each(cost: f64) -> Self {
            Self {
                emulated: cost,
                single_stepped: cost,
                in_user_mode: 0.0,
            }
        }
    }

    /// A program that would do `rate` runs a second, on one processor, for `seconds`; what it comes to.
    fn run(rate: f64, cost: f64, percent: f64, seconds: f64) -> Slices {
        const TICK: f64 = 20e6;
        let reading = |time: f64, runs: f64| Reading {
            time: time as u64,
            cpu: time as u64,
            user: (time - runs * cost) as u64,
            runs: Runs {
                emulated: runs as u64,
                single_stepped: 0,
            },
        };
        let mut bound = Bound::of(percent, Cost::each(cost), Reading::default());
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
                Step::Pause => bound.paused(now),
                Step::Resume => bound.resumed(now),
            }
        }
        bound.slices(reading(time, runs))
    }

    #[test]
    fn what_costs_little_is_recorded_all_the_time() {
        let slices = run(10_000.0, 1000.0, 5.0, 60.0);
        assert_eq!(slices.slices.len(), 1);
        assert!(slices.is_whole());
        assert!((slices.cost - 0.01).abs() < 1e-3, "{slices:?}");
    }

    #[test]
    fn what_costs_much_is_recorded_now_and_then() {
        for rate in [200_000.0, 1e6, 4e6] {
            let slices = run(rate, 500.0, 5.0, 60.0);
            assert!(slices.slices.len() > 3, "{slices:?}");
            assert!((0.025..0.037).contains(&slices.cost), "{rate}: {slices:?}");
            let expected = 0.05 * COUNTED / (rate * 500e-9);
            assert!(
                (slices.share() / expected - 1.0).abs() < 0.15,
                "{rate}: {slices:?}"
            );
        }
    }

    #[test]
    fn too_few_ticks_are_no_reason_for_a_large_number() {
        let reading = |time, runs| Reading {
            time,
            cpu: time,
            user: 0,
            runs: Runs {
                emulated: runs,
                single_stepped: 0,
            },
        };
        let mut bound = Bound::of(5.0, Cost::each(500.0), reading(0, 0));
        bound.paused(reading(100_000_000, 300_000));
        bound.resumed(reading(300_000_000, 350_000));
        let slices = bound.slices(reading(400_000_000, 450_000));
        assert!((slices.share() - 0.5).abs() < 1e-9, "{slices:?}");
        // Three quarters of what was done in slices was done in the first one.
        let (before, share) = slices.telling();
        assert_eq!(before, 300_000_000);
        assert!((share - 0.375).abs() < 1e-9, "{slices:?}");
    }

    #[test]
    fn a_target_that_does_nothing_is_recorded_by_time() {
        let reading = |time| Reading {
            time,
            ..Reading::default()
        };
        let mut bound = Bound::of(5.0, Cost::each(500.0), reading(0));
        assert_eq!(bound.step(reading(1_000)), Step::GoOn);
        bound.paused(reading(1_000));
        assert_eq!(bound.step(reading(3_000)), Step::Resume);
        bound.resumed(reading(3_000));
        let slices = bound.slices(reading(4_000));
        assert!((slices.share() - 0.5).abs() < 1e-9, "{slices:?}");
    }
}
