//! What of the target's CPU time is its own, and what recording has cost.

use unfreed_common::config::Clock;

use super::reading::Span;
use super::trap::{Cost, RECORDING};
use crate::bpf::Runs;

/// Which share of its CPU time is a target's own at least, where that is not known any better: what was recorded is not
/// nothing.
const LEAST_OWN: f64 = 0.02;

/// Of fewer samples nothing can be said.
const FEWEST_SAMPLES: u64 = 20;

/// How much of the target's time in user mode is to have been seen without probes, nanoseconds: it is known to 10 ms.
const LEAST_QUIET: f64 = 100e6;

/// How far the share that is observed may be off, in units of itself, where it was not seen what probes cost the target.
const UNSEEN: f64 = 0.5;

/// The same where it was seen, at best: a processor that is shared is slower for seconds on end, and what the target does in a
/// slice is then less.
const CHANGING: f64 = 0.1;

/// By how much longer the target's own work takes while it is probed, as the kernel's leaves nothing of it in the caches
/// and branch predictors: in units of what probes take. 0.02 to 0.03 was measured of 2.4 million pairs of malloc and free a
/// second, with nine tenths of the time in probes (AMD EPYC, 2.4 GHz, in a virtual machine). And how far that may be off.
pub(super) const SLOWED: (f64, f64) = (0.025, 0.0125);

/// What has come since the recording began.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spans {
    /// In the slices in which clocks were sampled.
    pub sampled: Span,
    /// In the others.
    pub unsampled: Span,
    /// While probes came and went.
    pub changing: Span,
    /// While there were none.
    pub quiet: Span,
}

/// CPU time of a target since the recording began: nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    /// Its own.
    pub own: f64,
    /// Of that, what was recorded.
    pub recorded: f64,
    /// What recording cost.
    pub spent: f64,
    /// The standard error of what was recorded, in units of itself.
    pub error: f64,
}

impl Spans {
    /// Which of the target's time is its own: what it did in user mode, as samples have met it there, and as much of the
    /// kernel's time for each second of that as it has when there are no probes. As long as that is not known, what the
    /// programs' runs cost on ourselves is left out, and the rest is its own.
    pub fn account(&self, cost: &Cost) -> Account {
        let (recorded, meanwhile, error) = self.by_samples().unwrap_or_else(|| self.by_runs(cost));
        let quiet = self.quiet.cpu;
        let all = self.sampled.cpu + self.unsampled.cpu + self.changing.cpu + quiet;
        let own = recorded + meanwhile + quiet;
        Account {
            own,
            recorded,
            spent: all - own,
            error,
        }
    }

    /// In slices, while probes came and went, and the error of both; `None`: there is too little to go by.
    fn by_samples(&self) -> Option<(f64, f64, f64)> {
        let Self {
            sampled, changing, ..
        } = self;
        if sampled.clock.own < FEWEST_SAMPLES || self.quiet.user < LEAST_QUIET {
            return None;
        }
        let with_kernel = (self.quiet.cpu / self.quiet.user).max(1.0);
        let own = |user: f64, span: &Span| (user * with_kernel).min(span.cpu);
        let (share, error) = own_share(sampled.clock);
        let user = share * sampled.cpu;
        // A call takes as long there.
        let in_others = user * calls(self.unsampled.runs) / calls(sampled.runs).max(1.0);
        let meanwhile = match changing.clock.samples {
            0 => changing.cpu,
            _ => own(own_share(changing.clock).0 * changing.cpu, changing),
        };
        let recorded = own(user, sampled) + own(in_others, &self.unsampled);
        Some((recorded, meanwhile, error.hypot(CHANGING)))
    }

    /// The same by what the programs' runs cost on ourselves.
    fn by_runs(&self, cost: &Cost) -> (f64, f64, f64) {
        let own = |span: &Span, factor: f64| {
            let spent = factor * cost.on_ourselves(span.runs);
            (span.cpu - spent).max(span.cpu * LEAST_OWN)
        };
        let recorded = own(&self.sampled, RECORDING) + own(&self.unsampled, RECORDING);
        (recorded, own(&self.changing, 1.0), UNSEEN)
    }
}

/// Which share of the time that was sampled is the target's own work in user mode, as long as that takes without
/// probes; and the standard error of that, in units of itself.
fn own_share(Clock { samples, own }: Clock) -> (f64, f64) {
    let (samples, own) = (samples as f64, own as f64);
    let seen = own / samples;
    let others = 1.0 - seen;
    let (slowed, off) = SLOWED;
    let share = (seen - slowed * others).max(seen / 2.0);
    // The first is of a number that is binomially distributed.
    let error = (seen * others / samples).sqrt().hypot(off * others);
    (share, error / share)
}

/// Of all functions that are probed.
pub fn calls(runs: Runs) -> f64 {
    (runs.emulated + runs.single_stepped) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Cost = Cost {
        emulated: 200.0,
        single_stepped: 200.0,
        returning: 200.0,
    };

    fn span(cpu: f64, user: f64, runs: u64, [samples, own]: [u64; 2]) -> Span {
        Span {
            cpu,
            user,
            runs: Runs {
                emulated: runs,
                ..Runs::default()
            },
            clock: Clock { samples, own },
        }
    }

    /// Nobody has sampled.
    const NONE: [u64; 2] = [0; 2];

    #[test]
    fn what_is_its_own_goes_by_samples() {
        let spans = Spans {
            // A quarter of its time is its own, in user mode, or would be if it had not been slowed down.
            sampled: span(1e9, 0.4e9, 1_000_000, [4_000, 1_000]),
            // As much for each call.
            unsampled: span(0.9e9, 0.3e9, 500_000, NONE),
            // Half of it.
            changing: span(0.2e9, 0.1e9, 100_000, [800, 400]),
            // Half as much again in the kernel.
            quiet: span(9e9, 6e9, 0, NONE),
        };
        let Account {
            own,
            recorded,
            spent,
            error,
        } = spans.account(&COST);
        let share = 0.25 - 0.75 * SLOWED.0;
        assert!((recorded - 1.5 * 1.5e9 * share).abs() < 1.0, "{recorded}");
        let meanwhile = 1.5 * 0.2e9 * (0.5 - 0.5 * SLOWED.0);
        assert!((own - (9e9 + recorded + meanwhile)).abs() < 1.0, "{own}");
        assert!((spent - (11.1e9 - own)).abs() < 1.0, "{spent}");
        let sampling = (0.25 * 0.75_f64 / 4_000.0).sqrt();
        let sampling = sampling.hypot(0.75 * SLOWED.1) / share;
        assert!((error - sampling.hypot(CHANGING)).abs() < 1e-9, "{error}");
    }

    #[test]
    fn nobody_has_more_than_all_or_nothing() {
        let spans = Spans {
            sampled: span(1e9, 1e9, 10, [4_000, 3_999]),
            unsampled: span(1.0, 1.0, 1_000_000, NONE),
            changing: span(0.2e9, 0.1e9, 100_000, NONE),
            quiet: span(9e9, 1e9, 0, NONE),
        };
        let account = spans.account(&COST);
        assert!((account.recorded - (1e9 + 1.0)).abs() < 1.0, "{account:?}");
        assert!(account.spent.abs() < 1.0, "{account:?}");
        let (share, _) = own_share(Clock {
            samples: 10_000,
            own: 100,
        });
        assert!((share - 0.005).abs() < 1e-9, "{share}");
    }

    #[test]
    fn without_samples_it_goes_by_what_probes_cost_ourselves() {
        let none = Spans {
            sampled: span(1e9, 0.4e9, 1_000_000, [4_000, 1_000]),
            quiet: span(9e9, 0.09e9, 0, NONE),
            ..Spans::default()
        };
        let few = Spans {
            sampled: span(1e9, 0.4e9, 1_000_000, [4_000, 19]),
            quiet: span(9e9, 6e9, 0, NONE),
            ..Spans::default()
        };
        for spans in [none, few] {
            let account = spans.account(&COST);
            assert!((account.spent - 0.3e9).abs() < 1.0, "{account:?}");
            assert!((account.recorded - 0.7e9).abs() < 1.0, "{account:?}");
            assert!((account.error - UNSEEN).abs() < 1e-9, "{account:?}");
        }
        // These would have taken more time than there was.
        let dear = Spans {
            sampled: span(1e6, 1e6, 1_000_000, NONE),
            quiet: span(9e9, 6e9, 0, NONE),
            ..Spans::default()
        };
        let account = dear.account(&COST);
        assert!((account.recorded - 0.02e6).abs() < 1.0, "{account:?}");
    }
}
