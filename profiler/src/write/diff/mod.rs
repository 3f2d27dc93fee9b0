//! What the comparison of two recordings is written as. Like [`super`]: one format is one file here and one
//! entry in [`WRITERS`].

mod folded;
mod json;
mod pair;
mod sentences;
mod svg;
mod text;

#[cfg(test)]
mod sample;

use super::Writer;
use super::registry::{self, Written};
use crate::profile::Diff;

/// Every format there is of a comparison.
pub const WRITERS: &[&dyn Writer<Diff>] = Diff::WRITERS;

impl Written for Diff {
    const WRITERS: &'static [&'static dyn Writer<Self>] = &[
        &folded::Folded,
        &svg::Svg::AFTER,
        &svg::Svg::BEFORE,
        &json::Json,
        &text::Text,
    ];
}

/// The format of a comparison with this name.
pub fn by_name(name: &str) -> anyhow::Result<&'static dyn Writer<Diff>> {
    registry::by_name::<Diff>(name)
}

/// The names of all formats of a comparison.
pub fn names() -> Vec<&'static str> {
    registry::names::<Diff>()
}
