//! Values over time, thinned out so that few are kept of a long time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// At most so many values of at most such a time, evenly spaced, and always the newest: when there are too many,
/// every second one is dropped, and from then on only half as many are kept.
#[derive(Debug, Clone)]
pub struct Thinned<T> {
    most: usize,
    longest: Duration,
    /// One in so many values is kept for good.
    stride: u64,
    next: u64,
    kept: VecDeque<Kept<T>>,
}

#[derive(Debug, Clone)]
struct Kept<T> {
    number: u64,
    moment: Instant,
    value: T,
}

impl<T> Thinned<T> {
    /// Empty. `most`: at least 2; `longest`: what is older than the newest by more is dropped.
    pub fn new(most: usize, longest: Duration) -> Self {
        Self {
            most: most.max(2),
            longest,
            stride: 1,
            next: 0,
            kept: VecDeque::new(),
        }
    }

    /// Takes the next value, which is later than all before.
    pub fn push(&mut self, moment: Instant, value: T) {
        // The one that was kept only for being the newest.
        if self
            .kept
            .back()
            .is_some_and(|last| !last.number.is_multiple_of(self.stride))
        {
            self.kept.pop_back();
        }
        let number = self.next;
        self.next += 1;
        self.kept.push_back(Kept {
            number,
            moment,
            value,
        });
        let too_old = |kept: &Kept<T>| moment.saturating_duration_since(kept.moment) > self.longest;
        while self.kept.front().is_some_and(too_old) {
            self.kept.pop_front();
        }
        while self.kept.len() > self.most {
            self.stride *= 2;
            let stride = self.stride;
            self.kept
                .retain(|kept| kept.number == number || kept.number.is_multiple_of(stride));
        }
    }

    /// All that are kept, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Instant, &T)> {
        self.kept.iter().map(|kept| (kept.moment, &kept.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thinned(count: u64, most: usize, longest: u64) -> Vec<u64> {
        let begin = Instant::now();
        let mut thinned = Thinned::new(most, Duration::from_secs(longest));
        for i in 0..count {
            thinned.push(begin + Duration::from_secs(i), i);
            assert!(thinned.kept.len() <= most, "{i}: {}", thinned.kept.len());
            assert_eq!(thinned.iter().last().map(|(_, &newest)| newest), Some(i));
        }
        thinned.iter().map(|(_, &value)| value).collect()
    }

    #[test]
    fn few_values_are_all_kept() {
        assert_eq!(thinned(5, 5, 1000), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn many_are_thinned_evenly_and_the_newest_is_there() {
        assert_eq!(thinned(6, 5, 1000), [0, 2, 4, 5]);
        assert_eq!(thinned(7, 5, 1000), [0, 2, 4, 6]);
        assert_eq!(thinned(8, 5, 1000), [0, 2, 4, 6, 7]);
        assert_eq!(thinned(10, 5, 1000), [0, 4, 8, 9]);
    }

    #[test]
    fn what_is_too_old_goes_and_the_rest_stays_evenly_spaced() {
        let kept = thinned(100_000, 240, 8640);
        assert!(kept[0] >= 99_999 - 8640, "{}", kept[0]);
        assert!(kept.len() >= 120, "{}", kept.len());
        let (newest, even) = kept.split_last().unwrap();
        assert_eq!(*newest, 99_999);
        assert!(even.windows(2).all(|pair| pair[1] - pair[0] == 64));
    }
}
