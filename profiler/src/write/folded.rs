//! Folded stacks: one line a stack, root first, `;` between frames, a space, a whole number.
//! What flamegraph.pl, inferno and speedscope read; see [`super::name::folded`] for what is replaced in
//! names. Stacks whose names are the same make one line. Lines are sorted frame by frame.
//!
//! A stack that weighs nothing (of `malloc(0)`, by bytes) has no line: the readers of this format
//! drop it or stumble over it. By count it has one. No stack, no line: an empty profile is an
//! empty file.

use std::io::Write;

use crate::profile::Profile;

use super::lines::Lines;
use super::{Options, Writer};

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
        for line in Lines::of(profile, options.weight).iter() {
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Stack, Walk, Weight};
    use crate::write::{Weigh, name, sample};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

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
            taken: None,
            unfreed: None,
            frames: names.iter().map(|name| sample::named(name)).collect(),
            walk: Walk::default(),
            kind: None,
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
