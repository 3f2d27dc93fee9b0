//! Many blocks, many stacks, many pages.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use unfreed_tests::build::{self, Linkage};
use unfreed_tests::compare::{Side, compare};
use unfreed_tests::program::Program;
use unfreed_tests::unfreed::Unfreed;

use crate::pages::recorded::Setting;

#[test]
fn heap_of_two_million_blocks_over_twenty_thousand_stacks() {
    let path = build::program("scale", Linkage::Dynamic).unwrap();
    let mut program = Program::start(&path, [""; 0], None).unwrap();
    let unfreed = Unfreed::heap(program.pid(), &[]).unwrap();
    let ledger = program.run().unwrap();
    let recording = unfreed.stop().unwrap();
    program.finish().unwrap();
    println!(
        "scale: written after {:?}, {} MB of memory",
        recording.written_after,
        recording.peak_rss / 1_000_000
    );

    let report = &recording.report;
    assert_eq!(compare(&ledger, report, Side::Outstanding), []);
    assert_eq!(ledger.outstanding().count, 2_000_000);
    let leaves = report
        .stacks
        .iter()
        .filter(|stack| stack.count == 100)
        .count();
    assert_eq!(leaves, 20_000, "stacks of 100 blocks");
    let paths: HashSet<Vec<Option<&str>>> = report
        .stacks
        .iter()
        .map(|stack| {
            stack
                .frames
                .iter()
                .map(|frame| frame.function.as_deref())
                .collect()
        })
        .collect();
    assert!(paths.len() >= 20_000, "only {} paths differ", paths.len());
    assert!(
        recording.written_after <= Duration::from_secs(5),
        "written after {:?}",
        recording.written_after
    );
    assert!(
        recording.peak_rss > 0 && recording.peak_rss < 300_000_000,
        "{} bytes",
        recording.peak_rss
    );
}

/// As many as there is room for unless more is asked for, less what a program does by the way.
#[test]
fn four_million_pages_are_known() -> Result<()> {
    let recorded = Setting::of("pages_many").record()?;
    recorded.is_exact()?;
    let taken = &recorded.result["totals"]["taken"]["count"];
    ensure!(taken.as_u64() >= Some(4_000_000), "{taken} touches");
    for loss in recorded.result["losses"].as_object().into_iter().flatten() {
        ensure!(loss.1 == 0, "{loss:?}");
    }
    recorded.finish()
}
