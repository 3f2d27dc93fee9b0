//! A process of a target on the page.

use maud::{Markup, html};

use crate::daemon::status::{Process, Running, Target};
use crate::profile::View;
use crate::write::human;

use super::chart::Chart;
use super::figures::{self, clean};

/// The process: its memory over time, and what is being recorded of it.
pub fn process(target: &Target, process: &Process) -> Markup {
    let Process {
        pid,
        comm,
        exe,
        uid,
        rss: _,
        vsz: _,
        growth,
        samples,
        recordings,
        problem,
    } = process;
    let rss: Vec<_> = samples
        .iter()
        .map(|sample| (sample.at, sample.rss))
        .collect();
    let vsz: Vec<_> = samples
        .iter()
        .map(|sample| (sample.at, sample.vsz))
        .collect();
    let fired = target.fired.iter().filter(|fired| fired.pid == *pid);
    let fired: Vec<_> = fired.map(|fired| fired.at).collect();
    let of = format!("{comm} ({pid})");
    let chart = |name, values| {
        Chart {
            name,
            of: &of,
            values,
            fired: &fired,
        }
        .draw()
    };
    let heading = format!("process-{pid}");
    html! {
        section.process data-pid=(pid) aria-labelledby=(heading) {
            h3 id=(heading) {
                span.comm { (clean(comm)) }
                span.pid { "pid " (pid) }
                @if let Some(growth) = *growth {
                    span.growth.up[growth > 0.0] { (figures::growth(growth)) }
                }
            }
            p.exe { code { (clean(exe)) } " of user " (uid) }
            @if let Some(problem) = problem {
                p.problem role="status" { "Nothing is recorded: " (clean(problem)) }
            }
            div.charts { (chart("RSS", rss.as_slice())) (chart("VSZ", vsz.as_slice())) }
            @if recordings.is_empty() {
                p.empty { "Nothing is being recorded." }
            } @else {
                (running(*pid, recordings.iter()))
            }
            (begin(*pid))
        }
    }
}

fn running<'a>(pid: u32, recordings: impl Iterator<Item = (&'a String, &'a Running)>) -> Markup {
    html! {
        table.running {
            caption { "Being recorded" }
            thead {
                tr {
                    th scope="col" { "View" }
                    th scope="col" { "Since" }
                    th scope="col" { "Why" }
                    th.number scope="col" { "Unfreed now" }
                    th.number scope="col" { "Observed" }
                    th.number scope="col" { "Overhead" }
                    th.number scope="col" { "Lost" }
                    th scope="col" { span.hidden { "Stop" } }
                }
            }
            tbody {
                @for (view, running) in recordings {
                    @let lost: u64 = running.losses.values().fold(0, |sum, lost| sum.saturating_add(*lost));
                    tr data-view=(view) {
                        th scope="row" { (clean(view)) }
                        td { (figures::time(running.since)) }
                        td { (figures::why(&running.why)) }
                        td.number { (human::bytes(running.unfreed.bytes)) }
                        td.number { (figures::percent(running.observed)) }
                        td.number {
                            @match running.overhead {
                                Some(overhead) => (figures::percent(overhead)),
                                None => span.none { "not bounded" },
                            }
                        }
                        td.number.bad[lost > 0] { (human::count(lost)) }
                        td {
                            form method="post" action="/stop" {
                                input type="hidden" name="pid" value=(pid);
                                input type="hidden" name="view" value=(view);
                                button.stop type="submit" aria-label={ "Stop recording " (clean(view)) " of process " (pid) " and keep it" } {
                                    "Stop and keep"
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The form that begins a recording.
fn begin(pid: u32) -> Markup {
    let (view, seconds) = (format!("view-{pid}"), format!("seconds-{pid}"));
    html! {
        form.record method="post" action="/record" {
            input type="hidden" name="pid" value=(pid);
            label for=(view) { "Record now" }
            select id=(view) name="view" {
                @for view in View::ALL {
                    option value=(view.name()) { (view.name()) }
                }
            }
            label for=(seconds) { "for" }
            input.seconds id=(seconds) name="seconds" type="number" min="1" max="86400" value="60" required;
            span { "seconds" }
            button type="submit" { "Start" }
        }
    }
}
