//! The page of a comparison.

use maud::{Markup, html};

use crate::profile::{Diff, Weight};
use crate::write::human;
use crate::write::text::{self, Shown};

use super::super::diff::Pair;
use super::super::formats;
use super::figures::{self, clean};
use super::recording::frame;
use super::{document, list, table};

/// Rows of each of the two tables.
const ROWS: usize = 30;

/// What the page takes from the comparison.
pub struct Content {
    grew: Vec<Row>,
    shrank: Vec<Row>,
    before: Weight,
    after: Weight,
    deepest: usize,
}

/// A stack of both recordings.
struct Row {
    before: u64,
    after: u64,
    frames: Vec<Shown>,
}

impl Content {
    /// Of this comparison.
    pub fn of(diff: &Diff) -> Self {
        let mut content = Self {
            grew: Vec::new(),
            shrank: Vec::new(),
            before: diff.before.total,
            after: diff.after.total,
            deepest: 0,
        };
        // largest change first
        for stack in &diff.stacks {
            content.deepest = content.deepest.max(stack.frames.len());
            let rows = match stack.after.bytes.cmp(&stack.before.bytes) {
                std::cmp::Ordering::Greater => &mut content.grew,
                std::cmp::Ordering::Less => &mut content.shrank,
                std::cmp::Ordering::Equal => continue,
            };
            if rows.len() < ROWS {
                rows.push(Row {
                    before: stack.before.bytes,
                    after: stack.after.bytes,
                    frames: text::shown(&stack.frames),
                });
            }
        }
        content
    }
}

/// The page.
pub fn page(pair: &Pair, content: &Content) -> Markup {
    let Pair { before, after, .. } = pair;
    let query = format!("before={}&after={}", before.id, after.id);
    let svg = format!("/api/v1/diff?{query}&format=svg");
    let body = html! {
        h1 { "What changed: " (clean(&after.view)) " of " (clean(&after.comm)) }
        div.scroll {
            table #compared {
                thead {
                    tr {
                        th scope="col" {} th scope="col" { "Recorded" } th scope="col" { "Target" }
                        th scope="col" { "Process" } th.number scope="col" { "Length" }
                        th.number scope="col" { "Unfreed" } th scope="col" { "Ended" }
                    }
                }
                tbody {
                    @for (role, entry) in [("Before", before), ("After", after)] {
                        tr {
                            th scope="row" { (role) }
                            td { a href={ "/recordings/" (entry.id) } { (figures::time(entry.started_at)) } }
                            td { (clean(&entry.target)) }
                            td { (clean(&entry.comm)) " " span.pid { (entry.pid) } }
                            td.number { (list::length(entry.duration_seconds)) }
                            td.number { (human::bytes(entry.unfreed.bytes)) }
                            td { (figures::how(&entry.how)) }
                        }
                    }
                }
            }
        }
        p #change { "In stacks: " (human::bytes(content.before.bytes)) " before, " (human::bytes(content.after.bytes))
            " after: " (change(content.before.bytes, content.after.bytes)) "." }
        @if (before.duration_seconds - after.duration_seconds).abs() > 0.1 * after.duration_seconds {
            p.hint { "The two were recorded for different times; nothing is scaled to make up for that." }
        }
        section #graph aria-labelledby="graph-heading" {
            h2 #graph-heading { "Differential flame graph" }
            p.hint {
                span.grew { "Red" } " grew, " span.shrank { "blue" } " shrank. As wide as "
                a href=(svg) target="flame" { "after" } ", where what is gone has no width, or "
                a href={ (svg) "-before" } target="flame" { "before" } ", where what is new has none. "
                a href=(svg) target="_blank" rel="noopener" { "Open alone" }
            }
            (frame(&svg, content.deepest))
        }
        section #stacks aria-labelledby="stacks-heading" {
            h2 #stacks-heading { "Stacks that grew" }
            (rows("grew", &content.grew))
            h2 { "Stacks that shrank" }
            (rows("shrank", &content.shrank))
        }
        section #downloads aria-labelledby="downloads-heading" {
            h2 #downloads-heading { "Downloads" }
            ul.inline {
                @for name in formats::diff_names() {
                    li { a href={ "/api/v1/diff?" (query) "&format=" (name) } download { (name) } }
                }
                li { a href={ "/api/v1/recordings/" (before.id) "/" (formats::PPROF) } { "pprof of before" } }
                li { a href={ "/api/v1/recordings/" (after.id) "/" (formats::PPROF) } { "pprof of after" } }
            }
        }
    };
    document(
        &format!("Change of {} of {}", after.view, after.comm),
        &body,
    )
}

fn rows(id: &str, rows: &[Row]) -> Markup {
    html! {
        @if rows.is_empty() {
            p.empty { "None." }
        } @else {
            div.scroll {
                table id=(id) {
                    thead {
                        tr {
                            th.number scope="col" { "Change" }
                            th.number scope="col" { "Before" }
                            th.number scope="col" { "After" }
                            th scope="col" { "Called by, innermost first" }
                        }
                    }
                    tbody {
                        @for row in rows {
                            tr {
                                td.number { (change(row.before, row.after)) }
                                td.number { (human::bytes(row.before)) }
                                td.number { (human::bytes(row.after)) }
                                td.stack { (table::frames(&row.frames)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A change with its sign.
fn change(before: u64, after: u64) -> Markup {
    html! {
        @if after > before { span.grew { "+" (human::bytes(after - before)) } }
        @else if after < before { span.shrank { "\u{2212}" (human::bytes(before - after)) } }
        @else { "no change" }
    }
}
