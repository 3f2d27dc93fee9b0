//! Between which numbers of blocks is unfreed, in a recording that has gaps.

use super::{Mode, Profile, Slices};

/// Of all stacks together. There are none in bytes: what gives a block back does not tell its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// So many blocks are unfreed at least.
    pub at_least: u64,
    /// And at most: what all stacks show as unfreed.
    pub at_most: u64,
}

impl Bounds {
    /// Where all stacks together show so many blocks as unfreed. `None`: there are no gaps, or nothing is known of how
    /// many are unfreed at least.
    pub fn of(slices: &Slices, shown: u64) -> Option<Self> {
        // Both are estimates: what is more than is shown cannot be said of any stack.
        let at_least = slices.growth()?.at_least().min(shown);
        Some(Self {
            at_least,
            at_most: shown,
        })
    }

    /// How many of the blocks that are shown were perhaps given back.
    pub fn uncertain(self) -> u64 {
        self.at_most.saturating_sub(self.at_least)
    }

    /// How many blocks are unfreed at least where so many are shown, at one stack or at several: all that are unfreed less
    /// those elsewhere, and there are at most as many as are shown elsewhere.
    pub fn at_least_of(self, shown: u64) -> u64 {
        shown.saturating_sub(self.uncertain())
    }
}

impl<S> Profile<S> {
    /// Between which numbers is unfreed, all stacks together.
    pub fn bounds(&self) -> Option<Bounds> {
        Bounds::of(self.slices.as_ref()?, self.totals.unfreed.count)
    }

    /// The same where [`Bounds::at_least_of`] can be said of what stacks weigh: where that is what is unfreed.
    pub fn bounds_by_stack(&self) -> Option<Bounds> {
        match self.mode {
            Mode::Unfreed => self.bounds(),
            Mode::All => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Slice;

    /// A quarter of the time, in sixteen slices: so many blocks were taken in each and not given back.
    fn slices(net: Option<i64>) -> Slices {
        let slice = Slice {
            begin: 0,
            share: 1.0 / 64.0,
            net,
        };
        Slices {
            slices: vec![slice; 16],
            error: 0.0,
            cost: 0.0,
            granted: 0.05,
        }
    }

    /// What can be said where stacks show so many and 960 are unfreed: of all, and of each.
    fn of(shown: &[u64]) -> (Bounds, Vec<u64>) {
        let bounds = Bounds::of(&slices(Some(15)), shown.iter().sum()).unwrap();
        let each = shown.iter().map(|&shown| bounds.at_least_of(shown));
        (bounds, each.collect())
    }

    fn between(at_least: u64, at_most: u64) -> Bounds {
        Bounds { at_least, at_most }
    }

    #[test]
    fn a_leak_alone_is_known_and_so_it_is_beside_little_else() {
        assert_eq!(of(&[960]), (between(960, 960), vec![960]));
        assert_eq!(of(&[1000]), (between(960, 1000), vec![960]));
        assert_eq!(
            of(&[950, 30, 5]),
            (between(960, 985), vec![925, 5, 0]),
            "of 25 nobody knows"
        );
        assert_eq!(of(&[0]), (between(0, 0), vec![0]));
    }

    #[test]
    fn beside_a_pool_that_circulates_nothing_is_known_of_a_leak() {
        assert_eq!(of(&[960, 9000]), (between(960, 9960), vec![0, 0]));
        // and of a smaller pool's part in it less than of the leak's
        assert_eq!(of(&[960, 100]), (between(960, 1060), vec![860, 0]));
    }

    #[test]
    fn at_least_is_never_more_than_is_shown() {
        assert_eq!(of(&[500, 100]), (between(600, 600), vec![500, 100]));
    }

    #[test]
    fn stacks_together_are_known_no_worse_than_one_by_one() {
        let (bounds, each) = of(&[700, 300, 60]);
        assert_eq!(each, [600, 200, 0]);
        assert_eq!(bounds.at_least_of(1000), 900);
        assert_eq!(bounds.at_least_of(bounds.at_most), bounds.at_least);
        assert!(each.iter().sum::<u64>() <= bounds.at_least);
    }

    #[test]
    fn without_gaps_or_with_samples_there_are_none() {
        let mut slices = slices(None);
        assert_eq!(Bounds::of(&slices, 10), None);
        slices.slices.truncate(1);
        slices.slices[0].share = 1.0;
        slices.slices[0].net = Some(10);
        assert_eq!(Bounds::of(&slices, 10), None);
    }

    #[test]
    fn of_everything_taken_nothing_is_said_by_stack() {
        let mut profile = crate::write::sample::gaps();
        let bounds = profile.bounds();
        assert!(bounds.is_some());
        assert_eq!(profile.bounds_by_stack(), bounds);
        profile.mode = Mode::All;
        assert_eq!(profile.bounds(), bounds);
        assert_eq!(profile.bounds_by_stack(), None);
    }
}
