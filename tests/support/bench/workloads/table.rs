//! Results as Markdown.

use std::fmt::Write as _;

use anyhow::Result;

use super::rounds::{Cell, Results};
use super::targets::Workload;
use super::ways::Way;
use crate::numbers::Spread;

/// Times, then ratios to the untouched process.
pub fn tables(results: &Results) -> Result<String> {
    let with_time = |workload: Workload| format!("{}, {}", workload.unit().0, workload.unit().1);
    let mut text = table("time of one", with_time, |workload, way| {
        let (_, _, nanoseconds) = workload.unit();
        let time = times(results, workload, way)?;
        let time = Spread::of(time.iter().map(|(_, time)| time / nanoseconds))?;
        Some(format!("{time:.*}", digits(time.median)))
    })?;
    text += "\nIn units of the untouched process, round by round:\n\n";
    let alone = |workload: Workload| workload.unit().0.to_owned();
    text += &table("times as long", alone, |workload, way| {
        let ratio = ratio(results, workload, way).filter(|_| way != Way::Untouched)?;
        Some(format!("{ratio:.*}", digits(ratio.median)))
    })?;
    let mut added_by = String::new();
    for way in [Way::Heap, Way::Sample] {
        let added = added(results, way);
        if !added.is_empty() {
            added_by += &item(&format!("{}: {added}.", way.name()));
        }
    }
    if !added_by.is_empty() {
        text += "\nWhat recording adds, in units of what the empty probes add, round by round:\n\n";
        text += &added_by;
    }
    Ok(text)
}

/// A line of text for each way that has a cell without a number.
pub fn failures(results: &Results) -> String {
    let mut text = String::new();
    for way in Way::ALL {
        let failed = |workload| match results.cell(workload, way) {
            Cell::Failed(why) => Some((workload, why)),
            Cell::Measured(_) => None,
        };
        let all: Vec<_> = Workload::ALL.into_iter().filter_map(failed).collect();
        let Some((_, first)) = all.first() else {
            continue;
        };
        if all.len() == Workload::ALL.len() && all.iter().all(|(_, why)| why == first) {
            text += &failure(way.name(), first);
            continue;
        }
        for (workload, why) in all {
            let (unit, _, _) = workload.unit();
            text += &failure(&format!("{}, {unit}", way.name()), why);
        }
    }
    text
}

fn failure(what: &str, why: &str) -> String {
    item(&format!(
        "{what}: {}.",
        why.trim_end().trim_end_matches('.')
    ))
}

fn table(
    corner: &str,
    heading: impl Fn(Workload) -> String,
    cell: impl Fn(Workload, Way) -> Option<String>,
) -> Result<String> {
    let mut text = format!("| {corner} |");
    for workload in Workload::ALL {
        write!(text, " {} |", heading(workload))?;
    }
    text += "\n|---|";
    text += &"--:|".repeat(Workload::ALL.len());
    text.push('\n');
    for way in Way::ALL {
        let cells = Workload::ALL.map(|workload| cell(workload, way));
        // A tool that is not there has no row.
        if cells.iter().all(Option::is_none) {
            continue;
        }
        write!(text, "| {} |", way.name())?;
        for cell in cells {
            write!(text, " {} |", cell.unwrap_or_default())?;
        }
        text.push('\n');
    }
    Ok(text)
}

fn times(results: &Results, workload: Workload, way: Way) -> Option<&[(usize, f64)]> {
    match results.cell(workload, way) {
        Cell::Measured(times) if !times.is_empty() => Some(times),
        Cell::Measured(_) | Cell::Failed(_) => None,
    }
}

/// In units of the untouched process, round by round.
fn ratio(results: &Results, workload: Workload, way: Way) -> Option<Spread> {
    let alone = times(results, workload, Way::Untouched)?;
    let rounds = times(results, workload, way)?.iter();
    Spread::of(rounds.filter_map(|&(round, time)| Some(time / of_round(alone, round)?)))
}

/// What recording adds in units of what empty probes add, for each workload.
fn added(results: &Results, way: Way) -> String {
    let each = Workload::ALL.into_iter().filter_map(|workload| {
        let of = |way| times(results, workload, way);
        let (alone, floor) = (of(Way::Untouched)?, of(Way::Floor)?);
        let ratio = of(way)?.iter().filter_map(|&(round, time)| {
            let alone = of_round(alone, round)?;
            Some((time - alone) / (of_round(floor, round)? - alone))
        });
        let (unit, _, _) = workload.unit();
        Some(format!("{unit} {:.2}", Spread::of(ratio)?))
    });
    each.collect::<Vec<_>>().join(", ")
}

/// What was measured in a round.
fn of_round(times: &[(usize, f64)], round: usize) -> Option<f64> {
    let (_, time) = times.iter().find(|(number, _)| *number == round)?;
    Some(*time)
}

/// Three digits that mean something, as long as there are digits behind the point.
fn digits(number: f64) -> usize {
    match number {
        _ if number < 10.0 => 2,
        _ if number < 100.0 => 1,
        _ => 0,
    }
}

/// An item of a list, in lines of a length that can be read.
pub fn item(text: &str) -> String {
    const WIDTH: usize = 110;
    let mut lines = vec!["-".to_owned()];
    for word in text.split_whitespace() {
        let last = lines.last().map_or(0, |line| line.chars().count());
        match lines.last_mut() {
            Some(line) if last + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("  {word}")),
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything as given for the pairs, and nothing else.
    fn results(of: impl Fn(Way) -> Cell) -> Results {
        let not = || std::array::from_fn(|_| Cell::Failed("not found".to_owned()));
        let mut results = Results(std::array::from_fn(|_| not()));
        results.0[Workload::Pairs as usize] = Way::ALL.map(of);
        results
    }

    #[test]
    fn ratios_are_of_rounds() {
        let measured = |times: [f64; 3]| Cell::Measured(times.into_iter().enumerate().collect());
        let results = results(|way| match way {
            Way::Untouched => measured([10.0, 20.0, 10.0]),
            Way::Floor => measured([110.0, 120.0, 110.0]),
            Way::Heap => measured([210.0, 220.0, 160.0]),
            Way::Pages => Cell::Measured(vec![(1, 22.0)]),
            Way::Bpftrace => Cell::Failed("it ended.\nTwice".to_owned()),
            _ => Cell::Failed("not found".to_owned()),
        });
        let text = tables(&results).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2], "| untouched | 10.0 (10.0-20.0) |  |  |  |");
        assert_eq!(lines[3], "| empty probes | 110 (110-120) |  |  |  |");
        assert!(
            text.contains("| `unfreed heap` | 16.0 (11.0-21.0) |  |  |  |"),
            "{text}"
        );
        assert!(
            text.contains("- `unfreed heap`: malloc and free 2.00 (1.50-2.00).\n"),
            "{text}"
        );
        // Its round's, not the first one's.
        assert!(
            text.contains("| `unfreed pages` | 1.10 (1.10-1.10) |  |  |  |"),
            "{text}"
        );
        assert!(!text.contains("valgrind"), "{text}");

        let text = failures(&results);
        assert!(text.contains("- valgrind: not found.\n"), "{text}");
        assert!(
            text.contains("- bpftrace, malloc and free: it ended. Twice.\n"),
            "{text}"
        );
        assert!(
            text.contains("- `unfreed heap`, C++ object: not found.\n"),
            "{text}"
        );
    }

    #[test]
    fn items_are_lines_of_some_length() {
        assert_eq!(item("a  b\nc"), "- a b c\n");
        let words = ["word"; 50].join(" ");
        let text = item(&words);
        assert!(
            text.starts_with("- word") && text.contains("word\n  word"),
            "{text}"
        );
        assert!(text.lines().all(|line| line.len() <= 110), "{text}");
        assert_eq!(text.split_whitespace().count(), 51);
    }

    #[test]
    fn numbers_have_about_three_digits() {
        let shown = |number: f64| format!("{number:.*}", digits(number));
        assert_eq!(
            [1.234, 12.34, 123.4, 1234.0].map(shown),
            ["1.23", "12.3", "123", "1234"]
        );
    }
}
