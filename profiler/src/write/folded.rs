//! Folded stacks: one line a stack, root first, `;` between frames, a space, a whole number.
//! What flamegraph.pl, inferno and speedscope read; see [`name::folded`] for what is replaced in
//! names. Stacks whose names are the same make one line. Lines are sorted frame by frame.
//!
//! A stack that weighs nothing (of `malloc(0)`, by bytes) has no line: the readers of this format
//! drop it or stumble over it. By count it has one. No stack, no line: an empty profile is an
//! empty file.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::sync::Arc;

use crate::profile::{Frame, Profile};

use super::{Options, Weigh, Writer, name};

/// The format.
pub struct Folded;

impl Writer for Folded {
    fn name(&self) -> &'static str {
        "folded"
    }

    fn extension(&self) -> &'static str {
        "folded"
    }

    fn write(
        &self,
        profile: &Profile,
        options: &Options,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        Ok(Lines::of(profile, options.weight).write(out)?)
    }
}

/// The lines of a profile. Names are kept once: with 20,000 stacks of 60 C++ frames the lines
/// themselves are a hundred megabytes.
pub struct Lines {
    /// Different names, sorted.
    names: Vec<String>,
    /// Indexes into `names`, root first, and the weight, which is not 0.
    stacks: BTreeMap<Box<[u32]>, u64>,
}

impl Lines {
    /// Merges the stacks of `profile` that have the same names.
    pub fn of(profile: &Profile, weigh: Weigh) -> Self {
        let stacks = || {
            profile
                .stacks
                .iter()
                .filter(|stack| weigh.of(stack.weight) > 0)
        };

        // a frame is shared by many stacks: its name is made once
        let mut by_frame: HashMap<*const Frame, String> = HashMap::new();
        for frame in stacks().flat_map(|stack| &stack.frames) {
            by_frame
                .entry(Arc::as_ptr(frame))
                .or_insert_with(|| name::folded(&frame.label()));
        }
        let unknown = name::folded("");
        let mut names: Vec<String> = by_frame.values().cloned().collect();
        names.push(unknown.clone());
        names.sort_unstable();
        names.dedup();
        let index = |name: &String| names.partition_point(|other| other < name) as u32;
        let indexes: HashMap<*const Frame, u32> = by_frame
            .iter()
            .map(|(&frame, name)| (frame, index(name)))
            .collect();
        let nameless = index(&unknown);

        let mut merged: BTreeMap<Box<[u32]>, u64> = BTreeMap::new();
        for stack in stacks() {
            let mut key: Box<[u32]> = stack
                .frames
                .iter()
                .rev()
                .map(|frame| indexes[&Arc::as_ptr(frame)])
                .collect();
            if key.is_empty() {
                key = Box::new([nameless]);
            }
            *merged.entry(key).or_default() += weigh.of(stack.weight);
        }
        Self {
            names,
            stacks: merged,
        }
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.stacks.is_empty()
    }

    /// Each line, without the newline, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = String> {
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

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for line in self.iter() {
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Stack, Weight};
    use crate::write::sample;
    use proptest::prelude::*;

    fn folded(profile: &Profile, weight: Weigh) -> String {
        let mut out = Vec::new();
        let options = Options {
            weight,
            ..Options::default()
        };
        Folded.write(profile, &options, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bytes() {
        insta::assert_snapshot!(folded(&sample::profile(), Weigh::Bytes));
    }

    #[test]
    fn count() {
        insta::assert_snapshot!(folded(&sample::profile(), Weigh::Count));
    }

    #[test]
    fn an_empty_profile_is_an_empty_file() {
        assert_eq!(folded(&sample::empty(), Weigh::Bytes), "");
    }

    #[test]
    fn a_stack_without_frames_still_counts() {
        let mut profile = sample::empty();
        profile.stacks = vec![sample::stack(7, 1, &[])];
        assert_eq!(folded(&profile, Weigh::Bytes), "[unknown] 7\n");
    }

    #[test]
    fn order_does_not_depend_on_the_order_of_stacks() {
        let profile = sample::profile();
        let mut reversed = profile.clone();
        reversed.stacks.reverse();
        assert_eq!(
            folded(&profile, Weigh::Bytes),
            folded(&reversed, Weigh::Bytes)
        );
    }

    fn stacks() -> impl Strategy<Value = Vec<Stack>> {
        let nasty = prop_oneof![
            any::<String>(),
            "[a;# \\n\\t0-9.]{0,6}",
            "[a-z]+ [0-9]{1,3}",
        ];
        let stack = (
            0..1_u64 << 40,
            0..1_u64 << 20,
            prop::collection::vec(nasty, 0..6),
        );
        let stack = stack.prop_map(|(bytes, count, names)| Stack {
            weight: Weight { bytes, count },
            frames: names.iter().map(|name| sample::named(name)).collect(),
        });
        prop::collection::vec(stack, 0..20)
    }

    proptest! {
        #[test]
        fn lines_can_be_read_back(stacks in stacks(), by_count in any::<bool>()) {
            let weigh = if by_count { Weigh::Count } else { Weigh::Bytes };
            let mut profile = sample::empty();
            profile.stacks = stacks;
            let mut expected: BTreeMap<Vec<String>, u64> = BTreeMap::new();
            for stack in &profile.stacks {
                let mut frames: Vec<_> = stack.frames.iter().rev()
                    .map(|frame| name::folded(&frame.label())).collect();
                if frames.is_empty() {
                    frames.push("[unknown]".to_owned());
                }
                *expected.entry(frames).or_default() += weigh.of(stack.weight);
            }
            expected.retain(|_, weight| *weight > 0);

            let text = folded(&profile, weigh);
            let mut read = BTreeMap::new();
            for line in text.split_terminator('\n') {
                prop_assert_eq!(line.trim(), line);
                prop_assert!(!line.starts_with("# "));
                let (names, weight) = line.rsplit_once(' ').unwrap();
                // not a differential line with two numbers
                let before = names.rsplit_once(' ').map_or("x", |(_, last)| last);
                prop_assert!(before.parse::<f64>().is_err() || before.contains(char::is_alphabetic));
                let names: Vec<String> = names.split(';').map(str::to_owned).collect();
                prop_assert!(names.iter().all(|name| !name.is_empty()));
                let twice = read.insert(names, weight.parse::<u64>().unwrap());
                prop_assert_eq!(twice, None);
            }
            prop_assert_eq!(read, expected);

            let all: u64 = profile.stacks.iter().map(|stack| weigh.of(stack.weight)).sum();
            let lines: u64 = text.lines()
                .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum();
            prop_assert_eq!(lines, all);
        }
    }
}
