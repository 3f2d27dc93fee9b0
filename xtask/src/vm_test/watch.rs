//! Follows a guest by its console: what is done, how long to wait for what comes next, and in the
//! end whether all is well. No clock and no process here.

use std::time::Duration;

use super::console::{Line, Name, Verdict};
use super::select::Test;

/// From the start of the emulator to init's first line.
const BOOT: Duration = Duration::from_mins(2);
/// What init does besides a test: it looks for what the test left behind, and prints its output.
const BESIDES: Duration = Duration::from_mins(1);
/// From a panic to the end of the machine, with the rest of what the kernel says.
const PANIC: Duration = Duration::from_secs(10);

/// The emulator's exit status after init's word that all tests passed, or that some failed
/// (isa-debug-exit: twice the word, plus 1).
const ALL_PASSED: i32 = 2 * 0x10 + 1;
const SOME_FAILED: i32 = 2 * 0x11 + 1;

/// A test that came to an end.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    pub test: Test,
    pub verdict: Verdict,
    /// None when it was not init that ended it.
    pub seconds: Option<f64>,
    /// What a failed test and init's inspection after it had to say.
    pub output: Vec<String>,
}

/// Why nothing more comes from a guest.
#[derive(Debug)]
pub enum End {
    /// The emulator ended with this status; none: by a signal.
    Exited(Option<i32>),
    /// What had to come within this time did not, and the emulator was killed.
    Late(Duration),
    /// It could not be started or followed.
    Error(anyhow::Error),
}

/// What became of a guest.
#[derive(Debug)]
pub struct Run {
    /// The kernel's release, unless it did not come that far.
    pub release: Option<String>,
    /// Every test of its plan, each once.
    pub finished: Vec<Finished>,
    /// Why its end was not as it should be.
    pub died: Option<String>,
}

/// What is known of a guest that runs.
#[derive(Debug)]
pub struct Watch<'a> {
    tests: &'a [Test],
    limit: Duration,
    release: Option<String>,
    under_way: Option<&'a Test>,
    /// Failed; more of its output may come.
    open: Option<Finished>,
    finished: Vec<Finished>,
    /// What init counted, `(passed, failed)`.
    counted: Option<(usize, usize)>,
    /// What init said of itself rather than of a test.
    words: Vec<String>,
    panicked: bool,
    damaged: Vec<String>,
}

impl<'a> Watch<'a> {
    /// For a guest with these tests, each of which may take `limit`.
    pub fn new(tests: &'a [Test], limit: Duration) -> Self {
        Self {
            tests,
            limit,
            release: None,
            under_way: None,
            open: None,
            finished: Vec::new(),
            counted: None,
            words: Vec::new(),
            panicked: false,
            damaged: Vec::new(),
        }
    }

    /// Whether init runs.
    pub fn is_up(&self) -> bool {
        self.release.is_some()
    }

    /// How long to wait, from the last line that was init's or told of a panic, for the next such.
    ///
    /// Other lines do not count: a kernel may complain for ever.
    pub fn patience(&self) -> Duration {
        if self.panicked {
            PANIC
        } else if !self.is_up() {
            BOOT
        } else if self.under_way.is_some() {
            self.limit + BESIDES
        } else {
            BESIDES
        }
    }

    /// Takes a line of the console; whether it was one to wait for.
    pub fn line(&mut self, line: &str) -> bool {
        match Line::parse(line) {
            Ok(Some(line)) => self.take(&line),
            // A panic's lines end the test, whatever init's last line looked like.
            Ok(None) if line.contains("Kernel panic") && !self.panicked => self.panicked = true,
            Ok(None) => return false,
            Err(()) => self.damaged.push(line.to_owned()),
        }
        true
    }

    /// The tests that have come to an end so far.
    pub fn finished(&self) -> &[Finished] {
        &self.finished
    }

    fn take(&mut self, line: &Line) {
        match line {
            Line::Kernel(release) => self.release = Some((*release).to_owned()),
            Line::Output(text) => match &mut self.open {
                Some(open) => open.output.push((*text).to_owned()),
                None => self.words.push((*text).to_owned()),
            },
            Line::Begin(name) => {
                self.close();
                self.under_way = self.planned(*name);
            }
            Line::Result(name, verdict, seconds) => {
                self.close();
                self.under_way = None;
                let Some(test) = self.planned(*name) else {
                    return;
                };
                self.open = Some(Finished {
                    test: test.clone(),
                    verdict: *verdict,
                    seconds: Some(*seconds),
                    output: Vec::new(),
                });
                if *verdict == Verdict::Passed {
                    self.close();
                }
            }
            Line::End { passed, failed } => {
                self.close();
                self.under_way = None;
                self.counted = Some((*passed, *failed));
            }
        }
    }

    fn close(&mut self) {
        self.finished.extend(self.open.take());
    }

    /// The test of the plan, unless it has ended already.
    fn planned(&mut self, name: Name) -> Option<&'a Test> {
        let is = |test: &Test| test.binary == name.binary && test.name == name.test;
        let planned = self.tests.iter().find(|test| is(test));
        if planned.is_none() || self.finished.iter().any(|done| is(&done.test)) {
            let (binary, test) = (name.binary, name.test);
            self.damaged
                .push(format!("{binary} {test} was not to be run, or not again"));
            return None;
        }
        planned
    }

    /// Puts together what became of the guest, now that nothing more comes.
    pub fn conclude(mut self, end: End) -> Run {
        self.close();
        let by_init = self.finished.len();
        let passed = self
            .finished
            .iter()
            .filter(|f| f.verdict == Verdict::Passed)
            .count();
        for test in self.tests {
            if self.finished.iter().any(|done| done.test == *test) {
                continue;
            }
            let verdict = match self.under_way {
                Some(under_way) if under_way == test => Verdict::CutOff,
                _ => Verdict::NotRun,
            };
            self.finished.push(Finished {
                test: test.clone(),
                verdict,
                seconds: None,
                output: Vec::new(),
            });
        }
        let died = self.died(end, (passed, by_init - passed));
        Run {
            release: self.release,
            finished: self.finished,
            died,
        }
    }

    fn died(&self, end: End, seen: (usize, usize)) -> Option<String> {
        if self.panicked {
            return Some("the kernel panicked".to_owned());
        }
        let status = match end {
            End::Error(error) => return Some(format!("{error:#}")),
            End::Late(patience) => {
                let seconds = patience.as_secs();
                return Some(match self.under_way {
                    Some(test) => {
                        format!("{test} did not end within {seconds} s, nor did init end it")
                    }
                    None if !self.is_up() => format!("it did not boot within {seconds} s"),
                    None => format!("init wrote nothing for {seconds} s"),
                });
            }
            End::Exited(status) => status,
        };
        if !self.damaged.is_empty() {
            return Some(format!(
                "init's lines are damaged: {}",
                self.damaged.join(" / ")
            ));
        }
        if !self.words.is_empty() {
            return Some(self.words.join(" / "));
        }
        let expected = if seen.1 == 0 { ALL_PASSED } else { SOME_FAILED };
        match (status, self.counted) {
            (Some(0), _) => Some("it went down by itself: a panic or a restart".to_owned()),
            (Some(status), Some(counted)) if status == expected && counted == seen => None,
            (Some(status), counted) => Some(format!(
                "the emulator's exit status is {status}, init counted {counted:?} and the console shows \
                 {seen:?} (passed, failed)"
            )),
            (None, _) => Some("the emulator was killed".to_owned()),
        }
    }
}

#[cfg(test)]
#[path = "watch_test.rs"]
mod tests;
