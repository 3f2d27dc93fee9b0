//! Page faults, the pages that unfreed shows, and what the kernel says has come: on programs whose faults
//! are mostly of memory that they give back, and on a server that grows.

use std::io::Write as _;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use procfs::process::Process;
use unfreed_tests::build::{self, Linkage};
use unfreed_tests::child::{Lines, Owned};
use unfreed_tests::redis::Redis;
use unfreed_tests::unfreed::Unfreed;

const PAGE: u64 = 4096;
const LIMIT: Duration = Duration::from_mins(1);

/// The head of the table.
pub const HEAD: &str = "\
| program | page faults | pages in stacks | faults / pages | resident set grew by pages | pages / growth |
|---|--:|--:|--:|--:|--:|";

/// What a process has come to, by the kernel's count.
struct Account {
    faults: u64,
    resident: u64,
}

impl Account {
    fn of(pid: u32) -> Result<Self> {
        let process = Process::new(pid.cast_signed())?;
        let rollup = process.smaps_rollup()?;
        let sums = rollup.memory_map_rollup.0.first().context("no sums")?;
        Ok(Self {
            faults: process.stat()?.minflt,
            resident: sums.extension.map.get("Rss").context("no Rss")? / PAGE,
        })
    }
}

/// One line of the table, of a process while it does this.
fn line(name: &str, pid: u32, work: impl FnOnce() -> Result<()>) -> Result<String> {
    let unfreed = Unfreed::pages(pid, &[])?;
    let before = Account::of(pid)?;
    work()?;
    let after = Account::of(pid)?;
    let report = unfreed.stop()?.whole()?;
    let pages = report.totals.unfreed.count;
    let faults = after.faults - before.faults;
    let grew = after.resident - before.resident;
    Ok(format!(
        "| {name} | {faults} | {pages} | {:.1} | {grew} | {:.4} |",
        faults as f64 / pages as f64,
        pages as f64 / grew as f64
    ))
}

/// Starts a program of the tests, and returns what it reads and what it says.
fn start(name: &'static str) -> Result<(Owned, ChildStdin, Lines)> {
    let mut command = Command::new(build::program(name, Linkage::Dynamic)?);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = Owned::spawn(&mut command).with_context(|| format!("starting {name}"))?;
    let input = program.child().stdin.take().context("its input")?;
    let output = Lines::of(program.child().stdout.take().context("its output")?);
    output.next(LIMIT)?.context("it ended at once")?;
    Ok((program, input, output))
}

fn of_program(name: &'static str) -> Result<String> {
    let (program, mut input, output) = start(name)?;
    line(name, program.pid(), || {
        writeln!(input, "go")?;
        output.next(LIMIT)?.context("the program has ended")?;
        Ok(())
    })
}

fn of_redis() -> Result<String> {
    let mut redis = Redis::start()?;
    redis.fill(0..1000, |_| 100)?;
    line("redis-server, 100,000 keys", redis.pid(), || {
        redis.fill(0..100_000, |n| 200 + n % 2000)
    })
}

/// The table's lines.
pub fn lines() -> Result<Vec<String>> {
    Ok(vec![of_program("pages_churn")?, of_redis()?])
}
