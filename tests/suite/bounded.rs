//! `--max-overhead`: the target keeps its speed, and the leak is found all the same.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use unfreed_tests::bounded::Bounded;
use unfreed_tests::build::{self, Linkage};
use unfreed_tests::compare::{Side, compare};
use unfreed_tests::matrix::{self, Allocator};
use unfreed_tests::report::{Growth, Report, Slice};
use unfreed_tests::throughput::Course;
use unfreed_tests::unfreed::Unfreed;

/// How long the program is recorded: its bound is reached at once.
const RECORDED: Duration = Duration::from_secs(30);

#[test]
fn the_target_keeps_its_speed_and_the_leak_is_found() -> Result<()> {
    let mut program = Bounded::start(&[])?;
    let unfreed = Unfreed::heap(program.pid(), &["--max-overhead", "5"])?;
    let begin = program.ask()?;
    let course = Course::of(&mut program, RECORDED)?;
    let end = program.ask()?;
    let recording = unfreed.stop()?;

    let report = &recording.report;
    let observed = report.observed.clone();
    let observed = observed.context("the JSON does not say what was observed")?;
    let slices: Vec<u64> = observed.each.iter().map(|it| it.begin).collect();
    let (kept, own) = (course.kept(&slices)?, end.own_since(begin));
    let speed = course.speed().context("it has run")?;
    println!(
        "{speed:.0} pairs/s, {kept:.3} of its throughput kept, {own:.3} of its time is its own; {observed:?}"
    );
    ensure!(speed >= 2e6, "{speed} pairs/s: too few");
    ensure!(kept >= 0.93, "{kept} of its throughput");
    ensure!(own >= 0.93, "{own} of its CPU time is its own");
    ensure!(observed.share < 0.2, "{observed:?}");
    ensure!(observed.cost < 0.07, "{observed:?}");
    ensure!(report.lost().count() == 0, "{:?}", report.losses);
    ensure!(
        report
            .warnings
            .iter()
            .any(|it| it.contains("bound on overhead")),
        "{:?}",
        report.warnings
    );

    let (sites, _) = report.by_site();
    let widest = sites.iter().max_by_key(|(_, weight)| weight.bytes);
    ensure!(
        widest.is_some_and(|(site, _)| site == "site_leak"),
        "{sites:?}"
    );
    let leaked = end.leaked - begin.leaked;
    let growth = observed.growth.context("the growth")?;
    let shown = sites["site_leak"];
    println!("{growth:?} of {leaked}; {sites:?}");
    is_right(growth, leaked)?;
    // The leak is what grows.
    ensure!(
        (0.8..1.2).contains(&(shown.count as f64 / growth.count)),
        "{shown:?}, {growth:?}"
    );
    let mean = (end.leaked_bytes - begin.leaked_bytes) / leaked;
    ensure!(
        (shown.bytes as f64 / shown.count as f64 / mean - 1.0).abs() < 0.01,
        "{shown:?}, {mean} bytes each have leaked"
    );
    let at_least = bounded_by_site(report)?["site_leak"];
    println!("{at_least} of {leaked} blocks at least");
    ensure!(
        (0.1 * leaked..1.05 * leaked).contains(&(at_least as f64)),
        "{at_least} of {leaked}"
    );
    // All but the little that others show.
    let certain = growth.count - 1.96 * growth.error;
    let others = report.totals.unfreed.count - shown.count;
    ensure!(
        at_least as f64 >= certain - others as f64 - 1.0,
        "{at_least}, {growth:?}, {sites:?}"
    );
    Ok(())
}

/// An estimate is as near to the truth as it says, and that is not far.
fn is_right(growth: Growth, truth: f64) -> Result<()> {
    let off = (growth.count - truth).abs();
    ensure!(off <= 4.0 * growth.error, "{growth:?} of {truth}");
    ensure!(growth.error < 0.6 * growth.count, "{growth:?} of {truth}");
    ensure!(
        (0.4..2.0).contains(&(growth.count / truth)),
        "{growth:?} of {truth}"
    );
    Ok(())
}

/// Blocks that are unfreed at least, by site: never more than are shown, and together not more than all are.
fn bounded_by_site(report: &Report) -> Result<BTreeMap<String, u64>> {
    let at_least = report.at_least_by_site();
    let at_least = at_least.context("a stack does not say what is unfreed at least")?;
    for stack in &report.stacks {
        let within = stack.at_least.is_some_and(|it| it <= stack.count);
        ensure!(within, "{stack:?}");
    }
    let growth = report.observed.as_ref().and_then(|it| it.growth);
    let growth = growth.context("the growth")?;
    let all: u64 = report.stacks.iter().filter_map(|it| it.at_least).sum();
    ensure!(
        all as f64 <= (growth.count - 1.96 * growth.error).max(0.0) + 1.0,
        "{all} at least by stack, {growth:?}"
    );
    Ok(at_least)
}

/// Blocks that live for half a second are given back in gaps, and shown many times over. That they are given back is seen
/// in the slices all the same, of others that were taken before.
#[test]
fn what_circulates_is_not_growth() -> Result<()> {
    let mut program = Bounded::start(&["ring"])?;
    // Until the ring is full.
    std::thread::sleep(Duration::from_secs(3));
    let unfreed = Unfreed::heap(program.pid(), &["--max-overhead", "5"])?;
    let begin = program.ask()?;
    std::thread::sleep(RECORDED);
    let end = program.ask()?;
    let recording = unfreed.stop()?;
    let report = &recording.report;
    let observed = report.observed.clone().context("what was observed")?;
    let growth = observed.growth.context("the growth")?;
    let leaked = end.leaked - begin.leaked;
    let (sites, _) = report.by_site();
    println!("{leaked} leaked; {observed:?}; {sites:?}");
    ensure!(report.lost().count() == 0, "{:?}", report.losses);
    is_right(growth, leaked)?;
    let [leak, ring] = ["site_leak", "site_ring"].map(|site| sites[site].count as f64);
    ensure!(
        (0.8..1.2).contains(&(growth.count / leak)),
        "{growth:?}, and of the leak {leak} are shown"
    );
    ensure!(ring > 2.0 * leak, "{sites:?}");
    let at_least = bounded_by_site(report)?;
    println!("{at_least:?} at least");
    // Nobody knows of a block of the ring that it is still there, and there are more of them than were taken and not
    // given back.
    ensure!(at_least["site_ring"] as f64 <= 0.2 * ring, "{at_least:?}");
    let said = |it: &String| it.contains("upper bound") && it.contains("at least");
    ensure!(report.warnings.iter().any(said), "{:?}", report.warnings);
    Ok(())
}

/// Of a program that costs less than the bound nothing is estimated.
#[test]
fn within_the_bound_everything_is_exact() -> Result<()> {
    use unfreed_tests::program::Program;
    let path = build::program("functions", Linkage::Dynamic)?;
    let mut program = Program::start(&path, [""; 0], None)?;
    let unfreed = Unfreed::heap(program.pid(), &["--max-overhead", "1000"])?;
    let ledger = program.run()?;
    let recording = unfreed.stop()?;
    program.finish()?;
    let report = &recording.report;
    let observed = report.observed.clone();
    let observed = observed.context("the JSON does not say what was observed")?;
    ensure!(
        observed.slices == 1 && observed.share >= 1.0,
        "{observed:?}"
    );
    let differences = compare(&ledger, report, Side::Outstanding);
    ensure!(differences.is_empty(), "{differences:?}");
    Ok(())
}

/// Each block that was given back counts once, whatever calls are nested in the one that gave it back, and those from
/// before the recording count, too.
#[test]
fn what_is_taken_and_given_back_is_counted_exactly() -> Result<()> {
    let programs = ["functions", "extended", "realloc_chain"];
    let mut wrong = Vec::new();
    for case in matrix::cases().filter(|case| programs.contains(&case.program)) {
        let (ledger, recording) = case.record(&["--max-overhead", "1000"])?;
        let report = &recording.report;
        let observed = report.observed.as_ref().context("what was observed")?;
        let differences = compare(&ledger, report, Side::Outstanding);
        let [Slice { net: Some(net), .. }] = observed.each[..] else {
            anyhow::bail!("{case}: {observed:?}");
        };
        // As many blocks from before the recording are given back.
        let before = if case.program == "functions" { 30 } else { 0 };
        let expected = i64::try_from(report.totals.unfreed.count)? - before;
        // A thread of glibc's that ends frees what it keeps of freed blocks once more.
        let again = case.program == "realloc_chain"
            && matches!(case.allocator, Allocator::Glibc | Allocator::GlibcStatic);
        let counted = net == expected || again && net < expected;
        if !counted || !differences.is_empty() {
            wrong.push(format!("{case}: {net} of {expected}; {differences:?}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
