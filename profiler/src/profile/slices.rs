//! When events counted, in a recording whose cost was bounded.

/// A time in which events counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slice {
    /// When it began: `CLOCK_MONOTONIC`, nanoseconds.
    pub begin: u64,
    /// Which share it is of what the target did during the recording.
    pub share: f64,
    /// Blocks that were taken in it less those that were given back, whenever they had been taken. `None`: not every
    /// block is recorded.
    pub net: Option<i64>,
}

/// How many more blocks were taken than given back, all in all: an estimate. What is unfreed is that at least, since
/// among those that were given back are some that were taken before the recording.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    /// Blocks; negative when they became fewer.
    pub blocks: f64,
    /// The standard error of that.
    pub error: f64,
}

impl Growth {
    /// So many blocks were not given back, with 97.5 % certainty.
    pub fn at_least(&self) -> u64 {
        // The normal distribution's quantile; a negative number becomes 0.
        (self.blocks - 1.96 * self.error) as u64
    }
}

/// All of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Slices {
    /// In order; at least one.
    pub slices: Vec<Slice>,
    /// The standard error of their share, in units of itself.
    pub error: f64,
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

    /// How far off the share may be, in whole percent of itself.
    pub fn error_percent(&self) -> u32 {
        (self.error * 100.0).round() as u32
    }

    /// Whether there were no gaps: then all numbers are exact.
    pub fn is_whole(&self) -> bool {
        matches!(self.slices[..], [Slice { share: 1.0.., .. }])
    }

    /// How many more blocks were taken than given back, estimated from the slices. `None`: they are too few, or there
    /// are no gaps.
    pub fn growth(&self) -> Option<Growth> {
        const FEWEST: usize = 4;
        let (share, count) = (self.share(), self.slices.len());
        if count < FEWEST || share <= 0.0 {
            return None;
        }
        // A ratio estimate: slices are not of one size (Cochran, Sampling Techniques, chapter 6).
        let nets: Option<Vec<f64>> = self.slices.iter().map(|it| Some(it.net? as f64)).collect();
        let nets = nets?;
        let blocks = nets.iter().sum::<f64>() / share;
        let of_all = self.slices.iter().zip(nets);
        let residuals = of_all.map(|(slice, net)| net - blocks * slice.share);
        let squares: f64 = residuals.map(|residual| residual * residual).sum();
        let count = count as f64;
        let of_slices = (squares * count / (count - 1.0)).sqrt() / share;
        Some(Growth {
            blocks,
            error: of_slices.hypot(blocks * self.error),
        })
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
                .map(|&(begin, share)| Slice {
                    begin,
                    share,
                    net: None,
                })
                .collect(),
            error: 0.0,
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

    #[test]
    fn growth_is_estimated_with_its_error() {
        let all = |nets: &[i64]| {
            let slice = |&net: &i64| Slice {
                begin: 0,
                share: 0.02,
                net: Some(net),
            };
            Slices {
                slices: nets.iter().map(slice).collect(),
                error: 0.0,
                cost: 0.0,
                granted: 0.05,
            }
        };
        let grown = |nets: &[i64]| all(nets).growth();
        assert_eq!(grown(&[10, 10, 10]), None);
        let steady = grown(&[10, 10, 10, 10]).unwrap();
        assert!((steady.blocks - 500.0).abs() < 1e-9, "{steady:?}");
        assert!(steady.error < 1e-9, "{steady:?}");
        assert_eq!(steady.at_least(), 500);
        // The variance of a mean of four: 4 / 3 * 4 * 25 of their sum.
        let noisy = grown(&[5, 15, 5, 15]).unwrap();
        assert!(
            (noisy.error - (400.0_f64 / 3.0).sqrt() / 0.08).abs() < 1e-9,
            "{noisy:?}"
        );
        assert_eq!(noisy.at_least(), 217);
        let unsure = Slices {
            error: 0.1,
            ..all(&[10, 10, 10, 10])
        };
        assert_eq!(unsure.growth().unwrap().at_least(), 402);
        assert_eq!(grown(&[-5, -5, -5, -5]).unwrap().at_least(), 0);
    }
}
