//! Every program under every allocator: each call site's bytes and blocks are those of the
//! program's own ledger, exactly, and nothing is lost.

use std::collections::BTreeSet;

use unfreed_tests::matrix::{self, Allocator, Case};

macro_rules! heap_matrix {
    ($($test:ident: $program:literal, $allocator:ident;)*) => {
        $(
            #[test]
            fn $test() {
                let case = Case { program: $program, allocator: Allocator::$allocator };
                if let Err(error) = case.check(&[]) {
                    panic!("{error:#}");
                }
            }
        )*

        const TESTS: &[(&str, &str, Allocator)] =
            &[$((stringify!($test), $program, Allocator::$allocator)),*];
    };
}

heap_matrix! {
    heap_functions_on_glibc: "functions", Glibc;
    heap_functions_on_jemalloc: "functions", Jemalloc;
    heap_functions_on_tcmalloc: "functions", Tcmalloc;
    heap_functions_on_mimalloc: "functions", Mimalloc;
    heap_functions_on_glibc_static: "functions", GlibcStatic;
    heap_functions_on_musl: "functions", Musl;
    heap_functions_on_musl_static: "functions", MuslStatic;
    heap_extended_on_jemalloc: "extended", Jemalloc;
    heap_extended_on_tcmalloc: "extended", Tcmalloc;
    heap_extended_on_mimalloc: "extended", Mimalloc;
    heap_operators_on_glibc: "operators", Glibc;
    heap_operators_on_jemalloc: "operators", Jemalloc;
    heap_operators_on_tcmalloc: "operators", Tcmalloc;
    heap_operators_on_mimalloc: "operators", Mimalloc;
    heap_operators_on_glibc_static: "operators", GlibcStatic;
    heap_threads_on_glibc: "threads", Glibc;
    heap_threads_on_jemalloc: "threads", Jemalloc;
    heap_threads_on_tcmalloc: "threads", Tcmalloc;
    heap_threads_on_mimalloc: "threads", Mimalloc;
    heap_threads_on_glibc_static: "threads", GlibcStatic;
    heap_threads_on_musl: "threads", Musl;
    heap_threads_on_musl_static: "threads", MuslStatic;
    heap_realloc_chain_on_glibc: "realloc_chain", Glibc;
    heap_realloc_chain_on_jemalloc: "realloc_chain", Jemalloc;
    heap_realloc_chain_on_tcmalloc: "realloc_chain", Tcmalloc;
    heap_realloc_chain_on_mimalloc: "realloc_chain", Mimalloc;
    heap_realloc_chain_on_glibc_static: "realloc_chain", GlibcStatic;
    heap_realloc_chain_on_musl: "realloc_chain", Musl;
    heap_realloc_chain_on_musl_static: "realloc_chain", MuslStatic;
    heap_processes_on_glibc: "processes", Glibc;
    heap_processes_on_jemalloc: "processes", Jemalloc;
    heap_processes_on_tcmalloc: "processes", Tcmalloc;
    heap_processes_on_mimalloc: "processes", Mimalloc;
    heap_processes_on_glibc_static: "processes", GlibcStatic;
    heap_processes_on_musl: "processes", Musl;
    heap_processes_on_musl_static: "processes", MuslStatic;
    heap_signals_on_glibc: "signals", Glibc;
    heap_signals_on_jemalloc: "signals", Jemalloc;
    heap_signals_on_tcmalloc: "signals", Tcmalloc;
    heap_signals_on_mimalloc: "signals", Mimalloc;
    heap_signals_on_glibc_static: "signals", GlibcStatic;
    heap_signals_on_musl: "signals", Musl;
    heap_signals_on_musl_static: "signals", MuslStatic;
    heap_dlopen_on_glibc: "dlopen", Glibc;
    heap_dlopen_on_jemalloc: "dlopen", Jemalloc;
    heap_dlopen_on_tcmalloc: "dlopen", Tcmalloc;
    heap_dlopen_on_mimalloc: "dlopen", Mimalloc;
    heap_dlopen_on_musl: "dlopen", Musl;
    heap_mixer_on_glibc: "mixer", Glibc;
    heap_mixer_on_jemalloc: "mixer", Jemalloc;
    heap_mixer_on_tcmalloc: "mixer", Tcmalloc;
    heap_mixer_on_mimalloc: "mixer", Mimalloc;
    heap_mixer_on_glibc_static: "mixer", GlibcStatic;
    heap_coroutines_on_glibc: "coroutines", Glibc;
    heap_coroutines_on_jemalloc: "coroutines", Jemalloc;
    heap_coroutines_on_glibc_static: "coroutines", GlibcStatic;
    heap_jumps_on_own: "jumps", Own;
    heap_interrupts_on_own: "interrupts", Own;
    heap_rust_on_system: "rust", RustSystem;
    heap_rust_on_tikv_jemallocator: "rust", RustJemalloc;
    heap_rust_on_mimalloc_crate: "rust", RustMimalloc;
}

#[test]
fn every_case_of_the_matrix_is_a_test() {
    let tests: BTreeSet<String> = TESTS.iter().map(|(test, ..)| (*test).to_owned()).collect();
    let cases: BTreeSet<String> = matrix::cases().map(|case| format!("heap_{case}")).collect();
    assert_eq!(tests, cases);
    for (test, program, allocator) in TESTS {
        assert_eq!(*test, format!("heap_{program}_on_{}", allocator.name()));
    }
}

/// With each probe on a function's first instruction, where many of them are not otherwise.
fn check_with_probes_at_the_entries(mut which: impl FnMut(&Case) -> bool) {
    let wrong: Vec<String> = matrix::cases()
        .filter(|case| which(case))
        .filter_map(|case| case.check(&["--probe-sites", "entry"]).err())
        .map(|error| format!("{error:#}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_program_is_as_exact_with_probes_at_the_entries() {
    let mut programs = BTreeSet::from(["functions"]);
    check_with_probes_at_the_entries(|case| programs.insert(case.program));
}

#[test]
fn every_allocator_is_as_exact_with_probes_at_the_entries() {
    check_with_probes_at_the_entries(|case| case.program == "functions");
}
