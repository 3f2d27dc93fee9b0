//! A second opinion: libgcc's unwinder, asked inside of each call of the allocator, sees the same
//! stacks as a recording of the same program, return address by return address. Not in the same
//! run: what the kernel puts in the place of return addresses, to see functions return, stops it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use unfreed_tests::build::{self, beforehand::CHAIN_WITNESS};
use unfreed_tests::chain::Walked;
use unfreed_tests::ledger::Weight;
use unfreed_tests::program::Program;
use unfreed_tests::unfreed::Unfreed;

/// A file and a return address in it, from the caller of the allocator outwards.
type Addresses = Vec<(PathBuf, u64)>;

/// In the place of a return address: a function of this file that counts as an allocator's, although
/// it calls the C library's. libstdc++'s aligned operator new is one: it asks for more than it is
/// asked for.
const ALLOCATOR: u64 = u64::MAX;

/// What `chain_witness.c` wrote.
fn witnessed(text: &str) -> Result<BTreeMap<Addresses, Weight>> {
    let mut stacks = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let mut number = || {
            words
                .next()
                .context("a line that is too short")?
                .parse()
                .context(line.to_owned())
        };
        let weight = Weight {
            bytes: number()?,
            count: number()?,
        };
        let addresses = words.map(|word| {
            let (module, offset) = word.rsplit_once("+0x").context("no offset")?;
            // Some names are those of links.
            let file = Path::new(module).canonicalize()?;
            Ok((file, u64::from_str_radix(offset, 16)?))
        });
        stacks.insert(addresses.collect::<Result<Addresses>>()?, weight);
    }
    Ok(stacks)
}

/// What the recording says.
fn recorded(walked: &Walked) -> BTreeMap<Addresses, Weight> {
    let mut stacks: BTreeMap<Addresses, Weight> = BTreeMap::new();
    for stack in &walked.stacks {
        let mut addresses: Addresses = stack
            .physical()
            .map(|frame| {
                let module = frame.module.as_deref().unwrap_or_default();
                (module.into(), frame.offset.unwrap_or_default())
            })
            .collect();
        // Not a return address: the allocator's function.
        match addresses.first_mut() {
            Some(first) if !first.0.ends_with("libc.so.6") => first.1 = ALLOCATOR,
            _ => drop(addresses.remove(0)),
        }
        *stacks.entry(addresses).or_default() += stack.weight();
    }
    stacks
}

/// Says of calls that functions other than the C library's made for their callers what a recording
/// says of them.
fn with_allocators(
    expected: BTreeMap<Addresses, Weight>,
    got: &BTreeMap<Addresses, Weight>,
) -> BTreeMap<Addresses, Weight> {
    expected
        .into_iter()
        .map(|(mut addresses, weight)| {
            let made = |mut addresses: Addresses| {
                addresses.first_mut()?.1 = ALLOCATOR;
                got.contains_key(&addresses).then_some(addresses)
            };
            if let Some(other) = made(addresses.clone()) {
                addresses = other;
            }
            (addresses, weight)
        })
        .collect()
}

/// What libgcc says about a run that is not recorded.
fn witness(program: &Path, directory: &Path) -> Result<BTreeMap<Addresses, Weight>> {
    let library = build::frameless_library(CHAIN_WITNESS)?;
    let files = ["chains.json", "witness"].map(|name| directory.join(name));
    let mut program = Program::start(program, &files, Some(&library))?;
    program.run()?;
    program.finish()?;
    witnessed(&std::fs::read_to_string(&files[1]).context("reading what the witness wrote")?)
}

/// What unfreed says about another one.
fn record(program: &Path, directory: &Path) -> Result<BTreeMap<Addresses, Weight>> {
    let output = directory.join("walked.json");
    let mut program = Program::start(program, [directory.join("chains.json")], None)?;
    let options = ["--all", "-o", &output.to_string_lossy()];
    let unfreed = Unfreed::heap(program.pid(), &options)?;
    program.run()?;
    unfreed.stop()?;
    program.finish()?;
    Ok(recorded(&Walked::read(&output)?))
}

fn check(program: &Path) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let expected = witness(program, directory.path())?;
    ensure!(expected.len() > 10, "the witness saw only {expected:?}");
    let got = record(program, directory.path())?;
    let expected = with_allocators(expected, &got);
    let stacks: BTreeSet<&Addresses> = expected.keys().chain(got.keys()).collect();
    let differences: Vec<String> = stacks
        .into_iter()
        .filter(|stack| expected.get(*stack) != got.get(*stack))
        .map(|stack| {
            let (expected, got) = (expected.get(stack), got.get(stack));
            format!("{stack:x?}: expected {expected:?}, got {got:?}")
        })
        .collect();
    ensure!(differences.is_empty(), "\n  {}", differences.join("\n  "));
    Ok(())
}

macro_rules! witness {
    ($($test:ident: $program:literal;)*) => {
        $(
            #[test]
            fn $test() -> Result<()> {
                check(&build::frameless($program, build::Linkage::Dynamic)?)
            }
        )*
    };
}

witness! {
    libgcc_agrees_about_chain_c: "chain_c";
    libgcc_agrees_about_chain_callbacks: "chain_callbacks";
    libgcc_agrees_about_chain_leaks: "chain_leaks";
    libgcc_agrees_about_chain_paths: "chain_paths";
}

#[test]
fn libgcc_agrees_about_chain_rust() -> Result<()> {
    check(&build::frameless_rust("chain_rust")?)
}
