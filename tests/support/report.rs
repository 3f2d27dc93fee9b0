//! What unfreed says: the JSON of a recording, as far as the tests read it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::ledger::Weight;

/// How functions begin whose allocations fail: nothing may be left of what is taken below them.
pub const REFUSED: &str = "refused_";

/// A recording.
#[derive(Debug, Clone, Deserialize)]
pub struct Report {
    /// `unfreed` or `all`.
    pub mode: String,
    /// How blocks were sampled, unless every one was recorded.
    pub sampled: Option<Sampled>,
    /// What was observed, where the cost of recording was bounded.
    pub observed: Option<Observed>,
    /// Sums over the process.
    pub totals: Totals,
    /// Events lost, by reason.
    pub losses: BTreeMap<String, u64>,
    /// What is doubtful about the result.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Stacks, largest first.
    pub stacks: Vec<Stack>,
}

/// Sums over the process.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Totals {
    /// All that was taken.
    pub taken: Weight,
    /// What of that was given back.
    pub given_back: Weight,
    /// What of that was not.
    pub unfreed: Weight,
}

/// How blocks were sampled.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Sampled {
    /// Mean bytes between samples.
    pub mean_bytes: u64,
    /// How many blocks the unfreed ones were estimated from.
    pub samples: u64,
}

/// What was observed, where the cost of recording was bounded.
#[derive(Debug, Clone, Deserialize)]
pub struct Observed {
    /// Of what the target did.
    pub share: f64,
    /// In how many slices of time.
    pub slices: usize,
    /// What recording cost, in units of the target's CPU time.
    pub cost: f64,
    /// Blocks that were taken less those that were given back.
    pub growth: Option<Growth>,
    /// The slices.
    pub each: Vec<Slice>,
}

/// A time in which events counted.
#[derive(Debug, Clone, Deserialize)]
pub struct Slice {
    /// When it began: `CLOCK_MONOTONIC`, nanoseconds.
    pub begin: u64,
    /// Blocks that were taken less those that were given back.
    pub net: Option<i64>,
}

/// An estimate.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Growth {
    /// Blocks.
    pub count: f64,
    /// Its standard error.
    pub error: f64,
}

/// One stack and its weight.
#[derive(Debug, Clone, Deserialize)]
pub struct Stack {
    /// Requested bytes.
    pub bytes: u64,
    /// Blocks.
    pub count: u64,
    /// Of those, how many are unfreed at least, where there were gaps.
    pub at_least: Option<u64>,
    /// From the innermost outwards.
    pub frames: Vec<Frame>,
}

/// One frame of a stack; absent where unknown.
#[derive(Debug, Clone, Deserialize)]
pub struct Frame {
    /// Demangled name.
    pub function: Option<String>,
    /// Path of the module.
    pub module: Option<String>,
}

impl Report {
    /// Reads the JSON.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).context("unfreed's JSON is not what its contract says")
    }

    /// The reasons for which something was lost.
    pub fn lost(&self) -> impl Iterator<Item = (&str, u64)> {
        self.losses
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(name, count)| (name.as_str(), *count))
    }

    /// Weight by call site, and the weight of stacks that pass through none.
    pub fn by_site(&self) -> (BTreeMap<String, Weight>, Weight) {
        let mut sites: BTreeMap<String, Weight> = BTreeMap::new();
        let mut elsewhere = Weight::default();
        for stack in &self.stacks {
            let weight = Weight {
                bytes: stack.bytes,
                count: stack.count,
            };
            match stack.site() {
                Some(site) => *sites.entry(site.to_owned()).or_default() += weight,
                None => elsewhere += weight,
            }
        }
        (sites, elsewhere)
    }

    /// Blocks that are unfreed at least by call site; `None` where that is not said of every stack.
    pub fn at_least_by_site(&self) -> Option<BTreeMap<String, u64>> {
        let mut sites: BTreeMap<String, u64> = BTreeMap::new();
        for stack in &self.stacks {
            let at_least = stack.at_least?;
            if let Some(site) = stack.site() {
                *sites.entry(site.to_owned()).or_default() += at_least;
            }
        }
        Some(sites)
    }
}

impl Stack {
    /// The innermost call site it passes through, or the innermost call that the allocator was to
    /// refuse. A stack read by frame pointers may lack the site's inner function or, where that is
    /// there, the site itself: either names it.
    fn site(&self) -> Option<&str> {
        self.frames
            .iter()
            .filter_map(|frame| frame.function.as_deref())
            .find(|function| function.starts_with("site_") || function.starts_with(REFUSED))
            .map(|function| function.strip_suffix("_inner").unwrap_or(function))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_site_gets_the_weight() {
        let text = r#"{"mode":"unfreed","totals":{"taken":{"bytes":9,"count":3},"given_back":{"bytes":0,"count":0},
            "unfreed":{"bytes":9,"count":3}},"losses":{"a":0,"b":2},"stacks":[
            {"bytes":4,"count":1,"frames":[{"function":"malloc"},{"function":"site_a_inner"},{"function":"site_b"}]},
            {"bytes":3,"count":1,"frames":[{"function":"malloc"},{},{"function":"site_a"}]},
            {"bytes":2,"count":1,"frames":[{"function":"malloc"}]}]}"#;
        let report = Report::parse(text).unwrap();
        let (sites, elsewhere) = report.by_site();
        assert_eq!(
            sites,
            BTreeMap::from([("site_a".to_owned(), Weight { bytes: 7, count: 2 })])
        );
        assert_eq!(elsewhere, Weight { bytes: 2, count: 1 });
        assert_eq!(report.lost().collect::<Vec<_>>(), [("b", 2)]);
        assert_eq!(report.at_least_by_site(), None);
        let at_least = text.replace("\"count\":1,", "\"count\":1,\"at_least\":1,");
        let report = Report::parse(&at_least).unwrap();
        let expected = BTreeMap::from([("site_a".to_owned(), 2)]);
        assert_eq!(report.at_least_by_site(), Some(expected));
    }
}
