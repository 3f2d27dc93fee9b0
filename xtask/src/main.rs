//! Development tasks: `cargo xtask --help`.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::todo,
        clippy::unimplemented,
        clippy::dbg_macro
    )
)]

mod accuracy;
mod bench;
mod debian;
mod demo;
mod dist;
mod lint;
mod run;
mod setup;
mod test;
#[path = "../../profiler/build/toolchain.rs"]
mod toolchain;
mod vm_test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, tests and shows unfreed.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what building and testing need and this machine lacks
    Setup(setup::Arguments),
    /// Profile a small leaking service and leave its flame graph in demo/
    Demo,
    /// Run every test, with real eBPF on the running kernel
    Test(test::Arguments),
    /// Run the suite in virtual machines with other kernels; `--all` writes docs/kernels.md
    VmTest(vm_test::Arguments),
    /// Formatting, clippy on both sides of the kernel boundary, documentation, licences
    Lint,
    /// Build one static binary, a Debian package and a tarball, in `dist` of the target directory
    Dist(dist::Arguments),
    /// Measure unfreed against programs that count for themselves; writes docs/accuracy.md
    Accuracy,
    /// Measure what recording costs, and what unwind tables do; writes docs/benchmark.md and docs/overhead.md
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    run::put_cargo_bin_on_path();
    let result = match Arguments::parse().task {
        Task::Setup(arguments) => setup::task(&arguments),
        Task::Demo => demo::task(),
        Task::Test(arguments) => test::task(&arguments),
        Task::VmTest(arguments) => vm_test::task(&arguments),
        Task::Lint => lint::task(),
        Task::Dist(arguments) => dist::task(&arguments),
        Task::Accuracy => accuracy::task(),
        Task::Bench(arguments) => bench::task(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
