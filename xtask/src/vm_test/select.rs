//! Which tests run in which guest.
//!
//! An entry of a selection that is a test's whole name means that test; any other means the tests
//! whose names begin with it.

use std::fmt;

use anyhow::{Context, Result, ensure};

use super::kernels::{Guest, Kernel, Table};

/// A test of one of the two test binaries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Test {
    /// `suite` or `guest`.
    pub binary: String,
    /// libtest's name, such as `heap_matrix::heap_functions_on_glibc`.
    pub name: String,
    /// Marked `#[ignore]`.
    pub ignored: bool,
}

impl Test {
    /// The module, with the binary in front.
    pub fn module(&self) -> String {
        match self.name.rsplit_once("::") {
            Some((module, _)) => format!("{}::{module}", self.binary),
            None => self.binary.clone(),
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.binary, self.name)
    }
}

/// Which of a guest's tests are wanted.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// Its quick selection.
    Quick,
    /// All of its own.
    All,
    /// Those of its own whose name contains one of these.
    Named(&'a [String]),
}

/// What one guest is to do.
#[derive(Debug)]
pub struct Plan<'a> {
    pub guest: &'a Guest,
    pub kernel: &'a Kernel,
    /// Never empty unless all are skipped.
    pub tests: Vec<Test>,
    /// With the reason.
    pub skipped: Vec<(Test, String)>,
}

/// Fails on an entry of any selection that no test has.
pub fn check(table: &Table, tests: &[Test]) -> Result<()> {
    for (name, entries) in &table.tests {
        chosen(entries, tests).with_context(|| format!("the selection `{name}`"))?;
    }
    Ok(())
}

/// The plans of the guests that have something to do, in the order of `guests`.
pub fn plans<'a>(
    table: &'a Table,
    guests: &[&'a Guest],
    tests: &[Test],
    wanted: Wanted,
) -> Result<Vec<Plan<'a>>> {
    let mut plans = Vec::new();
    for &guest in guests {
        let name = &guest.name;
        let plan = plan(table, guest, tests, wanted).with_context(|| format!("guest {name}"))?;
        if !(plan.tests.is_empty() && plan.skipped.is_empty()) {
            plans.push(plan);
        }
    }
    Ok(plans)
}

fn plan<'a>(
    table: &'a Table,
    guest: &'a Guest,
    tests: &[Test],
    wanted: Wanted,
) -> Result<Plan<'a>> {
    let selected = |names: &[String]| -> Result<Vec<Test>> {
        let entries = names.iter().filter_map(|name| table.tests.get(name));
        let entries: Vec<String> = entries.flatten().cloned().collect();
        chosen(&entries, tests).with_context(|| format!("the selections {names:?}"))
    };
    let everything = selected(&guest.all)?;
    let mut lacking = Vec::new();
    for lack in &guest.lacks {
        // Not of what is wanted now: an entry is stale only if no run has its test.
        let without = chosen(&lack.tests, &everything).context("what it lacks")?;
        lacking.extend(without.into_iter().map(|test| (test, lack.why.clone())));
    }
    let selected = match wanted {
        Wanted::All => everything,
        Wanted::Quick => selected(&guest.quick)?,
        Wanted::Named(parts) => everything
            .into_iter()
            .filter(|test| parts.iter().any(|part| test.to_string().contains(part)))
            .collect(),
    };
    let mut plan = Plan {
        guest,
        kernel: table.kernel(guest)?,
        tests: Vec::new(),
        skipped: Vec::new(),
    };
    for test in selected {
        if test.ignored {
            plan.skipped.push((test, "marked #[ignore]".to_owned()));
            continue;
        }
        match lacking.iter().find(|(lacked, _)| *lacked == test) {
            Some(found) => plan.skipped.push(found.clone()),
            None => plan.tests.push(test),
        }
    }
    Ok(plan)
}

/// The tests that any of the entries means, in their own order; an entry without one is an error.
fn chosen(entries: &[String], tests: &[Test]) -> Result<Vec<Test>> {
    let named: Vec<(String, &Test)> = tests.iter().map(|test| (test.to_string(), test)).collect();
    let mut means = vec![false; tests.len()];
    for entry in entries {
        let whole = named.iter().any(|(name, _)| name == entry);
        let mut any = false;
        for ((name, _), meant) in named.iter().zip(&mut means) {
            if (whole && name == entry) || (!whole && name.starts_with(entry)) {
                any = true;
                *meant = true;
            }
        }
        ensure!(any, "no test is called `{entry}`, and none begins so");
    }
    let pairs = named.into_iter().zip(means);
    Ok(pairs
        .filter(|(_, meant)| *meant)
        .map(|((_, test), _)| test.clone())
        .collect())
}

#[cfg(test)]
#[path = "select_test.rs"]
mod tests;
