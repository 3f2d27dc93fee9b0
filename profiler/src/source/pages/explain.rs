//! Which touch made each resident page resident. Pure: touches and pages in, sums out.

use std::collections::HashMap;

use unfreed_common::page::{Touch, how};

use crate::profile::{ByKind, Kind, Weight};
use crate::source::{StillThere, Unfreed};
use crate::target::{HUGE_PAGE, PAGE, Run};

/// Pages around a fault that the kernel maps with it when it has them in memory: files' only, within
/// a window of this size and alignment (mm/memory.c, `do_fault_around`; `fault_around_bytes`).
const FAULT_AROUND: u64 = 64 << 10;

/// What became of the touches.
#[derive(Debug, Default)]
pub struct Explained {
    /// Resident, and touched during the recording.
    pub bytes: ByKind,
    /// Resident before, and not since.
    pub given_back: ByKind,
    /// Resident, not before, and not touched.
    pub unexplained: ByKind,
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
        let mut unfreed = Unfreed::new();
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

/// `faults`: the touches that are known, by page, in any order. `before` and `after`: what was resident
/// when the recording began and at its end, in the order of addresses.
pub fn explain(mut faults: Vec<(u64, Touch)>, before: &[Run], after: &[Run]) -> Explained {
    faults.sort_unstable_by_key(|(page, _)| *page);
    let mut explained = Explained::default();
    let mut before_pages = Pages::of(before);
    for run in after {
        let mut page = run.start;
        while page < run.end {
            let was = before_pages.at(page);
            match toucher(&faults, page, run, was) {
                Some((touched, touch)) => {
                    explained.bytes.add(run.kind, PAGE);
                    explained.came_along += u64::from(*touched != page);
                    *explained
                        .by_touch
                        .entry((touch.stack, run.kind, touch.time))
                        .or_default() += 1;
                    // Something else has come in the place of what was there.
                    if let Some(was) = was {
                        explained.given_back.add(was, PAGE);
                    }
                }
                None if was.is_none() => explained.unexplained.add(run.kind, PAGE),
                None => {}
            }
            page += PAGE;
        }
    }
    let mut after_pages = Pages::of(after);
    for run in before {
        for page in (run.start..run.end).step_by(PAGE as usize) {
            if after_pages.at(page).is_none() {
                explained.given_back.add(run.kind, PAGE);
            }
        }
    }
    explained
}

/// The touch that made the page resident, if it was one during the recording. `was`: what was resident
/// there when the recording began.
fn toucher<'a>(
    faults: &'a [(u64, Touch)],
    page: u64,
    run: &Run,
    was: Option<Kind>,
) -> Option<&'a (u64, Touch)> {
    let at = faults.partition_point(|(touched, _)| *touched < page);
    if let Some(own) = faults.get(at).filter(|(touched, _)| *touched == page) {
        return made_resident(&own.1, run.kind, was).then_some(own);
    }
    if was.is_some() {
        return None;
    }
    // One fault brings all of a huge page, and a file's pages around.
    let window = match run.kind {
        _ if run.huge => HUGE_PAGE,
        Kind::File | Kind::Shmem => FAULT_AROUND,
        Kind::Anonymous | Kind::Huge => return None,
    };
    let start = page - page % window;
    let first = faults.partition_point(|(touched, _)| *touched < start.max(run.start));
    faults[first..]
        .iter()
        .take_while(|(touched, _)| *touched < (start + window).min(run.end))
        .filter(|(_, touch)| touch.how & (how::ABSENT | how::UNKNOWN) != 0)
        .min_by_key(|(_, touch)| touch.time)
}

/// Whether a page that was touched is there because of that, and not since before the recording.
fn made_resident(touch: &Touch, kind: Kind, was: Option<Kind>) -> bool {
    if touch.how & how::ABSENT != 0 {
        return true;
    }
    match was {
        // Zeros before, or populated since: RSS counts the page from this write on.
        None => true,
        // A copy took the place of a file's page. A copy of anonymous memory (after a fork) took the
        // place of what was counted already.
        Some(was) => kind_of_owner(was) != kind_of_owner(kind),
    }
}

/// Huge or not, anonymous memory is anonymous memory.
fn kind_of_owner(kind: Kind) -> Kind {
    match kind {
        Kind::Huge => Kind::Anonymous,
        other => other,
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
mod tests {
    use super::*;

    const READ: u64 = how::ABSENT;
    const WRITE: u64 = how::ABSENT | how::WRITE;
    const COPY: u64 = how::WRITE;

    fn touch(page: u64, stack: u64, time: u64, how: u64) -> (u64, Touch) {
        (page * PAGE, Touch { stack, time, how })
    }

    fn run(from: u64, to: u64, kind: Kind) -> Run {
        Run {
            start: from * PAGE,
            end: to * PAGE,
            kind,
            huge: kind == Kind::Huge,
        }
    }

    /// Pages by stack and kind; pages that are unexplained, and given back.
    fn explained(
        faults: Vec<(u64, Touch)>,
        before: &[Run],
        after: &[Run],
    ) -> (Vec<(u64, Kind, u64)>, u64, u64) {
        let explained = explain(faults, before, after);
        let mut by_stack: Vec<_> = explained
            .unfreed(u64::MAX)
            .into_iter()
            .map(|((stack, kind), weight)| (stack, kind.unwrap(), weight.count))
            .collect();
        by_stack.sort_unstable();
        let pages = |bytes: &ByKind| bytes.sum() / PAGE;
        assert_eq!(
            explained.still_there().all.count,
            by_stack.iter().map(|(_, _, count)| count).sum::<u64>()
        );
        let rest = (pages(&explained.unexplained), pages(&explained.given_back));
        (by_stack, rest.0, rest.1)
    }

    #[test]
    fn what_was_touched_and_is_resident_is_the_touchers() {
        let faults = vec![
            touch(3, 7, 1, WRITE),
            touch(1, 8, 2, WRITE),
            touch(2, 7, 3, READ),
        ];
        // Page 2 was read only, and is of zeros; page 4 nobody touched.
        let after = [run(1, 2, Kind::Anonymous), run(3, 5, Kind::Anonymous)];
        let expected = vec![(7, Kind::Anonymous, 1), (8, Kind::Anonymous, 1)];
        assert_eq!(explained(faults, &[], &after), (expected, 1, 0));
    }

    #[test]
    fn what_was_there_before_is_nobodys_unless_it_was_absent_meanwhile() {
        let before = [run(1, 6, Kind::Anonymous)];
        // 1 stays, 2 is copied after a fork, 3 was given back and touched again, 4 and 5 are gone.
        let faults = vec![touch(2, 7, 1, COPY), touch(3, 8, 2, WRITE)];
        let after = [run(1, 4, Kind::Anonymous)];
        let expected = vec![(8, Kind::Anonymous, 1)];
        assert_eq!(explained(faults, &before, &after), (expected, 0, 3));
    }

    #[test]
    fn a_copy_of_a_files_page_takes_its_place() {
        let before = [run(1, 3, Kind::File)];
        let faults = vec![touch(1, 7, 1, COPY)];
        let after = [run(1, 2, Kind::Anonymous), run(2, 3, Kind::File)];
        let expected = vec![(7, Kind::Anonymous, 1)];
        assert_eq!(explained(faults, &before, &after), (expected, 0, 1));
    }

    #[test]
    fn a_huge_page_is_its_first_touchs() {
        let faults = vec![touch(700, 9, 5, WRITE), touch(600, 7, 1, WRITE)];
        let after = [run(512, 1024, Kind::Huge)];
        let expected = vec![(7, Kind::Huge, 511), (9, Kind::Huge, 1)];
        assert_eq!(explained(faults.clone(), &[], &after), (expected, 0, 0));
        let explained = explain(faults, &[], &after);
        assert_eq!(explained.still_there().came_along.count, 510);
    }

    #[test]
    fn a_files_pages_come_with_the_fault_around_them_and_anonymous_ones_do_not() {
        let faults = vec![touch(20, 7, 1, READ)];
        let file = [run(14, 40, Kind::File)];
        // The window is of 16 pages: 16 to 31.
        let expected = vec![(7, Kind::File, 16)];
        assert_eq!(explained(faults.clone(), &[], &file), (expected, 10, 0));
        let anonymous = [run(14, 40, Kind::Anonymous)];
        let expected = vec![(7, Kind::Anonymous, 1)];
        assert_eq!(explained(faults, &[], &anonymous), (expected, 25, 0));
    }

    #[test]
    fn what_is_too_young_is_left_out_of_the_stacks_only() {
        let faults = vec![touch(1, 7, 10, WRITE), touch(2, 7, 20, WRITE)];
        let explained = explain(faults, &[], &[run(1, 3, Kind::Anonymous)]);
        let unfreed = explained.unfreed(10);
        let weight = unfreed[&(7, Some(Kind::Anonymous))];
        assert_eq!((weight.count, weight.bytes), (1, PAGE));
        assert_eq!(explained.bytes.sum(), 2 * PAGE);
    }
}
