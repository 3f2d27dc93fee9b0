//! JSON, schema 1, of a comparison: `"diff": true`, so that nobody takes it for a recording, then both
//! recordings, then every stack with what it weighs in each, the largest change first.

use std::io::{self, Write};

use serde::ser::{Serialize as _, Serializer};

use crate::profile::{Change, Diff, Kind, Process, Side, Weight};
use crate::write::json::{Frames, Layout, Sum, Target, Tool, Written};
use crate::write::{Options, Writer};

/// The format.
pub struct Json;

impl Writer<Diff> for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn extension(&self) -> &'static str {
        "json"
    }

    fn write(&self, diff: &Diff, _options: &Options, out: &mut dyn Write) -> anyhow::Result<()> {
        let Diff {
            view,
            mode,
            before,
            after,
            stacks,
        } = diff;
        let document = Document {
            schema: 1,
            diff: true,
            tool: Tool::THIS,
            view: view.name(),
            mode: mode.name(),
            before: side(before),
            after: side(after),
            stacks,
        };
        let mut serializer = serde_json::Serializer::with_formatter(&mut *out, Layout::default());
        document
            .serialize(&mut serializer)
            .map_err(io::Error::from)?;
        Ok(writeln!(out)?)
    }
}

#[derive(serde::Serialize)]
struct Document<'a> {
    schema: u32,
    diff: bool,
    tool: Tool,
    view: &'static str,
    mode: &'static str,
    before: SideEntry<'a>,
    after: SideEntry<'a>,
    #[serde(serialize_with = "stacks")]
    stacks: &'a [Change],
}

#[derive(serde::Serialize)]
struct SideEntry<'a> {
    target: Target<'a>,
    started_at: &'a str,
    duration_seconds: f64,
    min_age_seconds: f64,
    total: Sum,
    estimated: bool,
    lost: u64,
    warnings: Vec<String>,
}

#[derive(serde::Serialize)]
struct ChangeEntry<'a> {
    before: Sum,
    after: Sum,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    frames: Frames<'a>,
}

fn side(side: &Side) -> SideEntry<'_> {
    let Side {
        process: Process { pid, comm, exe },
        started_at,
        duration,
        min_age,
        total,
        estimated,
        lost,
        warnings,
    } = side;
    SideEntry {
        target: Target {
            pid: *pid,
            comm,
            exe,
        },
        started_at,
        duration_seconds: duration.as_secs_f64(),
        min_age_seconds: min_age.as_secs_f64(),
        total: sum(*total),
        estimated: *estimated,
        lost: *lost,
        warnings: warnings.iter().map(ToString::to_string).collect(),
    }
}

fn sum(Weight { bytes, count }: Weight) -> Sum {
    Sum { bytes, count }
}

fn stacks<S: Serializer>(stacks: &[Change], serializer: S) -> Result<S::Ok, S::Error> {
    let written = Written::default();
    serializer.collect_seq(stacks.iter().map(|change| {
        let Change {
            before,
            after,
            frames,
            kind,
        } = change;
        ChangeEntry {
            before: sum(*before),
            after: sum(*after),
            kind: kind.map(Kind::name),
            frames: Frames {
                frames,
                written: &written,
            },
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::diff::sample;

    fn json(diff: &Diff) -> String {
        let mut out = Vec::new();
        Json.write(diff, &Options::default(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn schema_1() {
        let text = json(&sample::diff());
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        insta::assert_snapshot!(text.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    }

    #[test]
    fn it_is_not_taken_for_a_recording() {
        let error = crate::read::json(json(&sample::diff()).as_bytes()).unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.contains("it is a comparison of two recordings"),
            "{error}"
        );
    }
}
