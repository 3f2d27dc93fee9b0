//! Which part of its throughput a program keeps that is recorded in slices: beside the speed that it has at the same
//! moments when nothing is recorded, since that of a shared machine changes by half within seconds.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::time::{ClockId, clock_gettime};

use crate::bounded::{Bounded, Said};

/// How often the program is asked.
const EACH: Duration = Duration::from_millis(20);

/// From when on probes may be coming before a slice begins, and until when after that they may be going: seconds.
const BEFORE: f64 = 0.15;
const AFTER: f64 = 0.25;

/// How long before and after a moment its speed is looked at: seconds.
const BESIDE: f64 = 0.6;

/// A time between two answers.
struct Interval {
    /// Its middle: seconds of `CLOCK_MONOTONIC`.
    time: f64,
    pairs: f64,
    cpu: f64,
}

/// What a program did, moment by moment.
pub struct Course(Vec<Interval>);

impl Course {
    /// Asks for so long.
    pub fn of(program: &mut Bounded, time: Duration) -> Result<Self> {
        let end = Instant::now() + time;
        let mut intervals = Vec::new();
        let mut last = at(program)?;
        while Instant::now() < end {
            std::thread::sleep(EACH);
            let now = at(program)?;
            intervals.push(Interval {
                time: now.0.midpoint(last.0),
                pairs: now.1.pairs - last.1.pairs,
                cpu: now.1.cpu - last.1.cpu,
            });
            last = now;
        }
        Ok(Self(intervals))
    }

    /// Pairs for each second of CPU time in the fastest tenth of all moments: what the program does when it has a processor for
    /// itself.
    pub fn speed(&self) -> Option<f64> {
        let mut speeds: Vec<f64> = self.0.iter().map(|it| it.pairs / it.cpu).collect();
        speeds.sort_by(|a, b| b.total_cmp(a));
        speeds.get(speeds.len() / 10).copied()
    }

    /// Pairs beside what there would have been without probes. `slices`: when each began, nanoseconds of
    /// `CLOCK_MONOTONIC`.
    pub fn kept(&self, slices: &[u64]) -> Result<f64> {
        let is_quiet = |interval: &&Interval| {
            !slices.iter().any(|&begin| {
                let since = interval.time - begin as f64 / 1e9;
                (-BEFORE..AFTER).contains(&since)
            })
        };
        let (quiet, busy): (Vec<&Interval>, Vec<&Interval>) = self.0.iter().partition(is_quiet);
        let mut expected: f64 = quiet.iter().map(|it| it.pairs).sum();
        for interval in busy {
            let beside = quiet
                .iter()
                .filter(|it| (it.time - interval.time).abs() <= BESIDE);
            let (pairs, cpu) = beside.fold((0.0, 0.0), |(pairs, cpu), it| {
                (pairs + it.pairs, cpu + it.cpu)
            });
            let speed = (cpu > 0.0).then(|| pairs / cpu);
            expected += speed.context("slices without gaps")? * interval.cpu;
        }
        Ok(self.0.iter().map(|it| it.pairs).sum::<f64>() / expected)
    }
}

/// Now, in seconds, and what it says.
fn at(program: &mut Bounded) -> Result<(f64, Said)> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    let seconds = time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9;
    Ok((seconds, program.ask()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two seconds at a million pairs a second, then two at two million. In the middle of each, a tenth of a second is spent
    /// in probes: all of it, and half of it.
    #[test]
    fn what_is_kept_goes_by_the_speed_beside() -> Result<()> {
        let interval = |index: u32| {
            let speed = match index {
                50..55 => 0.0,
                0..100 | 150..155 => 1e6,
                _ => 2e6,
            };
            Interval {
                time: 10.0 + f64::from(index) * 0.02 + 0.01,
                pairs: speed * 0.02,
                cpu: 0.02,
            }
        };
        let course = Course((0..200).map(interval).collect());
        let kept = course.kept(&[11_000_000_000, 13_000_000_000])?;
        assert!((kept - 5.8 / 6.0).abs() < 1e-9, "{kept}");
        let all = course.kept(&[])?;
        assert!((all - 1.0).abs() < 1e-9, "{all}");
        assert!(course.speed().is_some_and(|it| (it - 2e6).abs() < 1e-3));
        let often: Vec<u64> = (0..20)
            .map(|it| 10_000_000_000 + it * 250_000_000)
            .collect();
        assert!(course.kept(&often).is_err());
        Ok(())
    }
}
