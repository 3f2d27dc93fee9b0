//! The machine's release with its backports, for single commands of apt: what the machine itself knows of
//! packages stays as it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::debian::{self, KEYRING};
use crate::run;

const PARTS: &str = "/etc/apt/sources.list.d";

/// Package lists of their own, in the target directory.
pub struct Backports {
    suite: String,
    directory: PathBuf,
}

impl Backports {
    /// Writes down where packages come from: the machine's own sources, and one more.
    pub fn of_this_release() -> Result<Self> {
        let suite = format!("{}-backports", debian::release()?);
        let archive = debian::archive()?;
        let directory = run::target_dir()?.join("setup").join(&suite);
        let sources = directory.join("sources");
        if sources.exists() {
            fs::remove_dir_all(&sources).context("removing sources of an earlier time")?;
        }
        for part in [&sources, &directory.join("lists/partial")] {
            fs::create_dir_all(part).with_context(|| format!("creating {}", part.display()))?;
        }
        for source in Path::new(PARTS).read_dir().into_iter().flatten() {
            let source = source?.path();
            let copy = sources.join(source.file_name().unwrap_or_default());
            fs::copy(&source, copy).with_context(|| format!("copying {}", source.display()))?;
        }
        let address = archive.address(&suite);
        fs::write(
            sources.join("unfreed-backports.list"),
            format!("deb [signed-by={KEYRING}] {address} {suite} main\n"),
        )
        .context("writing a source of packages")?;
        Ok(Self { suite, directory })
    }

    /// Has a command of apt take packages from there, before others.
    pub fn apply<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let directory = self.directory.display();
        command
            .args(["--target-release", &self.suite])
            .arg(format!(
                "--option=Dir::Etc::sourceparts={directory}/sources"
            ))
            .arg(format!("--option=Dir::State::lists={directory}/lists"))
            // Its user for downloads may not enter the target directory.
            .arg("--option=APT::Sandbox::User=root")
    }
}
