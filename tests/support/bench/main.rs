//! Measures what a recorded pair of malloc and free costs, beside empty probes, and with stacks by frame
//! pointers and by unwind tables, what a recorded page fault costs, and what the tables cost; prints it as
//! Markdown. Real workloads under unfreed and other tools are a document of their own, which is only made
//! when it is asked for. Progress goes to stderr. No number makes it fail.

mod assembled;
mod fault_floor;
mod faults;
mod floor;
mod frees;
mod lookups;
mod numbers;
mod overhead;
mod programs;
mod rounds;
mod tables;
mod worker;
mod workloads;

use std::fmt::Write as _;
use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};
use unfreed_tests::build::{self, Linkage};

use lookups::Operation;
use numbers::Spread;
use rounds::{DEPTHS, Measured, Way};

/// The depths at which tables have to be cheaper.
const DEPTHS_THAT_MATTER: [u32; 2] = [20, 60];

/// Index of the program that walks.
const ENTRY: usize = 0;

fn main() -> ExitCode {
    match report(std::env::args().nth(1).as_deref()) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// All of it but what is in the other document, or one part.
fn report(only: Option<&str>) -> Result<String> {
    match only {
        Some("workloads") => return Ok(introduction("Overhead")? + &workloads::part()?),
        Some("bounded") => return Ok(introduction("Overhead")? + &workloads::bounded()?),
        _ => {}
    }
    let mut text = introduction("Benchmark")?;
    for (name, part) in [
        ("pairs", pairs as fn() -> Result<String>),
        ("overhead", overhead_of_probes),
        ("pieces", pieces),
        ("faults", page_faults),
        ("tables", unwind_tables),
    ] {
        if only.is_none_or(|only| only == name) {
            text += &part()?;
        }
    }
    Ok(text)
}

fn overhead_of_probes() -> Result<String> {
    let program = build::program("bench_pairs", Linkage::Dynamic)?;
    let table = overhead::measure(&program)?.table()?;
    Ok(format!(
        "\n## What recording adds\n\n{}\n\n{table}",
        overhead::ABOUT
    ))
}

fn pieces() -> Result<String> {
    let program = build::program("bench_frees", Linkage::Dynamic)?;
    let table = frees::table(&program)?;
    Ok(format!(
        "\n## What a free costs\n\n{}\n\n{table}\n{LOOKUPS}: {:.1} in a hash map, {:.1} in an array. To find the entry of a \
         block takes {:.1}, to insert it and to remove it {:.1}.\n",
        frees::ABOUT,
        lookups::measure(Operation::StateInHash)?,
        lookups::measure(Operation::StateInArray)?,
        lookups::measure(Operation::FindBlock)?,
        lookups::measure(Operation::InsertAndRemoveBlock)?,
    ))
}

fn page_faults() -> Result<String> {
    let program = build::program("bench_faults", Linkage::Dynamic)?;
    let table = faults::measure(&program)?.table()?;
    Ok(format!("\n## Page faults\n\n{}\n\n{table}", faults::ABOUT))
}

fn unwind_tables() -> Result<String> {
    Ok(format!(
        "\n## Unwind tables\n\n{TABLES}\n\n{}",
        files_table()?
    ))
}

fn pairs() -> Result<String> {
    let program = build::program("bench_pairs", Linkage::Dynamic)?;
    let both = rounds::measure(&program, &[Way::Bare, Way::FramePointers, Way::Tables])?;
    let [bare, fp, tables] = &both[..] else {
        anyhow::bail!("three ways were asked for");
    };
    let program = build::frameless("bench_frameless", Linkage::Dynamic)?;
    let frameless = rounds::measure(&program, &[Way::Bare, Way::Tables])?;
    let [frameless_bare, frameless_tables] = &frameless[..] else {
        anyhow::bail!("two ways were asked for");
    };

    let mut text = comparison(fp, tables)?;
    write!(
        text,
        "## A pair of malloc and free\n\n{PAIRS}\n\n{}",
        pair_table(bare, fp, tables, frameless_bare, frameless_tables)?
    )?;
    write!(
        text,
        "\n## Our programs alone\n\n{PROGRAMS}\n\n{}",
        program_table(fp, tables, frameless_tables)?
    )?;
    write!(
        text,
        "\nFrom starting unfreed until it records, ms: {:.0} by frame pointers, {:.0} by tables.\n",
        fp.attached().context("no recording")?,
        tables.attached().context("no recording")?,
    )?;
    Ok(text)
}

const PAIRS: &str = "\
Nanoseconds of CPU time of the thread that calls them, and nothing else, some calls below main. `fp` and
`tables` are `unfreed heap --unwind fp` and `--unwind tables`, on a program compiled with frame pointers;
the last two columns are the same program without them, which only tables can walk.";

const PROGRAMS: &str = "\
Nanoseconds of each run, as the kernel counts it (BPF_ENABLE_STATS), which itself makes them longer. The
entry of malloc includes the walk of its stack. What is left of a pair's time is the kernel's: a trap at
the entry of malloc, one at its return, one at the entry of free, and a single step wherever the
instruction under a breakpoint is not one that the kernel emulates (calls, jumps, pushes, nops). In a
virtual machine a single step involves the hypervisor, which can cost more than everything else together.";

const LOOKUPS: &str = "\
To find what a program keeps of a thread takes so many nanoseconds, over and over with everything in the caches";

const TABLES: &str = "\
Made on one thread, of files that are in the page cache. Processes share the table of a file.";

fn introduction(title: &str) -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo").context("reading /proc/cpuinfo")?;
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown CPU", |(_, model)| model);
    let count = cpus
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    // The flag that hypervisors set for their guests, and nobody else.
    let machine = if cpus.contains(" hypervisor") {
        "in a virtual machine"
    } else {
        "not virtual"
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("reading osrelease")?;
    Ok(format!(
        "# {title}

Written by `cargo xtask bench`, on {model} ({count} processors, {machine}), Linux {}.
Numbers are medians of several rounds, in which all ways have their turns one after the other; in parentheses are the
lowest and the highest round.

",
        kernel.trim()
    ))
}

/// How tables compare where it matters.
fn comparison(fp: &Measured, tables: &Measured) -> Result<String> {
    let mut text = String::new();
    for depth in DEPTHS_THAT_MATTER {
        let entry = some(tables.program_ratio(fp, depth, ENTRY))?;
        let pair = some(tables.pair_ratio(fp, depth))?;
        writeln!(
            text,
            "- {depth} calls deep, the entry of malloc takes {entry:.2} times as long with tables as with \
             frame pointers, a whole pair {pair:.2} times: {}.",
            verdict(entry, pair)
        )?;
    }
    Ok(text + "\n")
}

/// Whether tables are cheaper, given their cost in units of the cost of frame pointers.
fn verdict(entry: Spread, pair: Spread) -> &'static str {
    if entry.median >= 1.0 && pair.median >= 1.0 {
        "tables are NOT cheaper"
    } else if entry.highest < 1.0 && pair.highest < 1.0 {
        "tables are cheaper, in every round"
    } else if entry.highest < 1.0 && pair.median < 1.0 {
        "tables are cheaper, though by less than a pair's other costs vary"
    } else {
        "it is NOT clear that tables are cheaper"
    }
}

fn pair_table(
    bare: &Measured,
    fp: &Measured,
    tables: &Measured,
    frameless_bare: &Measured,
    frameless_tables: &Measured,
) -> Result<String> {
    let mut text = String::from(
        "| calls deep | bare | fp | tables | tables / fp | without frame pointers: bare | tables |\n\
         |--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for depth in DEPTHS {
        let bare = some(bare.pair(depth))?;
        let frameless_bare = some(frameless_bare.pair(depth))?;
        writeln!(
            text,
            "| {depth} | {bare:.1} | {:.0} | {:.0} | {:.2} | {frameless_bare:.1} | {:.0} |",
            some(fp.pair(depth))?,
            some(tables.pair(depth))?,
            some(tables.pair_ratio(fp, depth))?,
            some(frameless_tables.pair(depth))?,
        )?;
    }
    Ok(text)
}

fn program_table(fp: &Measured, tables: &Measured, frameless: &Measured) -> Result<String> {
    let mut text = String::from(
        "| calls deep | way | frames | entry of malloc | return of malloc | entry of free | entry, tables / fp |\n\
         |--:|---|--:|--:|--:|--:|--:|\n",
    );
    for (index, depth) in DEPTHS.into_iter().enumerate() {
        for (measured, name) in [
            (fp, "fp"),
            (tables, "tables"),
            (frameless, "tables, without frame pointers"),
        ] {
            let ratio = if measured.way == Way::Tables {
                format!("{:.2}", some(measured.program_ratio(fp, depth, ENTRY))?)
            } else {
                String::new()
            };
            write!(text, "| {depth} | {name} | {} |", measured.frames[index])?;
            for program in 0..3 {
                write!(text, " {:.0} |", some(measured.program(depth, program))?)?;
            }
            writeln!(text, " {ratio} |")?;
        }
    }
    Ok(text)
}

fn files_table() -> Result<String> {
    let mut text =
        String::from("| file | MB | rows | table, KiB | made in, ms |\n|---|--:|--:|--:|--:|\n");
    for file in tables::measure()? {
        let name = file.path.file_name().unwrap_or_default().display();
        writeln!(
            text,
            "| {name} | {:.1} | {} | {} | {:.1} |",
            file.size as f64 / 1e6,
            file.rows,
            file.bytes.div_ceil(1024),
            file.milliseconds,
        )?;
    }
    Ok(text)
}

fn some(spread: Option<Spread>) -> Result<Spread> {
    spread.context("nothing was measured")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cheaper_is_said_only_when_it_is_so() {
        let lower = Spread::of([0.8, 0.9, 0.95]).unwrap();
        let mostly = Spread::of([0.9, 0.97, 1.04]).unwrap();
        let higher = Spread::of([0.9, 1.1, 1.2]).unwrap();
        assert_eq!(verdict(lower, lower), "tables are cheaper, in every round");
        assert!(verdict(lower, mostly).starts_with("tables are cheaper, though"));
        for (entry, pair) in [(mostly, mostly), (lower, higher), (higher, lower)] {
            assert!(verdict(entry, pair).contains("NOT clear"));
        }
        assert_eq!(verdict(higher, higher), "tables are NOT cheaper");
    }
}
