//! The whole of the JSON but for its stacks, field by field as [`mod@crate::write`] has it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::de::{Deserialize, Deserializer, Error};
use unfreed_common::unwind::Stop;

use super::number::{addable, memory, seconds};
use super::stack::Stacks;
use crate::profile::{
    ByKind, End, GivenBackLazily, Kind, Mode, Module, Process, ProcessMemory, Profile,
    Reconciliation, Resident, Sampled, Slice, Slices, Totals, Unwind, Unwinding, View, Weight,
};
use crate::warning::Warning;

/// The only one there is.
const SCHEMA: u64 = 1;

/// All of it.
#[derive(serde::Deserialize)]
pub struct Document {
    #[serde(rename = "schema")]
    _schema: Schema,
    #[serde(rename = "diff", default)]
    _diff: NoDiff,
    view: String,
    mode: String,
    target: Target,
    started_at: String,
    duration_seconds: f64,
    min_age_seconds: f64,
    ended: String,
    sampled: Option<SampledEntry>,
    observed: Option<ObservedEntry>,
    totals: Sums,
    process: Memory,
    reconciliation: Option<ReconciliationEntry>,
    unwinding: Walks,
    losses: BTreeMap<String, u64>,
    notes: BTreeMap<String, u64>,
    warnings: Vec<String>,
    #[serde(default)]
    modules: Vec<ModuleEntry>,
    stacks: Stacks,
}

struct Schema;

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            SCHEMA => Ok(Self),
            other => Err(Error::custom(format!(
                "it has schema {other}, and this unfreed reads schema {SCHEMA}: use the one that wrote it"
            ))),
        }
    }
}

#[derive(Default)]
struct NoDiff;

impl<'de> Deserialize<'de> for NoDiff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if bool::deserialize(deserializer)? {
            return Err(Error::custom(
                "it is a comparison of two recordings: give one of them",
            ));
        }
        Ok(Self)
    }
}

#[derive(serde::Deserialize)]
struct Target {
    pid: u32,
    comm: String,
    exe: String,
}

#[derive(serde::Deserialize)]
struct SampledEntry {
    mean_bytes: u64,
    samples: u64,
}

#[derive(serde::Deserialize)]
struct ObservedEntry {
    #[serde(default)]
    error: f64,
    cost: f64,
    granted: f64,
    each: Vec<SliceEntry>,
}

#[derive(serde::Deserialize)]
struct SliceEntry {
    begin: u64,
    share: f64,
    net: Option<i64>,
}

#[derive(serde::Deserialize)]
struct Sums {
    taken: Sum,
    given_back: Sum,
    unfreed: Sum,
}

#[derive(serde::Deserialize)]
struct Sum {
    bytes: u64,
    count: u64,
}

#[derive(serde::Deserialize)]
struct Memory {
    rss_before: u64,
    rss_after: u64,
    vsz_before: u64,
    vsz_after: u64,
}

#[derive(serde::Deserialize)]
struct Walks {
    mode: String,
    walked: u64,
    complete: u64,
    approximate: u64,
    cut: BTreeMap<String, u64>,
    lost: u64,
    table_rows: u64,
}

#[derive(serde::Deserialize)]
struct ModuleEntry {
    path: String,
    build_id: Option<String>,
}

#[derive(serde::Deserialize)]
struct ReconciliationEntry {
    explained: Kinds,
    given_back_of_before: Kinds,
    unexplained: Kinds,
    given_back_lazily: Lazily,
    before: ResidentEntry,
    after: ResidentEntry,
    changed_while_looking: u64,
    looked_seconds_before_end: Option<f64>,
}

#[derive(serde::Deserialize)]
struct Kinds {
    anonymous: u64,
    huge: u64,
    file: u64,
    shmem: u64,
}

#[derive(serde::Deserialize)]
struct ResidentEntry {
    rss: u64,
    anonymous: u64,
    huge: u64,
    swap: u64,
    lazily_freed: u64,
}

#[derive(serde::Deserialize)]
struct Lazily {
    not_counted: u64,
    counted: u64,
    of_before: u64,
    hidden: bool,
}

impl Document {
    /// The recording; fails where a name or a number cannot be one of a recording.
    pub fn into_profile(self) -> anyhow::Result<Profile> {
        addable("losses", self.losses.values().copied())?;
        Ok(Profile {
            view: named("view", &self.view, View::ALL, View::name)?,
            mode: named("mode", &self.mode, Mode::ALL, Mode::name)?,
            process: Process {
                pid: self.target.pid,
                comm: self.target.comm,
                exe: self.target.exe,
            },
            started_at: self.started_at,
            duration: seconds("duration_seconds", self.duration_seconds)?,
            min_age: seconds("min_age_seconds", self.min_age_seconds)?,
            end: End::Recorded(self.ended),
            totals: Totals {
                taken: self.totals.taken.into(),
                given_back: self.totals.given_back.into(),
                unfreed: self.totals.unfreed.into(),
            },
            sampled: self.sampled.map(|sampled| Sampled {
                mean_bytes: sampled.mean_bytes,
                samples: sampled.samples,
            }),
            slices: self.observed.map(slices).transpose()?,
            memory: ProcessMemory {
                rss_before: memory(self.process.rss_before)?,
                rss_after: memory(self.process.rss_after)?,
                vsz_before: memory(self.process.vsz_before)?,
                vsz_after: memory(self.process.vsz_after)?,
            },
            reconciliation: self.reconciliation.map(reconciliation).transpose()?,
            unwinding: Unwinding {
                mode: named(
                    "unwinding.mode",
                    &self.unwinding.mode,
                    Unwind::ALL,
                    Unwind::name,
                )?,
                walked: self.unwinding.walked,
                complete: self.unwinding.complete,
                approximate: self.unwinding.approximate,
                cut: self
                    .unwinding
                    .cut
                    .into_iter()
                    .map(|(name, count)| (reason(name), count))
                    .collect(),
                lost: self.unwinding.lost,
                table_rows: self.unwinding.table_rows,
            },
            losses: self.losses,
            notes: self.notes,
            warnings: self.warnings.into_iter().map(Warning::Recorded).collect(),
            modules: self
                .modules
                .into_iter()
                .map(|ModuleEntry { path, build_id }| Module { path, build_id })
                .collect(),
            stacks: self.stacks.0,
        })
    }
}

/// A reason for which stacks are cut. One of another version's stays what it is.
pub fn reason(name: String) -> Cow<'static, str> {
    let known = Stop::ALL.iter().map(|stop| stop.name());
    known
        .into_iter()
        .find(|&known| known == name)
        .map_or(Cow::Owned(name), Cow::Borrowed)
}

fn named<T: Copy>(
    what: &str,
    name: &str,
    all: &[T],
    name_of: fn(T) -> &'static str,
) -> anyhow::Result<T> {
    let found = all.iter().copied().find(|&it| name_of(it) == name);
    found.with_context(|| {
        let known: Vec<_> = all.iter().map(|&it| name_of(it)).collect();
        let known = known.join(", ");
        format!("{what} {name:?} is not known to this unfreed, which knows {known}")
    })
}

fn slices(observed: ObservedEntry) -> anyhow::Result<Slices> {
    anyhow::ensure!(
        !observed.each.is_empty(),
        "what was observed has no slice at all"
    );
    Ok(Slices {
        slices: observed
            .each
            .into_iter()
            .map(|SliceEntry { begin, share, net }| Slice { begin, share, net })
            .collect(),
        error: observed.error,
        cost: observed.cost,
        granted: observed.granted,
    })
}

impl From<Sum> for Weight {
    fn from(Sum { bytes, count }: Sum) -> Self {
        Self { bytes, count }
    }
}

fn reconciliation(entry: ReconciliationEntry) -> anyhow::Result<Reconciliation> {
    let lazily = entry.given_back_lazily;
    Ok(Reconciliation {
        before: resident(&entry.before)?,
        after: resident(&entry.after)?,
        explained: kinds(&entry.explained)?,
        given_back: kinds(&entry.given_back_of_before)?,
        unexplained: kinds(&entry.unexplained)?,
        given_back_lazily: GivenBackLazily {
            not_counted: memory(lazily.not_counted)?,
            counted: memory(lazily.counted)?,
            of_before: memory(lazily.of_before)?,
            hidden: lazily.hidden,
        },
        changed_while_looking: entry.changed_while_looking,
        looked_before_end: entry.looked_seconds_before_end,
    })
}

fn resident(entry: &ResidentEntry) -> anyhow::Result<Resident> {
    Ok(Resident {
        rss: memory(entry.rss)?,
        anonymous: memory(entry.anonymous)?,
        huge: memory(entry.huge)?,
        swap: memory(entry.swap)?,
        lazily_freed: memory(entry.lazily_freed)?,
    })
}

fn kinds(entry: &Kinds) -> anyhow::Result<ByKind> {
    let mut bytes = ByKind::default();
    bytes.add(Kind::Anonymous, memory(entry.anonymous)?);
    bytes.add(Kind::Huge, memory(entry.huge)?);
    bytes.add(Kind::File, memory(entry.file)?);
    bytes.add(Kind::Shmem, memory(entry.shmem)?);
    Ok(bytes)
}
