//! What opening a store comes to, in sentences for the log.

/// How many names a sentence has at most: a damaged index may be about thousands.
const MOST_NAMES: usize = 5;

/// What was found that is not as a daemon leaves it which ends in peace.
#[derive(Default)]
pub(super) struct Report {
    /// Lines of the index that are not what was written.
    pub(super) damaged_lines: usize,
    /// Lines of the index that only another version understands.
    pub(super) unknown_lines: usize,
    /// Recordings that the index did not have.
    pub(super) taken_up: Vec<String>,
    /// Recordings whose own line was missing.
    pub(super) written_again: Vec<String>,
    /// Recordings that were being written.
    pub(super) unfinished: Vec<String>,
    /// Recordings that the index has but the directory has not, or not all of.
    pub(super) incomplete: Vec<String>,
    /// Recordings whose files are not what was stored.
    pub(super) damaged: Vec<String>,
    /// Recordings of another version.
    pub(super) of_other_version: Vec<String>,
    /// Files of others.
    pub(super) foreign: Vec<String>,
    /// What could not be done, and why.
    pub(super) failed: Vec<String>,
}

impl Report {
    /// A sentence for each thing that is to be said.
    pub(super) fn sentences(self) -> Vec<String> {
        let Self {
            damaged_lines,
            unknown_lines,
            taken_up,
            written_again,
            unfinished,
            incomplete,
            damaged,
            of_other_version,
            foreign,
            failed,
        } = self;
        let mut sentences = Vec::new();
        if damaged_lines > 0 {
            sentences.push(format!(
                "lines of the index that were not whole and are dropped: {damaged_lines}"
            ));
        }
        if unknown_lines > 0 {
            sentences.push(format!(
                "lines of the index that another version wrote and this one does not understand: {unknown_lines}"
            ));
        }
        let named = [
            (
                taken_up,
                "recordings that the index did not have and that are taken up again",
            ),
            (
                written_again,
                "recordings whose .entry.json was missing and is written again",
            ),
            (
                unfinished,
                "recordings that were not finished and are removed",
            ),
            (
                incomplete,
                "recordings of the index whose files are gone, what is left of them is removed",
            ),
            (
                damaged,
                "recordings that are damaged: not shown, their files are left alone, remove them by hand",
            ),
            (
                of_other_version,
                "recordings that another version wrote: not shown, their files are left alone",
            ),
            (
                foreign,
                "files that are not of this store and are left alone",
            ),
            (failed, "what could not be put right"),
        ];
        for (names, meaning) in named {
            if !names.is_empty() {
                sentences.push(format!("{meaning}: {}", list(&names)));
            }
        }
        sentences
    }
}

/// The first few of them, and how many more there are.
fn list(names: &[String]) -> String {
    let first = names[..names.len().min(MOST_NAMES)].join(", ");
    match names.len().saturating_sub(MOST_NAMES) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_one_sentence() {
        let report = Report {
            taken_up: (0..1000).map(|n| format!("r{n}")).collect(),
            foreign: vec!["notes".to_owned()],
            ..Report::default()
        };
        assert_eq!(
            report.sentences(),
            [
                "recordings that the index did not have and that are taken up again: r0, r1, r2, r3, r4 and 995 more",
                "files that are not of this store and are left alone: notes",
            ]
        );
        assert!(Report::default().sentences().is_empty());
    }
}
