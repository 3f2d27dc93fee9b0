//! Maps -> [`RawProfile`]: ids, addresses and counts, nothing symbolized.

use unfreed_common::stack::OVERFLOW_STACK;
use unfreed_common::unwind::{Stop, flag};

use crate::bpf::{Bpf, NewStack};
use crate::hash::HashMap;
use crate::profile::{Kind, Mode, Profile, Totals, Unwind, Unwinding, Walk, Weight};
use crate::source::{Outcome, StillThere};
use crate::target::{Location, Modules};
use crate::tracker::WalkedBy;

/// A finished recording before symbolization.
pub type RawProfile = Profile<RawStack>;

/// A stack and its weight.
pub struct RawStack {
    /// What hangs on it, by the recording's mode.
    pub weight: Weight,
    /// What was taken here, in a recording of what is unfreed whose view does not tell kinds apart: a kind's
    /// part of it is not known.
    pub taken: Option<Weight>,
    /// What is unfreed of it, in a recording of everything.
    pub unfreed: Option<Weight>,
    /// Of which kind it is, where the view tells kinds apart.
    pub kind: Option<Kind>,
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
                .map(|stop| stop.name().into()),
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
            // innermost frame was not left by a table, unless it was interrupted in the middle.)
            let is_other = || match walked_by(address) {
                WalkedBy::NoTable => false,
                WalkedBy::Module(by) => module != Some(by),
                WalkedBy::Forgotten => true,
            };
            if unsettled && (index > 0 || stack.is_interrupted(0)) && is_other() {
                walk.cut = Some(Stop::MappingsChanged.name().into());
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

/// Reads the maps after the recording has ended. `outcome`: what its source says.
pub fn count(
    bpf: &Bpf,
    mut stacks: Stacks,
    unwind: Unwind,
    mode: Mode,
    outcome: Outcome,
) -> anyhow::Result<Counted> {
    let mut totals = Totals {
        given_back: bpf.given_back()?,
        ..Totals::default()
    };
    let mut by_stack: HashMap<u64, Vec<(Option<Kind>, Weight)>> = HashMap::default();
    for ((stack, kind), weight) in outcome.unfreed {
        totals.unfreed += weight;
        by_stack.entry(stack).or_default().push((kind, weight));
    }
    let mut unwinding = Unwinding {
        mode: unwind,
        ..Unwinding::default()
    };
    // One stack can have several ids: what is walked while mappings change has one of its own.
    let mut merged: HashMap<(RawFrames, Walk, Option<Kind>), Parts> = HashMap::default();
    for entry in bpf.stacks()? {
        let taken = entry.taken;
        totals.taken += taken;
        let stack = stacks.take(entry.hash);
        tally(&mut unwinding, &stack, taken.count);
        let taken = taken.of_share(outcome.share);
        let unfreed = by_stack.remove(&entry.hash).unwrap_or_default();
        let (frames, walk) = stack;
        // Of what is unfreed, the parts by kind; of everything the kinds are not known, nor are they where
        // nothing is unfreed.
        let kinds = match mode {
            Mode::Unfreed if !unfreed.is_empty() => unfreed,
            Mode::Unfreed | Mode::All => vec![(None, total(&unfreed))],
        };
        for (kind, unfreed) in kinds {
            let parts = merged.entry((frames.clone(), walk.clone(), kind));
            let parts = parts.or_default();
            parts.taken += taken;
            parts.unfreed += unfreed;
        }
    }
    totals.taken = totals.taken.of_share(outcome.share);
    if outcome.share < 1.0 {
        totals.given_back = totals.taken.less(totals.unfreed);
    }
    if let Some(StillThere { all, came_along }) = outcome.still_there {
        totals.taken += came_along;
        totals.given_back = totals.taken.less(all);
    }
    if mode == Mode::Unfreed {
        // Blocks of stacks that the map does not have: there are none, and if there were, they would
        // not be kept back.
        for (kind, weight) in by_stack.into_values().flatten() {
            let lost = (RawFrames::Lost, Walk::default(), kind);
            let parts = merged.entry(lost).or_default();
            parts.taken += weight;
            parts.unfreed += weight;
        }
    }
    let stacks = merged
        .into_iter()
        .map(
            |((frames, walk, kind), Parts { taken, unfreed })| RawStack {
                weight: match mode {
                    Mode::Unfreed => unfreed,
                    Mode::All => taken,
                },
                taken: (mode == Mode::Unfreed && kind.is_none()).then_some(taken),
                unfreed: (mode == Mode::All).then_some(unfreed),
                kind,
                frames,
                walk,
            },
        )
        .filter(|stack| stack.weight.count > 0)
        .collect();
    Ok(Counted {
        totals,
        unwinding,
        stacks,
    })
}

/// What there is at one stack.
#[derive(Default)]
struct Parts {
    taken: Weight,
    unfreed: Weight,
}

fn total(by_kind: &[(Option<Kind>, Weight)]) -> Weight {
    let mut total = Weight::default();
    for &(_, weight) in by_kind {
        total += weight;
    }
    total
}

fn tally(unwinding: &mut Unwinding, (frames, walk): &(RawFrames, Walk), count: u64) {
    unwinding.walked += count;
    if !matches!(frames, RawFrames::Known(_)) {
        unwinding.lost += count;
        return;
    }
    match &walk.cut {
        None => unwinding.complete += count,
        Some(reason) => *unwinding.cut.entry(reason.clone()).or_default() += count,
    }
    if walk.approximate {
        unwinding.approximate += count;
    }
}
