//! The JSON of stacks and frames.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use serde::Serialize;
use serde::ser::{Error as _, SerializeSeq, Serializer};
use serde_json::value::RawValue;

use super::Layout;
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
    frames: Frames<'a>,
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
    let written = Written::default();
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
            frames: Frames {
                frames,
                written: &written,
            },
        }
    }))
}

/// The frames of a stack.
pub struct Frames<'a> {
    /// From the innermost outwards; what is not known of one is absent.
    pub frames: &'a [Arc<Frame>],
    /// Those that were written before.
    pub written: &'a Written,
}

/// Frames as they are written, by address: stacks have most of theirs in common, so that writing them is half of the work.
/// Of one document, whose frames are all there while it is written.
#[derive(Default)]
pub struct Written(RefCell<HashMap<*const Frame, Box<RawValue>>>);

impl Serialize for Frames<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut written = self.written.0.borrow_mut();
        let mut sequence = serializer.serialize_seq(Some(self.frames.len()))?;
        for frame in self.frames {
            let text = match written.entry(Arc::as_ptr(frame)) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(write(frame).map_err(S::Error::custom)?),
            };
            sequence.serialize_element(text)?;
        }
        sequence.end()
    }
}

fn write(frame: &Frame) -> serde_json::Result<Box<RawValue>> {
    let Frame {
        function,
        module,
        offset,
        file,
        line,
        inlined,
    } = frame;
    let entry = FrameEntry {
        function: function.as_deref(),
        module: module.as_deref(),
        offset: *offset,
        file: file.as_deref(),
        line: *line,
        inlined: *inlined,
    };
    let mut text = Vec::new();
    entry.serialize(&mut serde_json::Serializer::with_formatter(
        &mut text,
        Layout::inside(),
    ))?;
    serde_json::from_slice(&text)
}
