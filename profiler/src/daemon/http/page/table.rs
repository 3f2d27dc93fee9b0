//! The table of the largest stacks: the rows of the text report, as HTML.

use maud::{Markup, html};

use crate::profile::{Profile, Weight};
use crate::write::text::{self, Row, Shown};
use crate::write::{Weigh, human};

/// The largest rows, and what the rest weighs.
pub struct Table {
    rows: Vec<Row>,
    all: Weight,
    rest: Weight,
    /// Rows in the rest.
    more: usize,
}

impl Table {
    /// The `most` largest rows of a profile.
    pub fn of(profile: &Profile, weigh: Weigh, most: usize) -> Self {
        let mut rows = text::rows(&profile.stacks, weigh);
        let sum = |rows: &[Row]| {
            rows.iter().fold(Weight::default(), |mut sum, row| {
                sum += row.weight;
                sum
            })
        };
        let all = sum(&rows);
        let rest = rows.split_off(most.min(rows.len()));
        Self {
            rows,
            all,
            rest: sum(&rest),
            more: rest.len(),
        }
    }

    /// As HTML.
    pub fn markup(&self, view: &str) -> Markup {
        let unit = if view == "pages" { "Pages" } else { "Blocks" };
        let share = |weight: Weight| human::share(weight.bytes, self.all.bytes);
        html! {
            @if self.rows.is_empty() {
                p.empty { "Nothing was unfreed when this recording ended." }
            } @else {
                div.scroll {
                    table #top-stacks {
                        caption.hidden { "The largest stacks, innermost function first" }
                        thead {
                            tr {
                                th.number scope="col" { "Bytes" }
                                th.number scope="col" { (unit) }
                                th.number scope="col" { "Share" }
                                th scope="col" { "Called by, innermost first" }
                            }
                        }
                        tbody {
                            @for row in &self.rows {
                                tr {
                                    td.number { (human::bytes(row.weight.bytes)) }
                                    td.number { (human::count(row.weight.count)) }
                                    td.number { (share(row.weight)) }
                                    td.stack { (frames(&row.frames)) }
                                }
                            }
                            @if self.more > 0 {
                                tr.rest {
                                    td.number { (human::bytes(self.rest.bytes)) }
                                    td.number { (human::count(self.rest.count)) }
                                    td.number { (share(self.rest)) }
                                    td { (human::counted(self.more as u64, "more row")) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The frames of a row; they are clean already.
pub fn frames(frames: &[Shown]) -> Markup {
    html! {
        @if frames.is_empty() { code { "[unknown]" } }
        @for (index, frame) in frames.iter().enumerate() {
            @if index > 0 { span.by { " ‹ " } }
            code { (frame.name) }
            @if !frame.place.is_empty() { span.place { (frame.place) } }
        }
    }
}
