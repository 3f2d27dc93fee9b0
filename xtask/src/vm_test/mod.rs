//! `cargo xtask vm-test`: the suite in virtual machines with other kernels.
//!
//! `tests/kernels.toml` says which kernels, which guests and which tests. A guest is one boot of a
//! kernel: its initramfs has the test binaries and what they start, its init runs them one after the
//! other and says on the console how each ended.

mod accelerator;
mod built;
mod console;
mod fetch;
mod guest;
mod image;
mod kernels;
mod lines;
mod needed;
mod newc;
mod output;
mod package;
mod qemu;
mod report;
mod select;
mod tree;
mod watch;

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, ensure};

use crate::run;
use crate::setup::{self, Scope};
use built::Built;
use console::Verdict;
use fetch::Fetched;
use guest::Outcome;
use image::Base;
use kernels::Table;
use select::{Plan, Wanted};

/// The flags of `vm-test`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Kernels or guests of tests/kernels.toml, separated by commas; `all`, the default, is every guest
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    kernel: Vec<String>,
    /// All tests of each guest, not only the quick selection; over all guests it writes docs/kernels.md
    #[arg(long)]
    all: bool,
    /// What executes the guests' instructions
    #[arg(long, value_enum, default_value_t)]
    accel: accelerator::Choice,
    /// How many guests run at a time; as many as processors if not given
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Only say which tests would run where
    #[arg(long)]
    list: bool,
    /// Only tests with one of these in their name, of all that a guest has
    #[arg(value_name = "TEST")]
    tests: Vec<String>,
}

impl Arguments {
    fn wanted(&self) -> Wanted<'_> {
        if !self.tests.is_empty() {
            Wanted::Named(&self.tests)
        } else if self.all {
            Wanted::All
        } else {
            Wanted::Quick
        }
    }

    /// Whether this run is about everything there is.
    fn is_full(&self, guests: usize, table: &Table) -> bool {
        matches!(self.wanted(), Wanted::All) && guests == table.guests.len()
    }
}

/// Boots the guests, runs their tests, and closes with one line that counts them.
pub fn task(arguments: &Arguments) -> Result<()> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the guests run programs that are built on this machine, and their kernels are for x86-64: \
         vm-test needs an x86-64 machine"
    );
    setup::check(Scope::Everything)?;
    let table = Table::read()?;
    let guests = table.guests(&arguments.kernel)?;
    let built = Built::new()?;
    select::check(&table, &built.tests).context(kernels::PATH)?;
    let plans =
        select::plans(&table, &guests, &built.tests, arguments.wanted()).context(kernels::PATH)?;
    let selected: usize = plans.iter().map(|p| p.tests.len() + p.skipped.len()).sum();
    ensure!(
        selected > 0,
        "no test is selected: not every guest has a quick selection (--all), nor every test (--list)"
    );
    let width = plans.iter().map(|p| p.guest.name.len()).max().unwrap_or(0);
    if arguments.list {
        list(&plans, width);
        return Ok(());
    }

    let vm = run::target_dir()?.join("vm");
    let kernels = fetch_all(&plans, &vm)?;
    let base = Base::pack(&built, &Built::programs()?, &vm)?;
    let accelerator = accelerator::choose(arguments.accel, &plans[0], &kernels, &base)?;
    println!("vm-test: the guests run on {accelerator}");
    for plan in &plans {
        for (test, why) in &plan.skipped {
            lines::print(&lines::skipped(&plan.guest.name, width, test, why));
        }
    }
    let mut commands = Vec::new();
    for plan in &plans {
        let image = base.with(plan, &vm)?;
        let vmlinuz = &kernels[&plan.kernel.name].vmlinuz;
        commands.push(qemu::command(plan.guest, vmlinuz, &image, accelerator));
    }
    let jobs = arguments
        .jobs
        .or_else(|| thread::available_parallelism().ok());
    let outcomes = run_all(
        &plans,
        commands,
        jobs.map_or(1, NonZeroUsize::get),
        &vm,
        width,
    );
    if arguments.is_full(plans.len(), &table) {
        let how = format!("on {accelerator}");
        write_report(&plans, &kernels, &outcomes, &how)?;
    }
    conclude(&plans, &outcomes)
}

fn list(plans: &[Plan], width: usize) {
    for plan in plans {
        let name = &plan.guest.name;
        for test in &plan.tests {
            lines::print(&format!("{name:<width$}  {test}\n"));
        }
        for (test, why) in &plan.skipped {
            lines::print(&lines::skipped(name, width, test, why));
        }
    }
}

/// Each kernel that is needed, by its name.
fn fetch_all(plans: &[Plan], vm: &Path) -> Result<BTreeMap<String, Fetched>> {
    let mut fetched = BTreeMap::new();
    for plan in plans {
        let name = &plan.kernel.name;
        if !fetched.contains_key(name) {
            let kernel =
                fetch::kernel(plan.kernel, vm).with_context(|| format!("kernel {name}"))?;
            println!("vm-test: {name} is {} {}", kernel.package, kernel.version);
            fetched.insert(name.clone(), kernel);
        }
    }
    Ok(fetched)
}

/// Runs the guests, `jobs` at a time; their outcomes in the order of the plans.
fn run_all(
    plans: &[Plan],
    commands: Vec<Command>,
    jobs: usize,
    vm: &Path,
    width: usize,
) -> Vec<Outcome> {
    let waiting = Mutex::new(plans.iter().zip(commands).enumerate());
    let next = || waiting.lock().ok()?.next();
    let work = || {
        let mut outcomes = Vec::new();
        while let Some((index, (plan, command))) = next() {
            outcomes.push((index, guest::run(plan, command, vm, width)));
        }
        outcomes
    };
    let mut outcomes = thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let ended = workers.into_iter().map(thread::ScopedJoinHandle::join);
        ended
            .flat_map(|outcomes| outcomes.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn write_report(
    plans: &[Plan],
    kernels: &BTreeMap<String, Fetched>,
    outcomes: &[Outcome],
    how: &str,
) -> Result<()> {
    let rows: Vec<report::Row> = plans
        .iter()
        .zip(outcomes)
        .map(|(plan, outcome)| report::Row {
            plan,
            kernel: &kernels[&plan.kernel.name],
            outcome,
        })
        .collect();
    let date = output::stdout_of(run::program("date").args(["--utc", "+%F"]))?;
    let document = report::document(&rows, date.trim(), how);
    fs::write(run::root().join(report::PATH), document)
        .with_context(|| format!("writing {}", report::PATH))?;
    println!("vm-test: {} is written", report::PATH);
    Ok(())
}

/// Counts everything in one line; an error unless all is well.
fn conclude(plans: &[Plan], outcomes: &[Outcome]) -> Result<()> {
    let finished = outcomes.iter().flat_map(|outcome| &outcome.run.finished);
    let verdicts: Vec<Verdict> = finished.map(|test| test.verdict).collect();
    let passed = verdicts.iter().filter(|v| **v == Verdict::Passed).count();
    let failed = verdicts.len() - passed;
    let skipped: usize = plans.iter().map(|plan| plan.skipped.len()).sum();
    println!("\n{passed} passed, {failed} failed, {skipped} skipped");
    let died = outcomes
        .iter()
        .filter(|outcome| outcome.run.died.is_some())
        .count();
    ensure!(
        died == 0,
        "{died} of {} guests came to a bad end",
        outcomes.len()
    );
    ensure!(failed == 0, "tests failed");
    Ok(())
}
