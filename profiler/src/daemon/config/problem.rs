//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: the configuration cannot be read: {source}; \
             there is a commented sample to begin with, and another path is given with --config", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is larger than any configuration.
    #[error("{}: larger than 1 MiB, which no configuration is; another file was meant?", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// It can be read but not be used: a line for each problem, `FILE:LINE:COLUMN: what`.
    #[error("{}", listed(path, problems))]
    Wrong {
        /// Which.
        path: PathBuf,
        /// At least one, in the order of the file.
        problems: Vec<Problem>,
    },
}

fn listed(path: &std::path::Path, problems: &[Problem]) -> String {
    let lines = problems.iter().map(|problem| {
        let Problem { line, column, .. } = problem;
        format!("{}:{line}:{column}: {}", path.display(), problem.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A mistake in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, the first is 1.
    pub line: usize,
    /// The character in the line, the first is 1.
    pub column: usize,
    /// What is wrong and what would be right: one line.
    pub message: String,
}

impl Problem {
    /// At the byte `at` of `text`.
    pub(super) fn at(text: &str, at: usize, message: &str) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line_begin = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_begin..].chars().count() + 1,
            message: message.replace('\n', ", "),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            column,
            message,
        } = self;
        write!(f, "{line}:{column}: {message}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_lines_and_characters() {
        let text = "a\näb = 1\n";
        for (at, line, column) in [
            (0, 1, 1),
            (1, 1, 2),
            (2, 2, 1),
            (4, 2, 2),
            (10, 3, 1),
            (99, 3, 1),
        ] {
            let problem = Problem::at(text, at, "");
            assert_eq!((problem.line, problem.column), (line, column), "{at}");
        }
    }
}
