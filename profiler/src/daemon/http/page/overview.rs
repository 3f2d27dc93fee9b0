//! The first page: how the targets are, and what has been recorded.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::daemon::entry::Entry;
use crate::daemon::status::{Health, Status, Target};
use crate::profile::View;
use crate::write::human;

use super::super::api::Filter;
use super::figures::{self, clean};
use super::{document, list, process};

/// Processes of a target that are shown.
const MOST_PROCESSES: usize = 20;

/// Triggers of a target that are shown.
const MOST_FIRED: usize = 5;

/// What of the recordings is listed.
pub struct Listed {
    /// As asked for.
    pub filter: Filter,
    /// Newest first.
    pub entries: Vec<Entry>,
    /// Whether older ones pass the filter too.
    pub more: bool,
}

/// The page.
pub fn page(status: &Status, listed: &Listed) -> Markup {
    let Status { targets, health } = status;
    let body = html! {
        h1.hidden { "Targets and recordings" }
        (problems(health))
        section #targets aria-labelledby="targets-heading" {
            h2 #targets-heading { "Targets" }
            @if targets.is_empty() {
                p.empty {
                    "No target is configured. Add one to the configuration (" code { "/etc/unfreed/config.toml" }
                    "; the sample there explains every key), then run " code { "systemctl reload unfreed" } "."
                }
            }
            @for (index, one) in targets.iter().enumerate() { (target(index, one)) }
        }
        section #recordings aria-labelledby="recordings-heading" {
            h2 #recordings-heading {
                "Recordings"
                span.count {
                    (human::counted(health.recordings, "recording")) " stored, " (human::bytes(health.stored_bytes))
                }
            }
            (filters(targets, &listed.filter))
            @if listed.entries.is_empty() {
                p.empty {
                    "No recording is here. One appears when a target's window or trigger comes, or at once with "
                    "“Record now” above; with a filter set, clear it."
                }
            } @else {
                (list::list(&listed.entries, Timestamp::now()))
                @if let (true, Some(last)) = (listed.more, listed.entries.last()) {
                    p { a #older href=(older(&listed.filter, last)) { "Older recordings" } }
                }
            }
        }
    };
    document("Targets and recordings", &body)
}

/// What is wrong with the daemon itself, if anything.
fn problems(health: &Health) -> Markup {
    let Health {
        store_problem,
        recordings: _,
        stored_bytes: _,
        failed,
        not_stored,
        events_lost,
    } = health;
    let counts = [
        (
            *failed,
            "recording",
            "failed since the start; the log says why",
        ),
        (
            *not_stored,
            "recording",
            "not stored for want of room on the disk",
        ),
        (
            *events_lost,
            "event",
            "of processes not seen in time; processes were looked for instead",
        ),
    ];
    html! {
        @if let Some(problem) = store_problem {
            p #store-problem.problem role="alert" { strong { "Recordings cannot be stored: " } (clean(problem)) }
        }
        @if counts.iter().any(|(count, ..)| *count > 0) {
            ul #health {
                @for (count, noun, what) in counts {
                    @if count > 0 { li { (human::counted(count, noun)) " " (what) } }
                }
            }
        }
    }
}

fn target(index: usize, target: &Target) -> Markup {
    let Target {
        name,
        processes,
        fired,
    } = target;
    let heading = format!("target-{index}");
    html! {
        article.target data-name=(name) aria-labelledby=(heading) {
            h2 id=(heading) {
                (clean(name))
                span.count { (human::counted(processes.len() as u64, "process").replace("processs", "processes")) }
            }
            @if processes.is_empty() {
                p.empty { "No process matches at the moment; one is recorded as soon as it starts." }
            }
            @for one in processes.iter().take(MOST_PROCESSES) { (process::process(target, one)) }
            @if processes.len() > MOST_PROCESSES {
                p.empty {
                    "and " (human::count((processes.len() - MOST_PROCESSES) as u64)) " more: "
                    a href="/api/v1/targets" { "all of them as JSON" }
                }
            }
            @if !fired.is_empty() {
                h3 { "Triggers that fired" }
                ol.fired {
                    @for one in fired.iter().rev().take(MOST_FIRED) {
                        li { (figures::time(one.at)) ": " (clean(&one.trigger)) span.pid { " pid " (one.pid) } }
                    }
                }
            }
        }
    }
}

/// The form that narrows the list.
fn filters(targets: &[Target], filter: &Filter) -> Markup {
    let chosen = |value: &Option<String>, name: &str| value.as_deref() == Some(name);
    html! {
        form #filter method="get" action="/" {
            label for="filter-target" { "Target" }
            select #filter-target name="target" {
                option value="" { "all" }
                @for target in targets {
                    option value=(target.name) selected[chosen(&filter.target, &target.name)] { (clean(&target.name)) }
                }
            }
            label for="filter-view" { "View" }
            select #filter-view name="view" {
                option value="" { "all" }
                @for view in View::ALL {
                    option value=(view.name()) selected[chosen(&filter.view, view.name())] { (view.name()) }
                }
            }
            button type="submit" { "Show" }
        }
    }
}

/// The address of the next part of the list.
fn older(filter: &Filter, last: &Entry) -> String {
    let mut address = format!("/?before={}", last.id);
    let fields = [
        ("target", filter.target.clone()),
        ("view", filter.view.clone()),
        ("pid", filter.pid.map(|pid| pid.to_string())),
        ("limit", filter.limit.map(|limit| limit.to_string())),
    ];
    for (name, value) in fields {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            address.extend(["&", name, "=", &percent_encoded(&value)]);
        }
    }
    address + "#recordings"
}

/// As a value behind an address's `?`.
fn percent_encoded(value: &str) -> String {
    let digit = |half: u8| char::from(b"0123456789ABCDEF"[usize::from(half)]);
    value.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
        out
    })
}
