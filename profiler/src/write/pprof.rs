//! pprof: a gzipped `profile.proto`, for `go tool pprof`, Parca, Pyroscope and speedscope.
//!
//! **Values.** Of the heap what Go's own heap profiles have: `alloc_objects`, `alloc_space` (taken),
//! `inuse_objects`, `inuse_space` (unfreed). Of pages `pages` and `resident_space`, in a recording of
//! everything preceded by `touched_pages` and `touched_space`. A pair that is not known of every stack is left
//! out, except that what was taken is at least what is unfreed; a comment says what was done.
//!
//! **Addresses.** An address in a profile stands for a place in a file, and files must not overlap. So each
//! module gets a mapping of its own at the module's number times 2^48, with a file offset of 0, and an address
//! is that plus what addr2line takes: `0x0003_0000_0009_9ec0` is 0x99ec0 in the third module. The real
//! addresses are not kept: they mean nothing once the process is gone.
//!
//! **Names.** A module with names says that nothing of it need be symbolized again: they come from what the
//! process had open, and the file of that path where the profile is read may be another. A module without any
//! name says that it has none, and has its build id, so that a server with debug files can do it. Names have
//! no control characters (see [`super::name::clean`]). The name that the linker knows is left out, as we do not
//! have it; `pprof` would shorten names that are the same as theirs.

mod columns;
mod places;
mod proto;
mod strings;
#[cfg(test)]
mod tests;

use std::io::Write;

use flate2::{Compression, GzBuilder};
use prost::Message as _;

use self::columns::Columns;
use self::places::Places;
use self::strings::Strings;
use super::{Options, Writer, name, summary};
use crate::profile::{Kind, Mode, Profile, View};

/// The format.
pub struct Pprof;

impl Writer for Pprof {
    fn name(&self) -> &'static str {
        "pprof"
    }

    fn extension(&self) -> &'static str {
        "pb.gz"
    }

    fn write(
        &self,
        profile: &Profile,
        options: &Options,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let message = message(profile, options).encode_to_vec();
        // no time of its own in the header: the same recording is the same file
        let mut packed = GzBuilder::new().mtime(0).write(out, Compression::default());
        packed.write_all(&message)?;
        packed.finish()?;
        Ok(())
    }
}

fn message(profile: &Profile, options: &Options) -> proto::Profile {
    let mut strings = Strings::default();
    let columns = Columns::of(profile);
    let sample_type = columns
        .types
        .iter()
        .map(|&(kind, unit)| strings.value_type(kind, unit))
        .collect();
    let default_sample_type = strings.index(columns.default);
    let kind = strings.index("kind");
    let kinds = Kind::ALL.map(|kind| strings.index(kind.name()));

    let mut places = Places::of(profile, &mut strings);
    let stacks = profile.stacks.iter();
    let sample = stacks
        .map(|stack| proto::Sample {
            location_id: places.stack(&stack.frames, &mut strings),
            value: columns.values(stack),
            label: stack
                .kind
                .map(|it| proto::Label {
                    key: kind,
                    str: kinds[it as usize],
                })
                .into_iter()
                .collect(),
        })
        .collect();
    let comment = comments(profile, options, columns.note)
        .iter()
        .map(|sentence| strings.index(&name::clean(sentence)))
        .collect();
    let (period_type, period) = period(profile, &mut strings);
    proto::Profile {
        sample_type,
        sample,
        mapping: places.mappings,
        location: places.locations,
        function: places.functions,
        time_nanos: time_nanos(&profile.started_at),
        duration_nanos: i64::try_from(profile.duration.as_nanos()).unwrap_or(i64::MAX),
        period_type: Some(period_type),
        period,
        comment,
        default_sample_type,
        string_table: strings.all,
    }
}

/// Between samples: 1, where everything is recorded.
fn period(profile: &Profile, strings: &mut Strings) -> (proto::ValueType, i64) {
    let (kind, unit) = match profile.view {
        View::Heap => ("space", "bytes"),
        View::Pages => ("pages", "count"),
    };
    let mean = profile.sampled.map_or(1, |sampled| sampled.mean_bytes);
    let period = i64::try_from(mean).unwrap_or(i64::MAX);
    (strings.value_type(kind, unit), period)
}

fn time_nanos(started_at: &str) -> i64 {
    let time: Option<jiff::Timestamp> = started_at.parse().ok();
    time.and_then(|time| i64::try_from(time.as_nanosecond()).ok())
        .unwrap_or(0)
}

/// What the numbers do not say.
fn comments(profile: &Profile, options: &Options, note: Option<String>) -> Vec<String> {
    let mut comments = Vec::new();
    comments.extend(options.title.clone());
    let what = match profile.mode {
        Mode::Unfreed => "unfreed",
        Mode::All => "everything taken",
    };
    comments.push(format!(
        "unfreed {}: {}, {}, {what}: {}",
        env!("CARGO_PKG_VERSION"),
        summary::process(profile),
        profile.view.name(),
        summary::weight(summary::total(profile), profile.view),
    ));
    comments.push(format!("ended: {}", profile.end));
    comments.push(summary::reconciliation(profile));
    comments.extend(note);
    comments.extend(summary::sampled(profile).map(|sampled| format!("sampled: {sampled}")));
    comments.extend(summary::observed(profile).map(|observed| format!("observed: {observed}")));
    comments.push(format!("stacks: {}", summary::stacks(profile)));
    comments.push(summary::losses(profile));
    let warnings = profile.warnings.iter();
    comments.extend(warnings.map(|warning| format!("warning: {warning}")));
    comments
}
