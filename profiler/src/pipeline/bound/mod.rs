//! A bound on what recording costs: when that is more than the share of the target's CPU time that was granted, the
//! probes are taken away until it is not. What it costs is seen by sampling the processors' clocks while there are
//! probes.

mod account;
mod gaps;
mod reading;
mod trap;

use crate::profile::{Slice, Slices};
use account::{Spans, calls};
pub use gaps::Gaps;
use reading::Reading;
pub use trap::{Cost, load};

/// How much more than granted may be spent before the probes are taken away, nanoseconds: to take them away
/// and to bring them back costs, too.
const SLACK: f64 = 50e6;

/// The same where they go at once: many short slices tell more than a few long ones.
const SHORT_SLACK: f64 = 20e6;

/// Which part of what is granted is spent as far as it can be counted. The rest is for what cannot: probes being
/// brought and taken away, and caches.
const COUNTED: f64 = 0.6;

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

/// Where a recording is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Events count.
    Recorded,
    /// Probes come or go.
    Changing,
    /// There are none.
    Quiet,
}

/// The account of one recording.
#[derive(Debug, Clone)]
pub struct Bound {
    /// Which share of the target's own CPU time may be spent.
    granted: f64,
    slack: f64,
    cost: Cost,
    begin: Reading,
    state: State,
    /// Since when it is there.
    since: Reading,
    /// Before that.
    spans: Spans,
    /// Slices that are over: where they began and ended.
    slices: Vec<(Reading, Reading)>,
}

impl Bound {
    /// `percent` of the target's own CPU time may be spent. `at_once`: so do probes go. Recording begins now.
    pub fn of(percent: f64, cost: Cost, at_once: bool, begin: Reading) -> Self {
        Self {
            slack: if at_once { SHORT_SLACK } else { SLACK },
            granted: percent / 100.0,
            cost,
            begin,
            state: State::Recorded,
            since: begin,
            spans: Spans::default(),
            slices: Vec::new(),
        }
    }

    /// What is to be done now.
    pub fn step(&self, now: Reading) -> Step {
        let account = self.spans(now).account(&self.cost);
        let credit = self.granted * COUNTED * account.own - account.spent;
        match self.state {
            State::Recorded if credit < -self.slack => Step::Pause,
            State::Quiet if credit >= 0.0 => Step::Resume,
            _ => Step::GoOn,
        }
    }

    /// Events do not count any more, and probes begin to go.
    pub fn paused(&mut self, now: Reading) {
        if self.state == State::Recorded {
            self.slices.push((self.since, now));
        }
        self.enter(State::Changing, now);
    }

    /// Probes are gone.
    pub fn gone(&mut self, now: Reading) {
        self.enter(State::Quiet, now);
    }

    /// Probes begin to come back.
    pub fn returning(&mut self, now: Reading) {
        self.enter(State::Changing, now);
    }

    /// Events count again.
    pub fn resumed(&mut self, now: Reading) {
        self.enter(State::Recorded, now);
    }

    /// What it came to. The recording is over.
    pub fn slices(mut self, now: Reading) -> Slices {
        self.paused(now);
        let account = self.spans.account(&self.cost);
        let share = if matches!(self.slices[..], [slice] if slice == (self.begin, now)) {
            1.0
        } else if account.recorded > 0.0 && account.own > 0.0 {
            (account.recorded / account.own).min(1.0)
        } else {
            self.share_of_time(now)
        };
        // How the slices compare with each other is known exactly, by what was done in them.
        let done = |&(begin, end): &(Reading, Reading)| calls(end.runs - begin.runs).max(1.0);
        let all: f64 = self.slices.iter().map(done).sum();
        let slices = self.slices.iter().map(|slice| Slice {
            begin: slice.0.time,
            share: share * done(slice) / all,
            net: slice
                .1
                .net
                .zip(slice.0.net)
                .map(|(after, before)| after - before),
        });
        Slices {
            slices: slices.collect(),
            error: account.error,
            cost: account.spent / account.own.max(1.0),
            granted: self.granted,
        }
    }

    /// Which share of the time was observed, of a target that did nothing in it.
    fn share_of_time(&self, now: Reading) -> f64 {
        let time = |from: Reading, to: Reading| to.time.saturating_sub(from.time) as f64;
        let all = time(self.begin, now);
        let slices: f64 = self.slices.iter().map(|&(from, to)| time(from, to)).sum();
        if all > 0.0 { slices / all } else { 1.0 }
    }

    fn enter(&mut self, state: State, now: Reading) {
        self.spans = self.spans(now);
        (self.state, self.since) = (state, now);
    }

    /// Up to now.
    fn spans(&self, now: Reading) -> Spans {
        let mut spans = self.spans;
        let last = now - self.since;
        *match self.state {
            State::Recorded if last.clock.samples > 0 => &mut spans.sampled,
            State::Recorded => &mut spans.unsampled,
            State::Changing => &mut spans.changing,
            State::Quiet => &mut spans.quiet,
        } += last;
        spans
    }
}

#[cfg(test)]
mod tests;
