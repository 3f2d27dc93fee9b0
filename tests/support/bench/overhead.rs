//! What recording a pair of malloc and free adds to it, beside what the probes alone add.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use unfreed_tests::unfreed::Unfreed;

use crate::floor::{Floor, Sites};
use crate::numbers::Spread;
use crate::worker::Worker;

/// How many functions there are between main and malloc.
const DEPTHS: [u32; 3] = [5, 16, 60];

/// How often everything is measured, how many batches each time, and pairs of a batch.
const ROUNDS: usize = 7;
const BATCHES: usize = 11;
const PAIRS: u32 = 5_000;

/// What the table is of.
pub const ABOUT: &str = "\
Nanoseconds of CPU time of a pair of malloc and free, some calls below main: alone; with empty probes on the
entry and the return of malloc and on the entry of free, where unfreed puts them (the floor, below which no
tracing of these can get); recorded, exactly, and with `--sample 512KiB`, each with what it adds in units of what
the floor adds, round by round. The last two columns have the probes on the functions' first instructions: the floor there, and
`unfreed heap --probe-sites entry`.";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Alone,
    Floor,
    Recorded,
    Sampled,
    EntryFloor,
    RecordedAtEntry,
}

const WAYS: [Way; 6] = [
    Way::Alone,
    Way::Floor,
    Way::Recorded,
    Way::Sampled,
    Way::EntryFloor,
    Way::RecordedAtEntry,
];

/// Who is there meanwhile.
enum Watcher {
    Nobody,
    Empty(#[expect(dead_code, reason = "its probes are in the kernel")] Floor),
    Unfreed(Unfreed),
}

/// Medians of each round: by depth, then by way.
#[derive(Default)]
pub struct Overhead([[Vec<f64>; WAYS.len()]; DEPTHS.len()]);

/// Measures all ways in turn, so that what changes on the machine meanwhile changes all of them.
pub fn measure(program: &Path) -> Result<Overhead> {
    let mut worker = Worker::start(program)?;
    let mut overhead = Overhead::default();
    for round in 0..ROUNDS {
        eprintln!("overhead: round {} of {ROUNDS}", round + 1);
        let mut order = WAYS;
        order.rotate_left(round % WAYS.len());
        for way in order {
            let watcher = way.begin(worker.pid())?;
            for (index, depth) in DEPTHS.into_iter().enumerate() {
                worker.run(depth, PAIRS)?;
                let times: Result<Vec<_>> =
                    (0..BATCHES).map(|_| worker.run(depth, PAIRS)).collect();
                let middle = Spread::of(times?).context("no batch was run")?.median;
                overhead.0[index][way as usize].push(middle);
            }
            watcher.end()?;
        }
    }
    Ok(overhead)
}

impl Way {
    fn begin(self, pid: u32) -> Result<Watcher> {
        Ok(match self {
            Self::Alone => Watcher::Nobody,
            Self::Floor => Watcher::Empty(Sites::of(pid, false)?.probe(pid)?),
            Self::EntryFloor => Watcher::Empty(Sites::of(pid, true)?.probe(pid)?),
            Self::Recorded => Watcher::Unfreed(Unfreed::heap(pid, &[])?),
            Self::Sampled => Watcher::Unfreed(Unfreed::heap(pid, &["--sample", "512KiB"])?),
            Self::RecordedAtEntry => {
                Watcher::Unfreed(Unfreed::heap(pid, &["--probe-sites", "entry"])?)
            }
        })
    }
}

impl Watcher {
    fn end(self) -> Result<()> {
        if let Self::Unfreed(unfreed) = self {
            unfreed.stop()?.whole()?;
        }
        Ok(())
    }
}

impl Overhead {
    /// As Markdown.
    pub fn table(&self) -> Result<String> {
        let mut text = String::from(
            "| calls deep | alone | floor | recorded | added, / floor | sampled | added, / floor | floor at entries | recorded at entries |\n\
             |--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        for (depth, ways) in DEPTHS.iter().zip(&self.0) {
            let of = |way: Way| {
                Spread::of(ways[way as usize].iter().copied()).context("nothing was measured")
            };
            let added = |way: Way| {
                let rounds = ways[way as usize].iter().zip(&ways[Way::Alone as usize]);
                rounds.map(|(this, alone)| this - alone)
            };
            let ratio = |way: Way| {
                let ratios = added(way).zip(added(Way::Floor));
                Spread::of(ratios.map(|(this, floor)| this / floor)).context("nothing was measured")
            };
            writeln!(
                text,
                "| {depth} | {:.1} | {:.0} | {:.0} | {:.2} | {:.0} | {:.2} | {:.0} | {:.0} |",
                of(Way::Alone)?,
                of(Way::Floor)?,
                of(Way::Recorded)?,
                ratio(Way::Recorded)?,
                of(Way::Sampled)?,
                ratio(Way::Sampled)?,
                of(Way::EntryFloor)?,
                of(Way::RecordedAtEntry)?,
            )?;
        }
        Ok(text)
    }
}
