//! How long recordings are kept, and how many.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use super::super::entry::{Entry, Id};

/// What is kept; `None` is no limit. Whatever is beyond one of the limits goes, the oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Retention {
    /// How long after its end.
    pub max_age: Option<Duration>,
    /// How many.
    pub max_count: Option<u64>,
    /// How much altogether, bytes. If the newest alone is larger, it is not kept either: a limit is a limit.
    pub max_size: Option<u64>,
}

/// What goes, oldest first. `entries` are in the order of [`super::Store::entries`].
pub(super) fn beyond(
    entries: &[Entry],
    now: Timestamp,
    total: &Retention,
    of_target: &dyn Fn(&str) -> Retention,
) -> Vec<Id> {
    let mut all = Room::new(total.clone());
    let mut targets: HashMap<&str, Room> = HashMap::new();
    let mut beyond = Vec::new();
    for entry in entries {
        let target = targets
            .entry(&entry.target)
            .or_insert_with(|| Room::new(of_target(&entry.target)));
        let age = age(entry, now);
        // the target's own limits first: what they take away needs no room among all
        let kept =
            target.is_young(age) && all.is_young(age) && target.admits(entry) && all.admits(entry);
        if !kept {
            beyond.push(entry.id.clone());
        }
    }
    beyond.reverse();
    beyond
}

/// Seconds since its end; negative if a clock was set back.
fn age(entry: &Entry, now: Timestamp) -> f64 {
    // of a recording that went on for days the beginning says nothing
    now.duration_since(entry.started_at).as_secs_f64() - entry.duration_seconds
}

/// What is left of the limits, going from the newest to the oldest.
struct Room {
    limits: Retention,
    count: u64,
    size: u64,
}

impl Room {
    fn new(limits: Retention) -> Self {
        Self {
            limits,
            count: 0,
            size: 0,
        }
    }

    fn is_young(&self, age: f64) -> bool {
        self.limits
            .max_age
            .is_none_or(|most| age <= most.as_secs_f64())
    }

    /// What does not fit is counted as well: nothing that is older fits behind it.
    fn admits(&mut self, entry: &Entry) -> bool {
        self.count += 1;
        self.size = self.size.saturating_add(entry.size);
        let Retention {
            max_age: _,
            max_count,
            max_size,
        } = self.limits;
        max_count.is_none_or(|most| self.count <= most)
            && max_size.is_none_or(|most| self.size <= most)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    /// Recordings 9 to 0 of 10 s each, one a minute, of 100 bytes each, even ones of `api`, odd ones of `worker`.
    fn entries() -> Vec<Entry> {
        (0..10)
            .rev()
            .map(|n| sample::entry(n, 100))
            .collect::<Vec<_>>()
    }

    fn gone(total: &Retention, of_target: &dyn Fn(&str) -> Retention) -> Vec<u32> {
        // when the newest ended
        let now = sample::time(9) + jiff::SignedDuration::from_secs(10);
        let entries = entries();
        beyond(&entries, now, total, of_target)
            .iter()
            .map(|id| entries.iter().find(|entry| entry.id == *id).unwrap().pid)
            .collect()
    }

    fn no_limit(_: &str) -> Retention {
        Retention::default()
    }

    #[test]
    fn without_limits_all_is_kept() {
        assert!(gone(&Retention::default(), &no_limit).is_empty());
    }

    #[test]
    fn age_is_since_the_end() {
        let limit = |seconds| Retention {
            max_age: Some(Duration::from_secs(seconds)),
            ..Retention::default()
        };
        assert_eq!(gone(&limit(7 * 60), &no_limit), [0, 1]);
        assert_eq!(gone(&limit(7 * 60 - 1), &no_limit), [0, 1, 2]);
        assert_eq!(gone(&limit(0), &no_limit), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn count_and_size_keep_the_newest() {
        let count = Retention {
            max_count: Some(3),
            ..Retention::default()
        };
        assert_eq!(gone(&count, &no_limit), [0, 1, 2, 3, 4, 5, 6]);
        let size = |bytes| Retention {
            max_size: Some(bytes),
            ..Retention::default()
        };
        assert_eq!(gone(&size(300), &no_limit), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(gone(&size(299), &no_limit), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(gone(&size(99), &no_limit).len(), 10);
    }

    #[test]
    fn an_older_one_does_not_slip_past_one_that_did_not_fit() {
        let mut entries = entries();
        entries[1].size = 1000;
        let size = Retention {
            max_size: Some(500),
            ..Retention::default()
        };
        let gone = beyond(&entries, sample::time(9), &size, &no_limit);
        assert_eq!(gone.len(), 9, "only the newest fits before the large one");
    }

    #[test]
    fn each_target_has_its_own_and_all_have_one() {
        let of_target = |name: &str| Retention {
            max_count: Some(if name == "api" { 1 } else { 4 }),
            ..Retention::default()
        };
        // of api 8 is kept; of worker 9, 7, 5, 3
        assert_eq!(gone(&Retention::default(), &of_target), [0, 1, 2, 4, 6]);
        let total = Retention {
            max_count: Some(3),
            ..Retention::default()
        };
        // what the targets' own limits took away needs no room: 9, 8, 7
        assert_eq!(gone(&total, &of_target), [0, 1, 2, 3, 4, 5, 6]);
    }
}
