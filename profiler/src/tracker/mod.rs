//! Keeps the unwind tables that the eBPF programs use in line with what the process has mapped.
//!
//! The list of a process's mappings is never changed in place: the next one is written beside it and
//! then published as a whole, with a new generation. A walk that meets a change says so, and what it
//! found is then checked against what was mapped at that moment ([`Tracker::walked_by`]).

mod build;
mod process;
mod rows;
mod space;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use anyhow::Context as _;
use tokio::sync::mpsc::UnboundedSender;
use unfreed_common::unwind::{CACHE_VERSIONS, MAPPINGS, MAX_MAPPINGS, MAX_PROCESSES};

pub use build::Built;
use build::{Job, build};
use process::Process;
use rows::Rows;
use space::Space;

use crate::bpf::Tables;
use crate::profile::Unwind;
use crate::target::Modules;
use crate::unwind::NoTable;

/// A file of at most so many bytes gets its table at once, in some milliseconds: that is sooner than
/// it would be ready elsewhere, and its code may be about to run.
const AT_ONCE: usize = 32 << 20;

/// The tables of everything that is mapped, made at once.
pub fn tables_of(modules: &Modules, unwind: Unwind) -> Vec<Built> {
    if unwind == Unwind::FramePointers {
        return Vec::new();
    }
    build(modules.all().iter().filter_map(Job::of).collect())
}

/// How many rows there should be room for, to begin with these tables: at least so many.
pub fn room_for(tables: &[Built], unwind: Unwind, least: u32) -> u32 {
    if unwind == Unwind::FramePointers {
        return 1;
    }
    let rows = tables
        .iter()
        .filter_map(|built| built.table.as_ref().ok())
        .map(|table| table.rows.len() as u32)
        .fold(0, u32::saturating_add);
    least.max(rows.saturating_mul(2))
}

/// Whose table a walk used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalkedBy {
    /// None.
    NoTable,
    /// This module's.
    Module(usize),
    /// That list of mappings is too long ago.
    Forgotten,
}

/// The unwind tables of the processes that are followed, which share those of a file.
pub struct Tracker {
    unwind: Unwind,
    tables: Tables,
    rows: Rows,
    /// Of the array of mappings.
    lists: Space,
    processes: BTreeMap<u32, Process>,
    built: UnboundedSender<Built>,
    /// Of the list that was published last.
    generation: u64,
    /// The generation when the cache was cleared.
    cleared_at: u64,
}

impl Tracker {
    /// Follows no process yet. `built` takes the tables that are made meanwhile, which are then to be
    /// given to [`Tracker::place`].
    pub fn of(unwind: Unwind, tables: Tables, built: UnboundedSender<Built>) -> Self {
        Self {
            unwind,
            rows: Rows::with_room(tables.room()),
            lists: Space::of(MAPPINGS),
            tables,
            processes: BTreeMap::new(),
            built,
            generation: 0,
            cleared_at: 0,
        }
    }

    /// Begins to follow a process. Fails when there are too many.
    pub fn follow(&mut self, pid: u32) -> anyhow::Result<()> {
        let taken = |index| {
            self.processes
                .values()
                .any(|it| it.changes_index() == index)
        };
        let index = (0..MAX_PROCESSES)
            .find(|&index| !taken(index))
            .with_context(|| format!("more than {MAX_PROCESSES} processes cannot be followed"))?;
        self.processes.insert(pid, Process::with_counter(index));
        Ok(())
    }

    /// Ends to follow a process: it has ended, or executes another program.
    pub fn forget(&mut self, pid: u32) -> anyhow::Result<()> {
        if let Some(process) = self.processes.remove(&pid) {
            for (first, count) in process.lists() {
                self.lists.give_back(first, count);
            }
            self.tables.withdraw(pid)?;
        }
        Ok(())
    }

    /// Readable when a process has said that its mappings change.
    pub fn descriptor(&self) -> std::os::fd::BorrowedFd<'_> {
        self.tables.descriptor()
    }

    /// How often the process has said so. To be asked before its mappings are read.
    pub fn changes(&mut self, pid: u32) -> anyhow::Result<u64> {
        self.tables.drain();
        self.tables.changes(self.process(pid)?.changes_index())
    }

    /// Whether the process has said so since the tables were brought up to date.
    pub fn is_behind(&mut self, pid: u32) -> anyhow::Result<bool> {
        Ok(self.changes(pid)? != self.process(pid)?.settled_at())
    }

    /// Puts tables where the programs read them; they are used after the next [`Tracker::publish`].
    pub fn place(&mut self, built: impl IntoIterator<Item = Built>) {
        for built in built {
            self.rows.place(&mut self.tables, built);
            for process in self.processes.values_mut() {
                process.has_more_rows();
            }
        }
    }

    /// Brings the tables up to date with what is mapped, as it was read after [`Tracker::changes`] had
    /// answered `changes`. `wait`: makes new tables at once; else they are made meanwhile.
    pub fn publish(
        &mut self,
        pid: u32,
        modules: &Modules,
        changes: u64,
        wait: bool,
    ) -> anyhow::Result<()> {
        if self.unwind != Unwind::FramePointers {
            self.make_tables(pid, modules, wait)?;
        }
        let process = self
            .processes
            .get_mut(&pid)
            .context("the process is not followed")?;
        if !process.is_out_of_date(modules, changes) {
            return Ok(());
        }
        let mut mappings = process.mappings(modules, &mut self.rows);
        mappings.truncate(MAX_MAPPINGS as usize);
        let count = mappings.len() as u32;
        // Without room the old list stays, and stacks are marked.
        let Some(first) = self.lists.take(count) else {
            return Ok(());
        };
        self.tables.write_mappings(first, &mappings);
        self.generation += 1;
        // Before an entry of the cache can be taken for one of this generation.
        if self.generation - self.cleared_at >= CACHE_VERSIONS / 4 {
            self.tables.clear_cache();
            self.cleared_at = self.generation;
        }
        let (table, unused) = process.next_table((first, count), self.generation, changes, modules);
        self.tables.publish(pid, table)?;
        if let Some((first, count)) = unused {
            self.lists.give_back(first, count);
        }
        Ok(())
    }

    /// Whose table a walk by this generation used at an address.
    pub fn walked_by(&self, pid: u32, generation: u64, address: u64) -> WalkedBy {
        self.processes
            .get(&pid)
            .map_or(WalkedBy::Forgotten, |process| {
                process.walked_by(generation, address, &self.rows)
            })
    }

    /// How many files have no table for want of room.
    pub fn without_room(&self) -> u64 {
        self.rows.without_room
    }

    /// The modules of a process that are ELF files and have no table, and why.
    pub fn without_table(&self, pid: u32) -> Vec<(usize, NoTable)> {
        self.processes
            .get(&pid)
            .map(|process| process.without_table(&self.rows))
            .unwrap_or_default()
    }

    /// How many rows are in use.
    pub fn rows_in_use(&self) -> u64 {
        self.rows.in_use()
    }

    fn process(&self, pid: u32) -> anyhow::Result<&Process> {
        self.processes
            .get(&pid)
            .context("the process is not followed")
    }

    fn make_tables(&mut self, pid: u32, modules: &Modules, wait: bool) -> anyhow::Result<()> {
        let process = self
            .processes
            .get_mut(&pid)
            .context("the process is not followed")?;
        let jobs = process.new_files(modules);
        let (now, later) = jobs
            .into_iter()
            .filter(|job| !self.rows.knows(job.identity()))
            .partition::<Vec<_>, _>(|job| wait || job.size() <= AT_ONCE);
        self.place(build(now));
        if !later.is_empty() {
            let built = self.built.clone();
            std::thread::spawn(move || {
                for table in build(later) {
                    // The recording has ended when nobody receives it.
                    let _ended = built.send(table);
                }
            });
        }
        Ok(())
    }
}
