//! The account of recordings that are made up.

use unfreed_common::config::Clock;

use super::trap::RECORDING;
use super::*;
use crate::bpf::Runs;

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
    let mut bound = Bound::of(
        5.0,
        Cost::each(expected / RECORDING),
        false,
        Reading::default(),
    );
    // Which part of its time is its own while there are probes, and how much that looks like.
    let own = 1.0 / (1.0 + rate * cost / 1e9);
    let (slowed, _) = account::SLOWED;
    let seen = (own + slowed) / (1.0 + slowed);
    let (mut time, mut runs, mut samples, mut user) = (0.0, 0.0, 0.0, 0.0);
    loop {
        let now = Reading {
            time: time as u64,
            cpu: time as u64,
            user: user as u64,
            runs: emulated(runs as u64),
            clock: Clock {
                samples: samples as u64,
                own: (samples * seen) as u64,
            },
            net: None,
        };
        if time >= seconds * 1e9 {
            return bound.slices(now);
        }
        match bound.step(now) {
            Step::GoOn => {}
            Step::Pause => {
                bound.paused(now);
                bound.gone(now);
            }
            Step::Resume => {
                bound.returning(now);
                bound.resumed(now);
            }
        }
        time += TICK;
        if bound.state == State::Recorded {
            user += TICK * own;
            // Each second of its own takes longer.
            runs += TICK * own * rate / 1e9;
            if !bound.slices.is_empty() {
                samples += TICK / 500e3;
            }
        } else {
            user += TICK;
        }
    }
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
        for expected in [300.0, 500.0, 900.0] {
            let slices = run(rate, 500.0, expected, 60.0);
            assert!(slices.slices.len() > 3, "{slices:?}");
            assert!((0.025..0.037).contains(&slices.cost), "{rate}: {slices:?}");
            let share = 0.05 * COUNTED / (rate * 500e-9);
            assert!(
                (slices.share() / share - 1.0).abs() < 0.1,
                "{rate}, {expected}: {slices:?}"
            );
        }
    }
}

#[test]
fn the_last_slice_tells_nothing_of_what_is_unfreed() {
    let reading = |time, runs| Reading {
        time,
        cpu: time,
        runs: emulated(runs),
        ..Reading::default()
    };
    let mut bound = Bound::of(5.0, Cost::each(200.0 / RECORDING), false, reading(0, 0));
    bound.paused(reading(100_000_000, 300_000));
    bound.gone(reading(100_000_000, 300_000));
    bound.returning(reading(220_000_000, 300_000));
    bound.resumed(reading(220_000_000, 300_000));
    let slices = bound.slices(reading(260_000_000, 400_000));
    // It did 40 ms of its own in the first one, 20 in the second, 120 between.
    assert!((slices.share() - 60.0 / 180.0).abs() < 1e-9, "{slices:?}");
    // Three quarters of what was done in slices was done in the first one.
    let (before, share) = slices.telling();
    assert_eq!(before, 220_000_000);
    assert!((share - 0.25).abs() < 1e-9, "{slices:?}");
}

/// What runs before probes are gone, and after they have begun to come back, is seen and not recorded.
#[test]
fn what_is_done_while_probes_come_and_go_is_not_observed() {
    let reading = |time, user, samples, own| Reading {
        time,
        cpu: time,
        user,
        runs: emulated(time / 1_000),
        clock: Clock { samples, own },
        net: None,
    };
    let mut bound = Bound::of(5.0, Cost::each(1.0), true, reading(0, 0, 0, 0));
    bound.paused(reading(100_000_000, 0, 0, 0));
    // Half of it is its own.
    bound.gone(reading(300_000_000, 0, 1_000, 500));
    bound.returning(reading(1_300_000_000, 1_000_000_000, 1_000, 500));
    bound.resumed(reading(1_500_000_000, 1_000_000_000, 2_000, 1_000));
    // A quarter of it is its own, and for each call as much in the first slice.
    let slices = bound.slices(reading(1_700_000_000, 1_000_000_000, 3_000, 1_250));
    let slowed = |share: f64| share - account::SLOWED.0 * (1.0 - share);
    let recorded = slowed(0.25) * 300e6;
    let own = recorded + slowed(0.5) * 400e6 + 1e9;
    assert!(
        (slices.share() - recorded / own).abs() < 1e-9,
        "{slices:?}, {}",
        recorded / own
    );
    assert!(
        (slices.cost - (1.7e9 - own) / own).abs() < 1e-9,
        "{slices:?}"
    );
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
    assert_eq!(bound.step(reading(2_000)), Step::GoOn);
    bound.gone(reading(2_000));
    assert_eq!(bound.step(reading(3_000)), Step::Resume);
    bound.returning(reading(3_000));
    bound.resumed(reading(3_000));
    let slices = bound.slices(reading(4_000));
    assert!((slices.share() - 0.5).abs() < 1e-9, "{slices:?}");
}
