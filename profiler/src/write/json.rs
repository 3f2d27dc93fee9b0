//! JSON, schema 1: everything the profile knows, for programs. Fields keep their order; new ones
//! are only added. Unknown fields of a frame are absent. One line for each field of the whole and
//! for each stack, so that line tools can look at large files too.

mod layout;
mod reconciliation;
mod stack;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use serde::ser::Serializer;

use crate::profile::{
    Growth, Module, Process, ProcessMemory, Profile, Sampled, Slice, Slices, Totals, Unwinding,
    Weight,
};
use crate::warning::Warning;

pub use self::layout::Layout;
pub use self::stack::{Frames, Written};
use super::{Options, Writer};

/// The format.
pub struct Json;

impl Writer for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn extension(&self) -> &'static str {
        "json"
    }

    fn write(
        &self,
        profile: &Profile,
        _options: &Options,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let mut serializer = serde_json::Serializer::with_formatter(&mut *out, Layout::default());
        document(profile)
            .serialize(&mut serializer)
            .map_err(io::Error::from)?;
        Ok(writeln!(out)?)
    }
}

/// Everything is borrowed and serialized as it is reached: nothing of the size of the file is
/// ever in memory.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    tool: Tool,
    view: &'static str,
    mode: &'static str,
    target: Target<'a>,
    started_at: &'a str,
    duration_seconds: f64,
    min_age_seconds: f64,
    ended: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled: Option<SampledEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed: Option<ObservedEntry>,
    totals: Sums,
    process: Memory,
    #[serde(skip_serializing_if = "Option::is_none")]
    reconciliation: Option<reconciliation::Entry>,
    unwinding: WalkEntry<'a>,
    losses: &'a BTreeMap<String, u64>,
    notes: &'a BTreeMap<String, u64>,
    #[serde(serialize_with = "warnings")]
    warnings: &'a [Warning],
    #[serde(serialize_with = "modules")]
    modules: &'a [Module],
    #[serde(serialize_with = "stack::stacks")]
    stacks: stack::Stacks<'a>,
}

/// What has written it.
#[derive(Serialize)]
pub struct Tool {
    name: &'static str,
    version: &'static str,
}

impl Tool {
    /// This one.
    pub const THIS: Self = Self {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
    };
}

/// The process.
#[derive(Serialize)]
pub struct Target<'a> {
    /// Its id.
    pub pid: u32,
    /// Its short name.
    pub comm: &'a str,
    /// Its executable.
    pub exe: &'a str,
}

#[derive(Serialize)]
struct SampledEntry {
    mean_bytes: u64,
    samples: u64,
}

#[derive(Serialize)]
struct ObservedEntry {
    share: f64,
    error: f64,
    slices: usize,
    cost: f64,
    granted: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    growth: Option<GrowthEntry>,
    each: Vec<SliceEntry>,
}

/// Blocks that were taken less those that were given back.
#[derive(Serialize)]
struct GrowthEntry {
    count: f64,
    error: f64,
}

/// Nanoseconds of `CLOCK_MONOTONIC`, and the share of what the target did.
#[derive(Serialize)]
struct SliceEntry {
    begin: u64,
    share: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    net: Option<i64>,
}

#[derive(Serialize)]
struct ModuleEntry<'a> {
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    build_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Sums {
    taken: Sum,
    given_back: Sum,
    unfreed: Sum,
}

/// A weight.
#[derive(Serialize)]
pub struct Sum {
    /// Bytes.
    pub bytes: u64,
    /// Blocks or pages.
    pub count: u64,
}

#[derive(Serialize)]
struct Memory {
    rss_before: u64,
    rss_after: u64,
    vsz_before: u64,
    vsz_after: u64,
}

#[derive(Serialize)]
struct WalkEntry<'a> {
    mode: &'static str,
    walked: u64,
    complete: u64,
    approximate: u64,
    cut: &'a BTreeMap<Cow<'static, str>, u64>,
    lost: u64,
    table_rows: u64,
}

// Whole structs are taken apart in these functions, so that a new field does not compile before
// somebody decided where it goes.

fn document(profile: &Profile) -> Document<'_> {
    let Profile {
        view,
        mode,
        process: Process { pid, comm, exe },
        started_at,
        duration,
        min_age,
        end,
        totals: Totals {
            taken,
            given_back,
            unfreed,
        },
        sampled,
        slices,
        memory:
            ProcessMemory {
                rss_before,
                rss_after,
                vsz_before,
                vsz_after,
            },
        reconciliation,
        unwinding:
            Unwinding {
                mode: unwind,
                walked,
                complete,
                approximate,
                cut,
                lost,
                table_rows,
            },
        losses,
        notes,
        warnings,
        modules,
        stacks,
    } = profile;
    Document {
        schema: 1,
        tool: Tool::THIS,
        view: view.name(),
        mode: mode.name(),
        target: Target {
            pid: *pid,
            comm,
            exe,
        },
        started_at,
        duration_seconds: duration.as_secs_f64(),
        min_age_seconds: min_age.as_secs_f64(),
        ended: end.to_string(),
        sampled: sampled.map(
            |Sampled {
                 mean_bytes,
                 samples,
             }| SampledEntry {
                mean_bytes,
                samples,
            },
        ),
        observed: slices.as_ref().map(observed),
        totals: Sums {
            taken: sum(*taken),
            given_back: sum(*given_back),
            unfreed: sum(*unfreed),
        },
        process: Memory {
            rss_before: *rss_before,
            rss_after: *rss_after,
            vsz_before: *vsz_before,
            vsz_after: *vsz_after,
        },
        reconciliation: reconciliation.as_ref().map(Into::into),
        unwinding: WalkEntry {
            mode: unwind.name(),
            walked: *walked,
            complete: *complete,
            approximate: *approximate,
            cut,
            lost: *lost,
            table_rows: *table_rows,
        },
        losses,
        notes,
        warnings,
        modules,
        stacks: stack::Stacks {
            stacks,
            bounds: profile.bounds_by_stack(),
        },
    }
}

fn observed(slices: &Slices) -> ObservedEntry {
    let share = slices.share();
    let growth = slices.growth();
    let Slices {
        error,
        cost,
        granted,
        slices,
    } = slices;
    ObservedEntry {
        share,
        error: *error,
        slices: slices.len(),
        cost: *cost,
        granted: *granted,
        growth: growth.map(|Growth { blocks, error }| GrowthEntry {
            count: blocks,
            error,
        }),
        each: slices
            .iter()
            .map(|&Slice { begin, share, net }| SliceEntry { begin, share, net })
            .collect(),
    }
}

fn sum(Weight { bytes, count }: Weight) -> Sum {
    Sum { bytes, count }
}

fn warnings<S: Serializer>(warnings: &[Warning], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(warnings.iter().map(ToString::to_string))
}

fn modules<S: Serializer>(modules: &[Module], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(modules.iter().map(|Module { path, build_id }| ModuleEntry {
        path,
        build_id: build_id.as_deref(),
    }))
}
