//! The command line. Flags become resolved settings here; nothing below sees a flag.

mod check;
mod daemon;
mod diff;
mod generate;
mod heap;
mod output;
mod pages;
mod record;
mod report;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::daemon::worker;

/// Shows what a running process took and never gave back, by call stack.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit status: 0 done; 1 failed; 2 usage; 3 recorded, but events were lost."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Blocks of the heap that were allocated and not freed
    #[command(alias = "memstacks")]
    Heap(heap::Heap),
    /// Pages that were touched and are still resident
    #[command(alias = "pgfaultstacks")]
    Pages(pages::Pages),
    /// What changed from one saved recording to another
    Diff(diff::Diff),
    /// A saved recording in other formats
    Report(report::Report),
    /// Whether this host, and a process, can be profiled; what to do if not
    Check(check::Check),
    /// One recording for the daemon
    #[command(hide = true)]
    Worker,
    /// Profile continuously, as a service
    Daemon(daemon::Daemon),
    /// Write man pages or completions
    #[command(hide = true)]
    Generate(generate::Generate),
}

/// The exit status of a recording that lost events; its result is written.
const LOST: u8 = 3;

impl Cli {
    /// Does what was asked for. An error is to be printed, and the status is then 1.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Heap(heap) => heap.run(),
            Command::Pages(pages) => pages.run(),
            Command::Diff(diff) => diff.run(),
            Command::Report(report) => report.run(),
            Command::Check(check) => check.run(),
            Command::Worker => worker::run().map(|()| ExitCode::SUCCESS),
            Command::Daemon(daemon) => daemon.run(),
            Command::Generate(generate) => generate.run(),
        }
    }
}
