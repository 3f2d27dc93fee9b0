//! A tool at work on a process, and what must be gone when it has ended.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aya::sys::{Stats, enable_stats};
use memmap2::MmapMut;
use unfreed_tests::child::Owned;
use unfreed_tests::objects::{self, Object};
use unfreed_tests::unfreed::{Recording, Unfreed};

use crate::floor::Floor;

/// For the kernel to free what nothing refers to any more: it takes some grace periods.
const FREEING: Duration = Duration::from_secs(20);

/// What is at work.
pub enum Tool {
    /// Nothing, or nothing apart from the process.
    Nobody,
    /// Empty probes, which are this process's.
    Empty(Floor),
    /// unfreed.
    Unfreed(Unfreed),
    /// Another program.
    Other(Owned),
}

/// A tool with the eBPF objects that it has in the kernel.
pub struct Watcher {
    tool: Tool,
    objects: BTreeSet<Object>,
}

/// How often a tool's programs have run, counted while this lives.
pub struct Runs {
    before: u64,
    _counting: OwnedFd,
}

impl Watcher {
    /// Of a tool that sees everything by now.
    pub fn of(tool: Tool) -> Result<Self> {
        let objects = match tool.process() {
            Some(pid) => objects::held_by(pid)?,
            None => BTreeSet::new(),
        };
        Ok(Self { tool, objects })
    }

    /// Begins to count what the tool's programs do, if it has some. That makes them slower.
    pub fn count(&self) -> Result<Option<Runs>> {
        let Some(pid) = self.tool.process() else {
            return Ok(None);
        };
        let counting = enable_stats(Stats::RunTime).context("counting what programs do")?;
        Ok(Some(Runs {
            before: runs(pid)?,
            _counting: counting,
        }))
    }

    /// An error when none of the tool's programs has run since.
    pub fn ran(&self, since: Option<Runs>) -> Result<()> {
        if let (Some(since), Some(pid)) = (since, self.tool.process()) {
            fault()?;
            ensure!(runs(pid)? > since.before, "its programs did not run");
        }
        Ok(())
    }

    /// Ends it, and returns when nothing of it is left in the kernel.
    pub fn end(self) -> Result<()> {
        let Self { tool, objects } = self;
        let mut recording = None;
        match tool {
            Tool::Nobody => {}
            Tool::Empty(probes) => drop(probes),
            Tool::Unfreed(unfreed) => recording = Some(unfreed.stop()?),
            Tool::Other(child) => drop(child),
        }
        gone(&objects)?;
        recording.map(Recording::whole).transpose()?;
        Ok(())
    }
}

/// Waits until none of these is in the kernel any more.
pub fn gone(objects: &BTreeSet<Object>) -> Result<()> {
    let start = Instant::now();
    loop {
        let left: Vec<_> = objects::loaded()?.intersection(objects).copied().collect();
        let Some(first) = left.first() else {
            return Ok(());
        };
        ensure!(
            start.elapsed() < FREEING,
            "{} eBPF objects of it are left after {FREEING:?}, the first of which is {first}",
            left.len()
        );
        // Not for readiness: the interval of a poll that has a limit.
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Tool {
    /// Who has its eBPF objects open.
    fn process(&self) -> Option<u32> {
        match self {
            Self::Nobody => None,
            Self::Empty(_) => Some(std::process::id()),
            Self::Unfreed(unfreed) => Some(unfreed.pid()),
            Self::Other(child) => Some(child.pid()),
        }
    }
}

/// A page fault of this process, which programs for page faults see, too.
fn fault() -> Result<()> {
    let mut page = MmapMut::map_anon(1).context("mapping a page")?;
    page[0] = 1;
    Ok(())
}

/// The sum of `run_cnt` over all programs that a process has open.
fn runs(pid: u32) -> Result<u64> {
    let directory = format!("/proc/{pid}/fdinfo");
    let files = fs::read_dir(&directory).with_context(|| format!("reading {directory}"))?;
    // Files are closed meanwhile, too.
    let texts = files.flatten().map(|file| fs::read_to_string(file.path()));
    Ok(texts.flatten().filter_map(|text| run_count(&text)).sum())
}

/// `run_cnt` of a program's description (kernel/bpf/syscall.c, `bpf_prog_show_fdinfo`).
fn run_count(text: &str) -> Option<u64> {
    let mut lines = text.lines();
    let count = lines.find_map(|line| line.strip_prefix("run_cnt:"))?;
    count.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_say_how_often_they_ran() {
        assert_eq!(
            run_count("prog_id:\t7\nrun_time_ns:\t10\nrun_cnt:\t3\n"),
            Some(3)
        );
        assert_eq!(run_count("link_id:\t7\nprog_id:\t7\n"), None);
    }
}
