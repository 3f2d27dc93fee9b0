//! Which rows hold where, as they are collected: functions in any order, and of several sources of
//! which the first to describe an address counts.

use std::ops::Range;

use unfreed_common::unwind::{MAX_ROWS, Row, Rule};

use super::elf::{Elf, extent};
use super::{NoTable, Table};

/// Rows kept while they are collected: functions that overlap others are dropped only later.
const MAX_COLLECTED: usize = 2 * MAX_ROWS as usize;

/// A function, by its addresses and the indices of its rows.
#[derive(Debug, Clone, Copy)]
struct Function {
    start: u32,
    end: u32,
    first_row: u32,
    row_count: u32,
}

/// Everything known so far about one file. Addresses are relative to `base`.
pub struct Layout {
    base: u64,
    /// What is executable, sorted and disjoint.
    code: Vec<Range<u32>>,
    rows: Vec<Row>,
    /// The first `settled` are sorted and disjoint.
    functions: Vec<Function>,
    settled: usize,
}

impl Layout {
    /// Knows where there is code, and nothing about it.
    pub fn of(elf: &Elf<'_>) -> Result<Self, NoTable> {
        let mut code: Vec<_> = elf.code().map(|(at, bytes)| extent(at, bytes)).collect();
        code.retain(|it| !it.is_empty());
        code.sort_unstable_by_key(|it| it.start);
        let base = code.first().ok_or(NoTable::Nothing)?.start;
        let mut relative: Vec<Range<u32>> = Vec::with_capacity(code.len());
        for it in code {
            let narrow =
                |address: u64| u32::try_from(address - base).map_err(|_| NoTable::TooLarge);
            let (start, end) = (narrow(it.start)?, narrow(it.end)?);
            match relative.last_mut() {
                Some(last) if start <= last.end => last.end = last.end.max(end),
                _ => relative.push(start..end),
            }
        }
        Ok(Self {
            base,
            code: relative,
            rows: Vec::new(),
            functions: Vec::new(),
            settled: 0,
        })
    }

    /// A function's addresses as rows count them, if they are in one piece of code. None are at
    /// virtual address 0: the linker leaves that in entries of functions it has dropped.
    pub fn place(&self, start: u64, size: u64) -> Option<Range<u32>> {
        if start == 0 || size == 0 {
            return None;
        }
        let first = u32::try_from(start.checked_sub(self.base)?).ok()?;
        let end = first.checked_add(u32::try_from(size).ok()?)?;
        let after = self.code.partition_point(|it| it.start <= first);
        let code = &self.code[after.checked_sub(1)?];
        (end <= code.end).then_some(first..end)
    }

    /// Adds a function; `rows` pushes its rows, sorted, the first at its start.
    pub fn add(
        &mut self,
        place: Range<u32>,
        rows: impl FnOnce(&mut Rows<'_>),
    ) -> Result<(), NoTable> {
        let first_row = self.rows.len();
        rows(&mut Rows {
            all: &mut self.rows,
            first: first_row,
            place: place.clone(),
        });
        if self.rows.len() > MAX_COLLECTED {
            return Err(NoTable::TooLarge);
        }
        self.functions.push(Function {
            start: place.start,
            end: place.end,
            first_row: first_row as u32,
            row_count: (self.rows.len() - first_row) as u32,
        });
        Ok(())
    }

    /// Makes what was added since the last call count: of functions that overlap, the one that begins
    /// first, and none where something had settled before.
    pub fn settle(&mut self) {
        let (known, new) = self.functions.split_at_mut(self.settled);
        new.sort_by_key(|it| it.start);
        let mut known = known.iter().peekable();
        let mut end = 0;
        let mut kept = Vec::with_capacity(new.len());
        for function in &*new {
            while known.next_if(|it| it.end <= function.start).is_some() {}
            let taken = known.peek().is_some_and(|it| it.start < function.end);
            if function.start >= end && !taken {
                end = function.end;
                kept.push(*function);
            }
        }
        self.functions.truncate(self.settled);
        self.functions.append(&mut kept);
        // Two sorted runs: one merge.
        self.functions.sort_by_key(|it| it.start);
        self.settled = self.functions.len();
    }

    /// The code that nothing is known about, in what has settled; absolute addresses.
    pub fn gaps(&self) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut functions = self.functions[..self.settled].iter().peekable();
        for code in &self.code {
            let mut at = code.start;
            while let Some(function) = functions.next_if(|it| it.start < code.end) {
                if at < function.start {
                    gaps.push(at..function.start);
                }
                at = function.end;
            }
            if at < code.end {
                gaps.push(at..code.end);
            }
        }
        let absolute = |at: u32| self.base + u64::from(at);
        gaps.into_iter()
            .map(|it| absolute(it.start)..absolute(it.end))
            .collect()
    }

    /// Whether nothing has settled.
    pub fn is_empty(&self) -> bool {
        self.settled == 0
    }

    /// The table of what has settled.
    pub fn into_table(self) -> Result<Table, NoTable> {
        let functions = &self.functions[..self.settled];
        if functions.is_empty() {
            return Err(NoTable::Nothing);
        }
        let count: usize = functions.iter().map(|it| it.row_count as usize + 1).sum();
        let mut rows = Vec::with_capacity(count.min(MAX_ROWS as usize + 1));
        let mut last = Rule::NONE;
        let mut end = 0;
        rows.push(Row::new(0, Rule::NONE));
        for function in functions {
            if end < function.start && last != Rule::NONE {
                rows.push(Row::new(end, Rule::NONE));
                last = Rule::NONE;
            }
            let first = function.first_row as usize;
            for row in &self.rows[first..first + function.row_count as usize] {
                if row.rule() != last {
                    if row.address() == 0 {
                        rows.clear();
                    }
                    rows.push(*row);
                    last = row.rule();
                }
            }
            end = function.end;
            if rows.len() > MAX_ROWS as usize {
                return Err(NoTable::TooLarge);
            }
        }
        if last != Rule::NONE {
            rows.push(Row::new(end, Rule::NONE));
        }
        if rows.len() > MAX_ROWS as usize {
            return Err(NoTable::TooLarge);
        }
        rows.shrink_to_fit();
        Ok(Table {
            described: true,
            rows,
            base: self.base,
        })
    }
}

/// The rows of one function.
pub struct Rows<'layout> {
    all: &'layout mut Vec<Row>,
    first: usize,
    place: Range<u32>,
}

impl Rows<'_> {
    /// `rule` holds `offset` bytes behind the function's start, and on. Offsets increase; one behind
    /// the function's end is none of its business.
    pub fn push(&mut self, offset: u64, rule: Rule) {
        let Ok(offset) = u32::try_from(offset) else {
            return;
        };
        if offset >= self.place.end - self.place.start {
            return;
        }
        let row = Row::new(self.place.start + offset, rule);
        let own = self.all.len() > self.first;
        match self.all.last().filter(|_| own) {
            Some(last) if last.rule() == rule => {}
            _ => self.all.push(row),
        }
    }
}
