//! What a finished recording is written as. One format is one file here and one entry in
//! [`WRITERS`]; names, extensions, help and error messages are all read from that slice. The comparison of two
//! recordings has formats of its own ([`diff`]).

pub mod diff;
mod folded;
mod frames;
pub mod human;
mod json;
mod lines;
pub(crate) mod name;
mod output;
mod paint;
mod pprof;
pub(crate) mod reconciled;
pub mod registry;
mod shorten;
mod summary;
mod svg;
pub(crate) mod text;
mod wrap;

#[cfg(test)]
pub(crate) mod sample;

use std::io::Write;

pub use output::Destination;
pub use registry::Written;

use crate::profile::{Profile, Stack, Weight};

/// What the width of a flame graph and the order of a table go by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Weigh {
    /// Bytes.
    #[default]
    Bytes,
    /// Blocks.
    Count,
}

impl Weigh {
    /// The one of the two numbers that is asked for.
    fn of(self, weight: Weight) -> u64 {
        match self {
            Self::Bytes => weight.bytes,
            Self::Count => weight.count,
        }
    }
}

/// How to write. Every writer gets all of it and uses what means something in its format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What folded lines, the flame graph and the order of the table go by.
    pub weight: Weigh,
    /// How many rows the table has.
    pub top: usize,
    /// A title of the user's.
    pub title: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            weight: Weigh::Bytes,
            top: 20,
            title: None,
        }
    }
}

/// One output format of a recording, or of what else there are formats of.
pub trait Writer<T = Profile>: Sync {
    /// What `--format` calls it.
    fn name(&self) -> &'static str;

    /// What the names of its files end with, without the leading dot; may have a dot inside.
    fn extension(&self) -> &'static str;

    /// Writes the whole of `it`. `out` is buffered by the caller, who also flushes it.
    /// The same recording and options give the same bytes. Fails only when `out` does.
    fn write(&self, it: &T, options: &Options, out: &mut dyn Write) -> anyhow::Result<()>;
}

/// Every format there is of a recording.
pub const WRITERS: &[&dyn Writer] = Profile::WRITERS;

impl Written for Profile {
    const WRITERS: &'static [&'static dyn Writer] = &[
        &folded::Folded,
        &svg::Svg,
        &json::Json,
        &text::Text,
        &pprof::Pprof,
    ];
}

/// The format of a recording with this name.
pub fn by_name(name: &str) -> anyhow::Result<&'static dyn Writer> {
    registry::by_name::<Profile>(name)
}

/// The sum over stacks.
fn sum(stacks: &[Stack]) -> Weight {
    stacks.iter().fold(Weight::default(), |mut sum, stack| {
        sum += stack.weight;
        sum
    })
}
