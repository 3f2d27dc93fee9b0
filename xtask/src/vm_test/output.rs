//! Programs that are run for what they print.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run;

/// What the command prints; where it fails, the error has what it complained about.
pub fn stdout_of(command: &mut Command) -> Result<String> {
    let output = run::output(command)?;
    if !output.status.success() {
        let complaint = [output.stdout, output.stderr].concat();
        bail!(
            "`{}`: {}\n{}",
            run::shown(command),
            output.status,
            String::from_utf8_lossy(&complaint).trim()
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("reading what `{}` prints", run::shown(command)))
}
