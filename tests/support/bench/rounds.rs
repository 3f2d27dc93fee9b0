//! The same pairs of malloc and free, alone and recorded in turn, by one process.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use unfreed_tests::unfreed::Unfreed;

use crate::numbers::Spread;
use crate::programs::Programs;
use crate::worker::Worker;

/// How many functions there are between main and malloc.
pub const DEPTHS: [u32; 3] = [5, 20, 60];

/// How often everything is measured.
const ROUNDS: usize = 7;

/// How often a pair's time is taken in each round, at each depth.
const BATCHES: usize = 15;

/// Pairs of a batch: some ten milliseconds, in which a program that competes for the processor gets
/// it now and then, but not always.
const RECORDED_PAIRS: u32 = 1_000;
const BARE_PAIRS: u32 = 1_000_000;

/// Who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nobody.
    Bare,
    /// `--unwind fp`
    FramePointers,
    /// `--unwind tables`
    Tables,
}

impl Way {
    fn flag(self) -> Option<&'static str> {
        match self {
            Self::Bare => None,
            Self::FramePointers => Some("fp"),
            Self::Tables => Some("tables"),
        }
    }
}

/// Nanoseconds at one depth: the medians of one round's batches.
#[derive(Debug, Clone, Copy)]
struct Medians {
    depth: u32,
    pair: f64,
    /// Of the entry, return and free programs; bare: none.
    programs: Option<[f64; 3]>,
}

/// What all rounds measured in one way.
#[derive(Debug)]
pub struct Measured {
    /// Which way.
    pub way: Way,
    rounds: Vec<Vec<Medians>>,
    /// Frames of the stack at each of [`DEPTHS`]; 0 where it is not known.
    pub frames: [usize; DEPTHS.len()],
    /// Milliseconds from starting unfreed until it recorded.
    attached: Vec<f64>,
}

impl Measured {
    /// Nanoseconds of the program's CPU time that a pair took.
    pub fn pair(&self, depth: u32) -> Option<Spread> {
        Spread::of(self.at(depth).map(|medians| medians.pair))
    }

    /// Nanoseconds of one of the programs: `index` counts entry, return, free.
    pub fn program(&self, depth: u32, index: usize) -> Option<Spread> {
        Spread::of(self.at(depth).filter_map(|all| Some(all.programs?[index])))
    }

    /// Milliseconds from starting unfreed until it recorded.
    pub fn attached(&self) -> Option<Spread> {
        Spread::of(self.attached.iter().copied())
    }

    /// This way's pairs in units of the other's, round by round.
    pub fn pair_ratio(&self, other: &Self, depth: u32) -> Option<Spread> {
        let pairs = self.at(depth).zip(other.at(depth));
        Spread::of(pairs.map(|(this, that)| this.pair / that.pair))
    }

    /// The same for one of the programs.
    pub fn program_ratio(&self, other: &Self, depth: u32, index: usize) -> Option<Spread> {
        let pairs = self.at(depth).zip(other.at(depth));
        Spread::of(
            pairs.filter_map(|(this, that)| Some(this.programs?[index] / that.programs?[index])),
        )
    }

    fn at(&self, depth: u32) -> impl Iterator<Item = &Medians> {
        let all = self.rounds.iter().flatten();
        all.filter(move |medians| medians.depth == depth)
    }
}

/// Measures a build of the program in these ways, all in each round, so that what changes on the
/// machine meanwhile changes all of them.
pub fn measure(program: &Path, ways: &[Way]) -> Result<Vec<Measured>> {
    let mut pairs = Worker::start(program)?;
    let mut measured: Vec<Measured> = ways
        .iter()
        .map(|way| Measured {
            way: *way,
            rounds: Vec::new(),
            frames: [0; DEPTHS.len()],
            attached: Vec::new(),
        })
        .collect();
    for round in 0..ROUNDS {
        eprintln!("{}: round {} of {ROUNDS}", program.display(), round + 1);
        // To and fro: none always follows the same one.
        let mut order: Vec<_> = measured.iter_mut().collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for measured in order {
            match measured.way.flag() {
                None => measured.rounds.push(bare(&mut pairs)?),
                Some(flag) => recorded(&mut pairs, flag, measured)?,
            }
        }
    }
    Ok(measured)
}

fn bare(pairs: &mut Worker) -> Result<Vec<Medians>> {
    let depths = DEPTHS.iter().map(|&depth| {
        Ok(Medians {
            depth,
            pair: time(pairs, depth, BARE_PAIRS)?,
            programs: None,
        })
    });
    depths.collect()
}

fn recorded(pairs: &mut Worker, flag: &str, measured: &mut Measured) -> Result<()> {
    let started = Instant::now();
    let unfreed = Unfreed::heap(pairs.pid(), &["--all", "--unwind", flag])?;
    let attached = started.elapsed().as_secs_f64() * 1e3;
    let mut depths = Vec::new();
    for depth in DEPTHS {
        depths.push(Medians {
            depth,
            pair: time(pairs, depth, RECORDED_PAIRS)?,
            programs: None,
        });
    }
    // Apart from the above: taking the programs' time costs time.
    let mut programs = Programs::of_child()?;
    for medians in &mut depths {
        medians.programs = Some(program_times(pairs, &mut programs, medians.depth)?);
    }
    drop(programs);
    let report = unfreed.stop()?.whole()?;

    let stacks = report.stacks.iter();
    let mut frames: Vec<_> = stacks
        .filter(|stack| stack.count > u64::from(RECORDED_PAIRS))
        .map(|stack| stack.frames.len())
        .collect();
    frames.sort_unstable();
    measured.frames = frames.try_into().unwrap_or_default();
    measured.attached.push(attached);
    measured.rounds.push(depths);
    Ok(())
}

/// The middle batch's nanoseconds for a pair.
fn time(pairs: &mut Worker, depth: u32, each: u32) -> Result<f64> {
    // The first at this depth finds nothing in any cache.
    pairs.run(depth, each)?;
    let times: Result<Vec<_>> = (0..BATCHES).map(|_| pairs.run(depth, each)).collect();
    let middle = Spread::of(times?).context("no batch was run")?;
    Ok(middle.median)
}

/// The middle batch's nanoseconds for a run of each program.
fn program_times(pairs: &mut Worker, programs: &mut Programs, depth: u32) -> Result<[f64; 3]> {
    pairs.run(depth, RECORDED_PAIRS)?;
    programs.lap()?;
    let mut batches = Vec::new();
    for _ in 0..BATCHES {
        pairs.run(depth, RECORDED_PAIRS)?;
        batches.push(programs.lap()?);
    }
    let mut middle = [0.0; 3];
    for (index, middle) in middle.iter_mut().enumerate() {
        let times = Spread::of(batches.iter().map(|batch| batch[index]));
        *middle = times.context("no batch was run")?.median;
    }
    Ok(middle)
}
