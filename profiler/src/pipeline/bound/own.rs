//! What the target's own work between two calls takes, as seen while probes are taken away from it.

use std::collections::{BTreeMap, VecDeque};

use crate::bpf::Kind;

/// How many phases are remembered: what the target does may change.
const REMEMBERED: usize = 64;

/// How far what is seen in a phase is off, in units of itself: processors that are shared, work that differs.
const NOISE: f64 = 0.2;

/// How far a probe's cost is off from what was measured on ourselves, in units of that.
const DIFFERENCE: f64 = 0.5;

/// Where a probe is, within its page, and what it waits for.
pub type Place = (usize, Kind);

/// A time in which nothing was recorded, and some of the probes were there.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// CPU time of the target for each call of a function that is probed otherwise, nanoseconds.
    pub time: f64,
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

/// What was seen: `time = call + share of each probe * its cost`. Solved by least squares, with what was measured on
/// ourselves as an observation of each probe's cost.
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
        let mut expected = BTreeMap::new();
        for phase in &self.0 {
            expected.extend(phase.probes.iter().map(|&(place, _, cost)| (place, cost)));
        }
        let places: Vec<Place> = expected.keys().copied().collect();
        let mut equations = Equations::of(places.len() + 1);
        for phase in &self.0 {
            let mut row = vec![0.0; places.len() + 1];
            row[0] = 1.0;
            for (place, share, _) in &phase.probes {
                let index = places.binary_search(place).ok()?;
                row[index + 1] = *share;
            }
            equations.add(&row, phase.time, NOISE * phase.time);
        }
        for (index, &cost) in expected.values().enumerate() {
            let mut row = vec![0.0; places.len() + 1];
            row[index + 1] = 1.0;
            equations.add(&row, cost, DIFFERENCE * cost);
        }
        let (solution, variance) = equations.solve()?;
        let (call, costs) = solution.split_first()?;
        let last = self.0.iter().rev().max_by_key(|it| it.probes.len())?;
        let (mut found, mut on_ourselves) = (0.0, 0.0);
        for (place, share, cost) in &last.probes {
            found += share * costs[places.binary_search(place).ok()?];
            on_ourselves += share * cost;
        }
        let fit = Fit {
            call: *call,
            error: variance.sqrt() / call,
            probes: found / on_ourselves,
        };
        (fit.call > 0.0 && fit.probes > 0.0).then_some(fit)
    }
}

/// The normal equations of a linear least-squares problem. Two more columns: the right side, and that of the first
/// column of the inverse matrix, which begins with the variance of the first unknown.
struct Equations(Vec<Vec<f64>>);

impl Equations {
    fn of(unknowns: usize) -> Self {
        let mut rows = vec![vec![0.0; unknowns + 2]; unknowns];
        rows[0][unknowns + 1] = 1.0;
        Self(rows)
    }

    /// `row` times the unknowns is `value`, or off by about `error`.
    fn add(&mut self, row: &[f64], value: f64, error: f64) {
        let weight = 1.0 / (error * error);
        for (equation, factor) in self.0.iter_mut().zip(row) {
            for (sum, other) in equation.iter_mut().zip(row.iter().chain([&value])) {
                *sum += weight * factor * other;
            }
        }
    }

    /// By Gaussian elimination: the matrix is positive definite, which needs no other order of its rows. `None`: it is
    /// not. The unknowns, and the variance of the first one.
    fn solve(mut self) -> Option<(Vec<f64>, f64)> {
        let rows = &mut self.0;
        for at in 0..rows.len() {
            let pivot = rows[at][at];
            if pivot.is_nan() || pivot <= 0.0 {
                return None;
            }
            let row: Vec<f64> = rows[at].iter().map(|value| value / pivot).collect();
            for (index, other) in rows.iter_mut().enumerate() {
                let factor = other[at];
                if index != at {
                    for (value, pivot) in other.iter_mut().zip(&row) {
                        *value -= factor * pivot;
                    }
                }
            }
            rows[at] = row;
        }
        let unknowns = rows.len();
        let variance = *rows.first()?.last()?;
        Some((rows.iter().map(|row| row[unknowns]).collect(), variance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MALLOC: Place = (1, Kind::Emulated);
    const RETURN: Place = (1, Kind::Return);
    const FREE: Place = (2, Kind::Emulated);

    /// A program of so many nanoseconds for each call, and what probes cost.
    fn seen(sets: &[&[Place]], call: f64, cost: impl Fn(Place) -> f64) -> Option<Fit> {
        let mut own = Own::default();
        for set in sets {
            let hit = set.iter().map(|&place| 0.5 * cost(place));
            own.add(Phase {
                time: call + hit.sum::<f64>(),
                probes: set.iter().map(|&place| (place, 0.5, 400.0)).collect(),
            });
        }
        own.fit()
    }

    #[test]
    fn own_work_and_probes_are_told_apart() {
        let sets: [&[Place]; 6] = [
            &[MALLOC, RETURN, FREE],
            &[MALLOC, FREE],
            &[FREE],
            &[MALLOC, RETURN, FREE],
            &[MALLOC, FREE],
            &[MALLOC],
        ];
        let found = seen(&sets.repeat(8), 300.0, |place| match place {
            MALLOC => 700.0,
            RETURN => 500.0,
            _ => 300.0,
        });
        let found = found.unwrap();
        assert!((found.call - 300.0).abs() < 25.0, "{found:?}");
        assert!((found.probes - 1.25).abs() < 0.05, "{found:?}");
        assert!((0.02..0.3).contains(&found.error), "{found:?}");
    }

    #[test]
    fn what_was_measured_on_ourselves_fills_in() {
        let found = seen(&[&[MALLOC, RETURN, FREE]], 300.0, |_| 400.0).unwrap();
        assert!((found.call - 300.0).abs() < 1e-6, "{found:?}");
        assert!((found.probes - 1.0).abs() < 1e-6, "{found:?}");
        // The errors of the phase, and of three probes that each hit half of the calls.
        let variance = (NOISE * 900.0).powi(2) + 3.0 * (0.5 * DIFFERENCE * 400.0).powi(2);
        assert!(
            (found.error - variance.sqrt() / 300.0).abs() < 1e-6,
            "{found:?}"
        );
    }

    #[test]
    fn nothing_is_said_of_what_was_not_seen() {
        assert_eq!(seen(&[], 300.0, |_| 400.0), None);
        // Nobody works in no time.
        assert_eq!(seen(&[&[MALLOC, FREE]], 0.0, |_| 1.0), None);
    }
}
