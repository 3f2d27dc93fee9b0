//! Programs without frame pointers: every byte at the function that took it, and every stack the
//! chain of callers that the program itself kept, no frame missing and none invented.

mod plugins;
mod rules;
mod witness;

use std::path::Path;

use anyhow::{Result, ensure};
use unfreed_tests::chain::{Chains, Walked};
use unfreed_tests::matrix::{self, Allocator, Case};
use unfreed_tests::program::Program;
use unfreed_tests::unfreed::{Recording, Unfreed};

use rules::Place;

/// What a program said about itself and what unfreed said about it.
struct Outcome {
    chains: Chains,
    walked: Walked,
    recording: Recording,
}

impl Outcome {
    /// Runs a program while unfreed records it. The program's first argument is where it writes its
    /// chains, these are the others. `options` are unfreed's.
    fn of(
        path: &Path,
        allocator: Allocator,
        arguments: &[&Path],
        options: &[&str],
    ) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let written = directory.path().join("chains.json");
        let output = directory.path().join("walked.json");
        let arguments = [&[&*written], arguments].concat();
        let mut program = Program::start(path, arguments, allocator.preload()?.as_deref())?;
        let output_path = output.to_string_lossy();
        let options = [&["-o", &*output_path], options].concat();
        let unfreed = Unfreed::heap(program.pid(), &options)?;
        let ledger = program.run()?;
        let recording = unfreed.stop()?;
        program.finish()?;
        Ok(Self {
            chains: Chains::read(&written, &ledger)?,
            walked: Walked::read(&output)?,
            recording,
        })
    }

    /// Fails with what is wrong, and with what was lost.
    fn judge(&self, mut wrong: Vec<String>) -> Result<()> {
        let lost = self.recording.report.lost();
        wrong.extend(lost.map(|(reason, count)| format!("lost: {reason}: {count}")));
        ensure!(wrong.is_empty(), "\n  {}", wrong.join("\n  "));
        Ok(())
    }
}

/// Fails with everything that is not the program's own.
fn check(case: Case) -> Result<()> {
    let path = case.frameless().file()?;
    let allocator = case.allocator;
    let outcome = Outcome::of(&path, allocator, &[], &[])?;
    let place = Place {
        executable: &path.to_string_lossy(),
        allocator,
    };
    outcome.judge(place.wrong(&outcome.chains, &outcome.walked))
}

macro_rules! chains {
    ($($test:ident: $program:literal, $allocator:ident;)*) => {
        $(
            #[test]
            fn $test() -> Result<()> {
                check(Case { program: $program, allocator: Allocator::$allocator })
            }
        )*

        const TESTS: &[&str] = &[$(stringify!($test)),*];
    };
}

chains! {
    chain_c_on_glibc: "chain_c", Glibc;
    chain_c_on_jemalloc: "chain_c", Jemalloc;
    chain_c_on_tcmalloc: "chain_c", Tcmalloc;
    chain_c_on_mimalloc: "chain_c", Mimalloc;
    chain_c_on_glibc_static: "chain_c", GlibcStatic;
    chain_c_on_musl: "chain_c", Musl;
    chain_c_on_musl_static: "chain_c", MuslStatic;
    chain_callbacks_on_glibc: "chain_callbacks", Glibc;
    chain_callbacks_on_jemalloc: "chain_callbacks", Jemalloc;
    chain_callbacks_on_tcmalloc: "chain_callbacks", Tcmalloc;
    chain_callbacks_on_mimalloc: "chain_callbacks", Mimalloc;
    chain_callbacks_on_glibc_static: "chain_callbacks", GlibcStatic;
    chain_callbacks_on_musl: "chain_callbacks", Musl;
    chain_callbacks_on_musl_static: "chain_callbacks", MuslStatic;
    chain_leaks_on_glibc: "chain_leaks", Glibc;
    chain_leaks_on_jemalloc: "chain_leaks", Jemalloc;
    chain_leaks_on_tcmalloc: "chain_leaks", Tcmalloc;
    chain_leaks_on_mimalloc: "chain_leaks", Mimalloc;
    chain_leaks_on_glibc_static: "chain_leaks", GlibcStatic;
    chain_paths_on_glibc: "chain_paths", Glibc;
    chain_paths_on_jemalloc: "chain_paths", Jemalloc;
    chain_paths_on_tcmalloc: "chain_paths", Tcmalloc;
    chain_paths_on_mimalloc: "chain_paths", Mimalloc;
    chain_paths_on_glibc_static: "chain_paths", GlibcStatic;
    chain_rust_on_system: "chain_rust", RustSystem;
}

#[test]
fn every_program_that_knows_its_chains_is_a_test() {
    let cases: Vec<String> = matrix::chains().map(|case| case.to_string()).collect();
    assert_eq!(TESTS, cases);
}
