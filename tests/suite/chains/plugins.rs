//! Plugins that come and go a thousand times while the program allocates: every byte at the plugin's
//! function that took it, and no frame is another file's.
//!
//! Each function takes blocks of a size of its own, so that the truth about a stack is known by what
//! it weighs, whatever its frames say.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use unfreed_tests::build::beforehand::CHAIN_PLUGINS;
use unfreed_tests::build::{self, Linkage};
use unfreed_tests::chain::{self, Chains, Names, Stack, Walked};
use unfreed_tests::ledger::Weight;
use unfreed_tests::matrix::Allocator;

use super::Outcome;
use super::rules::missing;

const ROUNDS: i64 = 1000;

/// The chain of the only function that takes blocks of this stack's size.
fn truth<'a>(stack: &Stack, chains: &'a Chains) -> Option<&'a Names> {
    let size_of = |Weight { bytes, count }: Weight| {
        (count > 0 && bytes.is_multiple_of(count)).then(|| bytes / count)
    };
    let size = size_of(stack.weight())?;
    let mut chains = chains.expected.iter();
    let found = chains.find(|(_, chain)| size_of(chain.outstanding) == Some(size));
    found.map(|(names, _)| names)
}

/// What is wrong with one stack.
fn doubt(stack: &Stack, chains: &Chains) -> Option<&'static str> {
    let names = stack.names();
    let Some(truth) = truth(stack, chains) else {
        // The loader's own blocks, and the C library's.
        let mut all = chains.expected.keys();
        let known = all.any(|whole| chain::is_part(&names, whole));
        return (!known).then_some("a frame is invented");
    };
    if stack.is_doubtful() {
        return (!chain::is_part(&names, truth)).then_some("a frame is wrong");
    }
    let known = stack.physical().all(|frame| frame.module.is_some());
    (names != *truth || !known).then_some("not the chain that took the block")
}

fn wrong_functions(chains: &Chains, walked: &Walked) -> Vec<String> {
    let expected = chains.by_function();
    let expected = expected.iter().map(|(name, weight)| (name, *weight));
    missing(expected, &chain::by_function(&walked.by_chain()))
}

fn wrong(chains: &Chains, walked: &Walked) -> Vec<String> {
    let mut wrong = wrong_functions(chains, walked);
    let never = |names: &&Names| {
        let mut stacks = walked.stacks.iter();
        !stacks.any(|stack| !stack.is_doubtful() && stack.names() == **names)
    };
    let never_whole = chains.expected.keys().filter(never);
    wrong.extend(never_whole.map(|names| format!("never whole: {names:?}")));
    wrong.extend(walked.stacks.iter().filter_map(|stack| {
        let why = doubt(stack, chains)?;
        Some(format!("{why}: {}: {}", stack.weight(), stack.line()))
    }));
    wrong
}

/// These take turns, while another thread does the same with `other`.
fn run(turns: &[usize], other: Option<usize>, rounds: i64, options: &[&str]) -> Result<Outcome> {
    let plugin = |index: usize| build::frameless_library(CHAIN_PLUGINS[index]);
    let other = match other {
        Some(index) => plugin(index)?,
        None => PathBuf::from("-"),
    };
    let rounds = PathBuf::from(rounds.to_string());
    let turns = turns
        .iter()
        .map(|&index| plugin(index))
        .collect::<Result<Vec<_>>>()?;
    let mut arguments = vec![Path::new("-"), &rounds, &other];
    arguments.extend(turns.iter().map(PathBuf::as_path));
    let path = build::frameless("chain_plugins", Linkage::Dynamic)?;
    Outcome::of(&path, Allocator::Glibc, &arguments, options)
}

fn check(turns: &[usize], other: Option<usize>) -> Result<()> {
    let outcome = run(turns, other, ROUNDS, &[])?;
    let notes = &outcome.chains.notes;
    let note = |name: &str| notes.get(name).copied().context("a note is missing");
    ensure!(note("loads")? >= ROUNDS, "loaded too rarely: {notes:?}");
    if turns.len() > 1 {
        let often = ROUNDS / 2;
        ensure!(
            note("taken_over")? > often,
            "hardly any address came again: {notes:?}"
        );
    } else {
        ensure!(
            note("addresses")? < ROUNDS / 2,
            "hardly any address came again: {notes:?}"
        );
    }
    outcome.judge(wrong(&outcome.chains, &outcome.walked))
}

#[test]
fn the_tables_do_not_grow_with_every_load() -> Result<()> {
    let rows = |rounds| run(&[0, 1], None, rounds, &[]).map(|it| it.walked.unwinding.table_rows);
    let (few, many) = (rows(10)?, rows(ROUNDS)?);
    // Of few loads the second plugin's may have been missed; a plugin has less than a hundred rows.
    ensure!(few > 0 && many < few + 300, "{few} rows, then {many}");
    Ok(())
}

#[test]
fn a_plugin_loaded_a_thousand_times_is_exact() -> Result<()> {
    check(&[0], None)
}

#[test]
fn two_plugins_that_take_turns_at_one_address_are_exact() -> Result<()> {
    check(&[0, 1], None)
}

#[test]
fn plugins_loaded_by_two_threads_at_the_same_time_are_exact() -> Result<()> {
    check(&[0, 1], Some(2))
}

#[test]
fn frame_pointers_too_name_the_plugin_that_took_the_block() -> Result<()> {
    let Outcome {
        chains,
        walked,
        recording: _,
    } = run(&[0, 1], None, ROUNDS, &["--unwind", "fp"])?;
    let wrong = wrong_functions(&chains, &walked);
    ensure!(wrong.is_empty(), "\n  {}", wrong.join("\n  "));
    Ok(())
}
