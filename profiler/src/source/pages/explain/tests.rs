use std::ops::Range;

use unfreed_common::page::how;

use super::*;
use crate::target::{Folio, Lazy};

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
        folio: None,
        lazy: false,
    }
}

fn look(runs: &[Run]) -> Residency {
    Residency {
        runs: runs.to_vec(),
        ..Residency::default()
    }
}

/// Pages by stack and kind; pages that are unexplained, and given back. Each run is a mapping.
fn explained(
    faults: Vec<(u64, Touch)>,
    before: &[Run],
    after: &[Run],
) -> (Vec<(u64, Kind, u64)>, u64, u64) {
    explained_in(&[], faults, before, after)
}

/// The same, with these mappings.
fn explained_in(
    mappings: &[Range<u64>],
    faults: Vec<(u64, Touch)>,
    before: &[Run],
    after: &[Run],
) -> (Vec<(u64, Kind, u64)>, u64, u64) {
    let after = Residency {
        mappings: mappings.to_vec(),
        ..look(after)
    };
    let explained = explain(faults, &look(before), &after);
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
    let explained = explain(faults, &look(&[]), &look(&after));
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
fn what_is_not_in_memory_is_a_gap_and_no_border() {
    let faults = vec![touch(17, 8, 1, WRITE), touch(20, 7, 2, READ)];
    let after = [run(16, 23, Kind::File), run(24, 32, Kind::File)];
    // What was written to is there alone.
    let expected = vec![(7, Kind::File, 14), (8, Kind::File, 1)];
    let mapped = std::slice::from_ref(&(16 * PAGE..64 * PAGE));
    assert_eq!(
        explained_in(mapped, faults.clone(), &[], &after),
        (expected, 0, 0)
    );
    // Two mappings.
    let expected = vec![(7, Kind::File, 6), (8, Kind::File, 1)];
    let mapped = [16 * PAGE..24 * PAGE, 24 * PAGE..64 * PAGE];
    assert_eq!(explained_in(&mapped, faults, &[], &after), (expected, 8, 0));
}

#[test]
fn what_is_too_young_is_left_out_of_the_stacks_only() {
    let faults = vec![touch(1, 7, 10, WRITE), touch(2, 7, 20, WRITE)];
    let explained = explain(faults, &look(&[]), &look(&[run(1, 3, Kind::Anonymous)]));
    let unfreed = explained.unfreed(10);
    let weight = unfreed[&(7, Some(Kind::Anonymous))];
    assert_eq!((weight.count, weight.bytes), (1, PAGE));
    assert_eq!(explained.bytes.sum(), 2 * PAGE);
}

/// Small pages, of something that came at once.
fn part(from: u64, to: u64, whole: std::ops::Range<u64>) -> Run {
    let folio = Folio {
        start: whole.start * PAGE,
        end: whole.end * PAGE,
    };
    Run {
        folio: Some(folio),
        ..run(from, to, Kind::Anonymous)
    }
}

#[test]
fn what_is_left_of_a_huge_page_is_its_first_touchs() {
    // The touched page itself is gone, or other memory has come in its place.
    let faults = vec![touch(520, 7, 1, WRITE), touch(600, 9, 5, WRITE)];
    let rest = part(700, 1024, 512..1024);
    let expected = vec![(7, Kind::Anonymous, 324)];
    assert_eq!(explained(faults, &[], &[rest]), (expected, 0, 0));
    let faults = vec![touch(520, 9, 5, WRITE)];
    let after = [run(520, 521, Kind::Anonymous), rest];
    let expected = vec![(9, Kind::Anonymous, 1)];
    assert_eq!(explained(faults, &[], &after), (expected, 324, 0));
}

fn lazy(from: u64, to: u64) -> Run {
    Run {
        lazy: true,
        ..run(from, to, Kind::Anonymous)
    }
}

/// By stack; and what was given back lazily: not counted, counted, of before.
fn lazily(faults: Vec<(u64, Touch)>, before: &[Run], unused: u64) -> (Vec<(u64, u64)>, [u64; 3]) {
    let after = Residency {
        runs: vec![run(1, 2, Kind::Anonymous), lazy(2, 8)],
        lazily: vec![Lazy {
            start: 0,
            end: 10 * PAGE,
            bytes: unused * PAGE,
        }],
        ..Residency::default()
    };
    let explained = explain(faults, &look(before), &after);
    let mut by_stack: Vec<_> = explained
        .unfreed(u64::MAX)
        .iter()
        .map(|((stack, _), weight)| (*stack, weight.count))
        .collect();
    by_stack.sort_unstable();
    let given_back = explained.lazily;
    let bytes = [
        given_back.not_counted,
        given_back.counted,
        given_back.of_before,
    ];
    (by_stack, bytes.map(|bytes| bytes / PAGE))
}

#[test]
fn what_is_given_back_lazily_is_not_counted() {
    let of = |stack: u64| (1..8).map(move |page| touch(page, stack, page, WRITE));
    assert_eq!(lazily(of(7).collect(), &[], 6), (vec![(7, 1)], [6, 0, 0]));
    // Two of them were written again, whichever.
    assert_eq!(lazily(of(7).collect(), &[], 4), (vec![(7, 3)], [4, 0, 0]));
    let before = [run(1, 8, Kind::Anonymous)];
    assert_eq!(lazily(vec![], &before, 6), (vec![], [0, 0, 6]));
}

#[test]
fn what_may_be_anyones_of_two_is_counted() {
    let faults: Vec<_> = (1..8)
        .map(|page| touch(page, 7 + page % 2, page, WRITE))
        .collect();
    // All of it is known.
    let expected = (vec![(8, 1)], [6, 0, 0]);
    assert_eq!(lazily(faults.clone(), &[], 6), expected);
    let expected = (vec![(7, 3), (8, 4)], [0, 4, 0]);
    assert_eq!(lazily(faults, &[], 4), expected);
}

#[test]
fn what_is_hidden_is_counted_and_said() {
    let after = Residency {
        hidden: 3 * PAGE,
        ..look(&[run(1, 8, Kind::Anonymous)])
    };
    let faults = (1..8).map(|page| touch(page, 7, page, WRITE)).collect();
    let explained = explain(faults, &look(&[]), &after);
    assert_eq!(explained.bytes.sum(), 7 * PAGE);
    let given_back = explained.lazily;
    assert!(given_back.hidden && given_back.counted == 3 * PAGE);
}
