//! `unfreed report`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::output::Output;
use crate::profile::Profile;
use crate::read;

/// A saved recording in other formats.
#[derive(Debug, Args)]
pub struct Report {
    /// Recording to read: unfreed's JSON, plain or gzipped
    #[arg(value_name = "FILE")]
    recording: PathBuf,

    #[command(flatten)]
    output: Output<Profile>,
}

impl Report {
    /// Reads and writes.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let outputs = self.output.resolve()?;
        outputs.write(&read::file(&self.recording)?)?;
        Ok(ExitCode::SUCCESS)
    }
}
