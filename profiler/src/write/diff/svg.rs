//! Differential flame graphs: what grew is red, what shrank is blue, the stronger the more; what did not change
//! is grey. A frame's colour is of all stacks through it.
//!
//! There are two. In the one (`.svg`) frames are as wide as they are after; what is gone has no width there,
//! and its sum is told above the graph. In the other (`.before.svg`) they are as wide as they were before, and
//! what is gone is to be seen, in the strongest blue; what is new has no width.
//!
//! inferno draws the graph of the one recording, and we colour it: inferno's own differentials colour the
//! innermost frames only, which here are the allocator's.

use std::io::Write;

use anyhow::Context as _;
use inferno::flamegraph;

use super::pair::{Pair, lines};
use super::sentences::{amount, doubts, process, side, signed, total};
use crate::profile::Diff;
use crate::write::paint::paint;
use crate::write::svg::{NARROWEST, comment, fit, nothing};
use crate::write::{Options, Weigh, Writer, human, name, summary};

/// The format.
pub struct Svg {
    after: bool,
}

impl Svg {
    /// As wide as after.
    pub const AFTER: Self = Self { after: true };
    /// As wide as before.
    pub const BEFORE: Self = Self { after: false };

    fn width(&self, pair: Pair) -> u64 {
        if self.after { pair.after } else { pair.before }
    }

    /// The two lines above the graph. `unseen`: what has no width in it.
    fn titles(&self, diff: &Diff, options: &Options, unseen: u64) -> (String, String) {
        let weigh = options.weight;
        let total = total(diff, weigh);
        let facts = format!(
            "{}: {}, {}, {} before, {} after ({})",
            process(&diff.after),
            diff.view.name(),
            diff.mode.name(),
            amount(total.before, weigh),
            amount(total.after, weigh),
            signed(total, weigh),
        );
        let (wide, other, without) = if self.after {
            ("after", "before", "gone")
        } else {
            ("before", "after", "new")
        };
        let mut below = vec![format!("red grew, blue shrank, as wide as {wide}")];
        if unseen > 0 {
            let unseen = amount(unseen, weigh);
            below.push(format!(
                "{without}, so without width here: {unseen} (see the graph as wide as {other})"
            ));
        }
        let title = match &options.title {
            Some(title) => {
                below.insert(0, facts);
                name::clean(title).into_owned()
            }
            None => facts,
        };
        let doubts = doubts(diff);
        if let Some(first) = doubts.first() {
            let number = human::counted(doubts.len() as u64, "warning");
            below.push(format!("{number}: {first}"));
        }
        let mut subtitle = below.join("; ");
        fit(&mut subtitle);
        (title, subtitle)
    }
}

impl Writer<Diff> for Svg {
    fn name(&self) -> &'static str {
        if self.after { "svg" } else { "svg-before" }
    }

    fn extension(&self) -> &'static str {
        if self.after { "svg" } else { "before.svg" }
    }

    fn write(&self, diff: &Diff, options: &Options, out: &mut dyn Write) -> anyhow::Result<()> {
        let lines = lines(diff, options.weight);
        let unseen = lines.weighed(|pair| match self.width(pair) {
            0 => pair.change(),
            _ => 0,
        });
        let (title, subtitle) = self.titles(diff, options, unseen.total());
        let mut sentences = vec![
            format!("before: {}", side(diff, &diff.before)),
            format!("after: {}", side(diff, &diff.after)),
        ];
        sentences.extend(doubts(diff));
        let notes = comment(&sentences);
        let all = lines.weighed(|pair| self.width(pair)).total();
        if all == 0 {
            let text = if self.after {
                "nothing is there after"
            } else {
                "nothing was there before"
            };
            return nothing(text, &notes, &title, &subtitle, out);
        }
        let mut graph = flamegraph::Options::default();
        graph.title = title;
        graph.subtitle = Some(subtitle);
        graph.notes = notes;
        graph.deterministic = true;
        graph.count_name = match options.weight {
            Weigh::Bytes => "bytes".to_owned(),
            Weigh::Count => format!("{}s", summary::noun(diff.view)),
        };
        // As for the graph of a recording: the order is ours, and what nobody can see is cut off before.
        graph.flame_chart = true;
        graph.min_width = NARROWEST;
        let least = (all as f64 * NARROWEST / 100.0) as u64;
        let lines = lines.pruned(least, |pair| self.width(pair));
        let drawn = lines.drawn(|pair| self.width(pair));
        let wide: Vec<String> = lines
            .weighed(|pair| self.width(pair))
            .iter()
            .rev()
            .collect();
        let mut plain = Vec::new();
        flamegraph::from_lines(&mut graph, wide.iter().map(String::as_str), &mut plain)?;
        let plain = String::from_utf8(plain).context("the flame graph is not text")?;

        let most = drawn.values().map(|pair| pair.change()).max().unwrap_or(0);
        let painted = paint(&plain, |depth, left| {
            let pair = *drawn.get(&(depth, left))?;
            let other = if self.after {
                format!("{} before", human::count(pair.before))
            } else {
                format!("{} after", human::count(pair.after))
            };
            let change = format!("{}{}", pair.sign(), human::count(pair.change()));
            Some((colour(pair, most), format!("{change}, {other}")))
        })?;
        writeln!(out, "{painted}")?;
        Ok(())
    }
}

/// Grey where nothing changed; the more something did, the less there is of the other colours. The root of the
/// share, so that changes far below the largest can still be told from none.
fn colour(pair: Pair, most: u64) -> String {
    if pair.change() == 0 {
        return "rgb(200,200,200)".to_owned();
    }
    let share = pair.change() as f64 / most.max(1) as f64;
    let rest = (205.0 - 115.0 * share.sqrt()) as u8;
    if pair.grew() {
        format!("rgb(255,{rest},{rest})")
    } else {
        format!("rgb({rest},{rest},255)")
    }
}

#[cfg(test)]
mod tests;
