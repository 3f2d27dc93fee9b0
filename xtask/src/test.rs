//! `cargo xtask test`: every test, with real eBPF. What does not run is named, never passed over.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::run;
use crate::setup::{self, Scope};

/// The flags of `test`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Succeed although this machine cannot load eBPF and the kernel tests did not run
    #[arg(long)]
    allow_not_run: bool,
    /// Given to the test harness: filters, or flags such as `--exact`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    harness: Vec<String>,
}

/// Builds everything, runs the tests, and closes with one line that counts them.
pub fn task(arguments: &Arguments) -> Result<()> {
    setup::check(Scope::Everything)?;
    run::build_debug()?;
    let cannot = why_not_ebpf()?;
    let mut tally = Tally::default();
    let mut not_run = Vec::new();
    let mut clean = true;
    if cannot.is_none() {
        clean &= tests(&[], arguments, &mut tally)?;
    } else {
        clean &= tests(&["--lib", "--bins"], arguments, &mut tally)?;
        clean &= tests(&["--doc"], arguments, &mut tally)?;
        not_run = list_kernel_tests(arguments)?;
    }
    conclude(&tally, &not_run, cannot.as_deref());
    ensure!(clean, "tests failed");
    ensure!(
        tally.passed + tally.ignored.len() + not_run.len() > 0,
        "no test has such a name"
    );
    if cannot.is_some() && !arguments.allow_not_run {
        bail!("the kernel tests did not run (--allow-not-run accepts that)");
    }
    Ok(())
}

/// Why this machine cannot load eBPF, in `unfreed check`'s words; `None` where it can.
fn why_not_ebpf() -> Result<Option<String>> {
    let check = run::output(run::program(run::debug_binary("unfreed")?).arg("check"))?;
    if check.status.success() {
        return Ok(None);
    }
    let words = [check.stdout, check.stderr].concat();
    Ok(Some(String::from_utf8_lossy(&words).into_owned()))
}

/// Runs cargo test on some targets; tells whether all is well. Output passes through as it comes.
fn tests(targets: &[&str], arguments: &Arguments, tally: &mut Tally) -> Result<bool> {
    let mut command = run::cargo();
    command.args(["test", "--no-fail-fast"]).args(targets);
    command.arg("--").args(&arguments.harness);
    if !arguments
        .harness
        .iter()
        .any(|a| a.starts_with("--test-threads"))
    {
        // Each kernel test traces busy programs: more at a time only wait for one another.
        command.arg("--test-threads=2");
    }
    run::announce(&command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("starting cargo test")?;
    let output = child.stdout.take().context("cargo test has no output")?;
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line)? > 0 {
        std::io::stdout().write_all(&line)?;
        tally.read(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(child.wait()?.success())
}

/// The names of the tests that need the kernel: all of the suite.
fn list_kernel_tests(arguments: &Arguments) -> Result<Vec<String>> {
    let mut command: Command = run::cargo();
    command.args([
        "test",
        "--quiet",
        "--test",
        "*",
        "--",
        "--list",
        "--format=terse",
    ]);
    let list = run::output(command.args(&arguments.harness))?;
    ensure!(
        list.status.success(),
        "listing the kernel tests: {}",
        String::from_utf8_lossy(&list.stderr)
    );
    let list = String::from_utf8_lossy(&list.stdout);
    let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(names.map(str::to_owned).collect())
}

fn conclude(tally: &Tally, not_run: &[String], cannot: Option<&str>) {
    println!();
    if let Some(why) = cannot {
        println!("This machine cannot load eBPF. `unfreed check` says:\n{why}");
    }
    for name in &tally.ignored {
        println!("IGNORED  {name}");
    }
    for name in not_run {
        println!("NOT RUN  {name}");
    }
    println!(
        "{} passed, {} failed, {} skipped",
        tally.passed,
        tally.failed,
        tally.ignored.len() + not_run.len()
    );
}

/// What the harnesses' lines add up to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
    ignored: Vec<String>,
}

impl Tally {
    /// Takes one line of a harness's output.
    fn read(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            let numbers = result.split_once(". ").map_or("", |(_, numbers)| numbers);
            for item in numbers.split("; ") {
                match item.split_once(' ') {
                    Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                    Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                    _ => {}
                }
            }
        } else if let Some(test) = line.strip_prefix("test ")
            && let Some((name, outcome)) = test.split_once(" ... ")
            && outcome.starts_with("ignored")
        {
            self.ignored.push(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_binaries_add_up() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test heap::exact ... ok",
            "test heap::slow ... ignored, takes an hour",
            "test heap::wrong ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s",
            "test result: ok. 20 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.10s",
        ] {
            tally.read(line);
        }
        let ignored = vec!["heap::slow".to_owned()];
        assert_eq!(
            tally,
            Tally {
                passed: 21,
                failed: 1,
                ignored
            }
        );
    }
}
