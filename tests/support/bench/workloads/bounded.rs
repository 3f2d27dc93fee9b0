//! What `--max-overhead` leaves of a process's speed, and of what it is to find.

use std::time::Duration;

use anyhow::{Context as _, Result};
use unfreed_tests::bounded::Bounded;
use unfreed_tests::unfreed::Unfreed;

use crate::numbers::Spread;

/// How often it is measured.
const ROUNDS: usize = 7;

/// How long the program is alone, before and after it is recorded, and how long it is recorded.
const ALONE: Duration = Duration::from_secs(4);
const RECORDED: Duration = Duration::from_secs(20);

const ABOUT: &str = "\
A program with more than two million pairs of malloc and free a second, and 400 ns of other work for each, that leaks one
block of 500, under `unfreed heap --max-overhead 5`. Its speed is in pairs for each second of its CPU time, beside that before and
after; its own is the part of its CPU time that is in user mode, which others on the machine do not change. Growth is what is
estimated to have been taken and not given back, beside the program's own count.";

/// What one recording came to.
struct Round {
    alone: f64,
    kept: f64,
    own: f64,
    share: f64,
    growth: f64,
    error: f64,
}

/// As Markdown.
pub fn section() -> Result<String> {
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        eprintln!("bounded: round {} of {ROUNDS}", round + 1);
        rounds.push(one()?);
    }
    let of = |number: fn(&Round) -> f64| {
        Spread::of(rounds.iter().map(number)).context("nothing was measured")
    };
    Ok(format!(
        "{ABOUT}\n\n\
         | alone, million pairs/s | speed kept, % | own CPU time, % | observed, % | growth / leaked | its standard error |\n\
         |--:|--:|--:|--:|--:|--:|\n\
         | {:.2} | {:.1} | {:.1} | {:.2} | {:.2} | {:.2} |\n",
        of(|it| it.alone / 1e6)?,
        of(|it| it.kept * 100.0)?,
        of(|it| it.own * 100.0)?,
        of(|it| it.share * 100.0)?,
        of(|it| it.growth)?,
        of(|it| it.error)?,
    ))
}

fn one() -> Result<Round> {
    let mut program = Bounded::start(&[])?;
    let before = program.speed(ALONE)?;
    let unfreed = Unfreed::heap(program.pid(), &["--max-overhead", "5"])?;
    let begin = program.ask()?;
    std::thread::sleep(RECORDED);
    let end = program.ask()?;
    let report = unfreed.stop()?.report;
    let after = program.speed(ALONE)?;
    let observed = report.observed.context("it was recorded all the time")?;
    let growth = observed.growth.context("there were too few slices")?;
    let alone = before.midpoint(after);
    let leaked = end.leaked - begin.leaked;
    Ok(Round {
        alone,
        kept: end.speed_since(begin) / alone,
        own: end.own_since(begin),
        share: observed.share,
        growth: growth.count / leaked,
        error: growth.error / leaked,
    })
}
