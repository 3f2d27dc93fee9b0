//! Maps -> [`RawProfile`]: ids, addresses and counts, nothing symbolized.

use std::collections::HashMap;
use std::time::Duration;

use unfreed_common::stack::OVERFLOW_STACK;

use crate::bpf::{Bpf, NewStack};
use crate::profile::{Mode, Profile, Totals, Weight};
use crate::target::{Location, Modules};

/// A finished recording before symbolization.
pub type RawProfile = Profile<RawStack>;

/// A stack and its weight.
pub struct RawStack {
    /// What hangs on it.
    pub weight: Weight,
    /// From the innermost outwards.
    pub frames: RawFrames,
}

/// The frames of a stack.
#[derive(Clone)]
pub enum RawFrames {
    /// Where each frame is.
    Known(Vec<RawFrame>),
    /// They did not get through the ring buffer.
    Lost,
    /// Several stacks, for which the table of stacks had no room.
    Overflow,
}

/// One address of a stack. All but a stack's first are return addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawFrame {
    /// Index of the module, where there is one.
    pub module: Option<usize>,
    /// As the module's ELF headers count it; the plain address where there is no module.
    pub address: u64,
}

/// The stacks that have arrived, located while the process lives.
#[derive(Default)]
pub struct Stacks {
    frames: HashMap<u64, Vec<RawFrame>>,
}

impl Stacks {
    /// Locates a new stack's frames. Returns whether all of them were found.
    pub fn add(&mut self, modules: &Modules, stack: &NewStack) -> bool {
        let mut complete = true;
        let frames = stack
            .frames
            .iter()
            .map(|&address| match modules.locate(address) {
                Location::Module(index, address) => RawFrame {
                    module: Some(index),
                    address,
                },
                Location::Unknown => {
                    complete = false;
                    RawFrame {
                        module: None,
                        address,
                    }
                }
            })
            .collect();
        self.frames.insert(stack.hash, frames);
        complete
    }

    fn take(&mut self, hash: u64) -> RawFrames {
        if hash == OVERFLOW_STACK {
            return RawFrames::Overflow;
        }
        self.frames
            .remove(&hash)
            .map_or(RawFrames::Lost, RawFrames::Known)
    }
}

/// What was counted: weights by stack.
pub struct Counted {
    /// Sums.
    pub totals: Totals,
    /// Stacks that weigh something.
    pub stacks: Vec<RawStack>,
}

/// Reads the maps after the recording has ended at `end_time` (`CLOCK_MONOTONIC`, nanoseconds).
pub fn count(
    bpf: &Bpf,
    mut stacks: Stacks,
    mode: Mode,
    min_age: Duration,
    end_time: u64,
) -> anyhow::Result<Counted> {
    let min_age = u64::try_from(min_age.as_nanos()).unwrap_or(u64::MAX);
    let mut unfreed: HashMap<u64, Weight> = HashMap::new();
    let mut add = |block: &unfreed_common::alloc::Block| {
        if end_time.saturating_sub(block.time) >= min_age {
            *unfreed.entry(block.stack).or_default() += Weight {
                bytes: block.size,
                count: 1,
            };
        }
    };
    bpf.live_blocks(&mut add)?;
    for pending in bpf.pending_blocks()? {
        add(&pending.0);
    }
    let mut totals = Totals::default();
    for weight in unfreed.values() {
        totals.unfreed += *weight;
    }
    let mut taken = HashMap::new();
    for entry in bpf.stacks()? {
        let weight = Weight {
            bytes: entry.totals.taken_bytes,
            count: entry.totals.taken_count,
        };
        totals.taken += weight;
        totals.given_back += Weight {
            bytes: entry.totals.freed_bytes,
            count: entry.totals.freed_count,
        };
        if weight.count > 0 {
            taken.insert(entry.hash, weight);
        }
    }
    let weights = match mode {
        Mode::Unfreed => unfreed,
        Mode::All => taken,
    };
    let stacks = weights
        .into_iter()
        .map(|(hash, weight)| RawStack {
            weight,
            frames: stacks.take(hash),
        })
        .collect();
    Ok(Counted { totals, stacks })
}
