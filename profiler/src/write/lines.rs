//! Stacks as lines of names, for the formats that are made of such lines.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::ops::AddAssign;
use std::sync::Arc;

use crate::profile::{Frame, Kind, Profile};

use super::{Weigh, name};

/// The lines of a profile. Names are kept once: with 20,000 stacks of 60 C++ frames the lines
/// themselves are a hundred megabytes. `W`: what a line weighs.
pub struct Lines<W = u64> {
    /// Different names, sorted.
    names: Vec<String>,
    /// Indexes into `names`, root first, and the weight, which is not 0.
    stacks: BTreeMap<Box<[u32]>, W>,
}

/// A stack that becomes a line: its frames from the innermost outwards, its kind, what it weighs.
pub type Weighed<'a, W> = (&'a [Arc<Frame>], Option<Kind>, W);

/// What stands for the kind of the memory: a frame at the inner end of the stack.
fn leaf(kind: Kind) -> String {
    format!("[{}]", kind.name())
}

impl Lines {
    /// Merges the stacks of `profile` that have the same names.
    pub fn of(profile: &Profile, weigh: Weigh) -> Self {
        let stacks = profile.stacks.iter();
        let weighed = stacks.map(|it| (&it.frames[..], it.kind, weigh.of(it.weight)));
        Self::merge(weighed.filter(|&(_, _, weight)| weight > 0))
    }

    /// The sum of all lines.
    pub fn total(&self) -> u64 {
        self.stacks.values().sum()
    }
}

impl<W: Copy + Default + AddAssign> Lines<W> {
    /// Merges the stacks that have the same names. They are gone through twice.
    pub fn merge<'a>(stacks: impl Iterator<Item = Weighed<'a, W>> + Clone) -> Self {
        // a frame is shared by many stacks: its name is made once
        let mut by_frame: HashMap<*const Frame, String> = HashMap::new();
        for frame in stacks.clone().flat_map(|(frames, ..)| frames) {
            by_frame
                .entry(Arc::as_ptr(frame))
                .or_insert_with(|| name::folded(&frame.label()));
        }
        let unknown = name::folded("");
        let mut names: Vec<String> = by_frame.values().cloned().collect();
        names.push(unknown.clone());
        names.extend(Kind::ALL.map(leaf));
        names.sort_unstable();
        names.dedup();
        let index = |name: &String| names.partition_point(|other| other < name) as u32;
        let indexes: HashMap<*const Frame, u32> = by_frame
            .iter()
            .map(|(&frame, name)| (frame, index(name)))
            .collect();
        let nameless = index(&unknown);

        let mut merged: BTreeMap<Box<[u32]>, W> = BTreeMap::new();
        for (frames, kind, weight) in stacks {
            let mut key: Box<[u32]> = frames
                .iter()
                .rev()
                .map(|frame| indexes[&Arc::as_ptr(frame)])
                .chain(kind.map(|kind| index(&leaf(kind))))
                .collect();
            if frames.is_empty() {
                key = std::iter::once(nameless).chain(key).collect();
            }
            *merged.entry(key).or_default() += weight;
        }
        Self {
            names,
            stacks: merged,
        }
    }

    /// The lines with other weights, without those that weigh nothing then.
    pub fn weighed(&self, weight: impl Fn(W) -> u64) -> Lines {
        let stacks = self.stacks.iter();
        let weighed = stacks.map(|(frames, &it)| (frames.clone(), weight(it)));
        Lines {
            names: self.names.clone(),
            stacks: weighed.filter(|&(_, weight)| weight > 0).collect(),
        }
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.stacks.is_empty()
    }

    /// Each line, without the newline, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = String>
    where
        W: Display,
    {
        self.stacks.iter().map(|(frames, weight)| {
            let mut line = String::new();
            for (i, &frame) in frames.iter().enumerate() {
                if i > 0 {
                    line.push(';');
                }
                line.push_str(&self.names[frame as usize]);
            }
            line.push(' ');
            line.push_str(&weight.to_string());
            line
        })
    }

    /// The lines with all that is below a frame narrower than `least`, and that frame, cut off.
    /// Its weight goes to its caller: no sum changes. Outermost frames stay. `width`: what of a weight counts.
    pub fn pruned(self, least: u64, width: impl Fn(W) -> u64) -> Self {
        let stacks: Vec<_> = self.stacks.into_iter().collect();
        let mut kept: BTreeMap<Box<[u32]>, W> = BTreeMap::new();
        // ranges of stacks that are the same down to this depth: being sorted, they are neighbours
        let mut work = vec![(0..stacks.len(), 0)];
        while let Some((range, depth)) = work.pop() {
            let mut rest = &stacks[range.clone()];
            let mut start = range.start;
            while let Some((frames, _)) = rest.first() {
                let frame = frames.get(depth);
                let same = rest.partition_point(|(other, _)| other.get(depth) <= frame);
                let weight = sum(&rest[..same]);
                if frame.is_some() && (depth == 0 || width(weight) >= least) {
                    work.push((start..start + same, depth + 1));
                } else {
                    *kept.entry(frames[..depth].into()).or_default() += weight;
                }
                start += same;
                rest = &rest[same..];
            }
        }
        Self {
            names: self.names,
            stacks: kept,
        }
    }

    /// Every frame of a graph that is drawn of these lines in order, with the sum of all stacks through it: by
    /// its depth (0: all of them) and by how wide is what is left of it. Frames without a width are none.
    pub fn drawn(&self, width: impl Fn(W) -> u64) -> HashMap<(usize, u64), W> {
        let stacks: Vec<_> = self
            .stacks
            .iter()
            .map(|(it, &weight)| (it, weight))
            .collect();
        let mut drawn = HashMap::new();
        let all = sum(&stacks);
        if width(all) > 0 {
            drawn.insert((0, 0), all);
        }
        let mut work = vec![(&stacks[..], 0, 0)];
        while let Some((mut rest, depth, mut left)) = work.pop() {
            while let Some((frames, _)) = rest.first() {
                let frame = frames.get(depth);
                let same = rest.partition_point(|(other, _)| other.get(depth) <= frame);
                let weight = sum(&rest[..same]);
                if frame.is_some() && width(weight) > 0 {
                    drawn.insert((depth + 1, left), weight);
                    work.push((&rest[..same], depth + 1, left));
                }
                left += width(weight);
                rest = &rest[same..];
            }
        }
        drawn
    }
}

fn sum<K, W: Copy + Default + AddAssign>(stacks: &[(K, W)]) -> W {
    let mut sum = W::default();
    for &(_, weight) in stacks {
        sum += weight;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::sample;

    fn lines(stacks: &[(u64, &[&str])]) -> Lines {
        let mut profile = sample::empty();
        let stacks = stacks.iter();
        profile.stacks = stacks
            .map(|(bytes, names)| sample::stack(*bytes, 1, names))
            .collect();
        Lines::of(&profile, Weigh::Bytes)
    }

    fn pruned(lines: Lines, least: u64) -> Vec<String> {
        let total = lines.total();
        let pruned = lines.pruned(least, |weight| weight);
        assert_eq!(pruned.total(), total);
        pruned.iter().collect()
    }

    #[test]
    fn what_is_pruned_weighs_on_its_caller() {
        let stacks: [(u64, &[&str]); 7] = [
            (100, &["malloc", "a", "main"]),
            (9, &["malloc", "b", "main"]),
            (1, &["calloc", "b", "main"]),
            (6, &["malloc", "x", "c", "main"]),
            (3, &["malloc", "y", "c", "main"]),
            (5, &["main"]),
            (2, &["malloc", "start"]),
        ];
        assert_eq!(
            pruned(lines(&stacks), 10),
            ["main 14", "main;a;malloc 100", "main;b 10", "start 2"]
        );
        assert_eq!(pruned(lines(&stacks), 0).len(), stacks.len());
        assert_eq!(pruned(lines(&stacks), u64::MAX), ["main 124", "start 2"]);
        assert!(pruned(lines(&[]), 10).is_empty());
    }

    #[test]
    fn neighbours_are_frames_and_not_characters() {
        let stacks: [(u64, &[&str]); 3] =
            [(1, &["foo"]), (2, &["x", "foo(int)"]), (3, &["y", "foo"])];
        let lines: Vec<_> = lines(&stacks).iter().collect();
        assert_eq!(lines, ["foo 1", "foo;y 3", "foo(int);x 2"]);
    }
}
