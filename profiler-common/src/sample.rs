//! Sampling by bytes: each allocated byte is picked with the same small probability, whatever block it is
//! part of, and a block is recorded when one of its bytes is.
//!
//! How far it is to the next byte that is picked has a geometric distribution, the rounded-up exponential
//! one with the mean `M`; so a block of `s` bytes is recorded with the probability `p = 1 - exp(-s / M)`,
//! and stands for `1 / p` blocks of its size. What eBPF cannot compute is in tables.

/// The largest mean, bytes: 16 GiB.
pub const LARGEST_MEAN: u64 = 1 << 34;

/// What a counter of blocks that stand for others goes up by for a whole one.
pub const WHOLE: u64 = 1 << 16;

/// Entries of [`Sampling::logarithms`], less one.
pub const LOGARITHMS: usize = 1 << 10;

/// Binary places of a logarithm.
pub const LOGARITHM_PLACES: u32 = 24;

/// Entries of [`Sampling::growths`] for a block's size in means.
pub const GROWTHS_EACH: u64 = 1 << 6;

/// How many means a block must have to stand for itself: with less than 2^-46 for others, too.
const CERTAIN: u64 = 32;

/// Entries of [`Sampling::growths`], less one.
pub const GROWTHS: usize = (CERTAIN * GROWTHS_EACH) as usize;

/// Binary places of a growth.
pub const GROWTH_PLACES: u32 = 20;

/// How to sample. Computed by the user side, which has floating-point numbers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// Mean bytes between samples, 1 to [`LARGEST_MEAN`].
    pub mean: u64,
    /// `-ln(v)` for `v` from 1/2 to 1, in 2^-24.
    pub logarithms: [u32; LOGARITHMS + 1],
    /// `x / (1 - exp(-x))` for `x` from 0 in steps of 1/64, in 2^-20: what a block of `x` means stands
    /// for, in means.
    pub growths: [u32; GROWTHS + 1],
}

impl Sampling {
    /// How many bytes there are up to the next one that is picked, itself included; from 64 random bits.
    #[inline(always)]
    #[must_use]
    pub fn interval(&self, random: u64) -> u64 {
        // ln(2) in 2^-24.
        const LN_2: u64 = 11_629_080;
        // A number between 0 and 1, as v * 2^-zeros with v from 1/2 to 1: its logarithm is the sum.
        let random = random | 1;
        let zeros = u64::from(random.leading_zeros());
        let v = random << zeros;
        let index = (v >> 53) as usize & (LOGARITHMS - 1);
        let logarithm = between(
            self.logarithms[index],
            self.logarithms[index + 1],
            v >> 37 & 0xffff,
            16,
        );
        ((self.mean * (zeros * LN_2 + logarithm)) >> LOGARITHM_PLACES) + 1
    }

    /// What a recorded block of this size stands for: bytes, and blocks in units of [`WHOLE`].
    #[inline(always)]
    #[must_use]
    pub fn stands_for(&self, size: u64) -> (u64, u64) {
        const STEP_PLACES: u32 = 10;
        if size == 0 || size >= self.mean * CERTAIN {
            return (size, WHOLE);
        }
        // In means, with 16 binary places; one of them is more than a size of less than 32 means has.
        let means = (size << 16) / self.mean.max(1);
        let index = (means >> STEP_PLACES) as usize & (GROWTHS - 1);
        let growth = between(
            self.growths[index],
            self.growths[index + 1],
            means & ((1 << STEP_PLACES) - 1),
            STEP_PLACES,
        );
        let bytes = (self.mean * growth + (1 << (GROWTH_PLACES - 1))) >> GROWTH_PLACES;
        (bytes, (bytes << 16) / size.max(1))
    }
}

/// Between two entries of a table: `part` of `2^places` of the way.
#[inline(always)]
fn between(first: u32, second: u32, part: u64, places: u32) -> u64 {
    let (first, second) = (u64::from(first), u64::from(second));
    // Either may be the larger one.
    (first * ((1 << places) - part) + second * part) >> places
}
