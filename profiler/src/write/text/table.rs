//! The table of the largest stacks.

use std::io::{self, Write};

use super::super::{Options, human, sum, summary};
use super::{WIDTH, rows, wrap_frames};
use crate::profile::{Bounds, Profile, Weight};

/// What is before the frames in a line.
struct Columns<'a> {
    options: &'a Options,
    /// Of all stacks.
    all: Weight,
    /// Between which numbers is unfreed, where that can be said by stack: then each row says how many at least.
    bounds: Option<Bounds>,
}

impl Columns<'_> {
    fn headings(&self) -> Vec<String> {
        let at_least = self.bounds.map(|_| "at least");
        let headings = ["bytes", "count"].into_iter().chain(at_least);
        headings.chain(["share"]).map(str::to_owned).collect()
    }

    fn of(&self, weight: Weight) -> Vec<String> {
        let mut cells = vec![human::bytes(weight.bytes), human::count(weight.count)];
        cells.extend(self.at_least(weight).map(human::count));
        cells.push(self.share(weight));
        cells
    }

    fn at_least(&self, weight: Weight) -> Option<u64> {
        Some(self.bounds?.at_least_of(weight.count))
    }

    fn share(&self, weight: Weight) -> String {
        let weigh = self.options.weight;
        human::share(weigh.of(weight), weigh.of(self.all))
    }
}

/// The rows, largest first, and one line for those there is no room for.
pub fn write(profile: &Profile, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let columns = Columns {
        options,
        all: sum(&profile.stacks),
        bounds: profile.bounds_by_stack(),
    };
    let rows = rows(&profile.stacks, options.weight);
    let (shown, rest) = rows.split_at(options.top.min(rows.len()));

    let headings = columns.headings();
    let mut widths: Vec<usize> = headings.iter().map(String::len).collect();
    let mut cells = vec![headings];
    cells.extend(shown.iter().map(|row| columns.of(row.weight)));
    for cells in &cells {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = cell.len().max(*width);
        }
    }
    let left: usize = widths.iter().map(|width| width + 2).sum();

    let heading = vec!["called by, innermost first".to_owned()];
    let stacks = shown
        .iter()
        .map(|row| wrap_frames(&row.frames, WIDTH - left));
    for (cells, lines) in cells.iter().zip(std::iter::once(heading).chain(stacks)) {
        for (cell, width) in cells.iter().zip(&widths) {
            write!(out, "{cell:>width$}  ")?;
        }
        writeln!(out, "{}", lines.join(&format!("\n{:left$}", "")))?;
    }

    if !rest.is_empty() {
        let mut weight = Weight::default();
        for row in rest {
            weight += row.weight;
        }
        let at_least = columns.at_least(weight).map_or_else(String::new, |blocks| {
            format!(", at least {}", human::count(blocks))
        });
        writeln!(
            out,
            "and {}: {}{at_least} ({})",
            human::counted(rest.len() as u64, "more row"),
            summary::weight(weight, profile.view),
            columns.share(weight)
        )?;
    }
    Ok(())
}
