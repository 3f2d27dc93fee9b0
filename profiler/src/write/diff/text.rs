//! A report of a comparison for a person: what was compared, the sums, and a table of the stacks that grew
//! most and one of those that shrank most. As wide as the report of a recording, and as plain.

use std::collections::HashMap;
use std::io::{self, Write};

use crate::profile::Diff;
use crate::write::text::{INDENT, Shown, WIDTH, shown, wrap_frames};
use crate::write::wrap::wrap;
use crate::write::{Options, Weigh, Writer, human, name};

use super::pair::Pair;
use super::sentences::{amount, doubts, side, signed, total};

/// The format.
pub struct Text;

impl Writer<Diff> for Text {
    fn name(&self) -> &'static str {
        "text"
    }

    fn extension(&self) -> &'static str {
        "txt"
    }

    fn write(&self, diff: &Diff, options: &Options, out: &mut dyn Write) -> anyhow::Result<()> {
        let rows = rows(diff, options.weight);
        for (label, value) in header(diff, options) {
            let words = value.split(' ').map(str::to_owned);
            for (i, line) in wrap(words, WIDTH - INDENT).iter().enumerate() {
                let label = if i == 0 { label } else { "" };
                writeln!(out, "{label:<INDENT$}{line}")?;
            }
        }
        let (grew, shrank): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.pair.grew());
        for (heading, rows) in [("grew", grew), ("shrank", shrank)] {
            writeln!(out)?;
            if rows.is_empty() {
                writeln!(out, "nothing {heading}")?;
            } else {
                table(heading, &rows, options, out)?;
            }
        }
        Ok(())
    }
}

/// Labels and values of the lines above the tables.
fn header(diff: &Diff, options: &Options) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(title) = &options.title {
        lines.push(("title", name::clean(title).into_owned()));
    }
    lines.push((
        "view",
        format!("{}, {}, compared", diff.view.name(), diff.mode.name()),
    ));
    lines.push(("before", side(diff, &diff.before)));
    lines.push(("after", side(diff, &diff.after)));
    let bytes = total(diff, Weigh::Bytes);
    let count = total(diff, Weigh::Count);
    lines.push((
        "change",
        format!(
            "{} ({} {}s)",
            signed(bytes, Weigh::Bytes),
            signed(count, Weigh::Count),
            crate::write::summary::noun(diff.view)
        ),
    ));
    lines.extend(doubts(diff).into_iter().map(|doubt| ("warning", doubt)));
    lines
}

/// The stacks that look the same in a table, and what they changed by together.
struct Row {
    pair: Pair,
    frames: Vec<Shown>,
}

/// Those that changed, most changed first.
fn rows(diff: &Diff, weigh: Weigh) -> Vec<Row> {
    let mut merged: HashMap<Vec<Shown>, Pair> = HashMap::new();
    for change in &diff.stacks {
        *merged.entry(shown(&change.frames)).or_default() += Pair::of(change, weigh);
    }
    let rows = merged.into_iter().filter(|(_, pair)| pair.change() > 0);
    let mut rows: Vec<_> = rows.map(|(frames, pair)| Row { pair, frames }).collect();
    rows.sort_unstable_by(|a, b| {
        let order = b.pair.change().cmp(&a.pair.change());
        order.then_with(|| a.frames.cmp(&b.frames))
    });
    rows
}

/// As many rows as are asked for, and one line for the others.
fn table(heading: &str, rows: &[&Row], options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let weigh = options.weight;
    let (shown, rest) = rows.split_at(options.top.min(rows.len()));
    let mut cells = vec![[heading, "before", "after"].map(str::to_owned)];
    cells.extend(shown.iter().map(|row| {
        [
            signed(row.pair, weigh),
            amount(row.pair.before, weigh),
            amount(row.pair.after, weigh),
        ]
    }));
    let widths: [usize; 3] =
        std::array::from_fn(|i| cells.iter().map(|cells| cells[i].len()).max().unwrap_or(0));
    let left: usize = widths.iter().map(|width| width + 2).sum();

    let first = vec!["called by, innermost first".to_owned()];
    let stacks = shown
        .iter()
        .map(|row| wrap_frames(&row.frames, WIDTH - left));
    for (cells, lines) in cells.iter().zip(std::iter::once(first).chain(stacks)) {
        for (cell, width) in cells.iter().zip(widths) {
            write!(out, "{cell:>width$}  ")?;
        }
        writeln!(out, "{}", lines.join(&format!("\n{:left$}", "")))?;
    }
    if !rest.is_empty() {
        let mut pair = Pair::default();
        for row in rest {
            pair += row.pair;
        }
        let more = human::counted(rest.len() as u64, "more row");
        writeln!(out, "and {more}: {}", signed(pair, weigh))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::diff::sample;
    use crate::write::wrap::columns;

    fn text(diff: &Diff, options: &Options) -> String {
        let mut out = Vec::new();
        Text.write(diff, options, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bytes() {
        insta::assert_snapshot!(text(&sample::diff(), &Options::default()));
    }

    #[test]
    fn one_row_by_count() {
        let options = Options {
            weight: Weigh::Count,
            top: 1,
            title: Some("a day\u{1b}[31m later".to_owned()),
        };
        insta::assert_snapshot!(text(&sample::diff(), &options));
    }

    #[test]
    fn a_recording_and_itself() {
        let before = sample::before();
        let text = text(&Diff::of(&before, &before).unwrap(), &Options::default());
        assert!(text.contains("\nchange      0 B (0 blocks)\n"), "{text}");
        assert!(
            text.ends_with("\n\nnothing grew\n\nnothing shrank\n"),
            "{text}"
        );
    }

    #[test]
    fn never_wider_than_the_report_of_a_recording() {
        let widest = text(&sample::diff(), &Options::default());
        assert!(
            widest.lines().all(|line| columns(line) <= WIDTH),
            "{widest}"
        );
    }
}
