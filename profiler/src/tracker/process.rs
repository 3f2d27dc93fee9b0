//! What is published of one process.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use unfreed_common::unwind::{KEPT_LISTS, MAX_MAPPINGS, Mapping, ProcessTable};

use super::WalkedBy;
use super::build::Job;
use super::rows::{Placed, Rows};
use crate::target::{Modules, Range};
use crate::unwind::NoTable;
use crate::unwind::cache::Identity;

/// How many lists that were in use are remembered: stacks walked by them may still arrive.
const REMEMBERED: usize = 64;

/// Where a list of mappings is in the array of them: index of the first, and how many.
pub type List = (u32, u32);

/// A process that is followed.
pub struct Process {
    table: ProcessTable,
    /// The lists before the one in use, the oldest first: a walk may still be at work in one.
    before: VecDeque<List>,
    /// Rows were placed since the table was published.
    more_rows: bool,
    /// Which file a module is; `None`: none that has a table.
    identities: HashMap<usize, Option<Identity>>,
    /// Which file was mapped last at an address.
    owners: Vec<Range>,
    /// Generations and what was mapped, the newest last.
    remembered: VecDeque<(u64, Vec<Range>)>,
}

impl Process {
    /// A process with nothing published, whose mappings' changes are counted by this counter.
    pub fn with_counter(changes_index: u32) -> Self {
        Self {
            table: ProcessTable {
                changes_index,
                ..ProcessTable::default()
            },
            before: VecDeque::new(),
            more_rows: false,
            identities: HashMap::new(),
            owners: Vec::new(),
            remembered: VecDeque::new(),
        }
    }

    /// The index of the counter.
    pub fn changes_index(&self) -> u32 {
        self.table.changes_index
    }

    /// What the counter said when the mappings were read that are published.
    pub fn settled_at(&self) -> u64 {
        self.table.settled_at
    }

    /// The lists that may be in use.
    pub fn lists(&self) -> impl Iterator<Item = List> {
        let in_use = (self.table.first, self.table.count);
        self.before.iter().copied().chain([in_use])
    }

    /// Files may have rows that had none before.
    pub fn has_more_rows(&mut self) {
        self.more_rows = true;
    }

    /// The files among the modules that were not looked at yet.
    pub fn new_files(&mut self, modules: &Modules) -> Vec<Job> {
        let mut jobs = Vec::new();
        for range in modules.current() {
            if let Entry::Vacant(unknown) = self.identities.entry(range.module) {
                let job = Job::of(modules.get(range.module));
                unknown.insert(job.as_ref().map(|job| job.identity().clone()));
                jobs.extend(job);
            }
        }
        jobs
    }

    /// Whether what is published is not what is mapped.
    pub fn is_out_of_date(&self, modules: &Modules, changes: u64) -> bool {
        let newest = self.remembered.back();
        self.more_rows
            || changes != self.table.settled_at
            || !newest.is_some_and(|(_, newest)| are_same(newest, modules.current()))
    }

    /// What is mapped, by address.
    pub fn mappings(&self, modules: &Modules, rows: &mut Rows) -> Vec<Mapping> {
        let mut mappings = Vec::new();
        for range in modules.current() {
            // Not of memory that is no image. A file without a table is in the list all the same: the
            // walk then knows that its code may use the frame pointer for something else.
            if let Some(Some(identity)) = self.identities.get(&range.module) {
                rows.saw(identity);
                let bias = modules.get(range.module).load_bias(range);
                mappings.extend(bias.map(|bias| mapping(range, bias, rows.of(identity))));
            }
        }
        mappings.sort_by_key(|mapping| mapping.start);
        mappings
    }

    /// The table to be published with this list, and a list that is not in use any more then.
    pub fn next_table(
        &mut self,
        (first, count): List,
        generation: u64,
        changes: u64,
        modules: &Modules,
    ) -> (ProcessTable, Option<List>) {
        if self.table.sequence > 0 {
            let in_use = (self.table.first, self.table.count);
            self.before.push_back(in_use);
        }
        let unused = (self.before.len() as u64 > KEPT_LISTS).then(|| self.before.pop_front());
        self.note_owners(modules.current());
        self.table.first = first;
        self.table.count = count;
        self.table.generation = generation;
        self.table.sequence += 1;
        self.table.settled_at = changes;
        self.more_rows = false;
        if self.remembered.len() == REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered
            .push_back((generation, modules.current().to_vec()));
        (self.table, unused.flatten())
    }

    /// Whose table a walk by this generation used at an address.
    pub fn walked_by(&self, generation: u64, address: u64, rows: &Rows) -> WalkedBy {
        let remembered = self.remembered.iter().find(|(it, _)| *it == generation);
        let Some((_, ranges)) = remembered else {
            return WalkedBy::Forgotten;
        };
        let holds = |range: &&Range| range.start <= address && address < range.end;
        match ranges.iter().find(holds) {
            Some(range) if self.has_rows(range.module, rows) => WalkedBy::Module(range.module),
            _ => WalkedBy::NoTable,
        }
    }

    /// The modules that are ELF files and have no table, and why.
    pub fn without_table(&self, rows: &Rows) -> Vec<(usize, NoTable)> {
        let mut without = self
            .identities
            .iter()
            .filter_map(|(&module, identity)| {
                let why = rows.why_not(identity.as_ref()?)?;
                (why != NoTable::NotElf64).then_some((module, why))
            })
            .collect::<Vec<_>>();
        without.sort_by_key(|&(module, _)| module);
        without
    }

    fn has_rows(&self, module: usize, rows: &Rows) -> bool {
        let identity = self.identities.get(&module).and_then(Option::as_ref);
        identity.is_some_and(|identity| rows.of(identity).is_some())
    }

    /// Another layout when an address means another file than before.
    fn note_owners(&mut self, ranges: &[Range]) {
        for range in ranges {
            let known = self.owners.len();
            self.owners
                .retain(|owner| !owner.overlaps(range) || range.is_same_as(owner));
            self.table.layout += u32::from(self.owners.len() < known);
            if !self.owners.iter().any(|owner| range.is_same_as(owner)) {
                self.owners.push(*range);
            }
        }
        let surplus = self.owners.len().saturating_sub(MAX_MAPPINGS as usize);
        self.owners.drain(..surplus);
    }
}

fn mapping(range: &Range, bias: u64, rows: Option<&Placed>) -> Mapping {
    Mapping {
        start: range.start,
        end: range.end,
        bias: bias.wrapping_add(rows.map_or(0, |rows| rows.base)),
        first_row: rows.map_or(0, |rows| rows.first),
        row_count: rows.map_or(0, |rows| rows.count),
    }
}

fn are_same(known: &[Range], ranges: &[Range]) -> bool {
    known.len() == ranges.len()
        && known
            .iter()
            .zip(ranges)
            .all(|(known, range)| range.is_same_as(known) && known.is_same_as(range))
}
