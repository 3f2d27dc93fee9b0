//! Allocators that are not simply the C library's.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use procfs::process::{MMapPath, MemoryMap, Process};
use unfreed_tests::build::{self, Linkage};
use unfreed_tests::compare::{Side, compare};
use unfreed_tests::matrix::{Allocator, Case};
use unfreed_tests::program::Program;
use unfreed_tests::unfreed::{Recording, Unfreed};

use super::poll;
use crate::recorded::{Recorded, check_sites, report};
use crate::toolchain;

const LIMIT: Duration = Duration::from_mins(1);

/// A new module is noticed within a second; attaching to it takes its time on a busy machine.
const NOTICED: Duration = Duration::from_secs(5);

/// Whether there is a probe at the beginning of the function at this address, where a file is mapped, and
/// unfreed is done with attaching: it waits for what may happen next (`epoll_wait`, 232).
fn is_probed(case: &Recorded, address: u64) -> Result<bool> {
    let process = Process::new(case.target.pid().cast_signed())?;
    let maps = process.maps()?;
    let is_there = |map: &&MemoryMap| (map.address.0..map.address.1).contains(&address);
    let map = maps.iter().find(is_there).context("it is not mapped")?;
    let MMapPath::Path(path) = &map.pathname else {
        bail!("no file is mapped there");
    };
    let (mut in_memory, mut in_file) = ([0; 32], [0; 32]);
    process.mem()?.read_exact_at(&mut in_memory, address)?;
    File::open(path)?.read_exact_at(&mut in_file, address - map.address.0 + map.offset)?;
    let call = std::fs::read_to_string(format!("/proc/{}/syscall", case.unfreed.pid()))?;
    Ok(in_memory != in_file && call.starts_with("232 "))
}

#[test]
fn allocators_loaded_during_the_recording_are_probed_and_exact() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("mod_loader");
    toolchain::compile::<&str>("mod_loader.c", &program, &[])?;
    // When the second one is loaded, no stack is new: it is noticed all the same.
    let plugins = ["first.so", "second.so"].map(|name| directory.path().join(name));
    toolchain::library("mod_plugin.c", &plugins[0], &[])?;
    std::fs::copy(&plugins[0], &plugins[1])?;

    let mut case = Recorded::start(Command::new(&program).arg("hold").args(&plugins), &[])?;
    case.target.tell("go")?;
    for plugin in &plugins {
        let line = case.target.stdout.next(LIMIT)?.context("it has ended")?;
        let address = line.strip_prefix("loaded 0x").context("no address")?;
        let address = u64::from_str_radix(address, 16)?;
        poll(NOTICED, || is_probed(&case, address))
            .with_context(|| format!("probing {}", plugin.display()))?;
        case.target.tell("work")?;
    }
    // It unloads both before it says so.
    case.target.expect("done")?;

    let result = case.stop()?;
    // The C library's own blocks, for loading the plugins, are at no site.
    check_sites(
        &result,
        &[
            ("site_plug_kept", 200 * 1777, 200),
            ("site_plug_array", 20 * 993, 20),
            ("site_plug_grown", 20 * 3001, 20),
        ],
    )?;
    let warnings = report(&result)?.warnings;
    for plugin in &plugins {
        let path = plugin.to_string_lossy();
        let named =
            |warning: &String| warning.contains(&*path) && warning.contains("loaded during");
        ensure!(warnings.iter().any(named), "no {path} in {warnings:?}");
    }
    Ok(())
}

/// Records a program with a ledger from its start to the end of its work.
fn record(
    program: &std::path::Path,
    more: &[&str],
) -> Result<(unfreed_tests::ledger::Ledger, Recording)> {
    let mut program = Program::start(program, [""; 0], None)?;
    let unfreed = Unfreed::heap(program.pid(), more)?;
    let ledger = program.run()?;
    let recording = unfreed.stop()?;
    program.finish()?;
    Ok((ledger, recording))
}

#[test]
fn two_allocators_in_one_process_are_both_exact() -> Result<()> {
    let program = build::program("mod_two_allocators", Linkage::Dynamic)?;
    let (ledger, recording) = record(&program, &[])?;
    ensure!(ledger.sites.len() == 7, "sites: {:?}", ledger.sites.keys());
    let wrong = compare(&ledger, &recording.report, Side::Outstanding);
    ensure!(wrong.is_empty(), "{wrong:?}");
    ensure!(
        recording.report.totals.taken == ledger.taken(),
        "unfreed saw {}, the program took {}",
        recording.report.totals.taken,
        ledger.taken()
    );
    Ok(())
}

/// The C library is loaded too, and its functions are probed: what the preloaded allocator does
/// must not be counted a second time anywhere.
fn counted_once(allocator: Allocator) -> Result<()> {
    let program = "functions";
    let (ledger, recording) = Case { program, allocator }.record(&[])?;
    let (taken, expected) = (recording.report.totals.taken, ledger.taken());
    ensure!(
        taken == expected,
        "unfreed saw {taken}, the program took {expected}"
    );
    Ok(())
}

#[test]
fn a_preloaded_jemalloc_counts_each_call_once() -> Result<()> {
    counted_once(Allocator::Jemalloc)
}

#[test]
fn a_preloaded_tcmalloc_counts_each_call_once() -> Result<()> {
    counted_once(Allocator::Tcmalloc)
}

#[test]
fn a_preloaded_mimalloc_counts_each_call_once() -> Result<()> {
    counted_once(Allocator::Mimalloc)
}

#[test]
fn an_allocator_of_two_functions_is_exact_once_its_prefix_is_named() -> Result<()> {
    let program = build::program("mod_prefixed", Linkage::Dynamic)?;
    let (mut ledger, recording) = record(&program, &["--allocator", "zz_"])?;
    let wrong = compare(&ledger, &recording.report, Side::Outstanding);
    ensure!(wrong.is_empty(), "with --allocator zz_: {wrong:?}");

    // Two functions are too few to be believed without being named.
    let (_, recording) = record(&program, &[])?;
    ledger.sites.remove("site_zz").context("no site_zz")?;
    let wrong = compare(&ledger, &recording.report, Side::Outstanding);
    ensure!(wrong.is_empty(), "without --allocator: {wrong:?}");
    Ok(())
}
