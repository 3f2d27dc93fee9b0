//! What was given back with `MADV_FREE`: resident until the kernel needs it, and in use again from the next
//! write on, of which no page fault tells.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::slice::Iter;

use super::{Explained, Owned, Owner};
use crate::target::{Lazy, PAGE};

/// The pages of one mapping after the other that were given back once. The kernel tells which these are,
/// and for the whole mapping how much of it was not written again.
pub struct Lazily<'a> {
    mappings: Peekable<Iter<'a, Lazy>>,
    pages: BTreeMap<Owned, u64>,
}

impl<'a> Lazily<'a> {
    pub fn of(mappings: &'a [Lazy]) -> Self {
        Self {
            mappings: mappings.iter().peekable(),
            pages: BTreeMap::new(),
        }
    }

    /// A page of the current mapping.
    pub fn add(&mut self, owned: Owned) {
        *self.pages.entry(owned).or_default() += 1;
    }

    /// All pages below this one have been added.
    pub fn advance(&mut self, page: u64, to: &mut Explained) {
        while let Some(mapping) = self.mappings.next_if(|mapping| mapping.end <= page) {
            decide(&self.pages, mapping.bytes / PAGE, to);
            self.pages.clear();
        }
    }
}

/// `unused`: how many of the pages are not in use.
fn decide(pages: &BTreeMap<Owned, u64>, unused: u64, to: &mut Explained) {
    let all: u64 = pages.values().sum();
    // Less of them than a moment before: the kernel has taken some meanwhile.
    let mut left_out = unused.min(all);
    if left_out < all && !are_alike(pages) {
        to.lazily.counted += left_out * PAGE;
        left_out = 0;
    }
    for (owned, &count) in pages {
        let out = left_out.min(count);
        left_out -= out;
        to.leave_out(*owned, out);
        if out < count {
            to.count(*owned, count - out);
        }
    }
}

/// Whether it makes no difference which of the pages are in use: but for the age.
fn are_alike(pages: &BTreeMap<Owned, u64>) -> bool {
    let without_time = |owned: &Owned| match owned.owner {
        Owner::Touch(stack, ..) => (owned.kind, owned.replaced, Some(stack), false),
        Owner::Before => (owned.kind, owned.replaced, None, true),
        Owner::Nobody => (owned.kind, owned.replaced, None, false),
    };
    let mut kinds = pages.keys().map(without_time);
    let first = kinds.next();
    kinds.all(|kind| Some(kind) == first)
}
