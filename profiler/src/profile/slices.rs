//! When events counted, in a recording whose cost was bounded.

/// A time in which events counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slice {
    /// When it began: `CLOCK_MONOTONIC`, nanoseconds.
    pub begin: u64,
    /// Which share it is of what the target did during the recording.
    pub share: f64,
}

/// All of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Slices {
    /// In order; at least one.
    pub slices: Vec<Slice>,
    /// What recording cost, in units of the target's own CPU time.
    pub cost: f64,
    /// What it was allowed to.
    pub granted: f64,
}

impl Slices {
    /// Which share of what the target did was observed: 1, all of it.
    pub fn share(&self) -> f64 {
        self.slices
            .iter()
            .map(|slice| slice.share)
            .sum::<f64>()
            .min(1.0)
    }

    /// Whether there were no gaps: then all numbers are exact.
    pub fn is_whole(&self) -> bool {
        matches!(self.slices[..], [Slice { share: 1.0.., .. }])
    }

    /// Blocks that were taken before this moment tell what is unfreed, and they are this share of what was
    /// taken. Those of the last slice do not, unless it is the only one: nobody has looked since whether their
    /// addresses are somebody else's.
    pub fn telling(&self) -> (u64, f64) {
        match &self.slices[..] {
            [.., _, last] => (last.begin, self.share() - last.share),
            _ => (u64::MAX, self.share()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(slices: &[(u64, f64)]) -> Slices {
        Slices {
            slices: slices
                .iter()
                .map(|&(begin, share)| Slice { begin, share })
                .collect(),
            cost: 0.0,
            granted: 0.05,
        }
    }

    #[test]
    fn the_last_slice_tells_nothing_unless_it_is_the_only_one() {
        assert!(slices(&[(5, 1.0)]).is_whole());
        assert!(!slices(&[(5, 0.5)]).is_whole());
        assert!(!slices(&[(5, 0.5), (8, 0.5)]).is_whole());
        assert_eq!(slices(&[(5, 0.25)]).telling(), (u64::MAX, 0.25));
        assert_eq!(slices(&[(5, 0.25), (8, 0.5)]).telling(), (8, 0.25));
        assert_eq!(
            slices(&[(5, 0.25), (8, 0.25), (9, 0.125)]).telling(),
            (9, 0.5)
        );
    }
}
