//! The kernel's account next to ours, in sentences.

use crate::profile::{ByKind, GivenBackLazily, Kind, Reconciliation, Resident};

use super::human;

/// What became of the resident set, and how much of it the stacks explain. The last lines of a report.
pub fn lines(reconciliation: &Reconciliation) -> Vec<String> {
    let Reconciliation {
        before,
        after,
        explained,
        given_back,
        unexplained,
        given_back_lazily,
        changed_while_looking,
        looked_before_end,
    } = reconciliation;
    let mut lines = vec![format!(
        "{} (from {} to {}); explained by stacks {}{}",
        change(before.rss, after.rss),
        human::bytes(before.rss),
        human::bytes(after.rss),
        human::bytes(explained.sum()),
        share(reconciliation.explained_share()),
    )];
    lines.push(format!(
        "of that anonymous: {}; explained {}{}",
        change(before.anonymous, after.anonymous),
        human::bytes(explained.anonymous()),
        share(reconciliation.explained_share_of_anonymous()),
    ));
    if given_back.sum() > 0 {
        lines.push(format!(
            "resident before, and given back or replaced since: {}",
            kinds(given_back)
        ));
    }
    lines.push(match unexplained.sum() {
        0 => "unexplained: nothing".to_owned(),
        _ => format!(
            "unexplained (nobody was seen to touch it): {}",
            kinds(unexplained)
        ),
    });
    lines.extend(lazily(given_back_lazily));
    let Resident {
        swap: swap_after, ..
    } = after;
    if before.swap != *swap_after {
        lines.push(format!(
            "swapped out: {} before, {} after",
            human::bytes(before.swap),
            human::bytes(*swap_after)
        ));
    }
    if *changed_while_looking > 0 {
        lines.push(format!(
            "the target changed by {} while it was looked at, so shares are about right only",
            human::bytes(*changed_while_looking)
        ));
    }
    if let Some(seconds) = looked_before_end {
        lines.push(format!(
            "the target was gone at the end: this is what was resident {seconds:.1} s before"
        ));
    }
    lines
}

/// What the process does not need any more, and has all the same.
fn lazily(given_back: &GivenBackLazily) -> Vec<String> {
    let GivenBackLazily {
        not_counted,
        counted,
        of_before,
        hidden,
    } = *given_back;
    let mut lines = Vec::new();
    let all = not_counted + counted + of_before;
    if all > 0 {
        lines.push(format!(
            "given back with MADV_FREE, still resident: {}",
            human::bytes(all)
        ));
    }
    if counted > 0 {
        let why = if hidden {
            "page frames can be seen with CAP_SYS_ADMIN only"
        } else {
            "other memory of these mappings was written again since, and which pages is not known"
        };
        lines.push(format!(
            "of that counted as if in use: {} ({why})",
            human::bytes(counted)
        ));
    }
    lines
}

/// `RSS grew by 4.00 KiB`.
fn change(before: u64, after: u64) -> String {
    match after.cmp(&before) {
        std::cmp::Ordering::Greater => format!("grew by {}", human::bytes(after - before)),
        std::cmp::Ordering::Less => format!("shrank by {}", human::bytes(before - after)),
        std::cmp::Ordering::Equal => "did not change".to_owned(),
    }
}

fn share(share: Option<f64>) -> String {
    share.map_or(String::new(), |share| {
        format!(" ({:.1}% of what came)", 100.0 * share)
    })
}

/// `anonymous 4.00 KiB, file 8.00 KiB`.
fn kinds(bytes: &ByKind) -> String {
    let some = Kind::ALL.iter().filter(|&&kind| bytes.of(kind) > 0);
    some.map(|&kind| format!("{} {}", kind.name(), human::bytes(bytes.of(kind))))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_happened_is_said() {
        let mut explained = ByKind::default();
        explained.add(Kind::Anonymous, 9 << 20);
        let mut given_back = ByKind::default();
        given_back.add(Kind::File, 1 << 20);
        let mut unexplained = ByKind::default();
        unexplained.add(Kind::Shmem, 4096);
        let reconciliation = Reconciliation {
            before: Resident {
                rss: 10 << 20,
                anonymous: 2 << 20,
                huge: 0,
                swap: 0,
                lazily_freed: 0,
            },
            after: Resident {
                rss: 18 << 20,
                anonymous: 11 << 20,
                huge: 0,
                swap: 4096,
                lazily_freed: 3 << 20,
            },
            explained,
            given_back,
            unexplained,
            given_back_lazily: GivenBackLazily {
                not_counted: 0,
                counted: 1 << 20,
                of_before: 2 << 20,
                hidden: false,
            },
            changed_while_looking: 8192,
            looked_before_end: Some(0.42),
        };
        assert_eq!(
            lines(&reconciliation),
            [
                "grew by 8.00 MiB (from 10.00 MiB to 18.00 MiB); explained by stacks 9.00 MiB \
                 (100.0% of what came)",
                "of that anonymous: grew by 9.00 MiB; explained 9.00 MiB (100.0% of what came)",
                "resident before, and given back or replaced since: file 1.00 MiB",
                "unexplained (nobody was seen to touch it): shmem 4.00 KiB",
                "given back with MADV_FREE, still resident: 3.00 MiB",
                "of that counted as if in use: 1.00 MiB (other memory of these mappings was written \
                 again since, and which pages is not known)",
                "swapped out: 0 B before, 4.00 KiB after",
                "the target changed by 8.00 KiB while it was looked at, so shares are about right only",
                "the target was gone at the end: this is what was resident 0.4 s before",
            ]
        );
    }

    #[test]
    fn nothing_is_said_of_what_did_not_happen() {
        let text = lines(&Reconciliation::default());
        assert_eq!(
            text,
            [
                "did not change (from 0 B to 0 B); explained by stacks 0 B",
                "of that anonymous: did not change; explained 0 B",
                "unexplained: nothing",
            ]
        );
    }

    #[test]
    fn what_page_frames_would_tell_is_said_to_be_missing() {
        let reconciliation = Reconciliation {
            given_back_lazily: GivenBackLazily {
                counted: 4096,
                hidden: true,
                ..GivenBackLazily::default()
            },
            ..Reconciliation::default()
        };
        let text = lines(&reconciliation);
        assert_eq!(
            text[3..],
            [
                "given back with MADV_FREE, still resident: 4.00 KiB",
                "of that counted as if in use: 4.00 KiB (page frames can be seen with \
                 CAP_SYS_ADMIN only)",
            ]
        );
    }
}
