//! No space left where recordings are kept.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;
use unfreed_tests::daemon::{Daemon, Files};

use super::{Copy, is_exact};

/// A small file system in memory.
struct Small(tempfile::TempDir);

impl Small {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let none: Option<&str> = None;
        mount(
            none,
            directory.path(),
            Some("tmpfs"),
            MsFlags::empty(),
            Some("size=2m"),
        )
        .context("mounting a tmpfs")?;
        Ok(Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Fails only if it was never mounted.
        let _ = umount2(self.path(), MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_full_disk_stops_recording_is_told_and_passes() -> Result<()> {
    let program = Copy::of("endings")?;
    let small = Small::new()?;
    let files = Files::with_store(&small.path().join("store"))?;
    files.configure(&program.target("it", ""))?;
    let daemon = Daemon::with(files)?;
    let first = program.recorded(&daemon, "exit")?;
    let kept = first.pid();
    drop(first);
    let entry = daemon.until_stored(|entry| entry["pid"] == json!(kept))?;

    let filler = small.path().join("filler");
    let full = Command::new("dd")
        .args(["if=/dev/zero", "bs=4k"])
        .arg(format!("of={}", filler.display()))
        .output()
        .context("running dd")?;
    ensure!(!full.status.success(), "the disk is not full");
    let lost = program.recorded(&daemon, "exit")?;
    drop(lost);
    let problem = daemon.until("/api/v1/targets", |status| {
        status["health"]["store_problem"]
            .as_str()
            .map(str::to_owned)
    })?;
    ensure!(problem.contains("space"), "{problem}");
    let health = &daemon.json("/api/v1/targets")?["health"];
    ensure!(health["not_stored"] == json!(1), "{health}");
    // What was there is there.
    daemon.report(&entry)?;

    std::fs::remove_file(&filler).context("making room")?;
    let mut third = program.recorded(&daemon, "exit")?;
    third.tell("go")?;
    third.expect("done")?;
    let pid = third.pid();
    drop(third);
    let entry = daemon.until_stored(|entry| entry["pid"] == json!(pid))?;
    is_exact(&daemon, &entry)?;
    daemon.until("/api/v1/targets", |status| {
        status["health"]["store_problem"].is_null().then_some(())
    })
}
