//! What a stack weighs in two recordings, in one unit.

use std::fmt;
use std::ops::AddAssign;

use crate::profile::{Change, Diff};
use crate::write::Weigh;
use crate::write::lines::Lines;

/// Bytes or a count, before and after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pair {
    /// In the one recording.
    pub before: u64,
    /// In the other.
    pub after: u64,
}

impl Pair {
    /// Of a stack.
    pub fn of(change: &Change, weigh: Weigh) -> Self {
        Self {
            before: weigh.of(change.before),
            after: weigh.of(change.after),
        }
    }

    /// By how much it grew or shrank.
    pub fn change(self) -> u64 {
        self.before.abs_diff(self.after)
    }

    /// Whether it became more.
    pub fn grew(self) -> bool {
        self.after > self.before
    }

    /// `+` or `-`; nothing where it did not change.
    pub fn sign(self) -> &'static str {
        match self.after.cmp(&self.before) {
            std::cmp::Ordering::Greater => "+",
            std::cmp::Ordering::Less => "-",
            std::cmp::Ordering::Equal => "",
        }
    }
}

impl AddAssign for Pair {
    fn add_assign(&mut self, other: Self) {
        self.before += other.before;
        self.after += other.after;
    }
}

/// As a folded line has it.
impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.before, self.after)
    }
}

/// The stacks of a comparison as lines, those that have the same names as one.
pub fn lines(diff: &Diff, weigh: Weigh) -> Lines<Pair> {
    let stacks = diff.stacks.iter();
    let weighed = stacks.map(|it| (&it.frames[..], it.kind, Pair::of(it, weigh)));
    Lines::merge(weighed.filter(|&(_, _, pair)| pair != Pair::default()))
}
