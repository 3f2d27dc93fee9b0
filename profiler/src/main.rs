//! The command line: parse, run, print the error chain, exit.
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

use std::process::ExitCode;

use clap::Parser as _;
use unfreed::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(status) => status,
        Err(error) => {
            eprintln!("unfreed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
