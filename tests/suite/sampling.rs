//! `--sample`: estimates are right in the mean, and spread as theory says.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use unfreed_tests::build::{self, Linkage};
use unfreed_tests::ledger::{Ledger, Weight};
use unfreed_tests::program::Program;
use unfreed_tests::report::Report;
use unfreed_tests::unfreed::Unfreed;

/// Mean bytes between samples: each block of the program has a chance of about a fifth.
const MEAN: f64 = 1024.0;

/// Paths through the program, each of which takes the same.
const PATHS: usize = 256;

/// A site whose blocks stay, and their size.
const SITES: [(&str, f64); 2] = [("site_zeroed", 200.0), ("site_grown", 220.0)];

#[test]
fn estimates_are_right_and_spread_as_theory_says() -> Result<()> {
    estimates_of(Linkage::Dynamic)
}

/// musl's calloc and realloc call malloc.
#[test]
fn nested_calls_have_one_chance() -> Result<()> {
    estimates_of(Linkage::Musl)
}

fn estimates_of(linkage: Linkage) -> Result<()> {
    let path = build::program("sampled", linkage)?;
    let mut program = Program::start(&path, [""; 0], None)?;
    let unfreed = Unfreed::heap(program.pid(), &["--sample", "1KiB"])?;
    let ledger = program.run()?;
    let recording = unfreed.stop()?;
    program.finish()?;
    let report = &recording.report;
    ensure!(report.lost().count() == 0, "{:?}", report.losses);
    let sampled = report
        .sampled
        .context("the JSON does not say that it is of samples")?;
    ensure!(sampled.mean_bytes == 1024, "{sampled:?}");

    let all = ledger.outstanding();
    is_near("unfreed", report.totals.unfreed, all)?;
    is_near("taken", report.totals.taken, ledger.taken())?;
    let given_back = Weight {
        bytes: ledger.taken().bytes - all.bytes,
        count: ledger.taken().count - all.count,
    };
    is_near("given back", report.totals.given_back, given_back)?;
    let number = sampled.samples as f64;
    let expected = SITES.map(|(_, size)| chance(size)).iter().sum::<f64>() / 2.0 * all.count as f64;
    ensure!(
        (number / expected - 1.0).abs() < 0.01,
        "{number} samples of {expected}"
    );
    spread(&ledger, report)
}

/// The probability of a block of this size.
fn chance(size: f64) -> f64 {
    -(-size / MEAN).exp_m1()
}

/// Within one in a hundred: four times the expected deviation.
fn is_near(what: &str, estimate: Weight, truth: Weight) -> Result<()> {
    for (estimate, truth) in [(estimate.bytes, truth.bytes), (estimate.count, truth.count)] {
        let ratio = estimate as f64 / truth as f64;
        ensure!((ratio - 1.0).abs() < 0.01, "{what}: {estimate} of {truth}");
    }
    Ok(())
}

/// How the estimates of each path differ from what it took, in units of what is expected.
fn spread(ledger: &Ledger, report: &Report) -> Result<()> {
    let mut estimates: BTreeMap<(&str, Vec<&str>), f64> = BTreeMap::new();
    for stack in &report.stacks {
        let names = || {
            stack
                .frames
                .iter()
                .filter_map(|frame| frame.function.as_deref())
        };
        let site = names().find_map(|name| SITES.iter().find(|(site, _)| *site == name));
        if let Some((site, _)) = site {
            let path = names().filter(|name| name.starts_with("branch_")).collect();
            *estimates.entry((site, path)).or_default() += stack.bytes as f64;
        }
    }
    ensure!(
        estimates.len() == SITES.len() * PATHS,
        "{} stacks",
        estimates.len()
    );
    for (site, size) in SITES {
        let outstanding = ledger
            .sites
            .get(site)
            .context("the site is not in the ledger")?
            .outstanding;
        let blocks = outstanding.count as f64 / PATHS as f64;
        // A block counts as size / p with probability p.
        let variance = blocks * size * size * (1.0 - chance(size)) / chance(size);
        let squares = estimates
            .iter()
            .filter(|((of, _), _)| *of == site)
            .map(|(_, estimate)| (estimate - blocks * size).powi(2) / variance);
        let spread = squares.sum::<f64>() / PATHS as f64;
        println!("{site}: {spread:.3} times the expected variance");
        // The variance of 256 has a deviation of 9 %.
        ensure!(
            (0.6..1.45).contains(&spread),
            "{site}: {spread} times the expected variance"
        );
    }
    Ok(())
}
