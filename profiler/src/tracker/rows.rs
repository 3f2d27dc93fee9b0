//! Whose rows are where in the array of rows.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::build::Built;
use super::space::Space;
use crate::bpf::Tables;
use crate::unwind::cache::{Cache, Identity};
use crate::unwind::{NoTable, Table};

/// How long the rows of a file that is not mapped any more are kept at least: a walk may be at work.
const GRACE: Duration = Duration::from_secs(2);

/// Where a file's rows are in the array, the virtual address that they count from, and whether any of
/// them is from the file.
#[derive(Debug, Clone, Copy)]
pub struct Placed {
    pub first: u32,
    pub count: u32,
    pub base: u64,
    described: bool,
}

/// The files that have rows.
pub struct Rows {
    space: Space,
    placed: Cache<Placed>,
    /// When a file was last seen mapped.
    seen: HashMap<Identity, Instant>,
    /// How many files have no rows for want of room.
    pub without_room: u64,
}

impl Rows {
    /// None has any yet.
    pub fn with_room(room: u32) -> Self {
        Self {
            space: Space::of(room),
            placed: Cache::default(),
            seen: HashMap::new(),
            without_room: 0,
        }
    }

    /// Writes a file's rows, which then may be referred to.
    pub fn place(&mut self, tables: &mut Tables, Built { identity, table }: Built) {
        let placed = table.and_then(|table| self.write(tables, &table));
        self.seen.insert(identity.clone(), Instant::now());
        self.placed.insert(identity, placed);
    }

    fn write(&mut self, tables: &mut Tables, table: &Table) -> Result<Placed, NoTable> {
        let count = table.rows.len() as u32;
        let mut first = self.space.take(count);
        if first.is_none() {
            self.give_back_unmapped();
            first = self.space.take(count);
        }
        let Some(first) = first else {
            self.without_room += 1;
            return Err(NoTable::TooLarge);
        };
        tables.write_rows(first, &table.rows);
        Ok(Placed {
            first,
            count,
            base: table.base,
            described: table.described,
        })
    }

    /// Gives back the rows of files that are not mapped any more.
    fn give_back_unmapped(&mut self) {
        self.seen.retain(|_, seen| seen.elapsed() < GRACE);
        let (seen, space) = (&self.seen, &mut self.space);
        self.placed.retain(|identity, placed| {
            let keep = seen.contains_key(identity);
            if !keep {
                space.give_back(placed.first, placed.count);
            }
            keep
        });
    }

    /// Whether the file was given to [`Rows::place`], with or without success.
    pub fn knows(&self, identity: &Identity) -> bool {
        self.placed.get(identity).is_some()
    }

    /// The rows of a file; `None` when it has none.
    pub fn of(&self, identity: &Identity) -> Option<&Placed> {
        self.placed.get(identity)?.as_ref().ok()
    }

    /// Why there is nothing of a file's own in its rows; `None` when there is, or when it has not been
    /// looked at.
    pub fn why_not(&self, identity: &Identity) -> Option<NoTable> {
        match self.placed.get(identity)? {
            Ok(placed) => (!placed.described).then_some(NoTable::Nothing),
            Err(why) => Some(*why),
        }
    }

    /// The file is mapped now.
    pub fn saw(&mut self, identity: &Identity) {
        self.seen.insert(identity.clone(), Instant::now());
    }

    /// How many rows are in use.
    pub fn in_use(&self) -> u64 {
        self.space.used().into()
    }
}
