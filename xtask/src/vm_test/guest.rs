//! One guest from its start to its end.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::lines;
use super::qemu::{Next, Running};
use super::select::Plan;
use super::watch::{End, Run, Watch};
use crate::run;

/// How much of the console is shown when a guest came to a bad end: a panic's lines, about 35, and
/// what was before them.
const LAST: usize = 50;

/// What became of a guest, and what it took.
pub struct Outcome {
    pub run: Run,
    pub took: Duration,
}

/// Boots the guest and prints a line for each test as it ends. `width` is the longest guest name's.
pub fn run(plan: &Plan, command: Command, vm: &Path, width: usize) -> Outcome {
    let begin = Instant::now();
    let mut watch = Watch::new(&plan.tests, Duration::from_secs(plan.guest.limit));
    let mut log = Log {
        path: vm.join("logs").join(format!("{}.log", plan.guest.name)),
        last: VecDeque::new(),
    };
    let mut shown = 0;
    let mut show = |watch: &Watch| {
        for finished in &watch.finished()[shown..] {
            lines::print(&lines::finished(&plan.guest.name, width, finished));
        }
        shown = watch.finished().len();
    };
    let end = follow(command, &mut watch, &mut log, &mut show).unwrap_or_else(End::Error);
    let run = watch.conclude(end);
    for finished in &run.finished[shown..] {
        lines::print(&lines::finished(&plan.guest.name, width, finished));
    }
    if let Some(why) = &run.died {
        lines::print(&lines::died(
            &plan.guest.name,
            width,
            why,
            &log.path,
            &log.last,
        ));
    }
    Outcome {
        run,
        took: begin.elapsed(),
    }
}

fn follow(
    command: Command,
    watch: &mut Watch,
    log: &mut Log,
    show: &mut impl FnMut(&Watch),
) -> Result<End> {
    let mut file = log.create(&command)?;
    let mut running = Running::start(command)?;
    let mut patience = watch.patience();
    let mut until = Instant::now() + patience;
    loop {
        match running.next(until) {
            Next::Line(line) => {
                writeln!(file, "{line}").context("writing the guest's log")?;
                if watch.line(&line) {
                    patience = watch.patience();
                    until = Instant::now() + patience;
                }
                log.keep(line);
                show(watch);
            }
            Next::Ended => return Ok(End::Exited(running.wait()?)),
            Next::Late => return Ok(End::Late(patience)),
        }
    }
}

/// Whether the command brings up a guest whose init runs within that time.
pub fn boots(command: Command, within: Duration) -> Result<bool> {
    let mut watch = Watch::new(&[], within);
    let running = Running::start(command)?;
    let until = Instant::now() + within;
    while let Next::Line(line) = running.next(until) {
        watch.line(&line);
        if watch.is_up() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The console's lines: all in a file, the last ones here.
struct Log {
    path: PathBuf,
    last: VecDeque<String>,
}

impl Log {
    /// Begins with the command, so that the guest can be booted by hand.
    fn create(&self, command: &Command) -> Result<File> {
        let writing = || format!("writing {}", self.path.display());
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory).with_context(writing)?;
        }
        let mut file = File::create(&self.path).with_context(writing)?;
        writeln!(file, "+ {}", run::shown(command)).with_context(writing)?;
        Ok(file)
    }

    fn keep(&mut self, line: String) {
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm_test::console::Verdict;
    use crate::vm_test::select::Test;

    /// A process that writes such lines and ends in such a way, as far as this side can tell a guest.
    fn guest(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn tests() -> [Test; 2] {
        ["one", "two"].map(|name| Test {
            binary: "suite".into(),
            name: name.into(),
            ignored: false,
        })
    }

    #[test]
    fn each_test_is_shown_as_soon_as_it_ends_and_everything_is_logged() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = Log {
            path: directory.path().join("logs/6.1.log"),
            last: VecDeque::new(),
        };
        let tests = tests();
        let mut watch = Watch::new(&tests, Duration::from_secs(20));
        // The second test begins only when the first is shown.
        let shown = directory.path().join("shown");
        let script = format!(
            "echo '@@ kernel 6.1.0'; echo '@@ ok suite one 1'
             until [ -e {} ]; do sleep 0.01; done
             seq 60; echo '@@ ok suite two 1'; echo '@@ end 2 0'; exit 33",
            shown.display()
        );
        let mut show = |watch: &Watch| {
            if !watch.finished().is_empty() {
                fs::write(&shown, "").unwrap();
            }
        };
        let end = follow(guest(&script), &mut watch, &mut log, &mut show).unwrap();
        let run = watch.conclude(end);
        assert_eq!(run.died, None);
        assert!(run.finished.iter().all(|t| t.verdict == Verdict::Passed));
        let text = fs::read_to_string(&log.path).unwrap();
        assert!(text.starts_with("+ sh -c "), "{text}");
        assert!(
            text.ends_with("\n59\n60\n@@ ok suite two 1\n@@ end 2 0\n"),
            "{text}"
        );
        assert_eq!(log.last.len(), LAST);
        assert_eq!(log.last.back().unwrap(), "@@ end 2 0");
    }

    #[test]
    fn a_guest_boots_when_init_speaks_in_time() {
        let soon = Duration::from_secs(20);
        assert!(boots(guest("echo @@ kernel 6.1.0; exec sleep 1000"), soon).unwrap());
        assert!(!boots(guest("echo Kernel panic"), soon).unwrap());
        let at_once = Duration::from_millis(50);
        assert!(!boots(guest("exec sleep 1000"), at_once).unwrap());
        assert!(boots(Command::new("/nonexistent"), soon).is_err());
    }
}
