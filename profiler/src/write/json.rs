//! JSON, schema 1: everything the profile knows, for programs. Fields keep their order; new ones
//! are only added. Unknown fields of a frame are absent. One line for each field of the whole and
//! for each stack, so that line tools can look at large files too.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

use crate::profile::{
    Frame, Kind, Process, ProcessMemory, Profile, Sampled, Slices, Stack, Totals, Unwinding, Walk,
    Weight,
};
use crate::warning::Warning;

use super::json_layout::Layout;
use super::json_reconciliation as reconciled;
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
    reconciliation: Option<reconciled::Entry>,
    unwinding: WalkEntry<'a>,
    losses: &'a BTreeMap<String, u64>,
    notes: &'a BTreeMap<String, u64>,
    #[serde(serialize_with = "warnings")]
    warnings: &'a [Warning],
    #[serde(serialize_with = "stacks")]
    stacks: &'a [Stack],
}

#[derive(Serialize)]
struct Tool {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Target<'a> {
    pid: u32,
    comm: &'a str,
    exe: &'a str,
}

#[derive(Serialize)]
struct SampledEntry {
    mean_bytes: u64,
    samples: u64,
}

#[derive(Serialize)]
struct ObservedEntry {
    share: f64,
    slices: usize,
    cost: f64,
    granted: f64,
}

#[derive(Serialize)]
struct Sums {
    taken: Sum,
    given_back: Sum,
    unfreed: Sum,
}

#[derive(Serialize)]
struct Sum {
    bytes: u64,
    count: u64,
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
    cut: &'a BTreeMap<&'static str, u64>,
    lost: u64,
    table_rows: u64,
}

#[derive(Serialize)]
struct StackEntry<'a> {
    bytes: u64,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    approximate: bool,
    #[serde(serialize_with = "frames")]
    frames: &'a Stack,
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
        stacks,
    } = profile;
    Document {
        schema: 1,
        tool: Tool {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
        },
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
        stacks,
    }
}

fn observed(slices: &Slices) -> ObservedEntry {
    let share = slices.share();
    let Slices {
        cost,
        granted,
        slices,
    } = slices;
    ObservedEntry {
        share,
        slices: slices.len(),
        cost: *cost,
        granted: *granted,
    }
}

fn sum(Weight { bytes, count }: Weight) -> Sum {
    Sum { bytes, count }
}

fn warnings<S: Serializer>(warnings: &[Warning], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(warnings.iter().map(ToString::to_string))
}

fn stacks<S: Serializer>(stacks: &[Stack], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(stacks.iter().map(|stack| {
        let Weight { bytes, count } = stack.weight;
        let Walk { cut, approximate } = stack.walk;
        StackEntry {
            bytes,
            count,
            kind: stack.kind.map(Kind::name),
            cut,
            approximate,
            frames: stack,
        }
    }))
}

fn frames<S: Serializer>(stack: &Stack, serializer: S) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(Some(stack.frames.len()))?;
    for frame in &stack.frames {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::sample;

    fn json(profile: &Profile) -> String {
        let mut out = Vec::new();
        Json.write(profile, &Options::default(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// The version changes with every release, the snapshot should not.
    fn without_version(json: &str) -> String {
        json.replace(env!("CARGO_PKG_VERSION"), "VERSION")
    }

    #[test]
    fn schema_1() {
        insta::assert_snapshot!(without_version(&json(&sample::profile())));
    }

    #[test]
    fn of_an_empty_profile() {
        insta::assert_snapshot!(without_version(&json(&sample::empty())));
    }

    #[test]
    fn numbers_are_exact_and_text_survives() {
        let mut profile = sample::empty();
        let name = "a\"b\\c\u{1}<\u{e9}>;\n";
        profile.stacks = vec![sample::stack(u64::MAX, 9_007_199_254_740_993, &[name])];
        let value: serde_json::Value = serde_json::from_str(&json(&profile)).unwrap();
        let stack = &value["stacks"][0];
        assert_eq!(stack["bytes"].as_u64(), Some(u64::MAX));
        assert_eq!(stack["count"].as_u64(), Some(9_007_199_254_740_993));
        assert_eq!(
            stack["frames"][0],
            serde_json::json!({"function": name, "inlined": false})
        );
    }

    #[test]
    fn estimates_say_so() {
        let mut profile = sample::empty();
        let value: serde_json::Value = serde_json::from_str(&json(&profile)).unwrap();
        assert_eq!(value.get("sampled"), None);
        profile.sampled = Some(Sampled {
            mean_bytes: 524_288,
            samples: 96,
        });
        let value: serde_json::Value = serde_json::from_str(&json(&profile)).unwrap();
        let expected = serde_json::json!({"mean_bytes": 524_288, "samples": 96});
        assert_eq!(value["sampled"], expected);
    }

    #[test]
    fn one_line_for_each_stack() {
        let profile = sample::profile();
        let lines = json(&profile)
            .lines()
            .filter(|line| line.starts_with("    {\"bytes\": "))
            .count();
        assert_eq!(lines, profile.stacks.len());
    }
}
