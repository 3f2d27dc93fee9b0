//! What a finished recording is written as. One format is one file here and one entry in
//! [`WRITERS`]; names, extensions, help and error messages are all read from that slice.

mod folded;
mod frames;
pub mod human;
mod json;
mod json_layout;
mod json_reconciliation;
mod lines;
mod name;
mod output;
mod reconciled;
mod shorten;
mod summary;
mod svg;
mod text;
mod wrap;

#[cfg(test)]
mod sample;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};

pub use output::Destination;

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

/// One output format.
pub trait Writer: Sync {
    /// What `--format` calls it.
    fn name(&self) -> &'static str;

    /// What the names of its files end with, without the leading dot; may have a dot inside.
    fn extension(&self) -> &'static str;

    /// Writes the whole of `profile`. `out` is buffered by the caller, who also flushes it.
    /// The same profile and options give the same bytes. Fails only when `out` does.
    fn write(
        &self,
        profile: &Profile,
        options: &Options,
        out: &mut dyn Write,
    ) -> anyhow::Result<()>;
}

/// Every format there is.
pub const WRITERS: &[&dyn Writer] = &[&folded::Folded, &svg::Svg, &json::Json, &text::Text];

/// The writer with this name.
pub fn by_name(name: &str) -> anyhow::Result<&'static dyn Writer> {
    WRITERS
        .iter()
        .find(|writer| writer.name() == name)
        .copied()
        .with_context(|| {
            let names: Vec<_> = WRITERS.iter().map(|writer| writer.name()).collect();
            format!(
                "no output format is called {name:?}; there are {}",
                names.join(", ")
            )
        })
}

/// The writer for a file of this name, by its extension.
pub fn by_path(path: &Path) -> anyhow::Result<&'static dyn Writer> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let writer = WRITERS.iter().find(|writer| {
        file.strip_suffix(writer.extension())
            .is_some_and(|stem| stem.ends_with('.'))
    });
    if let Some(writer) = writer {
        return Ok(*writer);
    }
    let extensions: Vec<_> = WRITERS
        .iter()
        .map(|writer| format!(".{}", writer.extension()))
        .collect();
    bail!(
        "the extension of {} does not tell the output format; it must be one of {}",
        path.display(),
        extensions.join(", ")
    )
}

/// The sum over stacks.
fn sum(stacks: &[Stack]) -> Weight {
    stacks.iter().fold(Weight::default(), |mut sum, stack| {
        sum += stack.weight;
        sum
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_writer_is_found_by_its_name_and_extension() {
        for writer in WRITERS {
            assert_eq!(by_name(writer.name()).unwrap().name(), writer.name());
            let path = format!("some.dir/a.b.{}", writer.extension());
            assert_eq!(by_path(Path::new(&path)).unwrap().name(), writer.name());
        }
    }

    #[test]
    fn names_and_extensions_are_unique() {
        for (i, one) in WRITERS.iter().enumerate() {
            for other in &WRITERS[..i] {
                assert_ne!(one.name(), other.name());
                assert_ne!(one.extension(), other.extension());
            }
        }
    }

    #[test]
    fn an_unknown_format_is_answered_with_those_there_are() {
        let error = by_name("xml").err().unwrap().to_string();
        assert_eq!(
            error,
            "no output format is called \"xml\"; there are folded, svg, json, text"
        );
    }

    #[test]
    fn an_unknown_extension_is_answered_with_those_there_are() {
        for path in ["heap.xml", "heap", "svg", "..", "heap.svg.gz", "heapsvg"] {
            let error = by_path(Path::new(path)).err().unwrap().to_string();
            assert_eq!(
                error,
                format!(
                    "the extension of {path} does not tell the output format; \
                     it must be one of .folded, .svg, .json, .txt"
                )
            );
        }
    }
}
