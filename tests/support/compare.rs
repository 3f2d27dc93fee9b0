//! A ledger against a recording.

use std::collections::BTreeSet;
use std::fmt;

use crate::ledger::{Ledger, Weight};
use crate::report::{REFUSED, Report};

/// A number that is not what it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A call site's weight.
    Site {
        /// Its function.
        site: String,
        /// What the program's ledger says.
        expected: Weight,
        /// What unfreed says.
        got: Weight,
    },
    /// A loss that is not zero.
    Lost {
        /// Its name.
        reason: String,
        /// How often.
        count: u64,
    },
    /// Totals that contradict each other or the stacks.
    Totals(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site {
                site,
                expected,
                got,
            } => write!(f, "{site}: expected {expected}, got {got}"),
            Self::Lost { reason, count } => write!(f, "lost: {reason}: {count}"),
            Self::Totals(what) => write!(f, "totals: {what}"),
        }
    }
}

/// What of a ledger a recording has to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Blocks not given back.
    Outstanding,
    /// All blocks (`--all`).
    Taken,
}

/// Every difference; none when the recording is exact. A site that the ledger does not know has
/// to weigh nothing.
pub fn compare(ledger: &Ledger, report: &Report, side: Side) -> Vec<Difference> {
    let (got, elsewhere) = report.by_site();
    let names: BTreeSet<&String> = ledger.sites.keys().chain(got.keys()).collect();
    let mut differences = Vec::new();
    for name in names {
        if side == Side::Taken && name.starts_with(REFUSED) {
            continue;
        }
        let expected = ledger
            .sites
            .get(name)
            .map_or(Weight::default(), |site| match side {
                Side::Outstanding => site.outstanding,
                Side::Taken => site.taken,
            });
        let got = got.get(name).copied().unwrap_or_default();
        if expected != got {
            differences.push(Difference::Site {
                site: name.clone(),
                expected,
                got,
            });
        }
    }
    for (reason, count) in report.lost() {
        differences.push(Difference::Lost {
            reason: reason.to_owned(),
            count,
        });
    }
    let stacks = got.values().fold(elsewhere, |sum, weight| sum + *weight);
    let totals = &report.totals;
    let total = match side {
        Side::Outstanding => totals.unfreed,
        Side::Taken => totals.taken,
    };
    if stacks != total {
        differences.push(Difference::Totals(format!(
            "the stacks sum up to {stacks}, the total is {total}"
        )));
    }
    if totals.given_back + totals.unfreed != totals.taken {
        differences.push(Difference::Totals(format!("{totals:?} do not add up")));
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        Ledger::parse(
            r#"{"sites":{"site_a":{"taken":{"bytes":7,"count":2},"given_back":{"bytes":0,"count":0},
                "outstanding":{"bytes":7,"count":2}},"site_none":{"taken":{"bytes":7,"count":2},
                "given_back":{"bytes":7,"count":2},"outstanding":{"bytes":0,"count":0}}}}"#,
        )
        .unwrap()
    }

    fn report(bytes: u64, loss: u64, site: &str) -> Report {
        let taken = bytes + 7;
        Report::parse(&format!(
            r#"{{"mode":"unfreed","totals":{{"taken":{{"bytes":{taken},"count":4}},"given_back":{{"bytes":7,"count":2}},
            "unfreed":{{"bytes":{bytes},"count":2}}}},"losses":{{"some":{loss}}},"stacks":[
            {{"bytes":{bytes},"count":2,"frames":[{{"function":"{site}"}}]}}]}}"#
        ))
        .unwrap()
    }

    #[test]
    fn an_exact_recording_has_no_difference() {
        assert_eq!(
            compare(&ledger(), &report(7, 0, "site_a"), Side::Outstanding),
            []
        );
    }

    #[test]
    fn a_byte_too_many_is_seen_and_named() {
        let differences = compare(&ledger(), &report(8, 0, "site_a"), Side::Outstanding);
        assert_eq!(
            differences
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            ["site_a: expected 7 bytes in 2 blocks, got 8 bytes in 2 blocks"]
        );
    }

    #[test]
    fn a_loss_and_an_unknown_site_are_seen() {
        let differences = compare(&ledger(), &report(7, 3, "site_b"), Side::Outstanding);
        assert_eq!(differences.len(), 3, "{differences:?}");
    }

    #[test]
    fn nothing_may_be_left_of_a_refused_call() {
        let no_sites = Ledger::parse(r#"{"sites":{}}"#).unwrap();
        let left = report(7, 0, "refused_new");
        assert_eq!(compare(&no_sites, &left, Side::Outstanding).len(), 1);
    }

    #[test]
    fn what_was_given_back_counts_as_taken() {
        assert_eq!(
            compare(&ledger(), &report(7, 0, "site_a"), Side::Taken).len(),
            2
        );
    }
}
