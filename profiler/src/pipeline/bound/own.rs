//! What the target's own work between two calls takes, as seen while probes are taken away from it.

use std::collections::{BTreeMap, VecDeque};

use super::least_squares::{Observation, scatter, solve};
use crate::bpf::Kind;

/// How many phases are remembered: what the target does may change.
const REMEMBERED: usize = 64;

/// How far what is seen in a phase is off, in units of itself: processors that are shared, work that differs. Phases
/// tell when it is more.
const NOISE: f64 = 0.07;

/// How far a probe's cost is off from what was measured on ourselves, in units of what the dearest of them costs there.
const DIFFERENCE: f64 = 0.5;

/// By how much more than itself a probe costs where another, dearer one is hit in turn with it: 0.08 to 0.16 was measured of empty
/// probes on malloc and free (Intel Xeon, 2.8 GHz, in a virtual machine). And how far that is off elsewhere.
pub const TOGETHER: (f64, f64) = (0.1, 0.15);

/// Where a probe is, within its page, and what it waits for.
pub type Place = (usize, Kind);

/// A time in which nothing was recorded, and some of the probes were there.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// CPU time of the target for each call of a function that is probed otherwise, nanoseconds.
    pub time: f64,
    /// The standard error of how many calls that were, in units of their number.
    pub error: f64,
    /// The probes that were there, each with the share of calls that hit it, and what it costs on ourselves,
    /// nanoseconds.
    pub probes: Vec<(Place, f64, f64)>,
}

/// What was learnt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Of the target's own CPU time for each call, nanoseconds.
    pub call: f64,
    /// The standard error of that, in units of itself.
    pub error: f64,
    /// What probes cost in the target, in units of what they cost on ourselves.
    pub probes: f64,
}

/// What was seen: `time = call + share of each probe * its cost + together * what all probes but the dearest cost on ourselves`.
/// Solved by least squares, with what was measured on ourselves as an observation of each probe's cost.
#[derive(Debug, Clone, Default)]
pub struct Own(VecDeque<Phase>);

impl Own {
    /// Adds what was seen.
    pub fn add(&mut self, phase: Phase) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(phase);
    }

    /// `None`: nothing was seen, or what cannot be.
    pub fn fit(&self) -> Option<Fit> {
        /// What is not known, besides each probe's cost.
        const CALL: usize = 0;
        const INTERPLAY: usize = 1;
        const PROBES: usize = 2;
        let mut expected = BTreeMap::new();
        for phase in &self.0 {
            expected.extend(phase.probes.iter().map(|&(place, _, cost)| (place, cost)));
        }
        let places: Vec<Place> = expected.keys().copied().collect();
        let unknowns = PROBES + places.len();
        let mut observations = Vec::new();
        for phase in &self.0 {
            let mut row = vec![0.0; unknowns];
            row[CALL] = 1.0;
            row[INTERPLAY] = phase.all_but_the_dearest();
            for (place, share, _) in &phase.probes {
                row[PROBES + places.binary_search(place).ok()?] = *share;
            }
            observations.push(Observation {
                row,
                value: phase.time,
                error: NOISE.hypot(phase.error) * phase.time,
            });
        }
        let seen = observations.len();
        let dearest = expected.values().copied().fold(0.0, f64::max);
        let (together, off) = TOGETHER;
        let before = [(together, off)].into_iter();
        let before = before.chain(expected.values().map(|&cost| (cost, DIFFERENCE * dearest)));
        for (index, (value, error)) in before.enumerate() {
            let mut row = vec![0.0; unknowns];
            row[INTERPLAY + index] = 1.0;
            observations.push(Observation { row, value, error });
        }
        let (solution, _) = solve(&observations)?;
        let scatter = scatter(&observations[..seen], &solution);
        for it in &mut observations[..seen] {
            it.error *= scatter;
        }
        let (solution, variance) = solve(&observations)?;
        let call = solution[CALL];
        let last = self.0.iter().rev().max_by_key(|it| it.probes.len())?;
        let (mut found, mut on_ourselves) = (solution[INTERPLAY] * last.all_but_the_dearest(), 0.0);
        for (place, share, cost) in &last.probes {
            found += share * solution[PROBES + places.binary_search(place).ok()?];
            on_ourselves += share * cost;
        }
        let fit = Fit {
            call,
            error: variance.sqrt() / call,
            probes: found / on_ourselves,
        };
        (fit.call > 0.0 && fit.probes > 0.0).then_some(fit)
    }
}

impl Phase {
    /// What the probes that were there cost on ourselves for each call, without the one that costs most.
    fn all_but_the_dearest(&self) -> f64 {
        let costs = self.probes.iter().map(|(_, share, cost)| share * cost);
        let (all, dearest) = costs.fold((0.0, 0.0), |(all, dearest), cost| {
            (all + cost, f64::max(dearest, cost))
        });
        all - dearest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MALLOC: Place = (1, Kind::Emulated);
    const RETURN: Place = (1, Kind::Return);
    const FREE: Place = (2, Kind::Emulated);

    /// A program of so many nanoseconds for each call, what probes cost, and how much dearer they are together.
    fn seen(
        sets: &[&[Place]],
        call: f64,
        cost: impl Fn(Place) -> f64,
        together: f64,
    ) -> Option<Fit> {
        let mut own = Own::default();
        for set in sets {
            let mut phase = Phase {
                time: call + set.iter().map(|&place| 0.5 * cost(place)).sum::<f64>(),
                error: 0.0,
                probes: set.iter().map(|&place| (place, 0.5, 400.0)).collect(),
            };
            phase.time += together * phase.all_but_the_dearest();
            own.add(phase);
        }
        own.fit()
    }

    const SETS: [&[Place]; 6] = [
        &[MALLOC, RETURN, FREE],
        &[MALLOC, FREE],
        &[FREE],
        &[MALLOC, RETURN, FREE],
        &[MALLOC, FREE],
        &[MALLOC],
    ];

    fn differing(place: Place) -> f64 {
        match place {
            MALLOC => 700.0,
            RETURN => 500.0,
            _ => 300.0,
        }
    }

    #[test]
    fn own_work_and_probes_are_told_apart() {
        for together in [0.0, 0.1, 0.25] {
            let found = seen(&SETS.repeat(8), 300.0, differing, together).unwrap();
            // How dear probes are together is known no better.
            let off = (found.call - 300.0) / 300.0;
            assert!(off.abs() < 1.2 * found.error, "{found:?}");
            assert!((0.05..0.3).contains(&found.error), "{found:?}");
            assert!((found.probes - 1.25).abs() < 0.3, "{found:?}");
        }
    }

    #[test]
    fn what_is_hardly_ever_hit_tells_best() {
        let mut own = Own::default();
        for _ in 0..8 {
            own.add(Phase {
                time: 300.0,
                error: 0.1,
                probes: Vec::new(),
            });
        }
        let fit = own.fit();
        assert_eq!(fit, None, "nothing is known of the probes");
        for set in SETS.repeat(4) {
            own.add(Phase {
                time: 300.0 + set.iter().map(|&it| 0.5 * differing(it)).sum::<f64>(),
                error: 0.0,
                probes: set.iter().map(|&place| (place, 0.5, 400.0)).collect(),
            });
        }
        let fit = own.fit().unwrap();
        assert!((fit.call - 300.0).abs() < 10.0, "{fit:?}");
        assert!(fit.error < 0.06, "{fit:?}");
    }

    #[test]
    fn what_does_not_fit_is_known_worse() {
        let steady = seen(&SETS.repeat(8), 300.0, differing, TOGETHER.0).unwrap();
        let mut own = Own::default();
        for (index, set) in SETS.repeat(8).into_iter().enumerate() {
            let speed = if index % 2 == 0 { 0.7 } else { 1.3 };
            let time = 300.0 + set.iter().map(|&it| 0.5 * differing(it)).sum::<f64>();
            own.add(Phase {
                time: time * speed,
                error: 0.0,
                probes: set.iter().map(|&place| (place, 0.5, 400.0)).collect(),
            });
        }
        let unsteady = own.fit().unwrap();
        assert!(
            unsteady.error > 1.4 * steady.error,
            "{unsteady:?}, {steady:?}"
        );
    }

    #[test]
    fn what_was_measured_on_ourselves_fills_in() {
        let found = seen(&[&[MALLOC, RETURN, FREE]], 300.0, |_| 400.0, TOGETHER.0).unwrap();
        assert!((found.call - 300.0).abs() < 1e-6, "{found:?}");
        assert!((found.probes - 640.0 / 600.0).abs() < 1e-6, "{found:?}");
        // The errors of the phase, of three probes that each hit half of the calls, and of what two of them cost together.
        let variance = (NOISE * 940.0).powi(2)
            + 3.0 * (0.5 * DIFFERENCE * 400.0).powi(2)
            + (TOGETHER.1 * 400.0).powi(2);
        assert!(
            (found.error - variance.sqrt() / 300.0).abs() < 1e-6,
            "{found:?}"
        );
    }

    #[test]
    fn nothing_is_said_of_what_was_not_seen() {
        assert_eq!(seen(&[], 300.0, |_| 400.0, 0.0), None);
        // Nobody works in no time.
        assert_eq!(seen(&[&[MALLOC, FREE]], -900.0, |_| 400.0, 0.0), None);
    }
}
