//! What a run of guests looks like on the terminal. Guests run side by side: every line says whose
//! it is, and what belongs together is printed at once.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use super::select::Test;
use super::watch::Finished;

/// Prints a block of whole lines. A terminal that went away is no reason to stop the guests.
pub fn print(block: &str) {
    drop(std::io::stdout().lock().write_all(block.as_bytes()));
}

/// A test's line, with its output behind it.
pub fn finished(guest: &str, width: usize, finished: &Finished) -> String {
    let Finished {
        test,
        verdict,
        seconds,
        output,
    } = finished;
    let seconds = seconds.map_or(String::new(), |seconds| format!("  {seconds:.1}s"));
    let mut block = format!("{guest:<width$}  {verdict:<7} {test}{seconds}\n");
    indented(&mut block, output.iter());
    block
}

/// The line of a test that is left out.
pub fn skipped(guest: &str, width: usize, test: &Test, why: &str) -> String {
    format!("{guest:<width$}  SKIPPED {test}: {why}\n")
}

/// How a guest came to a bad end, and the end of its console.
pub fn died(guest: &str, width: usize, why: &str, log: &Path, last: &VecDeque<String>) -> String {
    let mut block = format!("{guest:<width$}  DIED    {why}\n");
    indented(&mut block, last.iter());
    indented(
        &mut block,
        [&format!("the whole console: {}", log.display())].into_iter(),
    );
    block
}

fn indented<'a>(block: &mut String, lines: impl Iterator<Item = &'a String>) {
    for line in lines {
        // Writing to a string does not fail.
        let _ = writeln!(block, "{}", format!("    | {line}").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm_test::console::Verdict;

    fn test() -> Test {
        Test {
            binary: "suite".into(),
            name: "exits::all".into(),
            ignored: false,
        }
    }

    #[test]
    fn columns_are_aligned_and_output_is_behind_its_test() {
        let passed = Finished {
            test: test(),
            verdict: Verdict::Passed,
            seconds: Some(4.25),
            output: vec![],
        };
        assert_eq!(
            finished("5.10", 6, &passed),
            "5.10    ok      suite::exits::all  4.2s\n"
        );
        let failed = Finished {
            verdict: Verdict::NotRun,
            seconds: None,
            output: vec!["why".into(), String::new()],
            ..passed
        };
        assert_eq!(
            finished("7.3", 3, &failed),
            "7.3  NOT RUN suite::exits::all\n    | why\n    |\n"
        );
        assert_eq!(
            skipped("7.3", 3, &test(), "no way"),
            "7.3  SKIPPED suite::exits::all: no way\n"
        );
    }

    #[test]
    fn a_bad_end_shows_the_end_of_the_console_and_where_the_rest_is() {
        let last = VecDeque::from(["Oops".to_owned()]);
        assert_eq!(
            died(
                "7.3",
                3,
                "the kernel panicked",
                Path::new("/t/7.3.log"),
                &last
            ),
            "7.3  DIED    the kernel panicked\n    | Oops\n    | the whole console: /t/7.3.log\n"
        );
    }
}
