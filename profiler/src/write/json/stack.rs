//! The JSON of stacks and frames.

use std::sync::Arc;

use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

use crate::profile::{Bounds, Frame, Kind, Stack, Walk, Weight};

/// A stack with what hangs on it.
#[derive(Serialize)]
struct StackEntry<'a> {
    bytes: u64,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unfreed_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unfreed_count: Option<u64>,
    /// Blocks that are unfreed at least, where that can be less than `count`.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_least: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    approximate: bool,
    #[serde(serialize_with = "frames")]
    frames: &'a [Arc<Frame>],
}

#[derive(Serialize)]
struct FrameEntry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    inlined: bool,
}

/// All of them.
pub struct Stacks<'a> {
    /// Largest first.
    pub stacks: &'a [Stack],
    /// Between which numbers is unfreed, where that can be said by stack.
    pub bounds: Option<Bounds>,
}

/// As an array, each stack serialized as it is reached.
pub fn stacks<S: Serializer>(all: &Stacks<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    let Stacks { stacks, bounds } = all;
    serializer.collect_seq(stacks.iter().map(|stack| {
        let Stack {
            weight: Weight { bytes, count },
            taken,
            unfreed,
            frames,
            walk: Walk { cut, approximate },
            kind,
        } = stack;
        StackEntry {
            bytes: *bytes,
            count: *count,
            taken_bytes: taken.map(|taken| taken.bytes),
            taken_count: taken.map(|taken| taken.count),
            unfreed_bytes: unfreed.map(|unfreed| unfreed.bytes),
            unfreed_count: unfreed.map(|unfreed| unfreed.count),
            at_least: bounds.map(|bounds| bounds.at_least_of(*count)),
            kind: kind.map(Kind::name),
            cut: cut.as_deref(),
            approximate: *approximate,
            frames,
        }
    }))
}

/// From the innermost outwards; what is not known is absent.
pub fn frames<S: Serializer>(frames: &[Arc<Frame>], serializer: S) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(Some(frames.len()))?;
    for frame in frames {
        let Frame {
            function,
            module,
            offset,
            file,
            line,
            inlined,
        } = &**frame;
        sequence.serialize_element(&FrameEntry {
            function: function.as_deref(),
            module: module.as_deref(),
            offset: *offset,
            file: file.as_deref(),
            line: *line,
            inlined: *inlined,
        })?;
    }
    sequence.end()
}
