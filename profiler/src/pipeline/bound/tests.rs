//! The account of recordings that are made up.

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
