//! The tables by which the programs sample: what they cannot compute themselves.

use unfreed_common::sample::{
    GROWTH_PLACES, GROWTHS, GROWTHS_EACH, LARGEST_MEAN, LOGARITHM_PLACES, LOGARITHMS, Sampling,
    WHOLE,
};

use crate::profile::Weight;

/// How to sample with this mean number of bytes between samples, 1 to [`LARGEST_MEAN`].
pub fn sampling(mean: u64) -> Box<Sampling> {
    let rounded = |number: f64, places: u32| (number * f64::from(1 << places)).round() as u32;
    let mut sampling = Box::new(Sampling {
        mean: mean.clamp(1, LARGEST_MEAN),
        logarithms: [0; LOGARITHMS + 1],
        growths: [0; GROWTHS + 1],
    });
    for (index, logarithm) in sampling.logarithms.iter_mut().enumerate() {
        let v = 0.5 + index as f64 / (2 * LOGARITHMS) as f64;
        *logarithm = rounded(-v.ln(), LOGARITHM_PLACES);
    }
    for (index, growth) in sampling.growths.iter_mut().enumerate() {
        let means = index as f64 / GROWTHS_EACH as f64;
        // Its limit at 0 is 1: a small block stands for the mean.
        let stands_for = if index == 0 {
            1.0
        } else {
            means / -(-means).exp_m1()
        };
        *growth = rounded(stands_for, GROWTH_PLACES);
    }
    sampling
}

/// What a block stands for; blocks in units of [`WHOLE`].
pub fn weight(sampling: &Sampling, size: u64) -> Weight {
    let (bytes, count) = sampling.stands_for(size);
    Weight { bytes, count }
}

/// A sum of such weights, in whole blocks.
pub fn whole(sum: Weight) -> Weight {
    Weight {
        count: (sum.count + WHOLE / 2) / WHOLE,
        ..sum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Xorshift64*, seeded: every run is the same.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
        }
    }

    /// As the programs do for one thread: which of these blocks are recorded.
    fn recorded<'a>(
        sampling: &'a Sampling,
        sizes: &'a [u64],
        random: &'a mut Random,
    ) -> impl Iterator<Item = u64> + 'a {
        let mut until = sampling.interval(random.next());
        sizes.iter().copied().filter(move |&size| {
            if until > size {
                until -= size;
                return false;
            }
            until = sampling.interval(random.next());
            true
        })
    }

    #[test]
    fn intervals_are_exponential() {
        const MEAN: u64 = 1 << 19;
        const NUMBER: usize = 400_000;
        let (sampling, mut random) = (sampling(MEAN), Random(7));
        let mut all: Vec<_> = (0..NUMBER)
            .map(|_| sampling.interval(random.next()))
            .collect();
        let mean = all.iter().sum::<u64>() as f64 / NUMBER as f64;
        assert!((mean / MEAN as f64 - 1.0).abs() < 0.008, "{mean}");
        // The largest distance between the distributions (Kolmogorov and Smirnov): 1.63 / sqrt(n) is
        // exceeded in one of a hundred seeds.
        all.sort_unstable();
        let distance = all.iter().enumerate().map(|(rank, &interval)| {
            let expected = -(-(interval as f64) / MEAN as f64).exp_m1();
            (expected - rank as f64 / NUMBER as f64).abs()
        });
        let largest = distance.fold(0.0, f64::max);
        assert!(largest < 1.63 / (NUMBER as f64).sqrt(), "{largest}");
    }

    #[test]
    fn estimates_are_right_in_the_mean_and_spread_as_theory_says() {
        const MEAN: u64 = 64 << 10;
        const SEEDS: u64 = 2000;
        // Small, middle, about the mean, and so large that they are always recorded.
        let sizes: Vec<u64> = (0..4000_u64)
            .map(|n| match n % 100 {
                0 => 3 << 20,
                1..5 => 50_000 + n,
                5..30 => 1000 + n,
                _ => 16 + n % 64,
            })
            .collect();
        let sampling = sampling(MEAN);
        let (mut sum, mut squares, mut blocks) = (0.0, 0.0, 0.0);
        for seed in 1..=SEEDS {
            let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut estimate = Weight::default();
            for size in recorded(&sampling, &sizes, &mut random) {
                estimate += weight(&sampling, size);
            }
            let bytes = estimate.bytes as f64;
            sum += bytes;
            squares += bytes * bytes;
            blocks += estimate.count as f64 / WHOLE as f64;
        }
        let truth: u64 = sizes.iter().sum();
        let seeds = SEEDS as f64;
        let mean = sum / seeds;
        assert!(
            (mean / truth as f64 - 1.0).abs() < 0.01,
            "{mean} of {truth}"
        );
        let mean_blocks = blocks / seeds;
        assert!(
            (mean_blocks / sizes.len() as f64 - 1.0).abs() < 0.01,
            "{mean_blocks}"
        );
        // A block is s / p with probability p: its variance is s^2 (1 - p) / p.
        let variance: f64 = sizes
            .iter()
            .map(|&size| {
                let p = -(-(size as f64) / MEAN as f64).exp_m1();
                (size as f64).powi(2) * (1.0 - p) / p
            })
            .sum();
        let spread = (squares / seeds - mean * mean).sqrt();
        let expected = variance.sqrt();
        // The spread of a spread: 1 / sqrt(2 n), here 1.6 %.
        assert!(
            (spread / expected - 1.0).abs() < 0.06,
            "{spread} of {expected}"
        );
    }

    proptest! {
        #[test]
        fn what_a_block_stands_for_is_its_size_over_its_probability(
            mean in 1..=LARGEST_MEAN,
            size in 1..1_u64 << 45,
        ) {
            let sampling = sampling(mean);
            let p = -(-(size as f64) / mean as f64).exp_m1();
            let Weight { bytes, count } = weight(&sampling, size);
            let expected = size as f64 / p;
            prop_assert!((bytes as f64 - expected).abs() <= 0.5 + expected * 2e-5, "{bytes} of {expected}");
            let blocks = count as f64 / WHOLE as f64;
            // Rounded to a byte, a small block of a small mean can be off by half of itself.
            let tolerance = 2e-5 / p + 1.0 / size as f64 + 1.0 / WHOLE as f64;
            prop_assert!((blocks - 1.0 / p).abs() <= tolerance, "{blocks} of {}", 1.0 / p);
        }

        #[test]
        fn intervals_are_never_none(mean in 1..=LARGEST_MEAN, random: u64) {
            let interval = sampling(mean).interval(random);
            prop_assert!(interval >= 1 && interval / 45 <= mean);
        }
    }
}
