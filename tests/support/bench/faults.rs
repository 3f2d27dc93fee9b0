//! What a recorded page fault costs, who else pays, and what a program pays that takes none.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use unfreed_tests::unfreed::Unfreed;

use crate::fault_floor::FaultFloor;
use crate::numbers::undisturbed;
use crate::worker::Worker;

/// Pages of a mapping, and pages of a batch: some ten milliseconds. 0: rounds over resident memory.
const KINDS: [(u32, u32); 4] = [(1, 5_000), (16, 16_000), (256, 25_600), (0, 2_000)];

/// How often everything is measured, and how many batches each time.
const ROUNDS: usize = 15;
const BATCHES: usize = 25;

/// What the table is of.
pub const ABOUT: &str = "\
Nanoseconds of CPU time for each page that a program maps, touches and unmaps, as fast as it can, 16
calls deep, so many pages at a time: alone, while `unfreed pages` records another process (its programs
leave at once, but the kernel runs them at every fault there is), with the floor (a program on the tracepoint that looks whose fault it is, where, and at one word of its stack, and
keeps nothing, below which no exact recording of stacks can get), and while it is recorded itself. The last row is a
program that takes no faults: microseconds for a round of copying memory and allocating. These numbers are no medians:
a neighbour on the same core makes a fault half as long again for seconds on end, so each is what a twentieth of all
batches of all rounds is below.";

/// Who is recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Nobody,
    Another,
    Floor,
    Itself,
}

const WAYS: [Way; 4] = [Way::Nobody, Way::Another, Way::Floor, Way::Itself];

/// Who is there meanwhile.
enum Watcher {
    Nobody,
    Floor(#[expect(dead_code, reason = "it is in the kernel")] FaultFloor),
    Unfreed(Unfreed),
}

/// Nanoseconds of a page in each batch: by kind, then by way.
#[derive(Default)]
pub struct Faults([[Vec<f64>; WAYS.len()]; KINDS.len()]);

/// Measures all ways in turn, so that what changes on the machine meanwhile changes all of them.
pub fn measure(program: &Path) -> Result<Faults> {
    let mut worker = Worker::start(program)?;
    let another = Worker::start(program)?;
    let mut faults = Faults::default();
    for round in 0..ROUNDS {
        eprintln!("{}: round {} of {ROUNDS}", program.display(), round + 1);
        let mut order = WAYS;
        order.rotate_left(round % WAYS.len());
        for way in order {
            let watcher = match way {
                Way::Nobody => Watcher::Nobody,
                Way::Another => Watcher::record(another.pid())?,
                Way::Floor => Watcher::Floor(FaultFloor::of(worker.pid())?),
                Way::Itself => Watcher::record(worker.pid())?,
            };
            for (kind, &(pages, count)) in KINDS.iter().enumerate() {
                worker.run(pages, count)?;
                for _ in 0..BATCHES {
                    faults.0[kind][way as usize].push(worker.run(pages, count)?);
                }
            }
            watcher.end()?;
        }
    }
    Ok(faults)
}

impl Watcher {
    fn record(pid: u32) -> Result<Self> {
        Ok(Self::Unfreed(Unfreed::pages(pid, &["--all"])?))
    }

    fn end(self) -> Result<()> {
        if let Self::Unfreed(unfreed) = self {
            unfreed.stop()?.whole()?;
        }
        Ok(())
    }
}

impl Faults {
    /// As Markdown.
    pub fn table(&self) -> Result<String> {
        let mut text = String::from(
            "| pages at a time | alone | another is recorded | / alone | floor | / alone | recorded | / alone |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        for (&(pages, _), ways) in KINDS.iter().zip(&self.0) {
            let (name, unit, digits) = match pages {
                0 => ("no faults, µs".to_owned(), 1e3, 2),
                _ => (pages.to_string(), 1.0, 0),
            };
            let time = |way: Way| {
                let time = undisturbed(&ways[way as usize]).context("nothing was measured")?;
                anyhow::Ok(time / unit)
            };
            let alone = time(Way::Nobody)?;
            write!(text, "| {name} | {alone:.digits$} |")?;
            for way in [Way::Another, Way::Floor, Way::Itself] {
                let time = time(way)?;
                write!(text, " {time:.digits$} | {:.3} |", time / alone)?;
            }
            writeln!(text)?;
        }
        Ok(text)
    }
}
