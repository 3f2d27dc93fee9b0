//! Which touch made each resident page resident. Pure: touches and pages in, sums out.

mod lazily;
mod toucher;

use std::collections::HashMap;

use unfreed_common::page::Touch;

use crate::profile::{ByKind, GivenBackLazily, Kind, Weight};
use crate::source::{StillThere, Unfreed};
use crate::target::{PAGE, Residency, Run};
use lazily::Lazily;
use toucher::Touches;

/// What became of the touches.
#[derive(Debug, Default)]
pub struct Explained {
    /// Resident, and touched during the recording.
    pub bytes: ByKind,
    /// Resident before, and not since.
    pub given_back: ByKind,
    /// Resident, not before, and not touched.
    pub unexplained: ByKind,
    /// Resident, and given back all the same.
    pub lazily: GivenBackLazily,
    /// Of those explained, how many were not touched themselves.
    came_along: u64,
    /// By stack, kind and the time of the touch: pages.
    by_touch: HashMap<(u64, Kind, u64), u64>,
}

impl Explained {
    /// All that is explained.
    pub fn still_there(&self) -> StillThere {
        let pages = |count| Weight {
            bytes: count * PAGE,
            count,
        };
        StillThere {
            all: pages(self.bytes.sum() / PAGE),
            came_along: pages(self.came_along),
        }
    }

    /// Weights of what was touched at `latest` or before.
    pub fn unfreed(&self, latest: u64) -> Unfreed {
        let mut unfreed = Unfreed::default();
        for (&(stack, kind, time), &pages) in &self.by_touch {
            if time <= latest {
                *unfreed.entry((stack, Some(kind))).or_default() += Weight {
                    bytes: pages * PAGE,
                    count: pages,
                };
            }
        }
        unfreed
    }
}

/// Whose a resident page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Owned {
    kind: Kind,
    owner: Owner,
    /// What was there when the recording began, if this came in its place.
    replaced: Option<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    /// The stack and the time of the touch, and whether another page was touched.
    Touch(u64, u64, bool),
    /// It was there before.
    Before,
    Nobody,
}

/// `faults`: the touches that are known, by page, in any order. `before` and `after`: what was resident
/// when the recording began and at its end.
pub fn explain(faults: Vec<(u64, Touch)>, before: &Residency, after: &Residency) -> Explained {
    let known = Touches::of(faults, after);
    let mut explained = Explained::default();
    let mut before_pages = Pages::of(&before.runs);
    let mut lazily = Lazily::of(&after.lazily);
    for run in &after.runs {
        for page in (run.start..run.end).step_by(PAGE as usize) {
            let was = before_pages.at(page);
            let owned = match known.of_page(page, run, was) {
                Some((touched, touch)) => Owned {
                    kind: run.kind,
                    owner: Owner::Touch(touch.stack, touch.time, *touched != page),
                    replaced: was,
                },
                None => Owned {
                    kind: run.kind,
                    owner: was.map_or(Owner::Nobody, |_| Owner::Before),
                    replaced: None,
                },
            };
            lazily.advance(page, &mut explained);
            if run.lazy {
                lazily.add(owned);
            } else {
                explained.count(owned, 1);
            }
        }
    }
    lazily.advance(u64::MAX, &mut explained);
    if after.hidden > 0 {
        explained.lazily.counted += after.hidden;
        explained.lazily.hidden = true;
    }
    let mut after_pages = Pages::of(&after.runs);
    for run in &before.runs {
        for page in (run.start..run.end).step_by(PAGE as usize) {
            if after_pages.at(page).is_none() {
                explained.given_back.add(run.kind, PAGE);
            }
        }
    }
    explained
}

impl Explained {
    /// Pages that are in use.
    fn count(&mut self, owned: Owned, pages: u64) {
        let kind = owned.kind;
        match owned.owner {
            Owner::Touch(stack, time, other) => {
                self.bytes.add(kind, pages * PAGE);
                self.came_along += if other { pages } else { 0 };
                *self.by_touch.entry((stack, kind, time)).or_default() += pages;
            }
            Owner::Before => {}
            Owner::Nobody => self.unexplained.add(kind, pages * PAGE),
        }
        self.replace(owned, pages);
    }

    /// Pages that are there, but given back.
    fn leave_out(&mut self, owned: Owned, pages: u64) {
        match owned.owner {
            Owner::Touch(..) | Owner::Nobody => self.lazily.not_counted += pages * PAGE,
            Owner::Before => self.lazily.of_before += pages * PAGE,
        }
        self.replace(owned, pages);
    }

    fn replace(&mut self, owned: Owned, pages: u64) {
        if let Some(was) = owned.replaced {
            self.given_back.add(was, pages * PAGE);
        }
    }
}

/// Asked for pages in the order of addresses.
struct Pages<'a> {
    runs: std::iter::Peekable<std::slice::Iter<'a, Run>>,
}

impl<'a> Pages<'a> {
    fn of(runs: &'a [Run]) -> Self {
        Self {
            runs: runs.iter().peekable(),
        }
    }

    /// What is at `page`, which is not below the one asked for before.
    fn at(&mut self, page: u64) -> Option<Kind> {
        while self.runs.next_if(|run| run.end <= page).is_some() {}
        self.runs
            .peek()
            .filter(|run| run.start <= page)
            .map(|run| run.kind)
    }
}

#[cfg(test)]
mod tests;
