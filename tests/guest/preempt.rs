//! A kernel that takes the CPU from a probe's program in its middle, under load: what a program keeps
//! must not be another thread's, neither its scratch memory nor its frame.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount, umount};
use unfreed_tests::build::{self, Linkage};
use unfreed_tests::chain::{Chains, Names, Walked};
use unfreed_tests::compare::Side;
use unfreed_tests::ledger::{Ledger, Weight};
use unfreed_tests::program::Program;
use unfreed_tests::report::Report;
use unfreed_tests::unfreed::Unfreed;

/// How often a thread has to have lost its CPU to another for the test to mean anything.
const ENOUGH: i64 = 1000;

/// Where debugfs is mounted while it is needed, and where the kernel says there how it preempts itself, the
/// mode in brackets (`none voluntary (full) lazy`).
const DEBUGFS: &str = "/sys/kernel/debug";
const MODES: &str = "/sys/kernel/debug/sched/preempt";

/// Whether the kernel is one that preempts itself: fully, or lazily, which is fully where a thread of
/// real time wakes.
fn require_preemption() -> Result<()> {
    mount(
        Some("debugfs"),
        DEBUGFS,
        Some("debugfs"),
        MsFlags::empty(),
        None::<&str>,
    )
    .context("mounting debugfs")?;
    let modes = std::fs::read_to_string(MODES).with_context(|| format!("reading {MODES}"));
    umount(DEBUGFS).context("unmounting debugfs")?;
    let modes = modes?;
    ensure!(
        modes.contains("(full)") || modes.contains("(lazy)"),
        "this needs a guest whose kernel preempts itself (preempt=full), this one has {}",
        modes.trim()
    );
    Ok(())
}

/// What the program says of each chain; those without any weight are left out.
fn expected(chains: &Chains) -> BTreeMap<Names, Weight> {
    let weights = chains.expected.iter();
    weights
        .map(|(names, chain)| (names.clone(), chain.outstanding))
        .filter(|(_, weight)| *weight != Weight::default())
        .collect()
}

/// A chain in few words; no other thread's has as many functions.
fn short(names: &Names) -> String {
    let site = names.first().map_or("nothing", String::as_str);
    format!("{site} below {} functions", names.len().saturating_sub(1))
}

/// Every chain that has not exactly the weight that it has to have. No other allocates: the threads
/// are there before the recording begins.
fn wrong_chains(expected: &BTreeMap<Names, Weight>, walked: &Walked) -> Vec<String> {
    let mut got = walked.by_chain();
    got.retain(|_, weight| *weight != Weight::default());
    let mut wrong = Vec::new();
    for (names, weight) in expected {
        let found = got.remove(names).unwrap_or_default();
        if found != *weight {
            wrong.push(format!("{}: expected {weight}, got {found}", short(names)));
        }
    }
    wrong.extend(
        got.iter()
            .map(|(names, weight)| format!("{}: no such chain, {weight}", short(names))),
    );
    wrong
}

/// What else is not as it has to be: sums, losses, stacks that are not whole.
fn wrong_numbers(ledger: &Ledger, report: &Report, walked: &Walked) -> Vec<String> {
    let mut wrong = Vec::new();
    let totals = &report.totals;
    if (totals.taken, totals.unfreed) != (ledger.taken(), ledger.outstanding())
        || totals.given_back + totals.unfreed != totals.taken
    {
        let (taken, outstanding) = (ledger.taken(), ledger.outstanding());
        wrong.push(format!(
            "expected {taken} and of those {outstanding} outstanding, got {totals:?}"
        ));
    }
    let unwinding = &walked.unwinding;
    if unwinding.complete != unwinding.walked || unwinding.approximate != 0 {
        wrong.push(format!("not every stack is whole: {unwinding:?}"));
    }
    let lost = report.lost();
    wrong.extend(lost.map(|(reason, count)| format!("lost: {reason}: {count}")));
    wrong
}

fn check(side: Side, options: &[&str]) -> Result<()> {
    require_preemption()?;
    let directory = tempfile::tempdir()?;
    let written = directory.path().join("chains.json");
    let output = directory.path().join("walked.json");
    let path = build::frameless("preempt", Linkage::Dynamic)?;
    let mut program = Program::start(&path, [&written], None)?;
    let output_path = output.to_string_lossy();
    let unfreed = Unfreed::heap(program.pid(), &[&["-o", &*output_path], options].concat())?;
    let ledger = program.run()?;
    let recording = unfreed.stop()?;
    program.finish()?;

    let mut by_chain = ledger.clone();
    if side == Side::Taken {
        for site in by_chain.sites.values_mut() {
            site.outstanding = site.taken;
        }
    }
    let chains = Chains::read(&written, &by_chain)?;
    println!("{}; {:?}", ledger.taken(), chains.notes);
    let preempted = chains.notes.get("preempted").copied().unwrap_or(0);
    ensure!(
        preempted >= ENOUGH,
        "threads were preempted only {preempted} times"
    );
    let walked = Walked::read(&output)?;
    let mut wrong = wrong_numbers(&ledger, &recording.report, &walked);
    wrong.extend(wrong_chains(&expected(&chains), &walked));
    let some: Vec<&str> = wrong.iter().take(20).map(String::as_str).collect();
    ensure!(
        wrong.is_empty(),
        "{} are wrong:\n  {}",
        wrong.len(),
        some.join("\n  ")
    );
    Ok(())
}

#[test]
fn what_is_outstanding_is_each_threads_own() -> Result<()> {
    check(Side::Outstanding, &[])
}

#[test]
fn what_was_taken_is_each_threads_own() -> Result<()> {
    check(Side::Taken, &["--all"])
}
