//! What changed from one recording to another of the same kind.
//!
//! Stacks are the same when their frames are called the same, from end to end, and their memory is of the
//! same kind: so those of two builds of a program are, and those of two processes, wherever the kernel has put
//! their code. A frame without a name is known by its file and the offset in it. Where there is no file (code
//! that was made at run time) an address means nothing in another process, and all of them are one.
//!
//! Weights are compared as they are. Nothing is scaled where one recording is longer than the other: what is
//! unfreed does not grow in proportion to time.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;

use super::{Frame, Kind, Mode, Process, Profile, Slices, View, Weight};
use crate::warning::Warning;

/// The comparison of two recordings.
#[derive(Debug, Clone)]
pub struct Diff {
    /// What kind of memory both are about.
    pub view: View,
    /// What the stacks of both weigh.
    pub mode: Mode,
    /// The one.
    pub before: Side,
    /// The other.
    pub after: Side,
    /// Every stack of either. The largest change of bytes first, whether it grew or shrank.
    pub stacks: Vec<Change>,
}

/// What is to be known of a recording that is compared.
#[derive(Debug, Clone)]
pub struct Side {
    /// Whose.
    pub process: Process,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// How long it lasted.
    pub duration: Duration,
    /// Blocks younger than this at its end are left out.
    pub min_age: Duration,
    /// The sum of its stacks.
    pub total: Weight,
    /// Whether its numbers are estimates.
    pub estimated: bool,
    /// Events that it lost.
    pub lost: u64,
    /// What is doubtful about it.
    pub warnings: Vec<Warning>,
}

/// A stack, and what it weighs in both recordings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// In the one; nothing where the stack is new.
    pub before: Weight,
    /// In the other; nothing where the stack is gone.
    pub after: Weight,
    /// From the innermost outwards, with what stacks are joined by: a function and the module it is in (in the
    /// later recording, if it is in both), or a module and an offset. Source lines are not compared.
    pub frames: Vec<Arc<Frame>>,
    /// Of which kind the memory is, where the view tells kinds apart.
    pub kind: Option<Kind>,
}

impl Diff {
    /// Compares two recordings. Fails when they are not of one view and one mode.
    pub fn of(before: &Profile, after: &Profile) -> anyhow::Result<Self> {
        let kind = |profile: &Profile| format!("{} ({})", profile.view.name(), profile.mode.name());
        if (before.view, before.mode) != (after.view, after.mode) {
            bail!(
                "a recording of {} and one of {} cannot be compared: their numbers mean different things; \
                 take two of one view and one mode",
                kind(before),
                kind(after)
            );
        }
        Ok(Self {
            view: after.view,
            mode: after.mode,
            before: Side::of(before),
            after: Side::of(after),
            stacks: changes(before, after),
        })
    }
}

impl Side {
    fn of(profile: &Profile) -> Self {
        let mut total = Weight::default();
        for stack in &profile.stacks {
            total += stack.weight;
        }
        let gaps = profile
            .slices
            .as_ref()
            .is_some_and(|it| !Slices::is_whole(it));
        Self {
            process: profile.process.clone(),
            started_at: profile.started_at.clone(),
            duration: profile.duration,
            min_age: profile.min_age,
            total,
            estimated: profile.sampled.is_some() || gaps,
            lost: profile.lost(),
            warnings: profile.warnings.clone(),
        }
    }
}

/// What a frame is known by.
#[derive(PartialEq, Eq, Hash)]
enum Identity<'a> {
    Function(&'a str),
    Place(Option<&'a str>, Option<u64>),
}

impl<'a> Identity<'a> {
    fn of(frame: &'a Frame) -> Self {
        if let Some(function) = &frame.function {
            return Self::Function(function);
        }
        let module = frame.module.as_deref();
        let is_file = module.is_some_and(|module| module.starts_with('/'));
        Self::Place(module, frame.offset.filter(|_| is_file))
    }
}

/// Numbers for the frames of both recordings, equal for those that are the same.
#[derive(Default)]
struct Frames<'a> {
    by_identity: HashMap<Identity<'a>, u32>,
    /// Frames are shared by stacks: each is looked at once.
    by_address: HashMap<*const Frame, u32>,
    all: Vec<Arc<Frame>>,
}

impl<'a> Frames<'a> {
    fn number(&mut self, frame: &'a Arc<Frame>) -> u32 {
        if let Some(&number) = self.by_address.get(&Arc::as_ptr(frame)) {
            return number;
        }
        let identity = Identity::of(frame);
        let offset = match identity {
            Identity::Function(_) => None,
            Identity::Place(_, offset) => offset,
        };
        let number = *self.by_identity.entry(identity).or_insert_with(|| {
            self.all.push(Arc::new(Frame {
                function: frame.function.clone(),
                module: frame.module.clone(),
                offset,
                ..Frame::default()
            }));
            (self.all.len() - 1) as u32
        });
        self.by_address.insert(Arc::as_ptr(frame), number);
        number
    }
}

/// What stacks are joined by: the numbers of their frames, and their kind.
type Key = (Box<[u32]>, Option<Kind>);

fn changes(before: &Profile, after: &Profile) -> Vec<Change> {
    let mut frames = Frames::default();
    let mut joined: HashMap<Key, (Weight, Weight)> = HashMap::new();
    // the later one first: what is said of a frame is said of it there
    for (profile, is_after) in [(after, true), (before, false)] {
        for stack in &profile.stacks {
            let numbers = stack.frames.iter().map(|frame| frames.number(frame));
            let (before, after) = joined.entry((numbers.collect(), stack.kind)).or_default();
            *(if is_after { after } else { before }) += stack.weight;
        }
    }
    let mut changes: Vec<_> = joined
        .into_iter()
        .map(|((numbers, kind), (before, after))| Change {
            before,
            after,
            frames: numbers
                .iter()
                .map(|&number| Arc::clone(&frames.all[number as usize]))
                .collect(),
            kind,
        })
        .collect();
    changes.sort_by(|a, b| {
        let change = |it: &Change| {
            let bytes = it.before.bytes.abs_diff(it.after.bytes);
            let count = it.before.count.abs_diff(it.after.count);
            Reverse((bytes, count, it.after, it.before))
        };
        let names = |it: &Change| it.kind.map(|kind| kind as u8);
        let order = change(a).cmp(&change(b));
        order
            .then_with(|| places(a).cmp(places(b)))
            .then_with(|| names(a).cmp(&names(b)))
    });
    changes
}

/// What tells two stacks apart.
fn places(change: &Change) -> impl Iterator<Item = (Option<&str>, Option<&str>, Option<u64>)> {
    let frames = change.frames.iter();
    frames.map(|it| (it.function.as_deref(), it.module.as_deref(), it.offset))
}

#[cfg(test)]
mod tests;
