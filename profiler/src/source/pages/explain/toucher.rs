//! Which touch brought a page, which need not be a touch of the page itself.

use std::ops::Range;

use unfreed_common::page::{Touch, how};

use crate::profile::Kind;
use crate::target::{HUGE_PAGE, Residency, Run};

/// Pages around a fault that the kernel maps with it when it has them in memory: files' only, and when the
/// fault reads; this many bytes (mm/memory.c, `do_read_fault`, `do_fault_around`; `fault_around_bytes`).
const FAULT_AROUND: u64 = 64 << 10;

/// What one page table maps, which a fault does not go beyond.
const PAGE_TABLE: u64 = 2 << 20;

/// The touches that are known, and where.
pub struct Touches<'a> {
    /// In the order of pages.
    faults: Vec<(u64, Touch)>,
    /// What is resident at the end.
    after: &'a Residency,
}

impl<'a> Touches<'a> {
    /// `faults` in any order.
    pub fn of(mut faults: Vec<(u64, Touch)>, after: &'a Residency) -> Self {
        faults.sort_unstable_by_key(|(page, _)| *page);
        Self { faults, after }
    }

    /// The touch that made the page resident, if it was one during the recording. `run`: what the page is
    /// in. `was`: what was resident there when the recording began.
    pub fn of_page(&self, page: u64, run: &Run, was: Option<Kind>) -> Option<&(u64, Touch)> {
        let at = self.faults.partition_point(|(touched, _)| *touched < page);
        if let Some(own) = self.faults.get(at).filter(|(touched, _)| *touched == page) {
            return made_resident(&own.1, run.kind, was).then_some(own);
        }
        if was.is_some() {
            return None;
        }
        // One fault brings all of a huge page. Around a fault that reads a file, others are mapped.
        let (bringers, only_reads) = match (run.kind, run.folio) {
            _ if run.huge => {
                let start = page - page % HUGE_PAGE;
                let within = start.max(run.start)..(start + HUGE_PAGE).min(run.end);
                (within, false)
            }
            (_, Some(folio)) => (folio.start..folio.end, false),
            (Kind::File | Kind::Shmem, None) => (mapped_by(page, &self.mapping(page, run)), true),
            (Kind::Anonymous | Kind::Huge, None) => return None,
        };
        let first = self
            .faults
            .partition_point(|(touched, _)| *touched < bringers.start);
        self.faults[first..]
            .iter()
            .take_while(|(touched, _)| *touched < bringers.end)
            .filter(|(_, touch)| touch.how & (how::ABSENT | how::UNKNOWN) != 0)
            .filter(|(_, touch)| !only_reads || touch.how & how::WRITE == 0)
            // What has come since in the place of a part of it is none of it.
            .filter(|(touched, _)| {
                run.folio.is_none() || self.run(*touched).is_none_or(|at| at.folio == run.folio)
            })
            .min_by_key(|(_, touch)| touch.time)
    }

    /// What is resident at a page.
    fn run(&self, page: u64) -> Option<&Run> {
        let runs = &self.after.runs;
        let next = runs.partition_point(|run| run.end <= page);
        runs.get(next).filter(|run| run.start <= page)
    }

    /// The mapping that the page is in; at least the run is one.
    fn mapping(&self, page: u64, run: &Run) -> Range<u64> {
        let mappings = &self.after.mappings;
        let next = mappings.partition_point(|mapping| mapping.end <= page);
        mappings
            .get(next)
            .filter(|mapping| mapping.start <= page)
            .map_or(run.start..run.end, Clone::clone)
    }
}

/// Where a fault in this mapping of a file maps `page`, too. A fault maps a window that is aligned to its
/// size; the first one of a mapping begins where the mapping does, and is as long, so that it covers a part
/// of the second one.
fn mapped_by(page: u64, mapping: &Range<u64>) -> Range<u64> {
    let down_to = |size: u64| page - page % size;
    let by_the_first = page - mapping.start < FAULT_AROUND;
    let start = down_to(if by_the_first {
        PAGE_TABLE
    } else {
        FAULT_AROUND
    });
    start.max(mapping.start)..(down_to(FAULT_AROUND) + FAULT_AROUND).min(mapping.end)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::PAGE;

    /// Pages of the mapping in which a fault maps the page, too.
    fn bringers(page: u64, from: u64, to: u64) -> Range<u64> {
        let found = mapped_by(page * PAGE, &(from * PAGE..to * PAGE));
        found.start / PAGE..found.end / PAGE
    }

    #[test]
    fn a_window_is_aligned() {
        assert_eq!(bringers(16, 0, 64), 16..32);
        assert_eq!(bringers(31, 0, 64), 16..32);
        assert_eq!(bringers(3, 0, 64), 0..16);
    }

    #[test]
    fn no_fault_of_another_mapping_counts() {
        assert_eq!(bringers(20, 18, 22), 18..22);
        assert_eq!(bringers(40, 10, 42), 32..42);
    }

    #[test]
    fn the_first_window_of_a_mapping_begins_with_it_and_is_as_long() {
        assert_eq!(bringers(20, 12, 64), 12..32);
        assert_eq!(bringers(27, 12, 64), 12..32);
        assert_eq!(bringers(28, 12, 64), 16..32);
        assert_eq!(bringers(14, 12, 64), 12..16);
    }

    #[test]
    fn a_fault_maps_what_is_in_one_page_table() {
        // The second one begins at page 512.
        assert_eq!(bringers(514, 508, 600), 512..528);
        assert_eq!(bringers(511, 508, 600), 508..512);
    }
}
