//! What more than one format says of a comparison.

use crate::profile::{Diff, Side};
use crate::write::summary::{noun, weight};
use crate::write::{Weigh, human, name};

use super::pair::Pair;

/// `storefront (pid 4711)`.
pub fn process(side: &Side) -> String {
    format!(
        "{} (pid {})",
        name::clean(&side.process.comm),
        side.process.pid
    )
}

/// Bytes or a number of blocks, as a person reads them.
pub fn amount(amount: u64, weigh: Weigh) -> String {
    match weigh {
        Weigh::Bytes => human::bytes(amount),
        Weigh::Count => human::count(amount),
    }
}

/// A change with its sign: `+1.00 MiB`, `-12`, `0 B`.
pub fn signed(pair: Pair, weigh: Weigh) -> String {
    format!("{}{}", pair.sign(), amount(pair.change(), weigh))
}

/// Of all stacks.
pub fn total(diff: &Diff, weigh: Weigh) -> Pair {
    Pair {
        before: weigh.of(diff.before.total),
        after: weigh.of(diff.after.total),
    }
}

/// `storefront (pid 4711), 10.2 s from 2026-03-01T12:00:00Z: 27.73 MiB in 3,024 blocks`.
pub fn side(diff: &Diff, side: &Side) -> String {
    let mut text = format!(
        "{}, {} from {}: {}",
        process(side),
        human::duration(side.duration),
        name::clean(&side.started_at),
        weight(side.total, diff.view)
    );
    if side.estimated {
        text.push_str(" (estimates)");
    }
    text
}

/// What makes the comparison doubtful, with what was doubtful about each recording.
pub fn doubts(diff: &Diff) -> Vec<String> {
    let Diff { before, after, .. } = diff;
    let mut doubts = Vec::new();
    // A tenth is what scheduling and the time of day make of two recordings of one length, and more.
    let (shorter, longer) = (
        before.duration.min(after.duration),
        before.duration.max(after.duration),
    );
    if longer.as_secs_f64() > 1.1 * shorter.as_secs_f64() {
        doubts.push(format!(
            "recorded for different times, {} before and {} after: nothing is scaled",
            human::duration(before.duration),
            human::duration(after.duration)
        ));
    }
    if before.min_age != after.min_age {
        let noun = noun(diff.view);
        doubts.push(format!(
            "different {noun}s are left out as too young: below {} before, below {} after",
            human::duration(before.min_age),
            human::duration(after.min_age)
        ));
    }
    for (when, side) in [("before", before), ("after", after)] {
        let warnings = side.warnings.iter().map(ToString::to_string);
        doubts.extend(warnings.map(|warning| format!("{when}: {}", name::clean(&warning))));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::write::diff::sample;

    #[test]
    fn times_that_differ_are_told_from_a_tenth_on() {
        let mut diff = sample::diff();
        assert_eq!(
            doubts(&diff)[0],
            "recorded for different times, 10.2 s before and 1 min 0 s after: nothing is scaled"
        );
        diff.after.duration = diff.before.duration + Duration::from_secs(1);
        assert!(!doubts(&diff)[0].contains("different times"));
        diff.after.min_age = Duration::ZERO;
        assert_eq!(
            doubts(&diff)[0],
            "different blocks are left out as too young: below 500 ms before, below 0 ms after"
        );
        assert!(doubts(&diff)[1].starts_with("before: 2 events lost"));
    }

    #[test]
    fn estimates_say_so() {
        let mut diff = sample::diff();
        assert!(side(&diff, &diff.after).ends_with("blocks"));
        diff.after.estimated = true;
        assert!(side(&diff, &diff.after).ends_with("blocks (estimates)"));
    }
}
