//! The page of a recording.

use maud::{Markup, html};

use crate::daemon::entry::{Entry, How};
use crate::profile::Profile;
use crate::write::human;
use crate::write::{Options, Weigh, reconciled, text};

use super::super::formats;
use super::figures::{self, clean};
use super::table::Table;
use super::{document, list};

/// Rows of the table.
const ROWS: usize = 50;

/// What the page takes from the recording itself.
pub struct Content {
    facts: Vec<(&'static str, String)>,
    warnings: Vec<String>,
    losses: Vec<(String, u64)>,
    reconciliation: Vec<String>,
    table: Table,
    deepest: usize,
}

impl Content {
    /// Of this profile.
    pub fn of(profile: &Profile) -> Self {
        let facts = text::header(profile, &Options::default());
        let elsewhere = |label: &str| ["warning", "losses", "process"].contains(&label);
        let losses = profile.losses.iter();
        let deepest = profile.stacks.iter().map(|stack| stack.frames.len()).max();
        Self {
            facts: facts
                .into_iter()
                .filter(|(label, _)| !elsewhere(label))
                .collect(),
            warnings: profile.warnings.iter().map(ToString::to_string).collect(),
            losses: losses
                .map(|(reason, lost)| (reason.clone(), *lost))
                .collect(),
            reconciliation: profile
                .reconciliation
                .as_ref()
                .map(reconciled::lines)
                .unwrap_or_default(),
            table: Table::of(profile, Weigh::Bytes, ROWS),
            deepest: deepest.unwrap_or(0),
        }
    }
}

/// The page of an entry among all that may be seen; `content` is an error's words where the recording cannot be
/// read.
pub fn page(entry: &Entry, all: &[Entry], content: Result<&Content, &String>) -> Markup {
    let title = format!("{} of {} ({})", entry.view, entry.comm, entry.pid);
    let id = &entry.id;
    let body = html! {
        h1 { span.view { (clean(&entry.view)) } " of " (clean(&entry.comm)) " " span.pid { "pid " (entry.pid) } }
        @if entry.how == How::OutOfMemory {
            p #oom.problem role="alert" {
                strong { "OOM-killed. " }
                "The kernel ended this process for want of memory; this is what was unfreed at that moment."
            }
        }
        (summary(entry))
        (views(entry, all))
        @match content {
            Err(words) => {
                p #problem.problem role="alert" {
                    "This recording cannot be shown: " (words) " Its files can still be fetched below."
                }
            }
            Ok(content) => { (shown(entry, content)) }
        }
        section #downloads aria-labelledby="downloads-heading" {
            h2 #downloads-heading { "Downloads" }
            ul.inline {
                @for name in formats::names() {
                    li {
                        a href={ "/api/v1/recordings/" (id) "/" (name) } download { (name) }
                    }
                }
                li { a href={ "/api/v1/recordings/" (id) } { "entry" } }
            }
        }
    };
    document(&title, &body)
}

fn summary(entry: &Entry) -> Markup {
    html! {
        dl #summary {
            div { dt { "Unfreed" } dd.number { (human::bytes(entry.unfreed.bytes)) " in " (human::count(entry.unfreed.count)) } }
            div { dt { "Lost" } dd.number.bad[entry.lost > 0] { (human::counted(entry.lost, "event")) } }
            div { dt { "Recorded" } dd { (figures::time(entry.started_at)) " for " (list::length(entry.duration_seconds)) } }
            div { dt { "Ended" } dd { (figures::how(&entry.how)) } }
            div { dt { "Why" } dd { (figures::why(&entry.why)) } }
            div { dt { "Target" } dd { (clean(&entry.target)) } }
            div { dt { "Program" } dd { code { (clean(&entry.exe)) } " of user " (entry.uid) } }
        }
    }
}

/// Tabs of the views that were recorded of the same process at the same time, and the way to the recording before.
fn views(entry: &Entry, all: &[Entry]) -> Markup {
    let mut tabs = vec![entry];
    for other in all {
        let new = tabs.iter().all(|tab| tab.view != other.view);
        if new && let Some(best) = beside(entry, &other.view, all) {
            tabs.push(best);
        }
    }
    tabs.sort_by(|one, other| one.view.cmp(&other.view));
    let before = all.iter().find(|other| {
        other.target == entry.target
            && other.view == entry.view
            && other.comm == entry.comm
            && other.id < entry.id
    });
    html! {
        nav #views.tabs aria-label="Views recorded at the same time" {
            @for tab in tabs {
                @let current = tab.id == entry.id;
                a href={ "/recordings/" (tab.id) } aria-current=[current.then_some("page")] {
                    (clean(&tab.view)) " " span.number { (human::bytes(tab.unfreed.bytes)) }
                }
            }
            @if let Some(before) = before {
                a #since-previous.aside href={ "/diff?before=" (before.id) "&after=" (entry.id) } {
                    "Compare with the one before"
                }
            }
        }
    }
}

/// Of this view and process, the recording that shares most of its time with `entry`, if any does.
fn beside<'a>(entry: &Entry, view: &str, all: &'a [Entry]) -> Option<&'a Entry> {
    let span = |entry: &Entry| {
        let begin = entry.started_at.as_millisecond() as f64 / 1000.0;
        (begin, begin + entry.duration_seconds)
    };
    let (begin, end) = span(entry);
    let shared = |other: &Entry| {
        let (from, to) = span(other);
        to.min(end) - from.max(begin)
    };
    all.iter()
        .filter(|other| other.pid == entry.pid && other.target == entry.target)
        .filter(|other| other.view == view && shared(other) > 0.0)
        .max_by(|one, other| shared(one).total_cmp(&shared(other)))
}

fn shown(entry: &Entry, content: &Content) -> Markup {
    let Content {
        facts,
        warnings,
        losses,
        reconciliation,
        table,
        deepest,
    } = content;
    let svg = format!("/api/v1/recordings/{}/svg", entry.id);
    html! {
        @if !warnings.is_empty() {
            section #warnings aria-labelledby="warnings-heading" {
                h2 #warnings-heading { "What is doubtful" }
                ul { @for warning in warnings { li { (clean(warning)) } } }
            }
        }
        section #graph aria-labelledby="graph-heading" {
            h2 #graph-heading { "Flame graph" }
            p.hint {
                "A click on a frame zooms; Ctrl-F searches. Width: "
                a href=(svg) target="flame" { "bytes" } ", "
                a href={ (svg) "?weight=count" } target="flame" { "count" } ". "
                a href=(svg) target="_blank" rel="noopener" { "Open alone" }
            }
            (frame(&svg, *deepest))
        }
        section #stacks aria-labelledby="stacks-heading" {
            h2 #stacks-heading { "Top stacks" }
            (table.markup(&entry.view))
        }
        div.columns {
            section #facts aria-labelledby="facts-heading" {
                h2 #facts-heading { "Account" }
                dl { @for (label, value) in facts { div { dt { (label) } dd { (value) } } } }
                @if !reconciliation.is_empty() {
                    h3 #reconciliation { "What RSS says" }
                    ul { @for line in reconciliation { li { (line) } } }
                }
            }
            section #losses aria-labelledby="losses-heading" {
                h2 #losses-heading { "Losses" }
                table {
                    thead { tr { th scope="col" { "Reason" } th.number scope="col" { "Events" } } }
                    tbody {
                        @for (reason, lost) in losses {
                            tr { th scope="row" { (clean(reason)) } td.number.bad[*lost > 0] { (human::count(*lost)) } }
                        }
                    }
                }
            }
        }
    }
}

/// A flame graph in a frame of its own, where it can run its script and reach nothing. As high as so deep a stack
/// may need, within bounds.
pub fn frame(address: &str, deepest: usize) -> Markup {
    let height = (deepest * 16 + 120).clamp(240, 900);
    html! {
        iframe #flame name="flame" src=(address) title="Flame graph" height=(height)
            sandbox="allow-scripts allow-modals" {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::stored;
    use super::*;

    #[test]
    fn the_other_view_is_the_one_of_the_same_time() {
        let heap = stored::entry("heap", 4711, 100);
        let mut early = stored::entry("pages", 4711, 85);
        let mut late = stored::entry("pages", 4711, 102);
        let stranger = stored::entry("pages", 4712, 100);
        early.duration_seconds = 16.0;
        late.duration_seconds = 10.0;
        let all = [heap.clone(), early.clone(), late.clone(), stranger];
        assert_eq!(
            beside(&heap, "pages", &all).map(|entry| &entry.id),
            Some(&late.id)
        );
        let tabs = views(&heap, &all).into_string();
        assert!(tabs.contains(late.id.as_str()) && !tabs.contains(early.id.as_str()));
        let gone = stored::entry("pages", 4711, 500);
        assert!(beside(&heap, "pages", &[heap.clone(), gone]).is_none());
    }

    #[test]
    fn one_that_cannot_be_read_keeps_its_downloads() {
        let entry = stored::entry("heap", 1, 0);
        let words = "<b>broken</b>".to_owned();
        let page = page(&entry, &[], Err(&words)).into_string();
        assert!(
            page.contains("&lt;b&gt;broken") && page.contains("/json\""),
            "{page}"
        );
        assert!(!page.contains("<iframe"));
    }
}
