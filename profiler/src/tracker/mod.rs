//! Keeps the unwind tables that the eBPF programs use in line with what the process has mapped.
//!
//! The list of a process's mappings is never changed in place: the next one is written beside it and
//! then published as a whole, with a new generation. A walk that meets a change says so, and what it
//! found is then checked against what was mapped at that moment ([`Tracker::walked_by`]).

mod build;
mod rows;
mod space;

use std::collections::{HashMap, VecDeque};

use tokio::sync::mpsc::UnboundedSender;
use unfreed_common::unwind::{CACHE_VERSIONS, MAX_MAPPINGS, Mapping, ProcessTable};

pub use build::Built;
use build::{Job, build};
use rows::{Placed, Rows};

use crate::bpf::Tables;
use crate::profile::Unwind;
use crate::target::{Modules, Range};
use crate::unwind::NoTable;
use crate::unwind::cache::Identity;

/// Rows there is always room for: 32 MiB. A large browser or compiler has 2 or 3 million.
const LEAST_ROWS: u32 = 1 << 22;

/// The index of the process's counter of changes. One process is recorded at a time.
const CHANGES_INDEX: u32 = 0;

/// How many lists that were in use are remembered: stacks walked by them may still arrive.
const REMEMBERED: usize = 64;

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

/// How many rows there should be room for, to begin with these tables.
pub fn room_for(tables: &[Built], unwind: Unwind) -> u32 {
    if unwind == Unwind::FramePointers {
        return 1;
    }
    let rows = tables
        .iter()
        .filter_map(|built| built.table.as_ref().ok())
        .map(|table| table.rows.len() as u32)
        .fold(0, u32::saturating_add);
    LEAST_ROWS.max(rows.saturating_mul(2))
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

/// The unwind tables of one process.
pub struct Tracker {
    pid: u32,
    unwind: Unwind,
    tables: Tables,
    rows: Rows,
    /// Which file a module is; `None`: none that has a table.
    identities: HashMap<usize, Option<Identity>>,
    built: UnboundedSender<Built>,
    published: ProcessTable,
    /// Rows were placed since then.
    changed: bool,
    /// Which file was mapped last at an address.
    owners: Vec<Range>,
    /// Generations and what was mapped, the newest last.
    remembered: VecDeque<(u64, Vec<Range>)>,
    /// The version when the cache was cleared.
    cleared_at: u64,
}

impl Tracker {
    /// Nothing is published yet. `built` takes the tables that are made meanwhile, which are then to
    /// be given to [`Tracker::place`].
    pub fn of(pid: u32, unwind: Unwind, tables: Tables, built: UnboundedSender<Built>) -> Self {
        Self {
            pid,
            unwind,
            rows: Rows::with_room(tables.room()),
            tables,
            identities: HashMap::new(),
            built,
            published: ProcessTable {
                changes_index: CHANGES_INDEX,
                ..ProcessTable::default()
            },
            changed: true,
            owners: Vec::new(),
            remembered: VecDeque::new(),
            cleared_at: 0,
        }
    }

    /// Readable when the process has said that its mappings change.
    pub fn descriptor(&self) -> std::os::fd::BorrowedFd<'_> {
        self.tables.descriptor()
    }

    /// How often the process has said so. To be asked before its mappings are read.
    pub fn changes(&mut self) -> anyhow::Result<u64> {
        self.tables.drain();
        self.tables.changes(CHANGES_INDEX)
    }

    /// Whether the process has said so since the tables were brought up to date.
    pub fn is_behind(&mut self) -> anyhow::Result<bool> {
        Ok(self.changes()? != self.published.settled_at)
    }

    /// Puts tables where the programs read them; they are used after the next [`Tracker::publish`].
    pub fn place(&mut self, built: impl IntoIterator<Item = Built>) {
        for built in built {
            self.rows.place(&mut self.tables, built);
            self.changed = true;
        }
    }

    /// Brings the tables up to date with what is mapped, as it was read after [`Tracker::changes`] had
    /// answered `changes`. `wait`: makes new tables at once; else they are made meanwhile.
    pub fn publish(&mut self, modules: &Modules, changes: u64, wait: bool) -> anyhow::Result<()> {
        if self.unwind != Unwind::FramePointers {
            self.make_tables(modules, wait);
        }
        let mut ranges = modules.current().to_vec();
        ranges.sort_by_key(|range| range.start);
        let newest = self.remembered.back();
        if !self.changed
            && changes == self.published.settled_at
            && newest.is_some_and(|(_, newest)| are_same(newest, &ranges))
        {
            return Ok(());
        }
        self.changed = false;
        let mut mappings = Vec::with_capacity(ranges.len());
        for range in &ranges {
            mappings.extend(self.mapping(modules, range));
            if let Some(Some(identity)) = self.identities.get(&range.module) {
                self.rows.saw(identity);
            }
        }
        mappings.truncate(MAX_MAPPINGS as usize);
        self.note_owners(&ranges);
        // The half that is not in use.
        let first = if self.published.first == 0 {
            MAX_MAPPINGS
        } else {
            0
        };
        self.tables.write_mappings(first, &mappings);
        self.published.first = first;
        self.published.count = mappings.len() as u32;
        self.published.generation += 1;
        self.published.settled_at = changes;
        // Before an entry of the cache can be taken for one of this version.
        let version = self.published.generation + changes;
        if version - self.cleared_at >= CACHE_VERSIONS / 4 {
            self.tables.clear_cache();
            self.cleared_at = version;
        }
        if self.remembered.len() == REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered
            .push_back((self.published.generation, ranges));
        self.tables.publish(self.pid, self.published)
    }

    /// Whose table a walk by this generation used at an address.
    pub fn walked_by(&self, generation: u64, address: u64) -> WalkedBy {
        let remembered = self.remembered.iter().find(|(it, _)| *it == generation);
        let Some((_, ranges)) = remembered else {
            return WalkedBy::Forgotten;
        };
        let range = ranges
            .iter()
            .find(|range| range.start <= address && address < range.end);
        match range {
            Some(range) if self.rows_of(range.module).is_some() => WalkedBy::Module(range.module),
            _ => WalkedBy::NoTable,
        }
    }

    /// How many files have no table for want of room.
    pub fn without_room(&self) -> u64 {
        self.rows.without_room
    }

    /// The modules that are ELF files and have no table, and why.
    pub fn without_table(&self) -> Vec<(usize, NoTable)> {
        let mut without = self
            .identities
            .iter()
            .filter_map(|(&module, identity)| {
                let why = self.rows.why_not(identity.as_ref()?)?;
                (why != NoTable::NotElf64).then_some((module, why))
            })
            .collect::<Vec<_>>();
        without.sort_by_key(|&(module, _)| module);
        without
    }

    /// How many rows are in use.
    pub fn rows_in_use(&self) -> u64 {
        self.rows.in_use()
    }

    fn make_tables(&mut self, modules: &Modules, wait: bool) {
        let mut jobs: Vec<Job> = Vec::new();
        for range in modules.current() {
            if self.identities.contains_key(&range.module) {
                continue;
            }
            let job = Job::of(modules.get(range.module));
            let identity = job.as_ref().map(|job| job.identity().clone());
            self.identities.insert(range.module, identity);
            jobs.extend(job.filter(|job| !self.rows.knows(job.identity())));
        }
        let (now, later) = jobs
            .into_iter()
            .partition::<Vec<_>, _>(|job| wait || job.size() <= AT_ONCE);
        self.place(build(now));
        if later.is_empty() {
            return;
        }
        let built = self.built.clone();
        std::thread::spawn(move || {
            for table in build(later) {
                // The recording has ended when nobody receives it.
                let _ended = built.send(table);
            }
        });
    }

    fn rows_of(&self, module: usize) -> Option<&Placed> {
        let identity = self.identities.get(&module)?.as_ref()?;
        self.rows.of(identity)
    }

    /// `None` for memory that is no image. A file without a table is in the list all the same: the walk
    /// then knows that its code may use the frame pointer for something else.
    fn mapping(&self, modules: &Modules, range: &Range) -> Option<Mapping> {
        self.identities.get(&range.module)?.as_ref()?;
        let bias = modules.get(range.module).load_bias(range)?;
        let rows = self.rows_of(range.module);
        Some(Mapping {
            start: range.start,
            end: range.end,
            bias: bias.wrapping_add(rows.map_or(0, |rows| rows.base)),
            first_row: rows.map_or(0, |rows| rows.first),
            row_count: rows.map_or(0, |rows| rows.count),
        })
    }

    /// Another layout when an address means another file than before.
    fn note_owners(&mut self, ranges: &[Range]) {
        for range in ranges {
            let known = self.owners.len();
            self.owners
                .retain(|owner| !owner.overlaps(range) || range.is_same_as(owner));
            self.published.layout += u32::from(self.owners.len() < known);
            if !self.owners.iter().any(|owner| range.is_same_as(owner)) {
                self.owners.push(*range);
            }
        }
        let surplus = self.owners.len().saturating_sub(MAX_MAPPINGS as usize);
        self.owners.drain(..surplus);
    }
}

fn are_same(known: &[Range], ranges: &[Range]) -> bool {
    known.len() == ranges.len()
        && known
            .iter()
            .zip(ranges)
            .all(|(known, range)| range.is_same_as(known) && known.is_same_as(range))
}
