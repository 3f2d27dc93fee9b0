//! What a free costs that is recorded: of nothing, of a block that was never seen, and of one that was.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use unfreed_tests::unfreed::Unfreed;

use crate::floor::Sites;
use crate::numbers::Spread;
use crate::programs::{Program, Programs};
use crate::worker::Worker;

/// How often everything is measured, how many batches each time, and frees of a batch.
const ROUNDS: usize = 7;
const BATCHES: usize = 7;
const FREES: u32 = 1_000;

/// What is freed, in the order of the numbers by which the program has them.
const KINDS: [&str; 3] = [
    "NULL",
    "a block from before the recording",
    "a block that was recorded",
];

/// What the table is of.
pub const ABOUT: &str = "\
Nanoseconds of CPU time of a call of free: alone, with the empty probes of the floor, and recorded; what recording adds to the
floor; and our program alone, as the kernel counts it (BPF_ENABLE_STATS), which itself makes it longer.";

/// Medians of each round, for each kind of free.
#[derive(Default)]
struct Kind {
    alone: Vec<f64>,
    floor: Vec<f64>,
    recorded: Vec<f64>,
    program: Vec<f64>,
}

/// Measures all in turn. As Markdown.
pub fn table(program: &Path) -> Result<String> {
    let mut kinds: [Kind; KINDS.len()] = Default::default();
    let mut worker = Worker::start(program)?;
    let pid = worker.pid();
    for round in 0..ROUNDS {
        eprintln!("frees: round {} of {ROUNDS}", round + 1);
        for (what, kind) in kinds.iter_mut().enumerate() {
            kind.alone.push(time(&mut worker, what)?);
        }
        let floor = Sites::of(pid, false)?.probe(pid)?;
        for (what, kind) in kinds.iter_mut().enumerate() {
            kind.floor.push(time(&mut worker, what)?);
        }
        drop(floor);
        let unfreed = Unfreed::heap(pid, &["--all"])?;
        for (what, kind) in kinds.iter_mut().enumerate() {
            kind.recorded.push(time(&mut worker, what)?);
        }
        // Apart from the above: taking the programs' time costs time.
        let mut programs = Programs::of_child()?;
        time(&mut worker, 0)?;
        programs.lap_of(Program::Free)?;
        for (what, kind) in kinds.iter_mut().enumerate() {
            time(&mut worker, what)?;
            kind.program.push(programs.lap_of(Program::Free)?);
        }
        drop(programs);
        unfreed.stop()?.whole()?;
    }
    let mut text = String::from(
        "| free of | alone | floor | recorded | added to the floor | our program |\n\
         |---|--:|--:|--:|--:|--:|\n",
    );
    for (name, kind) in KINDS.iter().zip(&kinds) {
        let of = |times: &[f64]| Spread::of(times.iter().copied()).context("nothing was measured");
        let added = kind.recorded.iter().zip(&kind.floor);
        let added = added.map(|(recorded, floor)| recorded - floor);
        writeln!(
            text,
            "| {name} | {:.1} | {:.0} | {:.0} | {:.0} | {:.0} |",
            of(&kind.alone)?,
            of(&kind.floor)?,
            of(&kind.recorded)?,
            Spread::of(added).context("nothing was measured")?,
            of(&kind.program)?,
        )?;
    }
    Ok(text)
}

/// The middle batch's nanoseconds for a free.
fn time(worker: &mut Worker, what: usize) -> Result<f64> {
    let what = u32::try_from(what)?;
    worker.run(what, FREES)?;
    let times: Result<Vec<_>> = (0..BATCHES).map(|_| worker.run(what, FREES)).collect();
    Ok(Spread::of(times?).context("no batch was run")?.median)
}
