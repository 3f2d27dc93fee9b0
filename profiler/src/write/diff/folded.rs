//! Folded stacks with two numbers, before and after: what difffolded.pl makes of two folded files, and
//! flamegraph.pl and inferno read. As in [`crate::write`]'s folded stacks otherwise; a stack that is new has 0
//! before, one that is gone 0 after.

use std::io::Write;

use super::pair::lines;
use crate::profile::Diff;
use crate::write::{Options, Writer};

/// The format.
pub struct Folded;

impl Writer<Diff> for Folded {
    fn name(&self) -> &'static str {
        "folded"
    }

    fn extension(&self) -> &'static str {
        "folded"
    }

    fn write(&self, diff: &Diff, options: &Options, out: &mut dyn Write) -> anyhow::Result<()> {
        for line in lines(diff, options.weight).iter() {
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::Weigh;
    use crate::write::diff::sample;
    use inferno::differential;

    fn folded(diff: &Diff, weight: Weigh) -> String {
        let mut out = Vec::new();
        let options = Options {
            weight,
            ..Options::default()
        };
        Folded.write(diff, &options, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bytes() {
        insta::assert_snapshot!(folded(&sample::diff(), Weigh::Bytes));
    }

    #[test]
    fn count() {
        insta::assert_snapshot!(folded(&sample::diff(), Weigh::Count));
    }

    /// Another implementation of difffolded.pl, from the folded stacks of the recordings themselves.
    #[test]
    fn it_is_what_inferno_makes_of_two_folded_files() {
        let (before, after) = (sample::before(), sample::after());
        for weight in [Weigh::Bytes, Weigh::Count] {
            let lines = |profile| {
                let lines: Vec<_> = crate::write::lines::Lines::of(profile, weight)
                    .iter()
                    .collect();
                lines.join("\n")
            };
            let mut theirs = Vec::new();
            differential::from_readers(
                differential::Options::default(),
                lines(&before).as_bytes(),
                lines(&after).as_bytes(),
                &mut theirs,
            )
            .unwrap();
            // an address in no file is not told from another
            let theirs = String::from_utf8(theirs)
                .unwrap()
                .replace("[unknown]+0x7f00deadbeef", "[unknown]");
            let mut theirs: Vec<_> = theirs.lines().collect();
            let ours = folded(&sample::diff(), weight);
            let mut ours: Vec<_> = ours.lines().collect();
            theirs.sort_unstable();
            ours.sort_unstable();
            assert_eq!(ours, theirs);
        }
    }
}
