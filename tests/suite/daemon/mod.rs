//! `unfreed daemon`: real processes come and go, and what was recorded of them is found in its store.

mod browser;
mod ends;
mod killed;
mod life;
mod oom;
mod options;
mod privileged;
mod prometheus;
mod schedule;
mod scraped;
mod soak;
mod space;
mod told;
mod users;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use unfreed_tests::build::{self, Linkage};
use unfreed_tests::daemon::Client;

use crate::session::Session;

/// A test program under a path that no other test uses, so that a target can be told by it.
pub struct Copy {
    pub path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Copy {
    pub fn of(program: &'static str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join(program);
        fs::copy(build::program(program, Linkage::Dynamic)?, &path).context("copying a program")?;
        Ok(Self {
            path,
            _directory: directory,
        })
    }

    /// The same of another user, who alone may read it. Who is told where it is can get there.
    pub fn of_user(program: &'static str, uid: u32) -> Result<Self> {
        let copy = Self::of(program)?;
        let parent = copy.path.parent().context("a program in no directory")?;
        fs::set_permissions(parent, fs::Permissions::from_mode(0o711))?;
        chown(&copy.path, Some(uid), Some(uid)).context("giving a program away")?;
        fs::set_permissions(&copy.path, fs::Permissions::from_mode(0o700))?;
        Ok(copy)
    }

    /// A target that is this program, exactly and without a minimum age.
    pub fn target(&self, name: &str, more: &str) -> String {
        target(name, &self.path, more)
    }

    /// Starts it, and waits until it is recorded.
    pub fn recorded(&self, daemon: &Client, argument: &str) -> Result<Session> {
        let session = Session::ready(Command::new(&self.path).arg(argument))?;
        daemon.until_recorded(session.pid(), "heap")?;
        Ok(session)
    }
}

/// A program as another user, in no group but his own.
pub fn as_user(uid: u32, program: &Path) -> Command {
    let mut command = Command::new("/usr/bin/setpriv");
    command
        .arg(format!("--reuid={uid}"))
        .arg(format!("--regid={uid}"))
        .args(["--clear-groups", "--"])
        .arg(program);
    command
}

pub fn target(name: &str, exe: &Path, more: &str) -> String {
    let exe = exe.display();
    format!(
        "[[target]]\nname = {name:?}\nexe = \"{exe}\"\nviews = [\"heap\"]\nmin_age = 0\nsample = 0\nmax_overhead = 0\n{more}\n"
    )
}

/// What `endings.c` keeps and gives back, and nothing else, is in this recording.
fn is_exact(daemon: &Client, entry: &Value) -> Result<()> {
    let report = daemon.report(entry)?;
    let (sites, elsewhere) = report.by_site();
    let kept = sites.get("site_kept").copied().unwrap_or_default();
    ensure!(
        (kept.bytes, kept.count) == (300 * 1999, 300),
        "kept: {kept}"
    );
    ensure!(!sites.contains_key("site_freed"), "freed: {sites:?}");
    ensure!(elsewhere.count <= 8, "elsewhere: {elsewhere}");
    ensure!(entry["lost"] == json!(0), "lost: {entry}");
    let unfreed = report.totals.unfreed;
    ensure!(
        entry["unfreed"] == json!({"bytes": unfreed.bytes, "count": unfreed.count}),
        "{entry} is not {unfreed}"
    );
    Ok(())
}
