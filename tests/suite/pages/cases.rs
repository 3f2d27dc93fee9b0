//! Each way in which pages come and go, against the program's own ledger.

use anyhow::{Result, ensure};
use unfreed_tests::build::Linkage;

use super::recorded::Setting;

#[test]
fn what_nobody_touched_is_unexplained() -> Result<()> {
    let recorded = Setting::of("pages_unseen").record()?;
    recorded.is_exact()?;
    let line = "unexplained (nobody was seen to touch it): anonymous ";
    ensure!(recorded.text.contains(line), "{}", recorded.text);
    recorded.finish()
}

#[test]
fn pages_that_come_again_are_the_last_touchers() -> Result<()> {
    for linkage in [Linkage::Dynamic, Linkage::Static] {
        let setting = Setting {
            linkage,
            ..Setting::of("pages_again")
        };
        let recorded = setting.record()?;
        recorded.is_exact()?;
        recorded.finish()?;
    }
    Ok(())
}

#[test]
fn a_files_pages_are_those_of_the_fault_that_mapped_them() -> Result<()> {
    let recorded = Setting::of("pages_around").record()?;
    recorded.is_exact()?;
    recorded.finish()
}

#[test]
fn huge_pages_that_are_made_and_cut_are_their_first_touchers() -> Result<()> {
    let recorded = Setting::of("pages_huge").record()?;
    recorded.is_exact()?;
    recorded.finish()
}

#[test]
fn what_is_given_back_lazily_is_not_counted() -> Result<()> {
    let setting = Setting {
        arguments: &["apart"],
        ..Setting::of("pages_lazy")
    };
    let recorded = setting.record()?;
    recorded.is_exact()?;
    let line = "given back with MADV_FREE, still resident: ";
    ensure!(recorded.text.contains(line), "{}", recorded.text);
    recorded.finish()
}

#[test]
fn what_cannot_be_known_of_lazily_given_back_memory_is_said() -> Result<()> {
    let recorded = Setting::of("pages_lazy").record()?;
    recorded.is_exact()?;
    let line = "(other memory of these mappings was written again since";
    ensure!(recorded.text.contains(line), "{}", recorded.text);
    recorded.finish()
}

#[test]
fn pages_that_are_moved_stay_their_touchers() -> Result<()> {
    for linkage in [Linkage::Dynamic, Linkage::Static] {
        let setting = Setting {
            linkage,
            ..Setting::of("pages_moved")
        };
        let recorded = setting.record()?;
        recorded.is_exact()?;
        recorded.finish()?;
    }
    Ok(())
}
