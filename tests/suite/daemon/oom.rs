//! The black box: a process that the kernel ends for want of memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use unfreed_tests::daemon::Daemon;

use super::Copy;
use crate::session::Session;

const LIMIT: u64 = 64 << 20;

/// A memory cgroup of its own.
struct Group(PathBuf);

impl Group {
    fn new() -> Result<Self> {
        let name = format!("unfreed-test-{}", std::process::id());
        let first = Path::new("/sys/fs/cgroup/memory").join(&name);
        let (path, limit) = if first.parent().is_some_and(Path::exists) {
            (first, "memory.limit_in_bytes")
        } else {
            let root = Path::new("/sys/fs/cgroup");
            fs::write(root.join("cgroup.subtree_control"), "+memory")
                .context("the memory controller")?;
            (root.join(&name), "memory.max")
        };
        fs::create_dir(&path).with_context(|| format!("creating {}", path.display()))?;
        let group = Self(path);
        fs::write(group.0.join(limit), LIMIT.to_string()).context("limiting memory")?;
        Ok(group)
    }

    fn add(&self, pid: u32) -> Result<()> {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).context("moving a process")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its process may take a moment to be gone.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[test]
fn the_leak_of_a_process_that_ran_out_of_memory_is_found_afterwards() -> Result<()> {
    let program = Copy::of("grow")?;
    let group = Group::new()?;
    let daemon = Daemon::start(
        &program
            .target("it", "views = [\"heap\", \"pages\"]")
            .replacen("views = [\"heap\"]\n", "", 1),
    )?;
    let mut process = Session::ready(&mut Command::new(&program.path))?;
    let pid = process.pid();
    group.add(pid)?;
    daemon.until_recorded(pid, "heap")?;
    daemon.until_recorded(pid, "pages")?;
    process.tell("50")?;
    process.expect("done")?;
    // Pages are those of the last look, and two readings of the size are further apart than two looks.
    for _ in 0..2 {
        daemon.until_read(pid, |rss| rss > 50 << 20)?;
    }
    process.tell("1000")?;
    for view in ["heap", "pages"] {
        let entry = daemon
            .until_stored(|entry| entry["pid"] == json!(pid) && entry["view"] == json!(view))?;
        ensure!(entry["how"] == json!({"how": "out_of_memory"}), "{entry}");
        let report = daemon.report(&entry)?;
        let widest = report.stacks.first().context("no stacks")?;
        let is_leak =
            |frame: &unfreed_tests::report::Frame| frame.function.as_deref() == Some("site_grown");
        ensure!(widest.frames.iter().any(is_leak), "{view}: {widest:?}");
        let share = widest.bytes as f64 / report.totals.unfreed.bytes as f64;
        ensure!(share > 0.9, "{view}: {share}");
        if view == "heap" {
            ensure!(
                widest.bytes % (1 << 20) == 0 && widest.bytes <= LIMIT,
                "{widest:?}"
            );
            ensure!(widest.bytes > LIMIT / 2, "{widest:?}");
        }
    }
    Ok(())
}
