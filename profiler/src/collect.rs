//! Maps -> [`RawProfile`]: ids, addresses and counts, nothing symbolized.

use std::collections::HashMap;
use std::time::Duration;

use unfreed_common::stack::OVERFLOW_STACK;
use unfreed_common::unwind::{Stop, flag};

use crate::bpf::{Bpf, NewStack};
use crate::profile::{Mode, Profile, Totals, Unwind, Unwinding, Walk, Weight};
use crate::target::{Location, Modules};
use crate::tracker::WalkedBy;

/// A finished recording before symbolization.
pub type RawProfile = Profile<RawStack>;

/// A stack and its weight.
pub struct RawStack {
    /// What hangs on it.
    pub weight: Weight,
    /// From the innermost outwards.
    pub frames: RawFrames,
    /// How it was walked.
    pub walk: Walk,
}

/// The frames of a stack.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum RawFrames {
    /// Where each frame is.
    Known(Vec<RawFrame>),
    /// They did not get through the ring buffer.
    Lost,
    /// Several stacks, for which the table of stacks had no room.
    Overflow,
}

/// One address of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawFrame {
    /// Index of the module, where there is one.
    pub module: Option<usize>,
    /// As the module's ELF headers count it; the plain address where there is no module.
    pub address: u64,
    /// Whether it is a return address: then the call is before it.
    pub is_return: bool,
}

/// The stacks that have arrived, located while the process lives.
#[derive(Default)]
pub struct Stacks {
    known: HashMap<u64, (RawFrames, Walk)>,
}

impl Stacks {
    /// Locates a new stack's frames. Returns whether all of them were found. `walked_by`: whose table the
    /// walk used at an address, asked when mappings were not settled.
    pub fn add(
        &mut self,
        modules: &Modules,
        stack: &NewStack,
        walked_by: impl Fn(u64) -> WalkedBy,
    ) -> bool {
        let mut complete = true;
        let mut walk = Walk {
            cut: Stop::ALL
                .iter()
                .find(|&&stop| stop as u32 == stack.header.stop && !stop.is_end())
                .map(|stop| stop.name()),
            approximate: stack.header.flags & flag::APPROXIMATE != 0,
        };
        let unsettled = stack.header.flags & flag::UNSETTLED != 0;
        let mut frames = Vec::with_capacity(stack.frames.len());
        for (index, &address) in stack.frames.iter().enumerate() {
            let located = modules.locate(address, stack.header.time);
            let (module, address_in) = match located {
                Location::Module(module, address) => (Some(module), address),
                Location::Unknown => (None, address),
            };
            complete &= module.is_some();
            frames.push(RawFrame {
                module,
                address: address_in,
                // A handler returns to the start of what restores the interrupted function.
                is_return: index > 0
                    && !stack.is_interrupted(index)
                    && !stack.is_interrupted(index + 1),
            });
            // The table was of what had been mapped there before: what lies further out is wrong. (The
            // innermost frame was not left by a table.)
            let is_other = || match walked_by(address) {
                WalkedBy::NoTable => false,
                WalkedBy::Module(by) => module != Some(by),
                WalkedBy::Forgotten => true,
            };
            if unsettled && index > 0 && is_other() {
                walk.cut = Some(Stop::MappingsChanged.name());
                break;
            }
        }
        let frames = RawFrames::Known(frames);
        self.known.insert(stack.header.hash, (frames, walk));
        complete
    }

    fn take(&mut self, hash: u64) -> (RawFrames, Walk) {
        if hash == OVERFLOW_STACK {
            return (RawFrames::Overflow, Walk::default());
        }
        self.known
            .remove(&hash)
            .unwrap_or((RawFrames::Lost, Walk::default()))
    }
}

/// What was counted: weights by stack.
pub struct Counted {
    /// Sums.
    pub totals: Totals,
    /// How far the stacks were walked.
    pub unwinding: Unwinding,
    /// Stacks that weigh something.
    pub stacks: Vec<RawStack>,
}

/// Reads the maps after the recording has ended at `end_time` (`CLOCK_MONOTONIC`, nanoseconds).
pub fn count(
    bpf: &Bpf,
    mut stacks: Stacks,
    unwind: Unwind,
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
    let mut unwinding = Unwinding {
        mode: unwind,
        ..Unwinding::default()
    };
    // One stack can have several ids: what is walked while mappings change has one of its own.
    let mut merged: HashMap<(RawFrames, Walk), Weight> = HashMap::new();
    for entry in bpf.stacks()? {
        let taken = Weight {
            bytes: entry.totals.taken_bytes,
            count: entry.totals.taken_count,
        };
        totals.taken += taken;
        totals.given_back += Weight {
            bytes: entry.totals.freed_bytes,
            count: entry.totals.freed_count,
        };
        let stack = stacks.take(entry.hash);
        tally(&mut unwinding, &stack, taken.count);
        let weight = match mode {
            Mode::Unfreed => unfreed.remove(&entry.hash).unwrap_or_default(),
            Mode::All => taken,
        };
        if weight.count > 0 {
            *merged.entry(stack).or_default() += weight;
        }
    }
    if mode == Mode::Unfreed {
        // Blocks of stacks that the map does not have: there are none, and if there were, they would
        // not be kept back.
        for weight in unfreed.into_values() {
            *merged
                .entry((RawFrames::Lost, Walk::default()))
                .or_default() += weight;
        }
    }
    let stacks = merged
        .into_iter()
        .map(|((frames, walk), weight)| RawStack {
            weight,
            frames,
            walk,
        })
        .collect();
    Ok(Counted {
        totals,
        unwinding,
        stacks,
    })
}

fn tally(unwinding: &mut Unwinding, (frames, walk): &(RawFrames, Walk), count: u64) {
    unwinding.walked += count;
    if !matches!(frames, RawFrames::Known(_)) {
        unwinding.lost += count;
        return;
    }
    match walk.cut {
        None => unwinding.complete += count,
        Some(reason) => *unwinding.cut.entry(reason).or_default() += count,
    }
    if walk.approximate {
        unwinding.approximate += count;
    }
}
