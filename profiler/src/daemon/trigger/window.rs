//! By how much a number grew within a time that slides along.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Into how many slices the window is divided; no more lows are kept, however often is looked.
pub const SLICES: u32 = 256;

/// The lows of the last while: the earliest, and then each that is the least of all that came after it.
#[derive(Debug, Clone)]
pub struct Window {
    within: Duration,
    /// Increasing, in time and in value: the first is the least of the window. They are at least a slice apart, so
    /// that the window is shorter by up to a slice where readings are closer than that.
    lows: VecDeque<(Instant, u64)>,
}

/// How much, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// What the number has grown by since it was least.
    pub by: u64,
    /// How long ago that was.
    pub time: Duration,
}

impl Window {
    /// Empty.
    pub fn new(within: Duration) -> Self {
        Self {
            within,
            lows: VecDeque::new(),
        }
    }

    /// The growth from the least of the window to what the number is now. Of a first look, or of one after a longer
    /// pause than the window, there is none: nothing is known of the time before.
    pub fn look(&mut self, now: Instant, value: u64) -> Growth {
        let age = |at: Instant| now.saturating_duration_since(at);
        while self
            .lows
            .front()
            .is_some_and(|&(at, _)| age(at) > self.within)
        {
            self.lows.pop_front();
        }
        while self.lows.back().is_some_and(|&(_, low)| low >= value) {
            self.lows.pop_back();
        }
        let slice = self.within / SLICES;
        if self.lows.back().is_none_or(|&(at, _)| age(at) >= slice) {
            self.lows.push_back((now, value));
        }
        let &(at, low) = self.lows.front().unwrap_or(&(now, value));
        Growth {
            by: value.saturating_sub(low),
            time: age(at),
        }
    }

    /// Growth counts from this value on.
    pub fn restart(&mut self, now: Instant, value: u64) {
        self.lows.clear();
        self.lows.push_back((now, value));
    }

    /// How many lows are kept.
    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.lows.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WITHIN: Duration = Duration::from_millis(2560);
    const SLICE: Duration = Duration::from_millis(10);

    /// The growth as it is defined.
    fn slow(readings: &[(Duration, u64)], within: Duration) -> u64 {
        let &(now, value) = readings.last().unwrap();
        let inside = readings
            .iter()
            .filter(|&&(at, _)| now.saturating_sub(at) <= within);
        inside
            .map(|&(_, then)| value.saturating_sub(then))
            .max()
            .unwrap()
    }

    /// Readings with pauses of so many milliseconds before each.
    fn readings(pause: std::ops::Range<u64>) -> impl Strategy<Value = Vec<(Duration, u64)>> {
        // Few values, so that equal ones are met.
        proptest::collection::vec((pause, 0_u64..40), 1..120).prop_map(|steps| {
            let mut at = 0;
            let advance = |(pause, value)| {
                at += pause;
                (Duration::from_millis(at), value)
            };
            steps.into_iter().map(advance).collect()
        })
    }

    proptest! {
        #[test]
        fn growth_is_the_greatest_over_the_window(readings in readings(10..400)) {
            let begin = Instant::now();
            let mut window = Window::new(WITHIN);
            for (i, &(at, value)) in readings.iter().enumerate() {
                let growth = window.look(begin + at, value);
                prop_assert_eq!(growth.by, slow(&readings[..=i], WITHIN));
                prop_assert!(growth.time <= WITHIN);
            }
        }

        #[test]
        fn readings_closer_than_a_slice_shorten_the_window_by_at_most_one(readings in readings(0..60)) {
            let begin = Instant::now();
            let mut window = Window::new(WITHIN);
            for (i, &(at, value)) in readings.iter().enumerate() {
                let by = window.look(begin + at, value).by;
                prop_assert!(by <= slow(&readings[..=i], WITHIN));
                prop_assert!(by >= slow(&readings[..=i], WITHIN.saturating_sub(SLICE)));
            }
        }
    }

    #[test]
    fn memory_is_bounded_however_often_is_looked() {
        let begin = Instant::now();
        let mut window = Window::new(WITHIN);
        // Always growing is the worst case: every value is the least of those after it.
        for i in 0..20_000 {
            window.look(begin + Duration::from_micros(500 * i), i);
            assert!(window.kept() <= SLICES as usize + 1, "{}", window.kept());
        }
        assert!(window.kept() > 200, "{}", window.kept());
    }

    #[test]
    fn a_pause_longer_than_the_window_is_no_growth() {
        let begin = Instant::now();
        let mut window = Window::new(WITHIN);
        window.look(begin, 1);
        let after = window.look(begin + WITHIN + SLICE, 1 << 40);
        let none = Growth {
            by: 0,
            time: Duration::ZERO,
        };
        assert_eq!(after, none);
    }
}
