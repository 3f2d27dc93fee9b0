//! The black box: a process that the kernel ends for want of memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use unfreed_tests::daemon::Daemon;
use unfreed_tests::report::{Frame, Report};

use super::Copy;
use crate::session::Session;

const LIMIT: u64 = 64 << 20;

/// A memory cgroup of its own.
struct Group(PathBuf);

impl Group {
    fn new(view: &str) -> Result<Self> {
        let name = format!("unfreed-oom-{view}-{}", std::process::id());
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

/// Lets a process run out of memory after so many readings of its size; what was recorded of this view.
fn run_out(view: &str, readings: usize) -> Result<Report> {
    let program = Copy::of("grow")?;
    let group = Group::new(view)?;
    let exe = program.path.display();
    let exact = if view == "heap" {
        "sample = 0\nmax_overhead = 0"
    } else {
        ""
    };
    let target = format!(
        "[log]\nlevel = \"debug\"\n[[target]]\nname = \"it\"\nexe = \"{exe}\"\nviews = [{view:?}]\nmin_age = 0\n{exact}\n"
    );
    let daemon = Daemon::start(&target)?;
    let mut process = Session::ready(&mut Command::new(&program.path))?;
    let pid = process.pid();
    group.add(pid)?;
    daemon.until_recorded(pid, view)?;
    process.tell("50")?;
    process.expect("done")?;
    for _ in 0..readings {
        daemon.until_read(pid, |rss| rss > 50 << 20)?;
    }
    process.tell("1000")?;
    let entry = daemon.until_stored(|entry| entry["pid"] == json!(pid))?;
    ensure!(entry["how"] == json!({"how": "out_of_memory"}), "{entry}");
    let report = daemon.report(&entry)?;
    let widest = report.stacks.first().context("no stacks")?;
    let is_leak = |frame: &Frame| frame.function.as_deref() == Some("site_grown");
    ensure!(widest.frames.iter().any(is_leak), "{widest:?}");
    let share = widest.bytes as f64 / report.totals.unfreed.bytes as f64;
    ensure!(share > 0.9, "{share}");
    // The eBPF program's own word.
    let (_, said, _, _) = daemon.end()?;
    let words = format!("thread {pid} is to end for want of memory");
    ensure!(said.contains(&words), "{said}");
    Ok(report)
}

#[test]
fn the_leak_of_a_process_that_ran_out_of_memory_is_found_afterwards() -> Result<()> {
    let report = run_out("heap", 0)?;
    let leak = report.stacks[0].bytes;
    ensure!(
        leak % (1 << 20) == 0 && leak <= LIMIT && leak > LIMIT / 2,
        "{leak}"
    );
    Ok(())
}

#[test]
fn so_are_the_pages_that_were_there_at_the_last_look() -> Result<()> {
    // Looks are rarer, the longer one takes.
    let report = run_out("pages", 10)?;
    let leak = report.stacks[0].bytes;
    ensure!((50 << 20..=LIMIT).contains(&leak), "{leak}");
    Ok(())
}
