//! `unfreed diff`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::output::Output;
use crate::profile;
use crate::read;

/// What changed from one saved recording to another: of one view, recorded in one mode.
#[derive(Debug, Args)]
pub struct Diff {
    /// The earlier recording: unfreed's JSON, plain or gzipped
    #[arg(value_name = "BEFORE")]
    before: PathBuf,

    /// The later one
    #[arg(value_name = "AFTER")]
    after: PathBuf,

    #[command(flatten)]
    output: Output<profile::Diff>,
}

impl Diff {
    /// Reads, compares and writes.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let outputs = self.output.resolve()?;
        let (before, after) = (read::file(&self.before)?, read::file(&self.after)?);
        outputs.write(&profile::Diff::of(&before, &after)?)?;
        Ok(ExitCode::SUCCESS)
    }
}
