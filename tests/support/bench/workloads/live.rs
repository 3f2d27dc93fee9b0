//! What live blocks take in the kernel, and how long it takes to read them.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aya::maps::MapInfo;
use unfreed_tests::build::{self, Linkage};
use unfreed_tests::objects;
use unfreed_tests::program::Program;
use unfreed_tests::unfreed::Unfreed;

use super::watcher;
use crate::numbers::Spread;

/// How often it is measured.
const ROUNDS: usize = 3;

/// Blocks of each of the program's 20,000 stacks.
const OF_EACH_STACK: &str = "50";

/// For how many intervals the machine's memory has to be the same, and how many are waited for that.
const QUIET: u32 = 8;
const TRIES: u32 = 100;
const INTERVAL: Duration = Duration::from_millis(100);

const MB: f64 = 1e6;

/// The map of live blocks.
const LIVE: &str = "LIVE";

/// Lines of `/proc/meminfo` that eBPF maps are part of. In KiB.
const MEMINFO: [&str; 3] = ["Slab", "Percpu", "VmallocUsed"];

const ABOUT: &str = "\
A program takes a million blocks at 20,000 stacks and keeps them, while `unfreed heap` records it, exactly. *By
maps* is what the kernel says of unfreed's maps (`memlock` in the descriptions of its open files): what their
entries and tables take, without what the kernel's allocator rounds up and keeps ready. *By the machine* is what
Slab, Percpu and VmallocUsed of /proc/meminfo have become larger by, all of it, whoever else took some
meanwhile; the ring buffers' pages are in none of them. *Before* is what a recording takes that has recorded
nothing yet; the rest is for each block. (The table of live blocks, and what stacks, tables and totals by stack
take, is there before.)";

/// Bytes of kernel memory.
#[derive(Debug, Clone, Copy)]
struct Memory {
    /// The map of live blocks.
    live: f64,
    /// All maps of the recording.
    maps: f64,
    /// All that the kernel has, of some kinds.
    machine: f64,
}

/// What one recording came to.
struct Round {
    blocks: f64,
    before: Memory,
    grown: Memory,
    seconds: f64,
    peak: f64,
}

/// As Markdown.
pub fn section() -> Result<String> {
    match measure() {
        Ok(rounds) => table(&rounds),
        Err(error) => Ok(format!("Not measured: {error:#}.\n")),
    }
}

fn measure() -> Result<Vec<Round>> {
    (0..ROUNDS)
        .map(|round| {
            eprintln!("live blocks: round {} of {ROUNDS}", round + 1);
            one()
        })
        .collect()
}

fn one() -> Result<Round> {
    let path = build::program("scale", Linkage::Dynamic)?;
    let mut program = Program::start(&path, [OF_EACH_STACK], None)?;
    let nothing = settled()?;
    let unfreed = Unfreed::heap(program.pid(), &[])?;
    let before = memory(unfreed.pid())?;
    let ledger = program.run()?;
    let after = memory(unfreed.pid())?;
    let objects = objects::held_by(unfreed.pid())?;
    let recording = unfreed.stop()?;
    watcher::gone(&objects)?;
    program.finish()?;
    let kept: u64 = ledger
        .sites
        .values()
        .map(|site| site.outstanding.count)
        .sum();
    let seen = recording.report.totals.unfreed.count;
    ensure!(
        seen == kept,
        "{kept} blocks were kept, and {seen} are in the report"
    );
    let blocks = kept as f64;
    Ok(Round {
        blocks,
        before: Memory {
            machine: before.machine - nothing,
            ..before
        },
        grown: Memory {
            live: (after.live - before.live) / blocks,
            maps: (after.maps - before.maps) / blocks,
            machine: (after.machine - before.machine) / blocks,
        },
        seconds: recording.written_after.as_secs_f64(),
        peak: recording.peak_rss as f64,
    })
}

fn table(rounds: &[Round]) -> Result<String> {
    let of = |number: fn(&Round) -> f64| {
        Spread::of(rounds.iter().map(number)).context("nothing was measured")
    };
    Ok(format!(
        "{ABOUT}\n\n\
         | kernel memory | before, MB | bytes for each block |\n|---|--:|--:|\n\
         | map of live blocks, by maps | {:.1} | {:.0} |\n\
         | all maps, by maps | {:.1} | {:.0} |\n\
         | by the machine | {:.1} | {:.0} |\n\n\
         From the signal that ends the recording until the report of {:.0} blocks is written: {:.2} s. unfreed\n\
         itself then has {:.0} MB at most.\n",
        of(|it| it.before.live / MB)?,
        of(|it| it.grown.live)?,
        of(|it| it.before.maps / MB)?,
        of(|it| it.grown.maps)?,
        of(|it| it.before.machine / MB)?,
        of(|it| it.grown.machine)?,
        of(|it| it.blocks)?.median,
        of(|it| it.seconds)?,
        of(|it| it.peak / MB)?,
    ))
}

fn memory(unfreed: u32) -> Result<Memory> {
    let directory = format!("/proc/{unfreed}/fdinfo");
    let mut seen = BTreeSet::new();
    let mut memory = Memory {
        live: 0.0,
        maps: 0.0,
        machine: of_machine()?,
    };
    for file in fs::read_dir(&directory).with_context(|| format!("reading {directory}"))? {
        let file = file.with_context(|| format!("reading {directory}"))?;
        // Files are closed meanwhile, too.
        let text = fs::read_to_string(file.path()).unwrap_or_default();
        let (Some(map), Some(bytes)) = (field(&text, "map_id"), field(&text, "memlock")) else {
            continue;
        };
        // A map can be open more than once.
        if seen.insert(map) {
            memory.maps += bytes as f64;
            if name(map)?.as_deref() == Some(LIVE) {
                memory.live += bytes as f64;
            }
        }
    }
    ensure!(memory.live > 0.0, "unfreed has no map {LIVE}");
    Ok(memory)
}

/// The name of the map with this id.
fn name(map: u64) -> Result<Option<String>> {
    let info = MapInfo::from_id(u32::try_from(map)?).context("asking for a map")?;
    Ok(info.name_as_str().map(str::to_owned))
}

/// What the machine has once the memory of a former recording, which the kernel frees when it finds time, is
/// given back: when it is the same for a while.
fn settled() -> Result<f64> {
    /// Others take and give back all the time.
    const SAME: f64 = 1e6;
    let mut last = of_machine()?;
    let mut quiet = 0;
    for _ in 0..TRIES {
        std::thread::sleep(INTERVAL);
        let now = of_machine()?;
        quiet = if (now - last).abs() < SAME {
            quiet + 1
        } else {
            0
        };
        if quiet == QUIET {
            return Ok(now);
        }
        last = now;
    }
    bail!("the machine's memory is not the same for a while")
}

fn of_machine() -> Result<f64> {
    let text = fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
    let mut bytes = 0.0;
    for name in MEMINFO {
        let kilobytes =
            field(&text, name).with_context(|| format!("no {name} in /proc/meminfo"))?;
        bytes += kilobytes as f64 * 1024.0;
    }
    Ok(bytes)
}

/// A line `name: number`, perhaps with a unit.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "SlabUnder:  1 kB\nSlab:   20 kB\nmap_id:\t7\n";
        assert_eq!(field(text, "Slab"), Some(20));
        assert_eq!(field(text, "map_id"), Some(7));
        assert_eq!(field(text, "map"), None);
    }
}
