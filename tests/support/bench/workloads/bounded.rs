//! What `--max-overhead` leaves of a process's speed, and of what it is to find.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use unfreed_tests::bounded::Bounded;
use unfreed_tests::throughput::Course;
use unfreed_tests::unfreed::Unfreed;

use crate::numbers::Spread;

/// How often it is measured.
const ROUNDS: usize = 5;

/// Nanoseconds of other work for each pair of malloc and free.
const WORK: [&str; 2] = ["250", "4000"];

/// How long it is recorded.
const RECORDED: Duration = Duration::from_secs(30);

const ABOUT: &str = "\
A program with pairs of malloc and free, and so much other work for each, that leaks one block of 500, under
`unfreed heap --max-overhead 5`, for 30 s. Its speed is in pairs for each second of its CPU time, in the fastest
tenth of all moments: when others on the machine leave it a processor. Throughput is beside what it does within the same second
when nothing is recorded; its own is the part of its CPU time that is in user mode (of which it lacks one or two percent on its
own, for the kernel's clock). Growth is what is estimated to have been taken and not given back, beside the program's own count,
as is the number of blocks that leaked at least.";

/// What one recording came to.
struct Round {
    speed: f64,
    kept: f64,
    own: f64,
    share: f64,
    growth: f64,
    error: f64,
    at_least: f64,
}

/// As Markdown.
pub fn section() -> Result<String> {
    let mut rounds = [const { Vec::new() }; WORK.len()];
    for round in 0..ROUNDS {
        eprintln!("bounded: round {} of {ROUNDS}", round + 1);
        for (rounds, work) in rounds.iter_mut().zip(WORK) {
            rounds.push(one(work)?);
        }
    }
    let mut text = format!(
        "{ABOUT}\n\n\
         | other work, ns | million pairs/s | throughput kept, % | own CPU time, % | observed, % | growth / leaked | its standard error | at least / leaked |\n\
         |--:|--:|--:|--:|--:|--:|--:|--:|\n"
    );
    for (rounds, work) in rounds.iter().zip(WORK) {
        let of = |number: fn(&Round) -> f64| {
            Spread::of(rounds.iter().map(number)).context("nothing was measured")
        };
        writeln!(
            text,
            "| {work} | {:.2} | {:.1} | {:.1} | {:.2} | {:.2} | {:.2} | {:.2} |",
            of(|it| it.speed / 1e6)?,
            of(|it| it.kept * 100.0)?,
            of(|it| it.own * 100.0)?,
            of(|it| it.share * 100.0)?,
            of(|it| it.growth)?,
            of(|it| it.error)?,
            of(|it| it.at_least)?,
        )?;
    }
    Ok(text)
}

fn one(work: &str) -> Result<Round> {
    let mut program = Bounded::start(&[work])?;
    let unfreed = Unfreed::heap(program.pid(), &["--max-overhead", "5"])?;
    let begin = program.ask()?;
    let course = Course::of(&mut program, RECORDED)?;
    let end = program.ask()?;
    let report = unfreed.stop()?.report;
    let at_least = report.at_least_by_site();
    let at_least = at_least.context("no lower bound")?["site_leak"];
    let observed = report.observed.context("it was recorded all the time")?;
    let slices: Vec<u64> = observed.each.iter().map(|it| it.begin).collect();
    let growth = observed.growth.context("there were too few slices")?;
    let leaked = end.leaked - begin.leaked;
    Ok(Round {
        speed: course.speed().context("it did not run")?,
        kept: course.kept(&slices)?,
        own: end.own_since(begin),
        share: observed.share,
        growth: growth.count / leaked,
        error: growth.error / leaked,
        at_least: at_least as f64 / leaked,
    })
}
