//! All workloads in all ways, in turn.

use std::path::Path;

use anyhow::{Context, Result};

use super::launch::Launch;
use super::targets::{Target, Workload};
use super::ways::Way;
use crate::numbers::Spread;

/// How many rounds there are. Neighbours on the machine make everything half as long again for seconds on end, in some
/// rounds and in others not.
pub const ROUNDS: usize = 21;

/// The ways that are not compared with the floor have their turn once in so many rounds.
pub const SELDOM: usize = 3;

/// A first try that took this part of a batch says how large the batches are to be.
const ENOUGH: f64 = 0.2;

/// More units than any batch has.
const MOST: u32 = 10_000_000;

/// One workload in one way.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nanoseconds for each unit: the median of each round in which it had its turn, with the round's number.
    Measured(Vec<(usize, f64)>),
    /// Why there is no number. What was measured before that does not count.
    Failed(String),
}

/// By workload, then by way.
#[derive(Debug)]
pub struct Results(pub [[Cell; Way::ALL.len()]; Workload::ALL.len()]);

impl Results {
    /// One of them.
    pub fn cell(&self, workload: Workload, way: Way) -> &Cell {
        &self.0[workload as usize][way as usize]
    }
}

/// Measures all ways in turn, so that what changes on the machine meanwhile changes all of them.
/// `directory` is for what tools write. What fails is a [`Cell::Failed`].
pub fn measure(directory: &Path) -> Results {
    let possible = Way::ALL.map(|way| match way.check(directory) {
        Ok(()) => Cell::Measured(Vec::new()),
        Err(error) => Cell::Failed(format!("{error:#}")),
    });
    let mut results = Results(std::array::from_fn(|_| possible.clone()));
    for workload in Workload::ALL {
        let mut bench = Bench {
            workload,
            directory,
            plain: None,
            own: std::array::from_fn(|_| None),
            counts: [None; Way::ALL.len()],
        };
        for round in 0..ROUNDS {
            eprintln!("{workload:?}: round {} of {ROUNDS}", round + 1);
            for way in order(round) {
                let cell = &mut results.0[workload as usize][way as usize];
                if let Cell::Measured(rounds) = cell {
                    match bench.round(way) {
                        Ok(time) => rounds.push((round, time)),
                        Err(error) => *cell = Cell::Failed(format!("{error:#}")),
                    }
                }
            }
        }
    }
    results
}

/// Who has a turn in a round, and who comes first, which is another one each time.
fn order(round: usize) -> Vec<Way> {
    let has_turn = |way: &Way| way.is_compared() || round.is_multiple_of(SELDOM);
    let mut order: Vec<Way> = Way::ALL.into_iter().filter(has_turn).collect();
    let first = round * 3 % order.len();
    order.rotate_left(first);
    order
}

/// The processes of one workload.
struct Bench<'a> {
    workload: Workload,
    directory: &'a Path,
    /// What is watched from outside.
    plain: Option<Target>,
    /// Those of tools that start it.
    own: [Option<Target>; Way::ALL.len()],
    /// Units of a batch, once they are known.
    counts: [Option<u32>; Way::ALL.len()],
}

impl Bench<'_> {
    /// The median of a round. After a failure, whoever comes next has a new process.
    fn round(&mut self, way: Way) -> Result<f64> {
        let place = if way.starts_target() {
            &mut self.own[way as usize]
        } else {
            &mut self.plain
        };
        let mut target = if let Some(target) = place.take() {
            target
        } else {
            let launch = way.launch(self.workload, self.directory)?;
            start(self.workload, &launch)?
        };
        let count = &mut self.counts[way as usize];
        let time = watched(way, &mut target, self.workload, count)?;
        *place = Some(target);
        Ok(time)
    }
}

fn start(workload: Workload, launch: &Launch) -> Result<Target> {
    let mut target = Target::start(workload, launch)?;
    launch.check(target.pid())?;
    // What a process does only the first time is nobody's.
    target.run(workload.batch().0)?;
    Ok(target)
}

fn watched(
    way: Way,
    target: &mut Target,
    workload: Workload,
    count: &mut Option<u32>,
) -> Result<f64> {
    let (_, _, batches) = workload.batch();
    let watcher = way.begin(target.pid())?;
    let count = match *count {
        Some(count) => count,
        None => *count.insert(calibrate(target, workload)?),
    };
    // The first finds nothing in any cache.
    target.run(count)?;
    let times: Result<Vec<f64>> = (0..batches).map(|_| target.run(count)).collect();
    let middle = Spread::of(times?).context("no batch was run")?.median;
    let runs = watcher.count()?;
    target.run(workload.batch().0)?;
    watcher.ran(runs)?;
    watcher.end()?;
    Ok(middle)
}

/// How many units take about as long as a batch is to take.
fn calibrate(target: &mut Target, workload: Workload) -> Result<u32> {
    let (least, milliseconds, _) = workload.batch();
    let wanted = milliseconds * 1e6;
    let mut count = least;
    loop {
        let each = target.run(count)?;
        if each * f64::from(count) >= wanted * ENOUGH || count >= MOST {
            return Ok(((wanted / each) as u32).clamp(least, MOST));
        }
        count *= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_compared_has_a_turn_in_each_round_and_comes_first_in_some() {
        for way in Way::ALL {
            let turns = (0..ROUNDS).filter(|&round| order(round).contains(&way));
            let seldom = if way.is_compared() { 1 } else { SELDOM };
            assert_eq!(turns.count(), ROUNDS / seldom, "{way:?}");
            let first = (0..ROUNDS).any(|round| order(round)[0] == way);
            assert!(first || !way.is_compared(), "{way:?}");
        }
    }
}
