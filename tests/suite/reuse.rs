//! What the programs keep to be quick: entries of blocks that were given back, and threads' states at places of
//! their own. Numbers stay what they are.

use anyhow::{Context as _, Result, ensure};
use unfreed_tests::build::{self, Linkage};
use unfreed_tests::compare::{Difference, Side, compare};
use unfreed_tests::program::Program;
use unfreed_tests::unfreed::Unfreed;

/// What is not as in the program's ledger.
fn differences(program: &'static str, options: &[&str]) -> Result<Vec<Difference>> {
    let path = build::program(program, Linkage::Dynamic)?;
    let mut program = Program::start(&path, [""; 0], None)?;
    let unfreed = Unfreed::heap(program.pid(), options)?;
    let ledger = program.run()?;
    let recording = unfreed.stop()?;
    program.finish()?;
    ensure!(
        ledger.outstanding().count > 0,
        "the program has kept nothing"
    );
    Ok(compare(&ledger, &recording.report, Side::Outstanding))
}

/// Entries that are kept for the next blocks at their addresses take no block's place.
#[test]
fn as_many_blocks_can_live_as_was_asked_for() -> Result<()> {
    let wrong = differences("reused", &["--max-live", "1000"])?;
    ensure!(wrong.is_empty(), "{wrong:?}");
    Ok(())
}

/// Also where the entry of the one before was kept, or that of another one whose address has the same hash.
#[test]
fn a_block_that_was_given_back_unseen_is_counted_and_not_shown() -> Result<()> {
    let mut wrong = differences("missed", &[])?;
    let missed = wrong.pop().context("nothing was lost")?;
    let all = Difference::Lost {
        reason: "free_missed".into(),
        count: 200,
    };
    ensure!(missed == all && wrong.is_empty(), "{missed}, {wrong:?}");
    Ok(())
}

#[test]
fn threads_whose_ids_share_a_place_are_told_apart() -> Result<()> {
    let wrong = differences("crowd", &[])?;
    ensure!(wrong.is_empty(), "{wrong:?}");
    Ok(())
}
