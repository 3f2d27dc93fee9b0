//! The list of recordings, with which two of them are chosen to be compared.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::daemon::entry::{Entry, How};
use crate::write::human;

use super::figures::{self, clean};

/// The table in its form. At least one entry.
pub fn list(entries: &[Entry], now: Timestamp) -> Markup {
    html! {
        form #compare method="get" action="/diff" {
            div.scroll {
                table.recordings {
                    caption.hidden { "Recordings, newest first" }
                    thead {
                        tr {
                            th scope="col" { "Before" }
                            th scope="col" { "After" }
                            th scope="col" { "Recorded" }
                            th scope="col" { "Target" }
                            th scope="col" { "Process" }
                            th scope="col" { "View" }
                            th.number scope="col" { "Unfreed" }
                            th.number scope="col" { "Lost" }
                            th.number scope="col" { "Length" }
                            th scope="col" { "Ended" }
                            th scope="col" { "Why" }
                        }
                    }
                    tbody { @for entry in entries { (row(entry, now)) } }
                }
            }
            div.actions {
                button #compare-button type="submit" { "Compare before with after" }
                button type="reset" { "Clear the choice" }
                span.hint { "Choose two recordings of one view: what grew between them is red, what shrank blue." }
            }
        }
    }
}

fn row(entry: &Entry, now: Timestamp) -> Markup {
    let Entry {
        id,
        target,
        pid,
        comm,
        exe: _,
        uid: _,
        view,
        started_at,
        duration_seconds,
        why,
        how,
        unfreed,
        lost,
        size: _,
    } = entry;
    let said = format!("{view} of {} at {started_at}", clean(comm));
    let radio = |name: &str| {
        html! {
            td.choice {
                input type="radio" name=(name) value=(id) data-view=(view) required
                    aria-label={ (name) ": " (said) };
            }
        }
    };
    html! {
        tr.recording.oom[*how == How::OutOfMemory] data-id=(id) data-view=(view) data-target=(target) {
            (radio("before"))
            (radio("after"))
            td {
                a.open href={ "/recordings/" (id) } { (figures::time(*started_at)) }
                " " span.ago { (figures::ago(*started_at, now)) }
            }
            td { (clean(target)) }
            td { (clean(comm)) " " span.pid { (pid) } }
            td { (clean(view)) }
            td.number { (human::bytes(unfreed.bytes)) }
            td.number.bad[*lost > 0] { (human::count(*lost)) }
            td.number { (length(*duration_seconds)) }
            td { (figures::how(how)) }
            td.why { (figures::why(why)) }
        }
    }
}

/// A recording's length. What is no length is told as it is.
pub fn length(seconds: f64) -> String {
    std::time::Duration::try_from_secs_f64(seconds)
        .map_or_else(|_| seconds.to_string(), human::duration)
}
