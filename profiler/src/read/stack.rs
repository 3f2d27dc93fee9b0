//! Stacks, read one at a time.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use crate::profile::{Frame, Kind, Stack, Walk, Weight};

/// Frames of a stack, those that were inlined included: far more than any recording has.
const MOST_FRAMES: usize = 1 << 16;

/// All stacks; equal frames are one.
#[derive(Debug)]
pub struct Stacks(pub Vec<Stack>);

#[derive(serde::Deserialize)]
struct StackEntry {
    bytes: u64,
    count: u64,
    taken_bytes: Option<u64>,
    taken_count: Option<u64>,
    unfreed_bytes: Option<u64>,
    unfreed_count: Option<u64>,
    kind: Option<String>,
    cut: Option<String>,
    #[serde(default)]
    approximate: bool,
    frames: Frames,
}

#[derive(serde::Deserialize)]
struct FrameEntry {
    function: Option<String>,
    module: Option<String>,
    offset: Option<u64>,
    file: Option<String>,
    line: Option<u32>,
    #[serde(default)]
    inlined: bool,
}

struct Frames(Vec<FrameEntry>);

impl<'de> Deserialize<'de> for Frames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Frames;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of frames")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut frames: A) -> Result<Frames, A::Error> {
                let mut all = Vec::new();
                while let Some(frame) = frames.next_element()? {
                    if all.len() == MOST_FRAMES {
                        return Err(Error::custom(format!(
                            "a stack has more than {MOST_FRAMES} frames"
                        )));
                    }
                    all.push(frame);
                }
                Ok(Frames(all))
            }
        }

        deserializer.deserialize_seq(Each)
    }
}

impl<'de> Deserialize<'de> for Stacks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Stacks;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of stacks")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Stacks, A::Error> {
                let mut known = Known::default();
                let mut stacks = Vec::new();
                let mut all = Weight::default();
                while let Some(entry) = entries.next_element()? {
                    let stack = known.stack(entry).map_err(Error::custom)?;
                    all = sum(all, stack.weight).ok_or_else(|| {
                        Error::custom("the stacks weigh more than can be counted together")
                    })?;
                    stacks.push(stack);
                }
                Ok(Stacks(stacks))
            }
        }

        deserializer.deserialize_seq(Each)
    }
}

fn sum(one: Weight, other: Weight) -> Option<Weight> {
    Some(Weight {
        bytes: one.bytes.checked_add(other.bytes)?,
        count: one.count.checked_add(other.count)?,
    })
}

/// The frames that were met so far.
#[derive(Default)]
struct Known(HashSet<Arc<Frame>>);

impl Known {
    fn stack(&mut self, entry: StackEntry) -> Result<Stack, String> {
        let StackEntry {
            bytes,
            count,
            taken_bytes,
            taken_count,
            unfreed_bytes,
            unfreed_count,
            kind,
            cut,
            approximate,
            frames: Frames(frames),
        } = entry;
        let weight = Weight { bytes, count };
        Ok(Stack {
            weight,
            taken: both("taken", taken_bytes, taken_count)?,
            unfreed: both("unfreed", unfreed_bytes, unfreed_count)?,
            frames: frames.into_iter().map(|frame| self.frame(frame)).collect(),
            walk: Walk {
                cut: cut.map(super::document::reason),
                approximate,
            },
            kind: kind.map(|name| kind_of(&name)).transpose()?,
        })
    }

    fn frame(&mut self, entry: FrameEntry) -> Arc<Frame> {
        let FrameEntry {
            function,
            module,
            offset,
            file,
            line,
            inlined,
        } = entry;
        let frame = Frame {
            function,
            module,
            offset,
            file,
            line,
            inlined,
        };
        if let Some(known) = self.0.get(&frame) {
            return Arc::clone(known);
        }
        let frame = Arc::new(frame);
        self.0.insert(Arc::clone(&frame));
        frame
    }
}

fn both(what: &str, bytes: Option<u64>, count: Option<u64>) -> Result<Option<Weight>, String> {
    match (bytes, count) {
        (Some(bytes), Some(count)) => Ok(Some(Weight { bytes, count })),
        (None, None) => Ok(None),
        _ => Err(format!("{what}_bytes and {what}_count go together")),
    }
}

fn kind_of(name: &str) -> Result<Kind, String> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    kind.ok_or_else(|| format!("no kind of memory is called {name:?}"))
}
