//! The command line: parse, run, print the error chain, exit.

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
