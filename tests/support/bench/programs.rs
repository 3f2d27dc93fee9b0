//! How long the kernel side's programs ran, as the kernel counts it.
//!
//! Programs that follow each other by tail calls count as the first of them: the kernel takes the
//! time around the call of that one (include/linux/filter.h, `__bpf_prog_run`).

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};
use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};

/// The programs that a call of malloc, its return and a call of free run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The entry of malloc: the walk, too.
    Entry,
    /// Its return.
    Return,
    /// The entry of free.
    Free,
}

impl Program {
    const ALL: [Self; 3] = [Self::Entry, Self::Return, Self::Free];

    /// Its name in the kernel.
    fn name(self) -> &'static str {
        match self {
            Self::Entry => "heap_size",
            Self::Return => "heap_return",
            Self::Free => "heap_free",
        }
    }
}

/// Sums since a program was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Total {
    nanoseconds: u64,
    runs: u64,
}

/// The programs of one recording, whose time is taken while this lives.
#[derive(Debug)]
pub struct Programs {
    /// Files that the kernel describes them in, in the order of [`Program::ALL`].
    files: [String; 3],
    last: [Total; 3],
    /// Closing it ends the counting, however this process ends.
    _counting: OwnedFd,
}

impl Programs {
    /// Of the recording that is a child of this process; there must be only one.
    pub fn of_child() -> Result<Self> {
        let names = names();
        let mut files = BTreeMap::new();
        for file in files_of_children()? {
            let Some(id) = fs::read_to_string(&file)
                .ok()
                .as_deref()
                .and_then(program_id)
            else {
                continue;
            };
            if let Some(name) = names.get(&id) {
                files.insert(name.as_str(), file);
            }
        }
        let file = |program: Program| {
            let found = files.get(program.name()).cloned();
            found.with_context(|| format!("no child has a program {}", program.name()))
        };
        let [entry, ret, free] = Program::ALL;
        Ok(Self {
            files: [file(entry)?, file(ret)?, file(free)?],
            last: [Total::default(); 3],
            _counting: enable_stats(Stats::RunTime).context("counting the programs' time")?,
        })
    }

    /// Nanoseconds of each run of each program since the last time this was asked, in the order of
    /// [`Program::ALL`].
    pub fn lap(&mut self) -> Result<[f64; 3]> {
        let [entry, ret, free] = Program::ALL;
        Ok([self.lap_of(entry)?, self.lap_of(ret)?, self.lap_of(free)?])
    }

    /// The same of one of them.
    pub fn lap_of(&mut self, program: Program) -> Result<f64> {
        let (file, last) = (
            &self.files[program as usize],
            &mut self.last[program as usize],
        );
        let text = fs::read_to_string(file).with_context(|| format!("reading {file}"))?;
        let now = total(&text).with_context(|| format!("{file} says {text:?}"))?;
        let last = std::mem::replace(last, now);
        let runs = now.runs - last.runs;
        ensure!(runs > 0, "{} did not run", program.name());
        Ok((now.nanoseconds - last.nanoseconds) as f64 / runs as f64)
    }
}

/// All programs that are loaded, by id.
fn names() -> BTreeMap<u32, String> {
    let mut names = BTreeMap::new();
    for program in loaded_programs() {
        // One that is gone again is not of a recording that goes on.
        if let Ok(program) = program
            && let Some(name) = program.name_as_str()
        {
            names.insert(program.id(), name.to_owned());
        }
    }
    names
}

/// What the kernel tells of each open file of this process's children.
fn files_of_children() -> Result<Vec<String>> {
    let parent = format!("PPid:\t{}\n", std::process::id());
    let mut files = Vec::new();
    for process in fs::read_dir("/proc").context("reading /proc")?.flatten() {
        let process = process.path();
        // Others come and go meanwhile.
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        if status.contains(&parent)
            && let Ok(open) = fs::read_dir(process.join("fdinfo"))
        {
            files.extend(open.flatten().map(|file| file.path().display().to_string()));
        }
    }
    Ok(files)
}

/// The id in the description of a program; a link to one, which has no `run_cnt`, is none.
fn program_id(text: &str) -> Option<u32> {
    total(text)?;
    u32::try_from(field(text, "prog_id")?).ok()
}

fn total(text: &str) -> Option<Total> {
    Some(Total {
        nanoseconds: field(text, "run_time_ns")?,
        runs: field(text, "run_cnt")?,
    })
}

/// A line `name:<tab>number` (kernel/bpf/syscall.c, `bpf_prog_show_fdinfo`).
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = "pos:\t0\nflags:\t02000002\nprog_type:\t2\nprog_jited:\t1\nprog_id:\t1234\n\
        run_time_ns:\t5120\nrun_cnt:\t16\nrecursion_misses:\t0\n";
    const LINK: &str =
        "link_type:\tperf\nlink_id:\t5\nprog_tag:\t8e6a3f1f3a7b7a11\nprog_id:\t1234\n";

    #[test]
    fn programs_are_told_from_links_to_them() {
        assert_eq!(program_id(PROGRAM), Some(1234));
        assert_eq!(program_id(LINK), None);
        let total = total(PROGRAM).unwrap();
        assert_eq!((total.nanoseconds, total.runs), (5120, 16));
    }
}
