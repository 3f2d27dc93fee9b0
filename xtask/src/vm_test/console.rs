//! What a guest's init writes to the console, among the kernel's own messages.
//!
//! | line | meaning |
//! |---|---|
//! | `@@ kernel RELEASE` | init runs |
//! | `@@ begin BINARY TEST` | |
//! | `@@ ok BINARY TEST SECONDS` | or `FAILED`, or `TIMEOUT` |
//! | `@@ \| TEXT` | a line of the output of the test that failed last |
//! | `@@ end PASSED FAILED` | the plan is done; the machine goes down |

use std::fmt;

/// What begins each of these lines.
const MARK: &str = "@@ ";

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    Failed,
    /// It was ended by init because it took too long.
    TimedOut,
    /// The guest came to its end under it.
    CutOff,
    /// The guest came to its end before it.
    NotRun,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "ok",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMEOUT",
            Self::CutOff => "CUT OFF",
            Self::NotRun => "NOT RUN",
        })
    }
}

/// One line of init's.
#[derive(Debug, PartialEq)]
pub enum Line<'a> {
    Kernel(&'a str),
    Begin(Name<'a>),
    Result(Name<'a>, Verdict, f64),
    Output(&'a str),
    End { passed: usize, failed: usize },
}

/// A test's binary and libtest's name of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'a> {
    pub binary: &'a str,
    pub test: &'a str,
}

impl<'a> Line<'a> {
    /// `None`: somebody else wrote it. An error: it has init's mark but none of the forms, as when a
    /// kernel message came in between.
    pub fn parse(line: &'a str) -> Result<Option<Self>, ()> {
        let Some(line) = line.strip_prefix(MARK) else {
            return Ok(None);
        };
        // Before words are counted: an output line may be anything, or empty.
        if let Some(text) = line.strip_prefix('|') {
            return Ok(Some(Self::Output(text.strip_prefix(' ').unwrap_or(text))));
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let parsed = match words[..] {
            ["kernel", release] => Some(Self::Kernel(release)),
            ["begin", binary, test] => Some(Self::Begin(Name { binary, test })),
            ["end", passed, failed] => end(passed, failed),
            [word, binary, test, seconds] => result(word, Name { binary, test }, seconds),
            _ => None,
        };
        parsed.map(Some).ok_or(())
    }
}

fn end<'a>(passed: &str, failed: &str) -> Option<Line<'a>> {
    let (passed, failed) = (passed.parse().ok()?, failed.parse().ok()?);
    Some(Line::End { passed, failed })
}

fn result<'a>(word: &str, name: Name<'a>, seconds: &str) -> Option<Line<'a>> {
    let verdict = match word {
        "ok" => Verdict::Passed,
        "FAILED" => Verdict::Failed,
        "TIMEOUT" => Verdict::TimedOut,
        _ => return None,
    };
    Some(Line::Result(name, verdict, seconds.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Name = Name {
        binary: "suite",
        test: "exits::all",
    };

    #[test]
    fn each_form_is_understood() {
        for (line, expected) in [
            (
                "@@ kernel 5.10.0-46-cloud-amd64",
                Line::Kernel("5.10.0-46-cloud-amd64"),
            ),
            ("@@ begin suite exits::all", Line::Begin(NAME)),
            (
                "@@ ok suite exits::all 4.2",
                Line::Result(NAME, Verdict::Passed, 4.2),
            ),
            (
                "@@ FAILED suite exits::all 0.1",
                Line::Result(NAME, Verdict::Failed, 0.1),
            ),
            (
                "@@ TIMEOUT suite exits::all 300",
                Line::Result(NAME, Verdict::TimedOut, 300.0),
            ),
            (
                "@@ | @@ ok suite exits::all 1",
                Line::Output("@@ ok suite exits::all 1"),
            ),
            ("@@ |   indented", Line::Output("  indented")),
            ("@@ |", Line::Output("")),
            (
                "@@ end 12 3",
                Line::End {
                    passed: 12,
                    failed: 3,
                },
            ),
        ] {
            assert_eq!(Line::parse(line), Ok(Some(expected)), "{line}");
        }
    }

    #[test]
    fn what_others_write_is_passed_over() {
        for line in ["", "[    0.1] Linux version", " @@ ok suite a 1", "@@"] {
            assert_eq!(Line::parse(line), Ok(None), "{line}");
        }
    }

    #[test]
    fn a_damaged_line_is_an_error() {
        for line in [
            "@@ ok suite exits::all",
            "@@ ok suite exits::all [   12.3] BUG: 1.0",
            "@@ ok suite exits::all soon",
            "@@ begin suite",
            "@@ end 12",
            "@@ fine suite exits::all 1",
        ] {
            assert_eq!(Line::parse(line), Err(()), "{line}");
        }
    }
}
